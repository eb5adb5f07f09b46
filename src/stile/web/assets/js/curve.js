// Long metric curves: the server sends decimated points, uPlot makes them zoomable.
import uPlot from "uplot";
import { token } from "./tokens.js";

export async function drawCurve(stage, url) {
  const answer = await fetch(url, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
  const { key, steps, values } = await answer.json();
  stage.replaceChildren();
  const soft = token("soft"), line = token("line");
  const axis = { stroke: soft, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, font: "12px system-ui" };
  const plot = new uPlot(
    {
      width: Math.max(240, stage.clientWidth),
      height: 260,
      scales: { x: { time: false } },
      axes: [{ ...axis, label: "step", labelFont: "12px system-ui" }, { ...axis, size: 64 }],
      series: [{ label: "step" }, { label: key, stroke: token("eng"), width: 1.5, points: { show: values.length < 60 } }],
      cursor: { drag: { x: true, y: false } },
    },
    [steps, values],
    stage,
  );
  new ResizeObserver(() => plot.setSize({ width: Math.max(240, stage.clientWidth), height: 260 })).observe(stage);
}
