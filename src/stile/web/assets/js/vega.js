// Archived graphs: Vega-Lite specs, compiled and drawn here with the interpreter, so that no code is generated.
import { expressionInterpreter } from "vega-interpreter";
import { compile } from "vega-lite";
import { parse, View, Warn } from "vega";
import { token } from "./tokens.js";

// The same in both themes: specs write dark text on its light end and light text on its dark end.
const RAMP = ["#e3ecf6", "#1c5fa8"];

function look() {
  const ink = token("ink"), soft = token("soft"), line = token("line");
  const axis = { labelColor: soft, titleColor: soft, gridColor: line, domainColor: line, tickColor: line, titleFontWeight: "normal", labelFontSize: 12, titleFontSize: 12 };
  return {
    background: "transparent",
    font: "system-ui, sans-serif",
    axis,
    legend: { labelColor: ink, titleColor: soft, labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal" },
    title: { color: ink, fontSize: 13, fontWeight: 600, anchor: "start" },
    view: { stroke: "transparent" },
    range: { category: [token("eng"), token("ds"), token("pass"), token("wait"), token("fail"), token("soft")], heatmap: RAMP, ramp: RAMP },
    mark: { color: token("eng") },
    text: { color: ink },
    rule: { color: soft },
  };
}

export async function drawVega(stage, url) {
  const answer = await fetch(url, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
  const spec = await answer.json();
  const width = Math.max(240, Math.min(stage.clientWidth || 560, 720));
  const single = !["hconcat", "vconcat", "concat", "facet", "repeat"].some((part) => part in spec);
  // The page says the title already; a single view is made to fit with its axes and legend.
  const { title, ...untitled } = spec;
  const fitted = single ? { ...untitled, width, autosize: { type: "fit", contains: "padding" } } : untitled;
  const runtime = parse(compile(fitted, { config: look(), logger: quiet() }).spec, null, { ast: true });
  stage.replaceChildren();
  // The stage is hidden from assistive technology: its finding and its table say the same in words.
  const view = new View(runtime, { expr: expressionInterpreter, renderer: "canvas", container: stage, hover: true, logLevel: Warn });
  view.tooltip((_, event, item, value) => {
    stage.title = value == null ? "" : typeof value === "object" ? Object.entries(value).map(([key, part]) => `${key}: ${part}`).join("\n") : String(value);
  });
  await view.runAsync();
}

function quiet() {
  const logger = { level: () => logger, error: () => logger, warn: () => logger, info: () => logger, debug: () => logger };
  return logger;
}
