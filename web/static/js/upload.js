import { takeDropped } from "./drop.js";
import { CHANGED, isAsChosen, sendInPieces } from "./pieces.js";
import { Refused } from "./tus.js";

// Sends a file with progress: as one body, a large one in pieces. Without this the form sends it all the same.
export function uploadFiles(form) {
  const file = form.querySelector("input[type=file]");
  const bar = form.querySelector("progress");
  const words = form.querySelector("[data-upload-words]");
  takeDropped(form.querySelector(".drop"), file);

  form.addEventListener("submit", (event) => {
    const chosen = file.files[0];
    if (!chosen || !chosen.size) return;
    event.preventDefault();
    // A server that refuses in the middle of a body looks like a lost connection: said here, it reads better.
    if (chosen.size > Number(form.dataset.largest)) failed("The file is larger than this server takes.");
    else if (chosen.size >= Number(form.dataset.piecesFrom)) sendLarge(chosen);
    else send(chosen);
  });

  function sendLarge(chosen) {
    begun(chosen.size);
    const told = (offset, isLost) => moved(offset, isLost ? "The connection was lost; trying again." : "");
    const goesTo = form.dataset.preview.replace("PIPELINE", encodeURIComponent(form.elements.pipeline.value));
    sendInPieces(chosen, { endpoint: form.dataset.uploads, piece: Number(form.dataset.piece), told })
      .then((id) => window.location.assign(goesTo.replace("FILE", id)))
      .catch((problem) => notSent(chosen, problem instanceof Refused ? problem.message : "It could not be sent. Try again."));
  }

  function send(chosen) {
    const query = new URLSearchParams({ filename: chosen.name, pipeline: form.elements.pipeline.value });
    const request = new XMLHttpRequest();
    request.open("POST", `${form.dataset.upload}?${query}`);
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("Content-Type", chosen.type || "application/octet-stream");
    request.setRequestHeader("X-CSRFToken", form.elements.csrf_token.value);
    request.upload.addEventListener("progress", (event) => moved(event.loaded, ""));
    request.addEventListener("load", () => arrived(request));
    request.addEventListener("error", () => notSent(chosen, "The connection was lost. Try again."));
    begun(chosen.size);
    request.send(chosen);
  }

  function begun(size) {
    form.querySelector("button").disabled = true;
    bar.hidden = false;
    bar.max = size;
    words.className = "mt-2";
    words.textContent = "Sending…";
  }

  function moved(sent, more) {
    bar.value = sent;
    words.textContent = `${Math.floor((100 * sent) / bar.max)} % sent. ${more}`.trim();
  }

  function arrived(request) {
    let answer = {};
    try { answer = JSON.parse(request.responseText); } catch { /* told below */ }
    if (request.status === 201) window.location.assign(answer.preview);
    else failed(answer.error?.message || `It was refused (${request.status}).`);
  }

  async function notSent(chosen, why) {
    if (await isAsChosen(chosen)) failed(why);
    else {
      // The browser would go on with the file as it was.
      file.value = "";
      failed(CHANGED);
    }
  }

  function failed(why) {
    form.querySelector("button").disabled = false;
    bar.hidden = true;
    words.className = "notice notice-bad mt-3";
    words.textContent = why;
  }
}
