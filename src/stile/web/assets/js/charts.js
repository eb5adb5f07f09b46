// Graphs are drawn only when they come into view; their finding and their table stand without them.
async function open(figure) {
  if (figure.dataset.loaded) return;
  figure.dataset.loaded = "1";
  const stage = figure.querySelector("[data-stage]");
  try {
    const { drawVega } = await import("./vega.js");
    await drawVega(stage, figure.dataset.vega);
    figure.dataset.drawn = "1";
  } catch (error) {
    delete figure.dataset.loaded;
    stage.textContent = `The chart could not be drawn: ${error.message}. Its numbers are in the table.`;
  }
}

export function startCharts() {
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      watcher.unobserve(entry.target);
      open(entry.target);
    }
  }, { rootMargin: "200px" });
  const watch = () => document.querySelectorAll("figure[data-vega][data-eager]:not([data-loaded])").forEach((figure) => watcher.observe(figure));
  requestIdleCallback ? requestIdleCallback(watch) : setTimeout(watch, 200);
  addEventListener("stile:theme", () => {
    for (const figure of document.querySelectorAll("figure[data-vega][data-drawn]")) {
      delete figure.dataset.loaded;
      open(figure);
    }
  });
}
