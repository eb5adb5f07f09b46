// The remembered choice lives in a cookie, so that the server sends the right theme with the first byte.
const YEAR_S = 31536000;

export function startTheme() {
  const root = document.documentElement;
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-theme-choice]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const choice = link.dataset.themeChoice;
    document.cookie = `stile_theme=${choice}; Path=/; Max-Age=${YEAR_S}; SameSite=Lax`;
    if (choice === "system") delete root.dataset.theme;
    else root.dataset.theme = choice;
    const url = new URL(location.href);
    if (url.searchParams.has("theme")) {
      url.searchParams.delete("theme");
      history.replaceState(history.state, "", url);
    }
    for (const other of document.querySelectorAll("a[data-theme-choice]")) {
      if (other === link) other.setAttribute("aria-current", "true");
      else other.removeAttribute("aria-current");
    }
    link.closest("details")?.removeAttribute("open");
    dispatchEvent(new CustomEvent("stile:theme"));
  });
}
