// Large files go up in pieces (tus 1.0): when the connection was lost, or the page was loaded again, they go on
// where they were.
const TUS = { "Tus-Resumable": "1.0.0" };
const LONGEST_PAUSE = 10_000;
// A connection that hangs says nothing; one that is slow moves now and then.
const STALLED = 30_000;

export class Refused extends Error {}

// Sends `file` to the uploads at `endpoint`, in requests of `piece` bytes; answers its id. `told(offset, isLost)` hears
// how far it is.
export async function sendInPieces(file, { endpoint, piece, told }) {
  const key = `fournil-upload ${file.name} ${file.size} ${file.lastModified}`;
  let url = recall(key);
  let offset = null;
  let pause = 0;
  for (;;) {
    try {
      url ||= await begin(endpoint, file);
      keep(key, url);
      offset ??= await ask(url);
      told(offset, false);
      if (offset === file.size) break;
      offset = await append(url, file.slice(offset, offset + piece), offset, (sent) => told(offset + sent, false));
      pause = 0;
    } catch (problem) {
      if (problem.status === 404) url = null;
      else if (problem instanceof Refused) { keep(key, null); throw problem; }
      if (offset !== null) told(offset, true);
      offset = null;
      pause = Math.min(LONGEST_PAUSE, 2 * pause || 500);
      await rest(pause);
    }
  }
  keep(key, null);
  return url.split("/").pop();
}

async function begin(endpoint, file) {
  const words = { filename: file.name, filetype: file.type || "application/octet-stream" };
  const metadata = Object.entries(words).map(([name, value]) => `${name} ${inBase64(value)}`).join(",");
  const headers = { ...TUS, "Upload-Length": String(file.size), "Upload-Metadata": metadata };
  const answer = await fetch(endpoint, { method: "POST", headers });
  if (!answer.ok) throw problemOf(answer.status, await answer.text());
  return answer.headers.get("Location");
}

async function ask(url) {
  const answer = await fetch(url, { method: "HEAD", headers: TUS });
  if (!answer.ok) throw problemOf(answer.status, "");
  return Number(answer.headers.get("Upload-Offset"));
}

// Not fetch: it does not say how much of a body it has sent.
function append(url, blob, offset, sent) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    let stalled;
    const moved = () => {
      clearTimeout(stalled);
      stalled = setTimeout(() => request.abort(), STALLED);
    };
    request.open("PATCH", url);
    for (const [name, value] of Object.entries(TUS)) request.setRequestHeader(name, value);
    request.setRequestHeader("Upload-Offset", String(offset));
    request.setRequestHeader("Content-Type", "application/offset+octet-stream");
    request.upload.addEventListener("progress", (event) => { moved(); sent(event.loaded); });
    request.addEventListener("loadend", () => {
      clearTimeout(stalled);
      if (request.status === 204) resolve(Number(request.getResponseHeader("Upload-Offset")));
      else reject(problemOf(request.status, request.responseText));
    });
    moved();
    request.send(blob);
  });
}

// What another try may mend is an Error, what it will not is Refused.
function problemOf(status, body) {
  let words = `It was refused (${status}).`;
  try { words = JSON.parse(body).error.message; } catch { /* not ours */ }
  const final = status >= 400 && status < 500 && ![404, 408, 409, 423, 429].includes(status);
  return Object.assign(final ? new Refused(words) : new Error(words), { status });
}

// Until the time is up, or the browser says that there is a network again.
function rest(pause) {
  return new Promise((resolve) => {
    setTimeout(resolve, pause);
    window.addEventListener("online", resolve, { once: true });
  });
}

function inBase64(text) {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}

// A browser may keep nothing for a site: then a page that is loaded again begins anew.
function recall(key) {
  try { return localStorage.getItem(key); } catch { return null; }
}

function keep(key, value) {
  try {
    if (value === null) localStorage.removeItem(key);
    else localStorage.setItem(key, value);
  } catch { /* as above */ }
}
