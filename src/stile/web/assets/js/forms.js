// A form is sent once; fields that belong to one answer appear with it; copy buttons copy.
export function startForms() {
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post") return;
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "1";
    setTimeout(() => delete form.dataset.sent, 5000);
  });
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-copy]");
    if (!button) return;
    const text = document.getElementById(button.dataset.copy)?.textContent.trim();
    if (!text || !navigator.clipboard) return;
    await navigator.clipboard.writeText(text);
    const was = button.textContent;
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = was), 1500);
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest("button[data-print]")) print();
  });
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-submit]")) event.target.form.requestSubmit();
  });
  const show = () => document.querySelectorAll("[data-js]").forEach((element) => (element.hidden = false));
  show();
  document.addEventListener("htmx:after:swap", show);
}
