// The list of alerts, newest first.

import { $, API, clock, fromTemplate, showTime } from "./api.js";

const ROWS_KEPT = 100;
const MINUTES_FROM_S = 120; // a longer alert is told in minutes

export class AlertList {
  constructor() {
    this.entries = new Map(); // id → {alert, row}
    this.list = $("#alert-list");
  }

  get size() {
    return this.entries.size;
  }

  /** Return the open alerts. */
  open() {
    return [...this.entries.values()].filter(({ alert }) => alert.state === "open").map(({ alert }) => alert);
  }

  /** Add an alert, or show what has changed of it. */
  put(alert) {
    const known = this.entries.get(alert.id);
    const row = known ? known.row : this.newRow(alert);
    this.entries.set(alert.id, { alert, row });
    row.dataset.state = alert.state;
    $(".badge", row).textContent = alert.state === "open" ? "open now" : "over";
    $(".peak", row).textContent = `peak ${alert.peak_value.toFixed(2)} at ${clock(alert.peak_at)}`;
    $(".length", row).textContent = duration(alert);
    if (!known) this.insert(alert, row);
  }

  /** Drop all but these: alerts that closed or went while the page was not connected. */
  keepOnly(ids) {
    for (const [id, { row }] of this.entries) {
      if (!ids.has(id)) this.remove(id, row);
    }
  }

  /** Let the durations of open alerts grow. */
  tick() {
    for (const { id } of this.open()) {
      const { alert, row } = this.entries.get(id);
      $(".length", row).textContent = duration(alert);
    }
  }

  newRow(alert) {
    const row = fromTemplate("#alert-template");
    row.dataset.alert = alert.id;
    $(".name", row).textContent = alert.camera;
    showTime($("time", row), alert.opened_at);
    const picture = $("img", row);
    picture.onload = () => (picture.hidden = false);
    picture.src = `${API}/alerts/${encodeURIComponent(alert.id)}/picture`;
    $(".thumb", row).onclick = () => this.showLarge(alert.id);
    return row;
  }

  insert(alert, row) {
    const alertOf = (other) => this.entries.get(other.dataset.alert).alert;
    const older = [...this.list.children].find((other) => isNewer(alert, alertOf(other)));
    this.list.insertBefore(row, older || null);
    const surplus = [...this.list.children].slice(ROWS_KEPT).filter((other) => other.dataset.state !== "open");
    surplus.forEach((other) => this.remove(other.dataset.alert, other));
  }

  remove(id, row) {
    this.entries.delete(id);
    row.remove();
  }

  showLarge(id) {
    const { alert, row } = this.entries.get(id);
    if ($("img", row).hidden) return;
    $("#large-picture").src = $("img", row).src;
    $("#large-text").textContent = `${alert.camera}, ${clock(alert.opened_at)}, peak ${alert.peak_value.toFixed(2)}`;
    $("#large").showModal();
  }
}

const isNewer = (a, b) => a.opened_at > b.opened_at || (a.opened_at === b.opened_at && a.id > b.id);

function duration(alert) {
  const until = alert.closed_at ?? Math.max(Date.now() / 1000, alert.opened_at);
  const length = Math.round(until - alert.opened_at);
  return length < MINUTES_FROM_S ? `· ${length} s` : `· ${Math.round(length / 60)} min`;
}
