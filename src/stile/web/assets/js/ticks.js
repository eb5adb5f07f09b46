// Ticked runs: how many there are, and the button that compares them; menus close when one looks elsewhere.
const LEAST = 2;
const MOST = 100;

function tell() {
  const form = document.getElementById("ticked");
  if (!form) return;
  const ticked = form.querySelectorAll("[data-tick]:checked").length;
  const fits = ticked >= LEAST && ticked <= MOST;
  const button = form.querySelector("[data-ticked]");
  button.textContent = fits ? `Compare ${ticked} runs` : "Compare the ticked";
  button.disabled = !fits;
  form.querySelector("[data-ticked-count]").textContent =
    ticked > MOST ? `${ticked} ticked, at most ${MOST} are compared` : ticked === 1 ? "1 ticked, tick another" : ticked ? "" : "Tick two or more runs (key x)";
}

export function startTicks() {
  tell();
  document.addEventListener("change", (event) => event.target.matches("[data-tick]") && tell());
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
