// One chart of curves: uPlot draws what the server has thinned; a readout below says what is under the pointer.
import uPlot from "uplot";
import { number } from "./numbers.js";
import { token } from "./tokens.js";

const DASHES = [[], [7, 4], [2, 3], [9, 3, 2, 3]];
const COLOURS = 8;
const HEIGHTS = { small: 210, wide: 360 };

const across = (line, x) => (x === "step" ? line.steps : line.times.map((at) => (at - (x === "relative" ? line.begun : 0)) / 1000));

// Smoothing as the server does it: a moving average whose start is corrected. Right where all points are here; of a
// line that was thinned or cut the server sends the average it has made of all points.
function smoothed(values, weight) {
  if (!weight) return values;
  let average = 0, left = 1;
  return values.map((value) => {
    average = weight * average + (1 - weight) * value;
    left *= weight;
    return average / (1 - left);
  });
}

// Columns that uPlot takes: rising places, each once; what a log scale cannot show is a gap.
function column(line, y, view) {
  const xs = [], ys = [];
  across(line, view.x).forEach((x, i) => {
    const value = view.log && y[i] <= 0 ? null : y[i];
    if (x === xs.at(-1)) ys[ys.length - 1] = value;
    else {
      xs.push(x);
      ys.push(value);
    }
  });
  return [xs, ys];
}

export function duration(seconds) {
  const s = Math.abs(seconds);
  if (s < 60) return `${+seconds.toFixed(s < 10 ? 1 : 0)} s`;
  if (s < 3600) return `${Math.floor(seconds / 60)} min${s % 60 >= 1 ? ` ${Math.round(s % 60)} s` : ""}`;
  return `${Math.floor(seconds / 3600)} h${s % 3600 >= 60 ? ` ${Math.round((s % 3600) / 60)} min` : ""}`;
}

const figure = (value) => (value == null ? "–" : number(value));
const tick = (value) => (value == null ? "" : Math.abs(value) >= 1e6 || (value && Math.abs(value) < 1e-3) ? value.toExponential(0).replace("e+", "e") : Math.abs(value) >= 1e4 ? `${+(value / 1000).toPrecision(3)}k` : `${+value.toPrecision(4)}`);

function place(x, view) {
  if (view.x === "step") return `step ${x}`;
  return view.x === "time" ? new Date(x * 1000).toLocaleString(undefined, { dateStyle: "short", timeStyle: "medium" }) : `after ${duration(x)}`;
}

// Draws lines [{name, place, steps, times, values, begun}] into a stage and returns the plot.
export function drawLines(stage, lines, view, { shape = "small", onZoom }) {
  const many = shape === "wide";
  const soft = token("soft"), grid = token("line"), height = HEIGHTS[shape];
  const colour = (line) => (many ? token(`run-${line.place % COLOURS}`) : token("eng"));
  const tables = [], series = [{}];
  for (const line of lines) {
    const dash = many ? DASHES[Math.floor(line.place / COLOURS) % DASHES.length] : [];
    const points = { show: line.values.length < 3, size: 6 };
    if (view.smooth) {
      tables.push(column(line, line.values, view));
      series.push({ stroke: colour(line), alpha: 0.25, width: 1, points: { show: false }, spanGaps: true, behind: true });
    }
    const soft = view.smooth && line.smooth?.weight === view.smooth ? { ...line.smooth, begun: line.begun } : line;
    tables.push(column(soft, soft === line ? smoothed(line.values, view.smooth) : soft.values, view));
    series.push({ label: line.name, stroke: colour(line), width: many ? 1.5 : 1.75, dash, points, spanGaps: true, line });
  }
  const data = tables.length ? uPlot.join(tables) : [[], []];
  if (!tables.length) series.push({});
  stage.replaceChildren();
  const canvas = document.createElement("div"), readout = document.createElement("p");
  readout.className = "readout";
  stage.append(canvas, readout);
  const rest = many ? `${lines.length} ${lines.length === 1 ? "run" : "runs"}. Point at a line to read it; drag to zoom, double click for the whole range.` : "";
  readout.textContent = rest;
  const font = "12px system-ui, sans-serif";
  const axis = { stroke: soft, font, grid: { stroke: grid, width: 1 }, ticks: { show: false } };
  const width = () => Math.max(220, stage.clientWidth);

  const say = (plot) => {
    const at = plot.cursor.idx;
    if (at == null) return (readout.textContent = rest);
    const focused = plot.series.findIndex((one, i) => i && one._focus && one.line);
    const shown = many ? focused : plot.series.findLastIndex((one) => one.line);
    if (shown < 1) return (readout.textContent = rest);
    const idx = plot.cursor.idxs?.[shown] ?? at;
    const value = plot.data[shown][idx];
    readout.textContent = `${many ? `${plot.series[shown].label}: ` : ""}${figure(value)} at ${place(plot.data[0][idx], view)}`;
  };

  const plot = new uPlot(
    {
      width: width(),
      height,
      legend: { show: false },
      scales: {
        x: { time: view.x === "time" },
        y: view.log ? { distr: 3, log: 10 } : { range: (_, low, high) => padded(low, high) },
      },
      axes: [
        { ...axis, space: 64, size: 32, grid: { show: false }, ...(view.x === "relative" ? { values: (_, all) => all.map(duration) } : view.x === "step" ? { incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 2e6, 5e6, 1e7, 1e8, 1e9], values: (_, all) => all.map(tick) } : {}) },
        { ...axis, size: 52, space: 36, values: (_, all) => all.map(tick) },
      ],
      series,
      focus: { alpha: many ? 0.25 : 1 },
      cursor: {
        y: false,
        focus: { prox: many ? 24 : -1 },
        drag: { x: true, y: false, setScale: false },
        sync: many ? undefined : { key: "curves", setSeries: false },
        points: { size: 7 },
        // Lines have points of their own: the nearest one is read, not the column under the pointer.
        dataIdx: (self, which, idx) => nearest(self.data[which], idx),
      },
      hooks: {
        setCursor: [say],
        setSeries: [say],
        setSelect: [(self) => {
          if (self.select.width < 4) return;
          const low = self.posToVal(self.select.left, "x"), high = self.posToVal(self.select.left + self.select.width, "x");
          self.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
          const unit = view.x === "step" ? 1 : 1000;
          onZoom(Math.floor(low * unit), Math.ceil(high * unit));
        }],
      },
    },
    data,
    canvas,
  );
  plot.over.addEventListener("dblclick", () => onZoom(null, null));
  const watcher = new ResizeObserver(() => stage.clientWidth && plot.setSize({ width: width(), height }));
  watcher.observe(stage);
  // The line of one run before all others; null for all alike again.
  const focus = (run) => {
    const at = run == null ? -1 : plot.series.findIndex((one) => one.line?.place === run);
    plot.setSeries(at > 0 ? at : null, { focus: true });
    const ends = at > 0 ? plot.data[at].findLast((value) => value != null) : null;
    readout.textContent = at > 0 ? `${plot.series[at].label} ends at ${figure(ends)}` : rest;
  };
  return { focus, stop: () => (watcher.disconnect(), plot.destroy(), stage.replaceChildren()) };
}

function padded(low, high) {
  if (low == null || high == null) return [0, 1];
  const air = (high - low) * 0.08 || Math.abs(high) * 0.08 || 0.5;
  return [low - air, high + air];
}

function nearest(values, idx) {
  if (idx == null || values[idx] != null) return idx;
  for (let away = 1; away < values.length; away++) {
    if (values[idx - away] != null) return idx - away;
    if (values[idx + away] != null) return idx + away;
  }
  return idx;
}
