// Runs before the page is drawn: no flash of the wrong theme. "auto" follows the system.
(() => {
  const root = document.documentElement;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => {
    try { return localStorage.getItem("fournil-theme") || "auto"; } catch { return "auto"; }
  };
  const apply = () => {
    const theme = chosen();
    root.dataset.bsTheme = theme === "auto" ? (dark.matches ? "dark" : "light") : theme;
  };
  root.classList.remove("no-js");
  dark.addEventListener("change", apply);
  window.fournilTheme = { chosen, apply };
  apply();
})();
