// The text of a running generation, piece by piece, until the fragment with the whole result takes its place.
export function followTokens(root) {
  const place = root.querySelector("[data-tokens]");
  if (!place || !place.dataset.tokens || place.dataset.followed) return;
  place.dataset.followed = "yes";
  const source = new EventSource(place.dataset.tokens);
  source.addEventListener("token", (event) => {
    const piece = JSON.parse(event.data);
    place.classList.add("caret");
    // A worker was lost, or its memory too short: the text is written anew.
    if (piece.first) place.replaceChildren();
    place.append(piece.text);
  });
  source.addEventListener("done", () => source.close());
  source.addEventListener("error", () => source.close());
}
