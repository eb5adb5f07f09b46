// Charts take their colours from the page's tokens: resolved by the browser, so light-dark() works.
export function token(name) {
  const probe = document.createElement("span");
  probe.className = `probe probe-${name}`;
  probe.hidden = true;
  document.body.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
}
