// Keys are declared in the markup: data-go="p" on links (g then p), data-key="a" on actions, data-row on rows.
const CHORD_MS = 1500;
const OFF = "stile.keys.off";
let chordUntil = 0;

const typing = (element) => element.closest("input:not([type=checkbox]), textarea, select, [contenteditable=true]") !== null;
const rows = () => [...document.querySelectorAll("[data-row]")].filter((row) => row.offsetParent !== null);

function moveRow(step) {
  const all = rows();
  if (!all.length) return;
  const at = all.findIndex((row) => row.contains(document.activeElement));
  const next = all[Math.max(0, Math.min(all.length - 1, at + step))];
  (next.querySelector("a.open[href], a[href]") ?? next).focus();
  next.scrollIntoView({ block: "nearest" });
}

function tickRow() {
  const row = rows().find((each) => each.contains(document.activeElement));
  row?.querySelector("[data-tick]")?.click();
}

function press(key) {
  const target = [...document.querySelectorAll("[data-key]")].find(
    (element) => element.dataset.key === key && element.offsetParent !== null && !element.disabled,
  );
  if (!target) return false;
  if (target.matches("input[type=radio], input:not([type]), input[type=search], textarea")) {
    target.focus();
    if (target.type === "radio") target.click();
  } else target.click();
  return true;
}

export function startKeys() {
  const help = document.getElementById("keys");
  const box = document.getElementById("keys-off");
  let off = localStorage.getItem(OFF) === "1";
  if (box) {
    box.checked = off;
    box.addEventListener("change", () => {
      off = box.checked;
      localStorage.setItem(OFF, off ? "1" : "0");
    });
  }
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-open-keys]")) {
      event.preventDefault();
      help?.showModal();
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (typing(event.target)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (help?.open || (off && event.key !== "?")) return;
    if (Date.now() < chordUntil) {
      chordUntil = 0;
      const link = document.querySelector(`a[data-go="${CSS.escape(event.key)}"]`);
      if (link) {
        event.preventDefault();
        link.click();
      }
      return;
    }
    const acts = { j: () => moveRow(1), k: () => moveRow(-1), x: tickRow, "?": () => help?.showModal(), g: () => (chordUntil = Date.now() + CHORD_MS) };
    if (event.key === "/") {
      const search = document.querySelector("[data-search]");
      if (search) {
        event.preventDefault();
        search.focus();
        search.select();
      }
    } else if (acts[event.key]) {
      event.preventDefault();
      acts[event.key]();
    } else if (press(event.key)) event.preventDefault();
  });
}
