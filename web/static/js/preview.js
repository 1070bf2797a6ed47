// Shows the rows anew as soon as another column is chosen. Without this a button does.
export function editMapping(form) {
  form.addEventListener("change", (event) => {
    if (event.target.closest("[data-look-again]")) form.requestSubmit(form.querySelector("[data-look]"));
  });
}
