// Completions for a search field: asked of the server as one types; arrows choose, Enter or Tab takes, Escape closes.
const SETTLE_MS = 120;
const started = new WeakSet();
let count = 0;

function startOne(field) {
  started.add(field);
  const id = `complete-${++count}`;
  const list = document.createElement("ul");
  list.id = id;
  list.role = "listbox";
  list.ariaLabel = "Completions";
  list.hidden = true;
  let start = 0, asked = 0, timer = 0, at = -1;

  // A page that renews itself takes away what the server does not know of: it is put back when it is needed.
  const dress = () => {
    const box = field.parentElement;
    box.classList.add("complete");
    field.role = "combobox";
    field.setAttribute("aria-autocomplete", "list");
    field.setAttribute("aria-controls", id);
    field.ariaExpanded = String(!list.hidden);
    if (list.parentElement !== box) box.append(list);
  };
  const close = () => {
    clearTimeout(timer);
    asked += 1;
    at = -1;
    list.hidden = true;
    field.ariaExpanded = "false";
    field.removeAttribute("aria-activedescendant");
  };
  const choose = (next) => {
    const options = [...list.children];
    at = (next + options.length) % options.length;
    options.forEach((option, index) => (option.ariaSelected = String(index === at)));
    options[at].scrollIntoView({ block: "nearest" });
    field.setAttribute("aria-activedescendant", options[at].id);
  };
  const take = (option) => {
    const text = option.dataset.text + ("completeKeys" in field.dataset ? "" : " ");
    const rest = field.value.slice(field.selectionStart).replace(/^\s/, "");
    field.value = field.value.slice(0, start) + text + rest;
    field.setSelectionRange(start + text.length, start + text.length);
    close();
    ask();
  };
  const show = (answer) => {
    const keysOnly = "completeKeys" in field.dataset;
    if (!answer.completions.length || (keysOnly && answer.kind !== "key")) return close();
    start = answer.start;
    at = -1;
    list.replaceChildren(...answer.completions.map(({ text, says }, index) => {
      const option = document.createElement("li");
      option.role = "option";
      option.id = `${id}-${index}`;
      option.ariaSelected = "false";
      option.dataset.text = text;
      option.append(...[text, says].map((words) => Object.assign(document.createElement("span"), { textContent: words })));
      return option;
    }));
    list.hidden = false;
    dress();
    field.removeAttribute("aria-activedescendant");
  };
  const ask = () => {
    clearTimeout(timer);
    const mine = (asked += 1);
    timer = setTimeout(async () => {
      const query = new URLSearchParams({ filter: field.value, at: field.selectionStart ?? field.value.length });
      const answer = await fetch(`${field.dataset.complete}?${query}`, { headers: { Accept: "application/json" } }).catch(() => null);
      if (!answer?.ok || mine !== asked || document.activeElement !== field) return;
      show(await answer.json());
    }, SETTLE_MS);
  };

  dress();
  field.addEventListener("focus", dress);
  field.addEventListener("input", ask);
  field.addEventListener("blur", close);
  field.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    const open = !list.hidden;
    if (event.key === "ArrowDown" && !open) {
      event.preventDefault();
      ask();
    } else if (open && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      event.preventDefault();
      choose(event.key === "ArrowDown" ? at + 1 : at < 0 ? -1 : at - 1);
    } else if (open && at >= 0 && (event.key === "Enter" || event.key === "Tab")) {
      event.preventDefault();
      take(list.children[at]);
    } else if (event.key === "Enter") close();
    else if (open && event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      close();
    }
  });
  list.addEventListener("mousedown", (event) => {
    event.preventDefault();
    const option = event.target.closest("li");
    if (option) take(option);
  });
}

export function startCompletions() {
  const start = () => document.querySelectorAll("input[data-complete]").forEach((field) => started.has(field) || startOne(field));
  start();
  document.addEventListener("htmx:after:swap", start);
}
