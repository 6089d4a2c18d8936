// The curve of a camera's values, drawn by uPlot.

const GOOD = "#7fb4e6";
const BAD = "#ff6b5e";
const AXIS = {
  stroke: "#8b9aa8",
  grid: { stroke: "#1d2731", width: 1 },
  ticks: { stroke: "#232d37", width: 1 },
  font: "11px system-ui, sans-serif",
};

/** Draw [times (s), values in [0, 1], threshold] in `box` and return the plot. */
export function newCurve(box, data, threshold) {
  const options = {
    width: box.clientWidth || 400,
    height: box.clientHeight || 200,
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, points: { show: false } },
    scales: { x: { time: true }, y: { range: [0, 1] } },
    axes: [
      { ...AXIS, space: 90 },
      {
        ...AXIS,
        size: 36,
        splits: () => [0, 0.2, 0.4, 0.6, 0.8, 1],
        values: (_, ticks) => ticks.map((tick) => tick.toFixed(1)),
      },
    ],
    series: [
      {},
      { stroke: (plot) => gradient(plot, threshold), width: 1.5, points: { show: false } },
      { stroke: `${BAD}99`, width: 1, dash: [5, 5], points: { show: false } },
    ],
  };
  return new uPlot(options, data, box);
}

/** Blue below the threshold, red above it. */
function gradient(plot, threshold) {
  const top = plot.valToPos(1, "y", true);
  const bottom = plot.valToPos(0, "y", true);
  if (!Number.isFinite(top) || !Number.isFinite(bottom)) return GOOD;
  const stroke = plot.ctx.createLinearGradient(0, top, 0, bottom);
  stroke.addColorStop(0, BAD);
  stroke.addColorStop(1 - threshold, BAD);
  stroke.addColorStop(1 - threshold, GOOD);
  stroke.addColorStop(1, GOOD);
  return stroke;
}
