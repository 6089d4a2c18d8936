// The curve of a camera's values, drawn by uPlot.

import { axisTimes, number } from "./texts.js";
import { color } from "./theme.js";

const LABELLED_FROM_PX = 120; // a lower strip has no scale
const MARK_PX = 2;
const TENTHS_FROM_PX = 180; // a lower scale has few marks

/** Return whether a curve in `box` has a scale. */
export const isLabelled = (box) => box.clientHeight >= LABELLED_FROM_PX;

/**
 * Draw [times (s), values in [0, 1], threshold] in `box` and return the plot. It may mark times:
 * `marks()` returns {from, to, color} of each, `color` being one of page.css. It may be looked at more
 * closely: `window()` returns the [since, until] that is shown, null for all; `onZoom(since, until)` is
 * called with what the pointer draws out, `onWhole()` for a double click. `onPoint(index)` is called
 * with the point under the pointer, null for none.
 */
export function newCurve(box, data, threshold, { marks = () => [], window = () => null, onZoom, onWhole, onPoint } = {}) {
  const [good, bad, line] = [color("calm"), color("bad"), color("line")];
  const colors = { bad, warn: color("warn") };
  const axis = {
    stroke: color("soft"),
    grid: { stroke: line, width: 1 },
    ticks: { stroke: line, width: 1 },
    font: "11px system-ui, sans-serif",
    show: isLabelled(box),
  };
  const options = {
    width: box.clientWidth || 400,
    height: box.clientHeight || 200,
    legend: { show: false },
    cursor: {
      drag: { x: Boolean(onZoom), y: false, setScale: false },
      bind: { dblclick: () => onWhole || null },
      points: { show: false },
      y: false,
    },
    hooks: {
      drawClear: [(plot) => drawMarks(plot, marks(), colors)],
      setSelect: [(plot) => zoomInto(plot, onZoom)],
      setCursor: [(plot) => onPoint?.(plot.cursor.idx ?? null)],
    },
    scales: { x: { time: true, range: (_, least, most) => window() || [least, most] }, y: { range: [0, 1] } },
    axes: [
      { ...axis, space: 90, values: (_, times, __, ___, step) => axisTimes(times, step) },
      {
        ...axis,
        size: 36,
        splits: (plot) => (plot.height < TENTHS_FROM_PX ? [0, 0.5, 1] : [0, 0.2, 0.4, 0.6, 0.8, 1]),
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

/** Mark times: a band as long as they last, with its beginning at the top. */
function drawMarks({ ctx, bbox, valToPos }, marks, colors) {
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  for (const { from, to, color: name } of marks) {
    const left = valToPos(from, "x", true);
    const width = Math.max(valToPos(to, "x", true) - left, MARK_PX * devicePixelRatio);
    ctx.fillStyle = colors[name];
    ctx.globalAlpha = 0.25;
    ctx.fillRect(left, bbox.top, width, bbox.height);
    ctx.globalAlpha = 1;
    ctx.fillRect(left, bbox.top, MARK_PX * devicePixelRatio, bbox.height / 8);
  }
  ctx.restore();
}

function zoomInto(plot, onZoom) {
  const { left, width } = plot.select;
  if (!width) return;
  plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  onZoom(plot.posToVal(left, "x"), plot.posToVal(left + width, "x"));
}
