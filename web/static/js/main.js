import { showCopyButtons } from "./copy.js";
import { keepAlive } from "./live.js";
import { seekOnStamps } from "./player.js";
import { editMapping } from "./preview.js";
import { switchTheme } from "./theme-switch.js";
import { followTokens } from "./tokens.js";
import { editTurns } from "./turns.js";
import { uploadFiles } from "./upload.js";

switchTheme(document.querySelector("[data-theme-switch]"));
showCopyButtons(document);
seekOnStamps(document);
document.querySelectorAll("[data-turns]").forEach(editTurns);
document.querySelectorAll("[data-upload]").forEach(uploadFiles);
document.querySelectorAll("[data-mapping]").forEach(editMapping);
document.querySelectorAll("[data-live]").forEach((root) => keepAlive(root, () => followTokens(root)));
document.querySelectorAll("form[data-confirm]").forEach((form) => {
  form.addEventListener("submit", (event) => {
    if (!window.confirm(form.dataset.confirm)) event.preventDefault();
  });
});
