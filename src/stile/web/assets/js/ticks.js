// Ticked runs: they stay ticked on other pages of the list and after another search, until they are cleared or the
// tab is closed; how many there are, and the button that compares them. Menus close when one looks elsewhere.
const LEAST = 2;
const MOST = 100;

const place = () => `stile:ticked:${location.pathname}`;
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

function tell() {
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
  const away = elsewhere.length ? `${elsewhere.length} of them not on this page` : "";
  form.querySelector("[data-ticked-count]").textContent = !ids.size
    ? "Tick two or more runs (key x)"
    : [`${ids.size} ticked`, away, ids.size > MOST ? `at most ${MOST} are compared` : ids.size < LEAST ? "tick another" : ""].filter(Boolean).join(", ");
  form.querySelector("[data-untick]").hidden = !ids.size;
  form.classList.toggle("some", ids.size > 0);
}

function changed(box) {
  const ids = ticked();
  if (box.checked) ids.add(box.value);
  else ids.delete(box.value);
  keep(ids);
  tell();
}

export function startTicks() {
  tell();
  document.addEventListener("change", (event) => event.target.matches("[data-tick]") && changed(event.target));
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-untick]")) return;
    keep(new Set());
    tell();
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
