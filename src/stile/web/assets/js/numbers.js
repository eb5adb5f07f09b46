// Numbers as the pages write them: words.py (short_whole, number) does the same on the server.
const HUGE = 1e9;

const grouped = (text, size) => (size >= 10000 ? text.replace(/\B(?=(\d{3})+(?!\d))/g, "\u2009") : text);

// Three digits that count, as Python's %.3g writes them: 1.23e-05, 0.00012.
function few(size) {
  const power = Number(size.toExponential(2).split("e")[1]);
  if (power >= -4 && power < 3) return `${Number(size.toPrecision(3))}`;
  const [head, exponent] = size.toExponential(2).split("e");
  return `${Number(head)}e${exponent[0]}${exponent.slice(1).padStart(2, "0")}`;
}

export function number(value, digits = 4) {
  const size = Math.abs(value), sign = value < 0 ? "\u2212" : "";
  if (size === Infinity) return `${sign}\u221e`;
  if (Number.isInteger(value) && size < HUGE) return sign + grouped(`${size}`, size);
  if (size >= HUGE || size < 10 ** -digits) return sign + few(size);
  if (size < 1000) return sign + size.toFixed(digits);
  const [whole, rest] = size.toFixed(size >= 1e6 ? 0 : 1).split(".");
  return sign + grouped(whole, size) + (rest ? `.${rest}` : "");
}
