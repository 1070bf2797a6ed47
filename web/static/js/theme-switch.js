// One button: auto, light, dark.
const NEXT = { auto: "light", light: "dark", dark: "auto" };

export function switchTheme(button) {
  const show = () => { button.textContent = `Theme: ${window.fournilTheme.chosen()}`; };
  button.addEventListener("click", () => {
    try { localStorage.setItem("fournil-theme", NEXT[window.fournilTheme.chosen()]); } catch { return; }
    window.fournilTheme.apply();
    show();
  });
  show();
}
