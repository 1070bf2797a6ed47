// Sends a file as the body itself, with progress. Without this the form sends it all the same.
export function uploadFiles(form) {
  const file = form.querySelector("input[type=file]");
  const drop = form.querySelector(".drop");
  const bar = form.querySelector("progress");
  const told = form.querySelector("[data-upload-words]");

  drop.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer.files.length) file.files = event.dataTransfer.files;
  });

  form.addEventListener("submit", (event) => {
    const chosen = file.files[0];
    if (!chosen || !chosen.size) return;
    event.preventDefault();
    // A server that refuses in the middle of a body looks like a lost connection: said here, it reads better.
    if (chosen.size > Number(form.dataset.largest)) failed("The file is larger than this server takes.");
    else send(chosen);
  });

  function send(chosen) {
    const query = new URLSearchParams({ filename: chosen.name, pipeline: form.elements.pipeline.value });
    const request = new XMLHttpRequest();
    request.open("POST", `${form.dataset.upload}?${query}`);
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("Content-Type", chosen.type || "application/octet-stream");
    request.setRequestHeader("X-CSRFToken", form.elements.csrf_token.value);
    request.upload.addEventListener("progress", (event) => {
      bar.max = event.total;
      bar.value = event.loaded;
      told.textContent = `${Math.floor((100 * event.loaded) / event.total)} % sent`;
    });
    request.addEventListener("load", () => arrived(request));
    request.addEventListener("error", () => failed("The connection was lost. Try again."));
    form.querySelector("button").disabled = true;
    bar.hidden = false;
    told.className = "mt-2";
    told.textContent = "Sending…";
    request.send(chosen);
  }

  function arrived(request) {
    let answer = {};
    try { answer = JSON.parse(request.responseText); } catch { /* told below */ }
    if (request.status === 201) window.location.assign(answer.preview);
    else failed(answer.error?.message || `It was refused (${request.status}).`);
  }

  function failed(words) {
    form.querySelector("button").disabled = false;
    bar.hidden = true;
    told.className = "notice notice-bad mt-3";
    told.textContent = words;
  }
}
