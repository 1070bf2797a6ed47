// Keeps a part of the page as the server has it: asks for a fragment, which waits until there is news.
// `data-live` is its address, `data-live-part` takes a part of a whole page, `data-live-every` the least pause in ms.
const WAIT_SECONDS = 20;

export function keepAlive(root, drawn) {
  const pause = Number(root.dataset.liveEvery || 400);
  let tag = null;
  let failures = 0;

  const over = () => root.querySelector("[data-live-over]")?.dataset.liveOver !== "no";
  const again = (delay) => setTimeout(look, delay);

  async function look() {
    if (document.hidden) {
      document.addEventListener("visibilitychange", look, { once: true });
      return;
    }
    try {
      const headers = { Accept: "text/html" };
      // Whether the server is back is asked at once.
      if (!failures) headers.Prefer = `wait=${WAIT_SECONDS}`;
      if (tag) headers["If-None-Match"] = tag;
      const response = await fetch(root.dataset.live, { headers, cache: "no-store" });
      // It was deleted meanwhile: the page itself says so.
      if (response.status === 404) return location.reload();
      if (response.status !== 304) {
        if (!response.ok) throw new Error(String(response.status));
        tag = response.headers.get("ETag");
        replace(root, await response.text());
        drawn();
      }
      if (failures) away(root, false);
      failures = 0;
    } catch {
      failures += 1;
      away(root, true);
    }
    if (!over()) again(failures ? Math.min(15000, 1000 * 2 ** failures) : pause);
  }

  drawn();
  if (!over()) again(pause);
}

// What was opened stays open, what had the focus keeps it, what streams in stays until it is final.
function replace(root, html) {
  const page = new DOMParser().parseFromString(html, "text/html");
  const part = root.dataset.livePart ? page.querySelector(root.dataset.livePart).outerHTML : page.body.innerHTML;
  const open = [...root.querySelectorAll("details[open][id]")].map((details) => details.id);
  const focused = document.activeElement?.id;
  const written = root.querySelector("[data-tokens]");
  root.innerHTML = part;
  open.forEach((id) => root.querySelector(`#${CSS.escape(id)}`)?.setAttribute("open", ""));
  const place = root.querySelector("[data-tokens]");
  if (written && place) place.replaceWith(written);
  if (focused) root.querySelector(`#${CSS.escape(focused)}`)?.focus({ preventScroll: true });
  tell(root.querySelector("[data-live-words]"));
}

function tell(state) {
  const status = document.querySelector("[data-live-status]");
  if (!state || !status || status.textContent === state.dataset.liveWords) return;
  status.textContent = state.dataset.liveWords;
  document.title = state.dataset.liveTitle || document.title;
}

// The numbers of a page that hears nothing are old: its reader is told, until they are the server's again.
function away(root, isAway) {
  const status = document.querySelector("[data-live-status]");
  if (!status) return;
  status.className = isAway ? "notice" : "visually-hidden";
  if (isAway) status.textContent = "The server does not answer. Trying again…";
  else tell(root.querySelector("[data-live-words]"));
}
