// The curve of a camera's values, drawn by uPlot.

import { axisTimes, number } from "./texts.js";
import { color } from "./theme.js";

const LABELLED_FROM_PX = 120; // a lower strip has no scale

/** Draw [times (s), values in [0, 1], threshold] in `box` and return the plot. */
export function newCurve(box, data, threshold) {
  const [good, bad, line] = [color("calm"), color("bad"), color("line")];
  const axis = {
    stroke: color("soft"),
    grid: { stroke: line, width: 1 },
    ticks: { stroke: line, width: 1 },
    font: "11px system-ui, sans-serif",
    show: box.clientHeight >= LABELLED_FROM_PX,
  };
  const options = {
    width: box.clientWidth || 400,
    height: box.clientHeight || 200,
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, points: { show: false } },
    scales: { x: { time: true }, y: { range: [0, 1] } },
    axes: [
      { ...axis, space: 90, values: (_, times, __, ___, step) => axisTimes(times, step) },
      {
        ...axis,
        size: 36,
        splits: () => [0, 0.2, 0.4, 0.6, 0.8, 1],
        values: (_, ticks) => ticks.map((tick) => number(tick, 1)),
      },
    ],
    series: [
      {},
      { stroke: (plot) => gradient(plot, threshold, good, bad), width: 1.5, points: { show: false } },
      { stroke: bad, width: 1, dash: [5, 5], points: { show: false } },
    ],
  };
  return new uPlot(options, data, box);
}

/** `good` below the threshold, `bad` above it. */
function gradient(plot, threshold, good, bad) {
  const top = plot.valToPos(1, "y", true);
  const bottom = plot.valToPos(0, "y", true);
  if (!Number.isFinite(top) || !Number.isFinite(bottom)) return good;
  const stroke = plot.ctx.createLinearGradient(0, top, 0, bottom);
  stroke.addColorStop(0, bad);
  stroke.addColorStop(1 - threshold, bad);
  stroke.addColorStop(1 - threshold, good);
  stroke.addColorStop(1, good);
  return stroke;
}
