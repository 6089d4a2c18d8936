// The curve of a camera: its newest scores, or the peak of each minute over hours, days or weeks, with
// its alerts and events marked, and the same as a table for screen readers.

import { $, call, cameraPath } from "./api.js";
import { isLabelled, newCurve } from "./curve.js";
import { DAY_S, HOUR_S, showSpans, spans, stepOf } from "./curve_table.js";
import { clock, number, t } from "./texts.js";

const POINTS_KEPT = 900;
const EVENTS_KEPT = 100;
const LOADED_MOST = 1000; // alerts, and events, of a history
const LENGTHS_S = { hour: HOUR_S, hours: 6 * HOUR_S, day: DAY_S, week: 7 * DAY_S, month: 30 * DAY_S };
const LONG_S = DAY_S; // a longer history is asked for less often
const TABLE_EVERY_MS = 10000; // a screen reader gets no further in a table that changes ten times a second
const HISTORY_EVERY_MS = 60000; // a new minute has a peak
const LONG_EVERY_MS = 600000;
const CLOSEST_S = 10; // no closer zoom

export class CameraCurve {
  /** `node`: the camera's card; `alerts()` returns the alerts of the camera that the page has. */
  constructor(node, camera, alerts) {
    this.node = node;
    this.camera = camera;
    this.alerts = alerts;
    this.box = $(".curve", node);
    this.threshold = 0.5;
    this.times = [];
    this.values = [];
    this.events = [];
    this.length_s = null; // of the history that is shown; null: the newest scores
    this.until = null; // its end (s, UTC); null: now
    this.history = null; // {times, values, alerts, events}, once it is loaded
    this.loadedAt = null; // performance.now() of the last request
    this.zoom = null; // [since, until] of what is shown closer
    this.isDue = false; // there is something to draw
    this.tableAt = -Infinity; // performance.now() of the last change of the table
    $("caption", node).textContent = t("card.table", { camera });
    $(".range", node).onchange = (event) => this.showRange(LENGTHS_S[event.target.value] ?? null);
    $(".earlier", node).onclick = () => this.move(-1);
    $(".later", node).onclick = () => this.move(1);
    $(".zoom-in", node).onclick = () => this.zoomBy(0.5);
    $(".zoom-out", node).onclick = () => this.zoomBy(2);
    this.showTools();
  }

  // What is shown

  showRange(length_s, until = null) {
    this.length_s = length_s;
    this.until = until;
    this.loadedAt = this.history = this.zoom = null;
    if (length_s) this.history = { times: [], values: [], alerts: [], events: [] };
    this.redraw();
    this.showTools();
  }

  /** Go back or forth by half of what is shown. */
  move(by) {
    if (this.zoom) {
      const step = ((this.zoom[1] - this.zoom[0]) / 2) * by;
      this.zoomTo(this.zoom[0] + step, this.zoom[1] + step);
      return;
    }
    const now = Date.now() / 1000;
    const until = (this.until ?? now) + (this.length_s / 2) * by;
    this.showRange(this.length_s, until < now - this.length_s / 4 ? until : null);
  }

  /** Show so much of what is shown, up to the whole; a closer look keeps the middle. */
  zoomBy(factor) {
    const [since, until] = this.zoom || this.whole();
    const middle = (since + until) / 2;
    const half = Math.max((until - since) * factor, CLOSEST_S) / 2;
    this.zoomTo(middle - half, middle + half);
  }

  /** Show a time, as far as it is loaded. */
  zoomTo(since, until) {
    const [first, last] = this.whole();
    const length = until - since;
    const start = Math.max(first, Math.min(since, last - length));
    this.zoom = length < last - first ? [start, start + length] : null;
    this.isDue = true;
    this.tableAt = -Infinity;
    this.showTools();
  }

  whole() {
    const { times } = this.history || this;
    return [times[0] ?? 0, times[times.length - 1] ?? 0];
  }

  showTools() {
    $(".earlier", this.node).disabled = !this.length_s && !this.zoom;
    $(".later", this.node).disabled = this.until === null && !this.zoom;
    $(".zoom-out", this.node).disabled = !this.zoom;
  }

  // Data

  /** Add a score; those of a file that is played again take the place of the others. */
  addScore({ captured_at, value }) {
    const last = this.times[this.times.length - 1];
    if (last !== undefined && captured_at <= last) this.times.length = this.values.length = 0;
    this.times.push(captured_at);
    this.values.push(value);
    const surplus = this.times.length - POINTS_KEPT;
    if (surplus > 0) {
      this.times.splice(0, surplus);
      this.values.splice(0, surplus);
    }
    if (!this.history) this.isDue = true;
  }

  addEvents(events) {
    this.events = [...this.events, ...events].slice(-EVENTS_KEPT);
    this.isDue = true;
  }

  /** Load the history that is shown, and once more when it has grown. */
  async load(now) {
    if (!this.length_s) return;
    const isOver = this.until !== null && this.history.times.length > 0; // it grows no more
    const every = this.length_s > LONG_S ? LONG_EVERY_MS : HISTORY_EVERY_MS;
    if (isOver || (this.loadedAt !== null && now - this.loadedAt < every)) return;
    this.loadedAt = now;
    const asked = this.history;
    const until = this.until ?? Date.now() / 1000;
    const time = `from=${Math.max(0, until - this.length_s)}&to=${until}`;
    const path = cameraPath(this.camera);
    const [{ since, step_s, peaks }, alerts, events] = await Promise.all([
      call(`${path}/history?${time}`),
      call(`/alerts?camera=${encodeURIComponent(this.camera)}&${time}&limit=${LOADED_MOST}`),
      call(`${path}/events?limit=${LOADED_MOST}`),
    ]);
    if (this.history !== asked) return; // another time is shown by now
    const times = peaks.map((_, minute) => since + minute * step_s);
    this.history = { times, values: peaks, alerts: alerts.items, events: events.items };
    this.node.dataset.minutes = peaks.filter((peak) => peak !== null).length;
    this.isDue = true;
    this.tableAt = -Infinity;
  }

  /** Return the alerts that opened in a time, each once, as the page knows them now. */
  alertsOf(since, until) {
    const found = new Map([...(this.history?.alerts || []), ...this.alerts()].map((alert) => [alert.id, alert]));
    return [...found.values()].filter(({ opened_at }) => opened_at >= since && opened_at <= until);
  }

  /** Return what is marked: the alerts as long as they lasted, and the events. */
  marks() {
    const now = Date.now() / 1000;
    const [since, until] = this.whole();
    const alerts = this.alertsOf(since, until).filter(({ suppressed_by }) => !suppressed_by);
    const events = this.history?.events || this.events;
    return [
      ...alerts.map(({ kind, opened_at, closed_at }) =>
        ({ from: opened_at, to: closed_at ?? now, color: kind === "unwatched" ? "warn" : "bad" })),
      ...events.map(({ at }) => ({ from: at, to: at, color: "warn" })),
    ];
  }

  // Drawing

  draw(now) {
    if (!this.isDue) return;
    this.isDue = false;
    const { times, values } = this.history || this;
    const data = [times, values, new Array(times.length).fill(this.threshold)];
    if (now - this.tableAt >= TABLE_EVERY_MS) {
      this.tableAt = now;
      this.showTable(times, values);
    }
    if (this.plot) this.plot.setData(data);
    else {
      this.plot = newCurve(this.box, data, this.threshold, {
        marks: () => this.marks(),
        window: () => this.zoom,
        onZoom: (since, until) => this.zoomTo(since, Math.max(until, since + CLOSEST_S)),
        onWhole: () => this.zoomTo(...this.whole()),
        onPoint: (index) => this.tell(index),
      });
    }
  }

  /** Show what is drawn as a table, with the alerts of its time. */
  showTable(times, values) {
    const [since, until] = this.zoom || this.whole();
    const step = stepOf(since, until);
    const isShown = times.map((at) => at >= since && at <= until);
    const shown = (all) => all.filter((_, index) => isShown[index]);
    const found = spans(shown(times), shown(values), this.alertsOf(since, until), step);
    showSpans($(".for-readers tbody", this.node), found, step);
  }

  /** Tell the value under the pointer. */
  tell(index) {
    const { times, values } = this.history || this;
    const value = values[index] ?? null;
    const told = value === null ? "" : t("curve.at", { time: clock(times[index]), value: number(value, 2) });
    $(".curve-at", this.node).textContent = told;
  }

  /** Draw the curve anew, in the colours of the page as they are now. */
  redraw() {
    this.plot?.destroy();
    this.plot = null;
    this.isDue = true;
    this.tableAt = -Infinity;
  }

  resize() {
    if (!this.plot || !this.box.clientWidth) return;
    if (this.plot.axes[0].show !== isLabelled(this.box)) this.redraw();
    else this.plot.setSize({ width: this.box.clientWidth, height: this.box.clientHeight });
  }

  close() {
    this.plot?.destroy();
  }
}
