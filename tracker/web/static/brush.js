// A stretch of time is chosen by dragging over the histogram; a click on a bar is a link, with or without scripts.
const LEAST = 5; // pixels: less is a click

export function brushable() {
  document.addEventListener("pointerdown", (down) => {
    const plot = down.target.closest?.("[data-brush]");
    if (!plot || down.button !== 0) return;
    const shade = plot.querySelector(".brush");
    const box = plot.getBoundingClientRect();
    let dragged = false;
    let from = 0;
    let to = 0;

    const within = (x) => Math.min(Math.max(x - box.left, 0), box.width);
    const move = (event) => {
      [from, to] = [within(down.clientX), within(event.clientX)].sort((one, other) => one - other);
      dragged ||= to - from >= LEAST;
      shade.hidden = !dragged;
      shade.style.left = `${from}px`;
      shade.style.width = `${to - from}px`;
    };
    const end = (event) => {
      removeEventListener("pointermove", move);
      removeEventListener("pointerup", end);
      removeEventListener("pointercancel", end);
      shade.hidden = true;
      if (!dragged || event.type === "pointercancel") return;
      addEventListener("click", (click) => click.preventDefault(), { capture: true, once: true });
      setTimeout(() => choose(plot, from / box.width, to / box.width), 0);
    };
    addEventListener("pointermove", move);
    addEventListener("pointerup", end);
    addEventListener("pointercancel", end);
  });
  document.addEventListener("dragstart", (event) => {
    if (event.target.closest?.("[data-brush]")) event.preventDefault();
  });
}

function choose(plot, from, to) {
  const bars = plot.querySelectorAll("a[data-start]");
  const at = (part) => Math.min(bars.length - 1, Math.floor(part * bars.length));
  const { field, rest } = plot.dataset;
  const parts = [rest, `${field} ge ${bars[at(from)].dataset.start}`, `${field} lt ${bars[at(to)].dataset.end}`];
  const target = new URL(location.href);
  target.searchParams.set("filters", parts.filter(Boolean).join(" and "));
  target.searchParams.delete("after");
  location.assign(target);
}
