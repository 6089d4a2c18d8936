// The review: a day of a camera, its alerts with filters, and one of them large. Keys go through the
// list and answer. What is shown is what is acknowledged and exported, and nothing else.

import { AlertDetail } from "./alert_detail.js";
import { place, verdictOf } from "./alert_list.js";
import { $, call, cameraPath, fromTemplate, showText } from "./api.js";
import { newCurve } from "./curve.js";
import { HOUR_S, showSpans, spans } from "./curve_table.js";
import { Replays } from "./replays.js";
import { Suppressions } from "./suppressions.js";
import { clock, number, said, t } from "./texts.js";

const PAGE = 200; // alerts loaded at once
const RELOAD_AFTER_MS = 1000; // of an alert that opened or closed
const VERDICT_KEYS = { 1: "true", 2: "false_alarm", 3: "usual_here" };
const EXPORTED = ["id", "camera", "zone", "kind", "state", "opened_at", "closed_at", "threshold", "peak_value",
  "peak_at", "detail", "suppressed_by", "acknowledged_at", "acknowledged_by", "verdict", "note", "keep"];

export class Review {
  constructor() {
    this.node = $("#review");
    this.form = $("#review-filters");
    this.list = $("#review-list");
    this.detail = new AlertDetail((alert) => this.answered(alert), (alert) => this.showSuppression(alert));
    this.suppressions = new Suppressions(() => this.load());
    this.replays = new Replays();
    this.alerts = [];
    this.next = null; // cursor of the alerts that are not loaded
    this.selected = null; // id
    this.threshold = 0.5;
    this.timer = null;
    this.isOpen = false;
    this.form.onchange = ({ target }) => {
      target.closest("label").toggleAttribute("data-set", Boolean(target.value)); // seen on a phone, too
      this.load();
    };
    $("#more-filters").onclick = ({ target }) => {
      target.setAttribute("aria-expanded", String(this.form.toggleAttribute("data-open")));
    };
    this.form.onsubmit = (event) => event.preventDefault();
    $("#review-more").onclick = () => this.load(this.next);
    $("#review-seen").onclick = () => this.acknowledgeAll();
    $("#review-json").onclick = () => save("alerts.json", "application/json", JSON.stringify(this.alerts, null, 2));
    $("#review-csv").onclick = () => save("alerts.csv", "text/csv", csv(this.alerts));
    document.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.resize()).observe($("#review-curve"));
    this.form.elements.day.value = localDay(new Date());
  }

  /** Show or hide the review. */
  show(isOpen) {
    this.isOpen = isOpen;
    this.node.hidden = !isOpen;
    if (isOpen) this.load();
    else {
      this.detail.show(null);
      this.replays.show(null);
    }
  }

  /** Offer these cameras. */
  offer(ids) {
    const select = this.form.elements.camera;
    if (ids.join() === [...select.options].slice(1).map(({ value }) => value).join()) return;
    const { value } = select;
    select.replaceChildren(new Option(t("all"), ""), ...ids.map((id) => new Option(id, id)));
    select.value = ids.includes(value) ? value : "";
  }

  /** An alert opened, changed or closed: look again soon. */
  changed() {
    if (!this.isOpen || this.timer) return;
    this.timer = setTimeout(() => {
      this.timer = null;
      this.load();
    }, RELOAD_AFTER_MS);
  }

  // Loading

  /** The camera that was chosen; null: all. */
  get camera() {
    return this.form.elements.camera.value || null;
  }

  /** Return the day (s, UTC) that is shown, in the viewer's zone; null for all. */
  day() {
    const { value } = this.form.elements.day;
    if (!value) return null;
    const since = new Date(`${value}T00:00`);
    const until = new Date(since);
    until.setDate(until.getDate() + 1); // 23 or 25 hours where the clock is set
    return [since.getTime() / 1000, until.getTime() / 1000];
  }

  query(cursor) {
    const wanted = new URLSearchParams({ limit: PAGE });
    for (const name of ["camera", "kind", "state", "acknowledged", "verdict", "suppressed", "min_peak"]) {
      const value = this.form.elements[name].value.trim();
      if (value) wanted.set(name, value);
    }
    const day = this.day();
    if (day) {
      wanted.set("from", day[0]);
      wanted.set("to", day[1] - 1e-3);
    }
    if (cursor) wanted.set("cursor", cursor);
    return wanted;
  }

  async load(cursor = null) {
    const asked = (this.asked = Symbol("load")); // the newest question has the last word
    try {
      const { items, next } = await call(`/alerts?${this.query(cursor)}`);
      if (this.asked !== asked) return;
      this.alerts = cursor ? [...this.alerts, ...items] : items;
      this.next = next;
      showText($("#review-error"), null);
      this.render();
      this.replays.show(this.isOpen ? this.camera : null);
      await Promise.all([this.loadDay(), this.suppressions.show(this.camera)]);
    } catch (error) {
      if (this.asked === asked) showText($("#review-error"), error.message);
    }
  }

  /** Show the peaks of the camera's day as a curve with the alerts, and as a table by the hour. */
  async loadDay() {
    const { camera } = this;
    const day = this.day();
    $("#review-day").hidden = !camera || !day;
    if (!camera || !day) return;
    const { since, step_s, peaks } = await call(`${cameraPath(camera)}/history?from=${day[0]}&to=${day[1] - 1}`);
    const times = peaks.map((_, minute) => since + minute * step_s);
    this.node.dataset.minutes = peaks.filter((peak) => peak !== null).length;
    const data = [times, peaks, new Array(times.length).fill(this.threshold)];
    if (this.plot) this.plot.setData(data);
    else this.plot = newCurve($("#review-curve"), data, this.threshold);
    requestAnimationFrame(() => this.alignMarks()); // the plot is laid out by then
    const shown = this.alerts.filter((alert) => alert.camera === camera);
    $("#review-marks").replaceChildren(...shown.map((alert) => this.newMark(alert, day)));
    showSpans($("#review-hours"), spans(times, peaks, shown, HOUR_S), HOUR_S);
  }

  redraw() {
    this.plot?.destroy();
    this.plot = null;
    if (this.isOpen) this.loadDay().catch(() => {}); // the next change asks again
  }

  resize() {
    const { clientWidth, clientHeight } = $("#review-curve");
    if (!this.plot || !clientWidth) return;
    this.plot.setSize({ width: clientWidth, height: clientHeight });
    requestAnimationFrame(() => this.alignMarks());
  }

  /** Let the marks stand under the curve's own times. */
  alignMarks() {
    if (!this.plot) return;
    const { left, width } = this.plot.bbox; // device pixels
    $("#review-marks").style.marginLeft = `${left / devicePixelRatio}px`;
    $("#review-marks").style.width = `${width / devicePixelRatio}px`;
  }

  // The list

  render() {
    const rows = this.alerts.map((alert) => this.newRow(alert));
    this.list.replaceChildren(...rows);
    const count = this.alerts.length;
    const listed = () => t(this.next ? "review.count_more" : "review.count", { count });
    $("#review-count").textContent = count ? listed() : t("review.count_none");
    $("#review-more").hidden = !this.next;
    if (!this.alerts.some(({ id }) => id === this.selected)) this.selected = this.alerts[0]?.id ?? null;
    this.select(this.selected);
  }

  newRow(alert) {
    const row = fromTemplate("#review-row-template");
    row.dataset.alert = alert.id;
    row.dataset.state = alert.state;
    row.dataset.seen = String(Boolean(alert.acknowledged_at));
    $(".name", row).textContent = place(alert);
    $(".when", row).textContent = clock(alert.opened_at);
    const peak = t("alert.peak", { peak: number(alert.peak_value, 2) });
    const answer = verdictOf(alert) || t(alert.acknowledged_at ? "seen" : "new");
    const parts = [alert.kind === "anomaly" ? peak : said(alert.kind), alert.state === "open" ? t("alert.open_now") : answer];
    if (alert.suppressed_by) parts.push(t("alert.suppressed"));
    $(".what", row).textContent = parts.join(" · ");
    $("button", row).onclick = () => this.select(alert.id);
    return row;
  }

  newMark(alert, [since, until]) {
    const mark = document.createElement("button");
    mark.type = "button";
    mark.className = "mark";
    mark.style.left = `${(100 * (alert.opened_at - since)) / (until - since)}%`;
    mark.dataset.alert = alert.id;
    mark.setAttribute("aria-label", t("review.mark", { time: clock(alert.opened_at), peak: number(alert.peak_value, 2) }));
    mark.onclick = () => this.select(alert.id);
    return mark;
  }

  select(id) {
    this.selected = id;
    for (const button of this.node.querySelectorAll("[data-alert]")) {
      const isChosen = button.dataset.alert === id;
      const target = button.matches("li") ? $("button", button) : button;
      target.toggleAttribute("aria-current", isChosen);
      if (isChosen) button.scrollIntoView({ block: "nearest" });
    }
    this.detail.show(this.current());
  }

  current() {
    return this.alerts.find(({ id }) => id === this.selected) || null;
  }

  /** Show an answer, and what it suppresses by now. */
  answered(alert) {
    this.replace(alert);
    this.suppressions.show(this.camera).catch(() => {}); // the next change asks again
  }

  /** Show what suppressed an alert, among what its camera suppresses. */
  async showSuppression({ camera, suppressed_by }) {
    this.form.elements.camera.value = camera;
    await this.load();
    this.suppressions.open(suppressed_by);
  }

  replace(alert) {
    this.alerts = this.alerts.map((other) => (other.id === alert.id ? alert : other));
    this.list.querySelector(`[data-alert="${CSS.escape(alert.id)}"]`)?.replaceWith(this.newRow(alert));
    this.select(this.selected);
  }

  key(event) {
    const isTyping = event.target.closest("input:not([type=checkbox]), select, textarea, video, dialog");
    if (!this.isOpen || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
    if (step) this.step(step);
    else if (event.key === "a") this.detail.toggleSeen();
    else if (VERDICT_KEYS[event.key]) this.detail.toggleVerdict(VERDICT_KEYS[event.key]);
    else if (event.key === "n") this.detail.focusNote();
    else return;
    event.preventDefault();
  }

  step(by) {
    const at = this.alerts.findIndex(({ id }) => id === this.selected);
    const next = this.alerts[Math.max(0, Math.min(this.alerts.length - 1, at + by))];
    if (next) this.select(next.id);
  }

  /** Acknowledge what is listed, and nothing that opens meanwhile. */
  async acknowledgeAll() {
    try {
      await call("/acknowledgements", "POST", { ids: this.alerts.map(({ id }) => id) });
      await this.load();
    } catch (error) {
      showText($("#review-error"), error.message);
    }
  }
}

/** Return a date as a field of the form takes it, in the viewer's zone. */
function localDay(at) {
  return [at.getFullYear(), at.getMonth() + 1, at.getDate()].map((part) => String(part).padStart(2, "0")).join("-");
}

/** Return alerts as CSV (RFC 4180); a cell that a spreadsheet would take for a formula is quoted with '. */
function csv(alerts) {
  const cell = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  const rows = alerts.map((alert) => EXPORTED.map((name) => cell(alert[name])).join(","));
  return [EXPORTED.join(","), ...rows, ""].join("\r\n");
}

function save(name, type, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href));
}
