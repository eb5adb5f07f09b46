// Relative times keep counting; the title tells the absolute time in the reader's own zone.
const STEPS = [[60, 1, "s"], [3600, 60, "min"], [86400, 3600, "h"], [2592000, 86400, "d"], [31536000, 2592000, "mo"], [Infinity, 31536000, "y"]];

export function relative(then, now) {
  const seconds = Math.round((now - then) / 1000);
  const distance = Math.abs(seconds);
  if (distance < 5) return "now";
  const [, size, unit] = STEPS.find(([limit]) => distance < limit);
  const text = `${Math.floor(distance / size)} ${unit}`;
  return seconds >= 0 ? `${text} ago` : `in ${text}`;
}

function refresh(root) {
  const now = Date.now();
  for (const time of root.querySelectorAll("time[datetime]")) {
    const then = Date.parse(time.dateTime);
    if (Number.isNaN(then)) continue;
    if (!("absolute" in time.dataset)) {
      const text = relative(then, now);
      if (time.textContent !== text) time.textContent = text;
    }
    time.title = new Date(then).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
  }
}

export function startTimes() {
  refresh(document);
  setInterval(() => document.hidden || refresh(document), 30000);
  document.addEventListener("htmx:after:swap", () => refresh(document));
}
