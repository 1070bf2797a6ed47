// Adds and removes turns of a conversation. Without this the form has a place for the next turn all the same.
export function editTurns(editor) {
  const rows = () => [...editor.querySelectorAll(".turn")];

  editor.addEventListener("click", (event) => {
    if (event.target.closest("[data-remove-turn]")) {
      const row = event.target.closest(".turn");
      if (rows().length > 1) row.remove();
      else row.querySelector("textarea").value = "";
    }
    if (event.target.closest("[data-add-turn]")) add();
  });

  function add() {
    const last = rows().at(-1);
    const row = last.cloneNode(true);
    const said = last.querySelector("select").value;
    row.querySelector("select").value = said === "user" ? "assistant" : "user";
    const text = row.querySelector("textarea");
    text.removeAttribute("id");
    text.value = "";
    last.after(row);
    rows().forEach((one, place) => {
      one.querySelector("textarea").setAttribute("aria-label", `Turn ${place + 1}`);
      one.querySelector("select").setAttribute("aria-label", `Who speaks in turn ${place + 1}`);
    });
    text.focus();
  }
}
