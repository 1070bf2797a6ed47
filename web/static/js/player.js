// Time stamps beside a recording: a click on one plays from there.
export function seekOnStamps(root) {
  root.addEventListener("click", (event) => {
    const stamp = event.target.closest("[data-seek]");
    const player = stamp && document.getElementById(stamp.dataset.player);
    if (!player) return;
    player.currentTime = Number(stamp.dataset.seek);
    player.play().catch(() => {});
  });
}
