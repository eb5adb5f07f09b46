// Ticked runs: they stay ticked on other pages of the list and after another search, until they are cleared or the
// tab is closed; how many there are, and the buttons that compare and change them. Menus close when one looks elsewhere.
const LEAST = 2;
const MOST = 100;

// Deleted runs are ticked apart from the others: what can be done to them differs.
const place = () => ["stile:ticked", location.pathname, document.getElementById("ticked")?.dataset.of].filter(Boolean).join(":");
let unkept = []; // where the browser keeps nothing, ticks last as long as the page

function ticked() {
  try {
    return new Set(JSON.parse(sessionStorage.getItem(place()) ?? "[]"));
  } catch {
    return new Set(unkept);
  }
}

function keep(ids) {
  unkept = [...ids];
  try {
    if (ids.size) sessionStorage.setItem(place(), JSON.stringify(unkept));
    else sessionStorage.removeItem(place());
  } catch {
    // what is ticked lasts as long as the page
  }
}

// After the ticked runs were changed the address names that change: the ticks are taken off, once.
let settled = "";
function settle() {
  const done = new URLSearchParams(location.search).get("done");
  if (!done || done === settled) return;
  settled = done;
  const name = `stile:done:${location.pathname}`;
  try {
    if (sessionStorage.getItem(name) === done) return;
    sessionStorage.setItem(name, done);
  } catch {
    return; // where nothing is kept, no tick has outlived the page it was set on
  }
  keep(new Set());
}

function tell() {
  settle();
  const form = document.getElementById("ticked");
  if (!form) return;
  const ids = ticked(), here = [...form.querySelectorAll("[data-tick]")];
  for (const box of here) box.checked = ids.has(box.value);
  const shown = new Set(here.map((box) => box.value));
  const elsewhere = [...ids].filter((id) => !shown.has(id));
  form.querySelector("[data-elsewhere]").replaceChildren(
    ...elsewhere.map((id) => Object.assign(document.createElement("input"), { type: "hidden", name: "run", value: id })),
  );
  const fits = ids.size >= LEAST && ids.size <= MOST;
  const button = form.querySelector("[data-ticked]");
  button.textContent = fits ? `Compare ${ids.size} runs` : "Compare the ticked";
  button.disabled = !fits;
  const bulk = [...form.querySelectorAll("[data-bulk]")];
  for (const each of bulk) {
    each.textContent = ids.size ? `${each.dataset.bulk} ${ids.size} ${ids.size === 1 ? "run" : "runs"}` : `${each.dataset.bulk} the ticked`;
    each.disabled = !ids.size || ids.size > MOST;
  }
  const tagging = form.querySelector("[data-tagging]"); // a closed menu has no part in the address of a comparison
  if (tagging) tagging.disabled = !tagging.parentElement.open;
  const away = elsewhere.length ? `${elsewhere.length} of them not on this page` : "";
  form.querySelector("[data-ticked-count]").textContent = !ids.size
    ? (bulk.length ? "Tick runs (key x)" : "Tick two or more runs (key x)")
    : [`${ids.size} ticked`, away, ids.size > MOST ? `at most ${MOST} at once` : ids.size < LEAST ? "tick another to compare" : ""].filter(Boolean).join(", ");
  form.querySelector("[data-untick]").hidden = !ids.size;
  const all = form.querySelector("[data-tick-all]"), ticks = here.filter((box) => box.checked).length;
  if (all) {
    all.checked = ticks > 0 && ticks === here.length;
    all.indeterminate = ticks > 0 && ticks < here.length;
  }
  // A table that fits into the page scrolls with it, so that its heads can stay in sight.
  const table = form.querySelector(".scroll");
  table.classList.toggle("fits", table.scrollWidth <= table.clientWidth);
  form.classList.toggle("some", ids.size > 0);
}

function set(boxes, on) {
  const ids = ticked();
  for (const box of boxes) {
    if (on) ids.add(box.value);
    else ids.delete(box.value);
  }
  keep(ids);
  tell();
}

// With the shift key all rows between the box that was changed last and this one follow it.
let last = null, shift = false;
function changed(box) {
  const here = [...document.querySelectorAll("#ticked [data-tick]")];
  const from = shift ? here.indexOf(last) : -1, to = here.indexOf(box);
  set(from < 0 ? [box] : here.slice(Math.min(from, to), Math.max(from, to) + 1), box.checked);
  last = box;
}

export function startTicks() {
  tell();
  document.addEventListener("click", (event) => (shift = event.shiftKey), true);
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-tick]")) changed(event.target);
    if (event.target.matches("[data-tick-all]")) set(document.querySelectorAll("#ticked [data-tick]"), event.target.checked);
  });
  addEventListener("resize", tell);
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-untick]")) return;
    keep(new Set());
    tell();
  });
  document.addEventListener("toggle", (event) => event.target.querySelector?.("[data-tagging]") && tell(), true);
  document.addEventListener("keydown", (event) => {
    const field = event.key === "Enter" && event.target.closest?.("[data-tagging] input");
    if (!field) return;
    event.preventDefault(); // the first button of the form compares
    const button = field.closest("[data-tagging]").querySelector("[data-bulk]:enabled");
    if (button) field.form.requestSubmit(button);
  });
  document.addEventListener("htmx:after:swap", tell);
  addEventListener("pageshow", tell);
  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("details.pick[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });
  document.addEventListener("keydown", (event) => {
    const menu = event.key === "Escape" && event.target.closest?.("details.pick[open]");
    if (!menu) return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
}
