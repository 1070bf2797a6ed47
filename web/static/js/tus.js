// The requests of tus 1.0 that a page needs: to begin an upload, to ask how far it is, to send the next piece.
const TUS = { "Tus-Resumable": "1.0.0" };
// A connection that hangs says nothing; one that is slow moves now and then.
const STALLED = 30_000;

export class Refused extends Error {}

export async function begin(endpoint, file) {
  const words = { filename: file.name, filetype: file.type || "application/octet-stream" };
  const metadata = Object.entries(words).map(([name, value]) => `${name} ${inBase64(value)}`).join(",");
  const headers = { ...TUS, "Upload-Length": String(file.size), "Upload-Metadata": metadata };
  const answer = await fetch(endpoint, { method: "POST", headers });
  if (!answer.ok) throw problemOf(answer.status, await answer.text());
  return answer.headers.get("Location");
}

export async function ask(url) {
  const answer = await fetch(url, { method: "HEAD", headers: TUS });
  if (!answer.ok) throw problemOf(answer.status, "");
  return Number(answer.headers.get("Upload-Offset"));
}

// Not fetch: it does not say how much of a body it has sent.
export function append(url, blob, offset, sent) {
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

function inBase64(text) {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}
