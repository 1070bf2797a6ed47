// Large files go up in pieces (tus 1.0): when the connection was lost, or the page was loaded again, they go on
// where they were.
import { append, ask, begin, Refused } from "./tus.js";

const LONGEST_PAUSE = 10_000;

export const CHANGED = "The file was changed or moved after it was chosen. Choose it again.";

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
      // A browser reads no more of a file that was changed, and says no more than that the request failed. What was
      // sent is kept: a file that is put back goes on.
      if (!(await isAsChosen(file))) throw new Refused(CHANGED);
      if (offset !== null) told(offset, true);
      offset = null;
      pause = Math.min(LONGEST_PAUSE, 2 * pause || 500);
      await rest(pause);
    }
  }
  keep(key, null);
  return url.split("/").pop();
}

// Whether the file can still be read as it was when it was chosen.
export async function isAsChosen(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
    return true;
  } catch { return false; }
}

// Until the time is up, or the browser says that there is a network again.
function rest(pause) {
  return new Promise((resolve) => {
    setTimeout(resolve, pause);
    window.addEventListener("online", resolve, { once: true });
  });
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
