// Curves of a page: drawn while they are on the screen, in the way the bar above them and the address say.
// The server sends thinned points for all that came into view at once; a running run tells what is new.
import { number } from "./numbers.js";

const MOST_KEYS = 24;
const GATHER_MS = 60;
const REFRESH_MS = 1000;
const REGET_MS = 700;

const charts = new Map(); // figure -> {lines, plot, visible}
let observer = null;
let gathering = 0;
const wanted = new Set();

const section = () => document.querySelector("[data-curves]");
const stream = () => document.querySelector("[data-stream]");
const bar = () => document.querySelector("form[data-look]");

function view() {
  const form = bar(), query = new URLSearchParams(location.search);
  const fields = form ? new FormData(form) : query;
  return {
    x: fields.get("x") || "step",
    log: fields.get("log") === "1",
    smooth: Number(fields.get("smooth") || 0),
    from: query.get("from"),
    to: query.get("to"),
  };
}

// The address is the state: what is chosen here can be sent to somebody else.
function remember(changes) {
  const url = new URL(location.href);
  for (const [name, value] of Object.entries(changes)) {
    if (value == null || value === "" || value === "0" || (name === "x" && value === "step")) url.searchParams.delete(name);
    else url.searchParams.set(name, value);
  }
  url.searchParams.delete("said");
  history.replaceState(history.state, "", url);
  const main = document.getElementById("main");
  if (main?.hasAttribute("hx-get")) main.setAttribute("hx-get", url.pathname + url.search);
  for (const [name, value] of Object.entries(changes)) {
    for (const hidden of document.querySelectorAll(`main form[method=get] input[type=hidden][name="${name}"]`)) hidden.value = value ?? "";
  }
}

async function draw(figure) {
  const chart = charts.get(figure);
  if (!chart?.lines || !chart.visible) return;
  const { drawLines } = await import("./curve.js");
  if (!chart.visible || !figure.isConnected) return;
  chart.plot?.stop();
  const stage = figure.querySelector("[data-stage]");
  figure.dataset.drawn = "1";
  chart.plot = drawLines(stage, chart.lines, view(), { shape: figure.dataset.shape || "small", onZoom: zoom });
  const finding = figure.querySelector("[data-finding]");
  if (finding && (!finding.textContent || stream())) finding.textContent = describe(chart.lines);
}

function describe([line]) {
  if (!line?.values.length) return "No points that can be drawn.";
  const odd = line.not_numbers ? `; ${line.not_numbers} of ${line.total} points are not numbers` : "";
  return `Now at ${number(line.values.at(-1))}${odd}.`;
}

function ask(figure) {
  wanted.add(figure);
  gathering ||= setTimeout(fetchAll, GATHER_MS);
}

async function fetchAll() {
  gathering = 0;
  const figures = [...wanted].filter((figure) => figure.isConnected).slice(0, MOST_KEYS);
  figures.forEach((figure) => wanted.delete(figure));
  if (wanted.size) gathering = setTimeout(fetchAll, GATHER_MS);
  if (!figures.length || !section()) return;
  const { x, from, to, smooth } = view();
  const url = new URL(section().dataset.curves, location.href);
  for (const figure of figures) url.searchParams.append("key", figure.dataset.curve);
  url.searchParams.set("x", x);
  if (from) url.searchParams.set("from", from);
  if (to) url.searchParams.set("to", to);
  if (smooth) url.searchParams.set("smooth", smooth);
  if (!figures[0].dataset.shape) url.searchParams.set("most", "600");
  const begun = performance.now();
  try {
    const answer = await fetch(url, { headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
    const { curves } = await answer.json();
    pause = Math.max(REFRESH_MS, 10 * (performance.now() - begun));
    for (const figure of figures) {
      const chart = charts.get(figure);
      if (!chart) continue;
      chart.lines = curves.filter((line) => line.key === figure.dataset.curve).map((line) => ({ name: line.name ?? line.key, place: line.place ?? 0, ...line }));
      draw(figure);
    }
  } catch (error) {
    for (const figure of figures) if (!figure.dataset.drawn) figure.querySelector("[data-stage]").textContent = `Not drawn: ${error.message}.`;
  }
}

function look(entries) {
  for (const { target, isIntersecting } of entries) {
    const chart = charts.get(target);
    if (!chart) continue;
    chart.visible = isIntersecting;
    if (!isIntersecting) {
      chart.plot?.stop();
      chart.plot = null;
    } else if (chart.lines && !chart.stale) draw(target);
    else {
      chart.stale = false;
      ask(target);
    }
  }
}

function adopt() {
  observer ??= new IntersectionObserver(look, { rootMargin: "400px 0px" });
  for (const [figure, chart] of charts) {
    if (figure.isConnected) continue;
    observer.unobserve(figure);
    chart.plot?.stop();
    charts.delete(figure);
  }
  for (const figure of document.querySelectorAll("figure[data-curve]")) {
    if (charts.has(figure)) continue;
    charts.set(figure, { lines: null, plot: null, visible: false, stale: false });
    observer.observe(figure);
  }
}

// Whoever looks at a run in the legend sees its line before all others.
let pointed = null;
function point(event) {
  const entry = event.target.closest?.(".legend [data-place]") ?? null;
  if (entry === pointed) return;
  pointed = entry;
  for (const { plot } of charts.values()) plot?.focus(entry ? Number(entry.dataset.place) : null);
}

function redraw({ again = false } = {}) {
  for (const [figure, chart] of charts) {
    if (again && chart.visible) ask(figure);
    else if (again) chart.stale = true;
    else draw(figure);
  }
}

function zoom(from, to) {
  remember({ from, to });
  const button = document.querySelector("[data-unzoom]");
  if (button) button.hidden = from == null;
  redraw({ again: true });
}

function narrow(input) {
  const what = input.dataset.narrows, text = input.value.trim().toLowerCase();
  for (const row of document.querySelectorAll(`[data-rows="${what}"] [data-name]`)) row.hidden = !row.dataset.name.toLowerCase().includes(text);
  if (what !== "metrics") return;
  for (const figure of document.querySelectorAll("figure[data-curve]")) figure.hidden = !figure.dataset.name.toLowerCase().includes(text);
  for (const group of document.querySelectorAll("[data-group]")) group.hidden = !group.querySelector("figure:not([hidden]), a[data-unfold]");
}

// Of many metrics the page has the first ones: what is folded away is asked for, and put where it belongs.
const SEARCH_MS = 250;
let searching = 0, asked = 0;
let partial = false; // what was searched may have left no more than the page has: the rest comes back with the next letter
const parts = () => [...document.querySelectorAll("[data-part]")];
const folded = () => new Set(JSON.parse(document.querySelector("[data-folded]")?.dataset.folded || "[]"));

async function unfold(search = location.search) {
  const number = ++asked;
  const answer = await fetch(location.pathname + search, { headers: { Accept: "text/html" } });
  if (!answer.ok || number !== asked) return;
  const next = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of parts()) {
    const found = next.querySelector(`[data-part="${part.dataset.part}"]`);
    if (!found) continue;
    const fresh = document.adoptNode(found); // before what is drawn moves into it: a canvas stays in its document
    for (const figure of fresh.querySelectorAll("figure[data-curve]")) {
      const drawn = part.querySelector(`figure[data-curve="${CSS.escape(figure.dataset.curve)}"]`);
      if (drawn) figure.replaceWith(drawn);
      else figure.hidden = false;
    }
    for (const group of fresh.querySelectorAll("[data-group]")) {
      const before = part.querySelector(`[data-group="${CSS.escape(group.dataset.group)}"]`);
      if (before?.querySelector("figure") && !before.open) group.open = false;
    }
    part.replaceWith(fresh);
  }
  adopt();
  document.querySelectorAll("[data-narrows]").forEach(narrow);
}

function follow(link) {
  const url = new URL(location.href), to = new URL(link.href).searchParams;
  for (const name of ["rows", "open"]) {
    url.searchParams.delete(name);
    for (const value of to.getAll(name)) url.searchParams.append(name, value);
  }
  history.replaceState(history.state, "", url);
  const main = document.getElementById("main");
  if (main?.hasAttribute("hx-get")) main.setAttribute("hx-get", url.pathname + url.search);
  unfold(url.search);
}

// A value that is chosen is not a form half filled in: the page may still be refreshed around it.
function settle(field) {
  if (field.type === "radio") for (const other of document.getElementsByName(field.name)) other.defaultChecked = other.checked;
  else if (field.type === "checkbox") field.defaultChecked = field.checked;
  else field.defaultValue = field.value;
}

function changed(event) {
  const field = event.target;
  if (field.matches("[data-narrows]")) {
    const partly = field.dataset.narrows === "metrics" && (folded().size || partial);
    for (const other of document.querySelectorAll(`[data-narrows="${field.dataset.narrows}"]`)) if (other !== field) other.value = field.value;
    narrow(field);
    remember({ [field.name]: field.value.trim() });
    for (const each of document.querySelectorAll(`[data-narrows="${field.dataset.narrows}"]`)) settle(each);
    if (partly) {
      partial = true;
      clearTimeout(searching);
      searching = setTimeout(unfold, SEARCH_MS);
    }
    return;
  }
  if (!field.form?.matches("form[data-look]")) return;
  settle(field);
  if (field.name === "smooth") field.form.querySelector("output").textContent = Number(field.value) ? Number(field.value).toFixed(2) : "off";
  remember({ [field.name]: field.type === "checkbox" ? (field.checked ? "1" : "") : field.value, ...(field.name === "x" ? { from: null, to: null } : {}) });
  if (field.name === "x") document.querySelector("[data-unzoom]").hidden = true;
  redraw({ again: field.name === "x" });
  if (field.name !== "smooth" || !Number(field.value)) return;
  clearTimeout(smoothing);
  smoothing = setTimeout(smoothWhole, SMOOTH_MS);
}

// What the page has of a long line gives a rough average at once; the true one, of all its points, comes from the server.
const SMOOTH_MS = 200;
let smoothing = 0;

function smoothWhole() {
  const { from, to, smooth } = view();
  for (const [figure, chart] of charts) {
    const rough = chart.lines?.some((line) => line.smooth?.weight !== smooth && (from || to || line.total > line.values.length + line.not_numbers));
    if (!rough) continue;
    if (chart.visible) ask(figure);
    else chart.stale = true;
  }
}

let source = null, pause = REFRESH_MS, refreshing = 0, regetting = 0;
const changedKeys = new Set();

function reget() {
  regetting ||= setTimeout(() => {
    regetting = 0;
    document.getElementById("main")?.dispatchEvent(new CustomEvent("live"));
  }, REGET_MS);
}

function news(points) {
  const logged = document.querySelector("[data-logged] time");
  if (logged) {
    logged.dateTime = new Date().toISOString();
    logged.textContent = "now";
  }
  const away = folded();
  for (const [key, { value, step }] of Object.entries(points)) {
    const cells = document.querySelectorAll(`[data-latest="${CSS.escape(key)}"]`);
    if (!cells.length && !away.has(key)) reget();
    for (const cell of cells) cell.textContent = value == null ? "not a number" : number(value);
    for (const cell of document.querySelectorAll(`[data-step="${CSS.escape(key)}"]`)) cell.textContent = step;
    if (step > 0 && !away.has(key) && !document.querySelector(`figure[data-curve="${CSS.escape(key)}"]`)) reget();
    changedKeys.add(key);
  }
  regrow();
}

function regrow() {
  refreshing ||= setTimeout(() => {
    refreshing = 0;
    for (const [figure, chart] of charts) {
      if (!changedKeys.has(figure.dataset.curve)) continue;
      if (chart.visible) ask(figure);
      else chart.stale = true;
    }
    changedKeys.clear();
  }, pause);
}

function listen() {
  const path = stream()?.dataset.stream;
  if (!path || document.hidden) {
    source?.close();
    source = null;
    return;
  }
  if (source?.url === new URL(path, location.href).href) return;
  source?.close();
  source = new EventSource(path);
  source.addEventListener("points", (event) => news(JSON.parse(event.data)));
  source.addEventListener("moved", (event) => {
    for (const key of JSON.parse(event.data)) changedKeys.add(key);
    regrow();
  });
  source.addEventListener("written", reget);
  source.addEventListener("ended", () => {
    source.close();
    source = null;
    delete stream()?.dataset.stream;
    redraw({ again: true });
    reget();
  });
}

export function startCurves() {
  if (!document.querySelector("[data-curves], [data-stream], [data-narrows]")) return;
  partial = new URLSearchParams(location.search).has("find");
  adopt();
  document.querySelectorAll("[data-narrows]").forEach((input) => input.value && narrow(input));
  document.addEventListener("input", changed);
  document.addEventListener("submit", (event) => event.target.matches("form[data-look], form:has([data-narrows])") && event.preventDefault());
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-unzoom]")) return;
    event.preventDefault();
    zoom(null, null);
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-unfold]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    follow(link);
  });
  document.addEventListener("toggle", (event) => {
    const group = event.target;
    if (!group.open || !group.matches?.("[data-group]") || group.querySelector("figure")) return;
    const link = group.querySelector("a[data-unfold]");
    if (link) follow(link);
  }, true);
  document.addEventListener("pointerover", point);
  document.addEventListener("focusin", point);
  addEventListener("stile:theme", () => redraw());
  document.addEventListener("visibilitychange", listen);
  document.addEventListener("htmx:after:swap", () => {
    adopt();
    document.querySelectorAll("[data-narrows]").forEach((input) => input.value && narrow(input));
    listen();
  });
  listen();
}
