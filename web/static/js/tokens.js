// The text of a running generation, piece by piece, until the fragment with the whole result takes its place.
export function followTokens(root) {
  const place = root.querySelector("[data-tokens]");
  if (!place || !place.dataset.tokens || place.dataset.followed) return;
  place.dataset.followed = "yes";
  const source = new EventSource(place.dataset.tokens);
  source.addEventListener("token", (event) => {
    place.classList.add("caret");
    place.append(JSON.parse(event.data).text);
  });
  source.addEventListener("done", () => source.close());
  source.addEventListener("error", () => source.close());
}
