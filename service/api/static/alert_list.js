// The list of alerts, newest first.

import { $, API, call, fromTemplate, showText } from "./api.js";
import { clock, number, said, showTime, t } from "./texts.js";

const ROWS_KEPT = 100;
const MINUTES_FROM_S = 120; // a longer alert is told in minutes
const VERDICTS = { true: "real", false_alarm: "false_alarm", usual_here: "usual_here" }; // keys of their texts
const CLIP_EVERY_MS = 3000;
const CLIP_TRIES = 40;

/** Return where an alert is: its camera, and the zone that it is of. */
export const place = ({ camera, zone }) => (zone ? t("alert.place", { camera, zone }) : camera);

/** Return what an alert is of: its peak, or its kind where that is not an anomaly. */
export function what({ kind, detail, peak_value, peak_at }) {
  if (kind !== "anomaly") return t("alert.of_kind", { kind: said(kind), detail });
  return t("alert.peak_at", { peak: number(peak_value, 2), time: clock(peak_at) });
}

export const verdictOf = ({ verdict }) => verdict && t(VERDICTS[verdict]);

export class AlertList {
  constructor() {
    this.entries = new Map(); // id → {alert, row}
    this.looking = new Set(); // ids of alerts whose clip is asked after
    this.list = $("#alert-list");
    this.chosen = null; // id of the camera whose own view is shown
    $("#alert-filter").onchange = (event) => (this.list.dataset.filter = event.target.value);
    $("#all-seen").onclick = () => this.acknowledgeAll();
  }

  get size() {
    return this.entries.size;
  }

  /** Return the open alerts. */
  open() {
    return [...this.entries.values()]
      .filter(({ alert }) => alert.state === "open" && !alert.suppressed_by)
      .map(({ alert }) => alert);
  }

  /** Return the alerts of a camera. */
  of(camera) {
    return [...this.entries.values()].map(({ alert }) => alert).filter((alert) => alert.camera === camera);
  }

  /** Mark the alerts of the camera whose own view is shown; null: of none. */
  choose(camera) {
    this.chosen = camera;
    for (const { alert, row } of this.entries.values()) row.classList.toggle("chosen", alert.camera === camera);
  }

  /** Add an alert, or show what has changed of it. */
  put(newer) {
    const known = this.entries.get(newer.id);
    const alert = { ...known?.alert, ...newer }; // a live message comes without the answers
    const row = known ? known.row : this.newRow(alert);
    this.entries.set(alert.id, { alert, row });
    row.dataset.state = alert.suppressed_by ? "suppressed" : alert.state;
    $(".badge", row).textContent = badge(alert);
    $(".peak", row).textContent = what(alert);
    $(".length", row).textContent = duration(alert);
    this.showAnswer(alert, row);
    showText($(".traits", row), traits(alert.regions));
    if (alert.clip) $(".play", row).hidden = alert.clip.state !== "ready";
    if (alert.state !== "open" && !isSettled(alert.clip)) this.lookForClip(alert.id);
    if (!known) this.insert(alert, row);
  }

  showAnswer(alert, row) {
    const isSeen = Boolean(alert.acknowledged_at);
    row.dataset.seen = String(isSeen);
    const parts = [];
    if (isSeen) parts.push(t("alert.seen_by", { name: alert.acknowledged_by, time: clock(alert.acknowledged_at) }));
    if (alert.verdict) parts.push(verdictOf(alert));
    if (alert.note) parts.push(alert.note);
    showText($(".answer", row), parts.join(" · ") || null);
    $(".seen", row).setAttribute("aria-pressed", String(isSeen));
    for (const button of row.querySelectorAll(".verdict")) {
      button.setAttribute("aria-pressed", String(button.dataset.verdict === alert.verdict));
    }
  }

  // Answers

  async answer(id, change) {
    const { row } = this.entries.get(id);
    try {
      this.put(await call(`/alerts/${encodeURIComponent(id)}`, "PATCH", change));
    } catch (error) {
      showText($(".answer", row), error.message);
    }
  }

  /** Acknowledge what is shown, and nothing that opens meanwhile. */
  async acknowledgeAll() {
    const shown = [...this.entries].filter(([, { row }]) => row.offsetParent !== null);
    try {
      await call("/acknowledgements", "POST", { ids: shown.map(([id]) => id) });
      const { items } = await call(`/alerts?limit=${ROWS_KEPT}`);
      items.forEach((alert) => this.put(alert));
    } catch (error) {
      showText($("#no-alerts"), error.message);
    }
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
    row.classList.toggle("chosen", alert.camera === this.chosen);
    $(".name", row).textContent = place(alert);
    showTime($("time", row), alert.opened_at);
    const picture = $("img", row);
    picture.onload = () => (picture.hidden = false);
    if (alert.kind === "anomaly") picture.src = `${API}/alerts/${encodeURIComponent(alert.id)}/picture`;
    $(".thumb", row).onclick = () => this.showLarge(alert.id);
    $(".thumb", row).setAttribute("aria-label", t("alert.picture_of", { camera: alert.camera, time: clock(alert.opened_at) }));
    const current = () => this.entries.get(alert.id).alert;
    $(".seen", row).onclick = () => this.answer(alert.id, { acknowledged: !current().acknowledged_at });
    for (const button of row.querySelectorAll(".verdict")) {
      const { verdict } = button.dataset;
      button.onclick = () => this.answer(alert.id, { verdict: current().verdict === verdict ? null : verdict });
    }
    $(".play", row).onclick = () => this.play(alert.id);
    return row;
  }

  /** Ask for an alert that is over until its clip is written or has failed. */
  async lookForClip(id) {
    if (this.looking.has(id)) return;
    this.looking.add(id);
    try {
      for (let tries = 0; tries < CLIP_TRIES && this.entries.has(id); tries += 1) {
        const alert = await call(`/alerts/${encodeURIComponent(id)}`);
        if (isSettled(alert.clip)) {
          if (this.entries.has(id)) this.put(alert);
          return;
        }
        await new Promise((done) => setTimeout(done, CLIP_EVERY_MS));
      }
    } catch {
      // The alert or the service is gone: there is nothing to play.
    } finally {
      this.looking.delete(id);
    }
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
    this.openLarge(alert, { clip: false });
  }

  /** Play the clip of an alert. */
  play(id) {
    const { alert } = this.entries.get(id);
    $("#large-clip").src = `${API}/alerts/${encodeURIComponent(id)}/clip`;
    this.openLarge(alert, { clip: true });
    $("#large-clip").play().catch(() => {}); // a browser that does not know the codec shows its own sign
  }

  openLarge(alert, { clip }) {
    $("#large-picture").hidden = clip;
    $("#large-clip").hidden = !clip;
    $("#large").onclose = () => $("#large-clip").removeAttribute("src");
    const title = t("alert.title", { place: place(alert), time: clock(alert.opened_at) });
    $("#large-text").textContent = `${title} · ${t("alert.peak", { peak: number(alert.peak_value, 2) })}`;
    $("#large").showModal();
  }
}

function badge(alert) {
  if (alert.suppressed_by) return t("alert.suppressed");
  return t(alert.state === "open" ? "alert.open_now" : "alert.over");
}

/** Return in words what stands out of an alert's picture, each once. */
export function traits(regions) {
  const found = regions ? [...regions.peak, ...regions.open].flatMap((region) => region.traits) : [];
  return [...new Set(found)].map(said).join(", ");
}

const isSettled = (clip) => Boolean(clip) && clip.state !== "pending";

const isNewer = (a, b) => a.opened_at > b.opened_at || (a.opened_at === b.opened_at && a.id > b.id);

function duration(alert) {
  const until = alert.closed_at ?? Math.max(Date.now() / 1000, alert.opened_at);
  const length = Math.round(until - alert.opened_at);
  const isShort = length < MINUTES_FROM_S;
  return `· ${isShort ? t("seconds", { seconds: length }) : t("minutes", { minutes: Math.round(length / 60) })}`;
}
