// A curve as a table: the highest value of each span of time, for whoever cannot see the curve.

import { axisTimes, number, t } from "./texts.js";

export const [HOUR_S, DAY_S] = [3600, 86400];
const STEPS_S = [10, 60, 600, HOUR_S, DAY_S];
const ROWS_MOST = 31;

/** Return the length (s) of the spans that divide [since, until] into few enough rows. */
export const stepOf = (since, until) => STEPS_S.find((step) => (until - since) / step < ROWS_MOST) || DAY_S;

/** Return when the span of `step` seconds that holds a time begins; hours and days are the reader's. */
function startOf(seconds, step) {
  const at = new Date(seconds * 1000);
  if (step === DAY_S) return at.setHours(0, 0, 0, 0) / 1000;
  return step === HOUR_S ? at.setMinutes(0, 0, 0) / 1000 : Math.floor(seconds / step) * step;
}

/** Return [start (s), highest value, alerts] of each span that has either, oldest first. */
export function spans(times, values, alerts, step) {
  const found = new Map();
  const at = (seconds) => {
    const start = startOf(seconds, step);
    if (!found.has(start)) found.set(start, [start, null, 0]);
    return found.get(start);
  };
  values.forEach((value, index) => {
    if (value === null) return;
    const span = at(times[index]);
    span[1] = Math.max(span[1] ?? 0, value);
  });
  for (const alert of alerts) at(alert.opened_at)[2] += 1;
  return [...found.values()].sort((one, other) => one[0] - other[0]);
}

/** Show spans as the rows of a <tbody>. A row that stays is the same element: a reader keeps its place. */
export function showSpans(body, found, step) {
  const known = new Map([...body.rows].map((row) => [row.dataset.start, row]));
  const rows = found.map(([start]) => known.get(`${step} ${start}`) || newRow(start, step));
  for (const row of known.values()) rows.includes(row) || row.remove();
  found.forEach(([, peak, alerts], index) => {
    const row = rows[index];
    if (body.rows[index] !== row) body.insertBefore(row, body.rows[index] || null);
    const texts = [peak === null ? t("none.value") : number(peak, 2), number(alerts)];
    texts.forEach((text, column) => {
      const cell = row.cells[column + 1];
      if (cell.textContent !== text) cell.textContent = text;
    });
  });
}

function newRow(start, step) {
  const row = document.createElement("tr");
  row.dataset.start = `${step} ${start}`;
  const head = document.createElement("th");
  head.scope = "row";
  head.textContent = axisTimes([start], step)[0];
  row.append(head, row.insertCell(), row.insertCell());
  return row;
}
