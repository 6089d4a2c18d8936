// A camera's card: state, picture, curve and events.

import { $, API, call, cameraPath, fromTemplate, showText } from "./api.js";
import { openForm } from "./camera_form.js";
import { newCurve } from "./curve.js";
import { showSpans, spans, stepOf } from "./curve_table.js";
import { LearningPanel } from "./learning_panel.js";
import { LivePicture } from "./live_picture.js";
import { clock, number, said, showTime, t } from "./texts.js";

const POINTS_KEPT = 900; // of a curve
const EVENTS_SHOWN = 3;
const PICTURE_EVERY_MS = 1000;
const TABLE_EVERY_MS = 10000; // a screen reader gets no further in a table that changes ten times a second
const CONFIRM_MS = 4000;
const DAY_EVERY_MS = 60000; // a new minute has a peak
const NOT_LIVE = new Set(["reconnecting", "stalled", "failed", "disabled", "ended"]);
let liveCard = null; // the card whose picture moves
const EVENT_NAMES = {
  scene_change: "event.scene_change",
  tampered: "event.tampered",
  restored: "event.restored",
};

export class CameraCard {
  /** `onChange` is called after an operator changed the camera; `alerts()` returns those of the camera. */
  constructor(camera, onChange, alerts) {
    this.id = camera.id;
    this.onChange = onChange;
    this.alerts = alerts;
    this.node = fromTemplate("#camera-template");
    this.node.dataset.camera = camera.id;
    this.node.id = `camera-${camera.id}`;
    $(".name", this.node).textContent = camera.id;
    this.node.setAttribute("aria-label", t("card.label", { camera: camera.id }));
    $("caption", this.node).textContent = t("card.table", { camera: camera.id });
    this.tableAt = -Infinity; // performance.now() of the last change of the curve's table
    this.times = [];
    this.values = [];
    this.threshold = 0.5;
    this.newestId = null; // of the newest score
    this.showsHeat = true;
    this.day = null; // times and peaks of the last day, while they are shown
    this.dayAt = 0; // performance.now() of the last request
    this.visible = false;
    this.pictureDue = false; // there is a newer picture than the one that is shown
    this.pictureLoading = false;
    this.pictureAt = 0; // performance.now() of the last request
    this.live = new LivePicture($(".live-picture", this.node), (width, height) => this.setAspect(width, height),
      (reason) => this.refuseLive(reason));
    $(".live", this.node).onclick = () => this.toggleLive();
    $(".heat", this.node).onclick = () => this.toggleHeat();
    $(".day", this.node).onclick = () => this.toggleDay();
    $(".pause", this.node).onclick = () => this.togglePause();
    $(".remove", this.node).onclick = (event) => this.remove(event.currentTarget);
    $(".settings", this.node).onclick = () => openForm(this.camera);
    this.learning = new LearningPanel(this.node, camera.id, (request) => this.change(request));
    this.update(camera);
  }

  // State

  update(camera) {
    this.camera = camera;
    const isStill = NOT_LIVE.has(camera.state);
    this.node.dataset.state = camera.state;
    this.node.classList.toggle("stale", isStill);
    $(".state", this.node).textContent = said(camera.state);
    $(".tampered", this.node).hidden = !camera.tampered;
    $(".pause", this.node).textContent = pauseLabel(camera);
    $(".url", this.node).textContent = camera.url;
    $(".facts", this.node).textContent = facts(camera);
    showText($(".error", this.node), camera.last_error);
    showText($(".warnings", this.node), camera.warnings.join("\n") || null);
    this.showProgress(camera.progress);
    if (isStill) this.showValue(null);
    this.nameButtons();
  }

  /** Name the camera in each button's label: a list of "Remove" says nothing to a screen reader. */
  nameButtons() {
    for (const button of this.node.querySelectorAll(".buttons button")) {
      button.setAttribute("aria-label", t("card.action", { action: button.textContent, camera: this.id }));
    }
  }

  showProgress(progress) {
    const learning = $(".bounds", this.node);
    learning.hidden = !progress;
    if (!progress) return;
    const { learned, needed } = progress;
    $("progress", learning).value = needed ? learned / needed : 0;
    $("span", learning).textContent = t("card.learning", { learned, needed });
  }

  showValue(value) {
    const reading = $(".reading", this.node);
    reading.textContent = value === null ? "" : number(value, 2);
    reading.classList.toggle("high", value !== null && value >= this.threshold);
  }

  // Buttons

  async change(request) {
    try {
      await request();
      this.onChange();
    } catch (error) {
      showText($(".error", this.node), error.message);
    }
  }

  togglePause() {
    const enabled = !this.camera.enabled || this.camera.state === "ended";
    this.change(() => call(cameraPath(this.id), "PATCH", { enabled }));
  }

  /** The first click asks, the second removes. */
  remove(button) {
    if (button.classList.contains("sure")) {
      this.change(() => call(cameraPath(this.id), "DELETE"));
      return;
    }
    button.classList.add("sure");
    button.textContent = t("remove.sure");
    setTimeout(() => {
      button.classList.remove("sure");
      button.textContent = t("remove");
    }, CONFIRM_MS);
  }

  toggleHeat() {
    this.showsHeat = !this.showsHeat;
    $(".heat", this.node).setAttribute("aria-pressed", String(this.showsHeat));
    $(".heat-layer", this.node).hidden = true;
    this.pictureAt = 0;
    this.pictureDue = this.newestId !== null;
  }

  // The live picture

  /** Let the picture move, in place of another camera's, or go back to one picture a second. */
  toggleLive() {
    const before = liveCard;
    liveCard = before === this ? null : this;
    for (const card of [before, this]) card?.showLive();
  }

  /** Follow what is wanted, and stop while nobody can see it. */
  showLive() {
    const isWanted = liveCard === this;
    this.node.classList.toggle("is-live", isWanted);
    $(".live", this.node).setAttribute("aria-pressed", String(isWanted));
    const isSeen = this.visible && !document.hidden && document.body.dataset.live === "true";
    if (isWanted && isSeen) this.live.start(this.id);
    else this.live.stop();
    if (!isWanted) $(".heat-layer", this.node).hidden = true;
  }

  refuseLive(reason) {
    if (liveCard === this) this.toggleLive();
    showText($(".error", this.node), reason);
  }

  setAspect(width, height) {
    const screen = $(".screen", this.node);
    screen.style.aspectRatio = `${width} / ${height}`;
    screen.style.setProperty("--aspect", width / height);
  }

  /** Show the last day in place of the last minutes, or go back. */
  toggleDay() {
    this.day = this.day ? null : [[], []];
    this.dayAt = 0;
    $(".day", this.node).setAttribute("aria-pressed", String(Boolean(this.day)));
    this.redraw();
  }

  async loadDay(now) {
    if (!this.day || (this.dayAt && now - this.dayAt < DAY_EVERY_MS)) return;
    this.dayAt = now;
    const { since, step_s, peaks } = await call(`${cameraPath(this.id)}/history`);
    if (!this.day) return;
    this.day = [peaks.map((_, minute) => since + minute * step_s), peaks];
    this.tableAt = -Infinity;
    this.node.dataset.minutes = peaks.filter((peak) => peak !== null).length;
    this.curveDue = true;
  }

  // Scores

  /** Add a score; one that is not newer (REST and the socket both bring it) changes nothing. */
  addScore(score) {
    if (this.newestId && !isNewer(score.id, this.newestId)) return;
    this.newestId = score.id;
    const last = this.times[this.times.length - 1];
    if (last !== undefined && score.captured_at <= last) this.times.length = this.values.length = 0; // played again
    this.times.push(score.captured_at);
    this.values.push(score.value);
    const surplus = this.times.length - POINTS_KEPT;
    if (surplus > 0) {
      this.times.splice(0, surplus);
      this.values.splice(0, surplus);
    }
    this.curveDue = true;
    this.pictureDue = true;
    this.node.dataset.points = this.times.length;
    this.node.dataset.last = score.id;
    this.showValue(score.value);
  }

  draw(now) {
    if (!this.curveDue || !this.visible) return;
    this.curveDue = false;
    const [times, values] = this.day || [this.times, this.values];
    if (now - this.tableAt >= TABLE_EVERY_MS) {
      this.tableAt = now;
      this.showTable(times, values);
    }
    const data = [times, values, new Array(times.length).fill(this.threshold)];
    if (this.plot) this.plot.setData(data);
    else this.plot = newCurve($(".curve", this.node), data, this.threshold);
  }

  /** Show the curve as a table, with the alerts of its time. */
  showTable(times, values) {
    const [since, until] = [times[0] ?? 0, times[times.length - 1] ?? 0];
    const step = stepOf(since, until);
    const within = this.alerts().filter(({ opened_at }) => opened_at >= since && opened_at <= until);
    showSpans($(".for-readers tbody", this.node), spans(times, values, within, step), step);
  }

  /** Draw the curve anew, in the colours of the page as they are now. */
  redraw() {
    this.plot?.destroy();
    this.plot = null;
    this.curveDue = true;
    this.tableAt = -Infinity;
  }

  resize() {
    const box = $(".curve", this.node);
    if (this.plot && box.clientWidth) this.plot.setSize({ width: box.clientWidth, height: box.clientHeight });
  }

  /** Load the picture of the newest score, at most one a second. */
  loadPicture(now) {
    const isLive = liveCard === this;
    if (isLive) this.showLive();
    if (!this.visible || !this.pictureDue || this.pictureLoading) return;
    if (isLive && !this.showsHeat) return;
    if (now - this.pictureAt < PICTURE_EVERY_MS) return;
    this.pictureAt = now;
    this.pictureLoading = true;
    this.pictureDue = false;
    const frameId = this.newestId;
    const kind = this.showsHeat ? "heatmap" : "frame";
    const layer = isLive ? "&layer=true" : "";
    const next = new Image();
    next.onload = () => {
      this.pictureLoading = false;
      const isLayer = Boolean(layer);
      if (isLayer !== (liveCard === this)) return; // it was switched meanwhile
      const picture = $(isLayer ? ".heat-layer" : ".picture", this.node);
      picture.src = next.src;
      if (!isLayer) this.setAspect(next.naturalWidth, next.naturalHeight);
      picture.hidden = false;
      picture.dataset.kind = kind;
      picture.dataset.frame = frameId;
    };
    next.onerror = () => {
      this.pictureLoading = false; // the bus has dropped it: the next score brings another
    };
    next.src = `${API}${cameraPath(this.id)}/${kind}?format=${isLive ? "png" : "jpeg"}&id=${encodeURIComponent(frameId)}${layer}`;
  }

  // Events

  /** Show events, newest first; one that is shown already changes nothing. */
  addEvents(events) {
    const list = $(".events", this.node);
    for (const event of events) {
      const key = `${event.session}-${event.seq} ${event.kind}`;
      const rows = [...list.children];
      if (rows.some((row) => row.dataset.event === key)) continue;
      const older = rows.find((row) => Number(row.dataset.at) <= event.at);
      list.insertBefore(newEventRow(event, key), older || null);
    }
    [...list.children].slice(EVENTS_SHOWN).forEach((row) => row.remove());
    list.hidden = !list.children.length;
  }

  close() {
    if (liveCard === this) this.toggleLive();
    this.plot?.destroy();
    this.node.remove();
  }
}

function newEventRow(event, key) {
  const row = fromTemplate("#event-template");
  row.dataset.event = key;
  row.dataset.kind = event.kind;
  row.dataset.at = event.at;
  showTime($("time", row), event.at);
  $(".kind", row).textContent = event.kind in EVENT_NAMES ? t(EVENT_NAMES[event.kind]) : event.kind;
  $(".detail", row).textContent = event.detail;
  return row;
}

/** Whether the frame id `a` is newer than `b`; both are `<session>-<seq>`. */
function isNewer(a, b) {
  const [sessionA, seqA] = a.split("-").map(Number);
  const [sessionB, seqB] = b.split("-").map(Number);
  return sessionA > sessionB || (sessionA === sessionB && seqA > seqB);
}

function pauseLabel(camera) {
  if (!camera.enabled) return t("resume");
  return t(camera.state === "ended" ? "play_again" : "pause");
}

function disarmed({ override }) {
  if (!override || override.armed) return t("facts.disarmed_schedule");
  if (override.until === null) return t("facts.disarmed");
  return t("facts.disarmed_until", { time: clock(override.until) });
}

function facts(camera) {
  const parts = [camera.model];
  if (camera.measured_fps !== null) parts.push(t("facts.fps", { fps: number(camera.measured_fps, 1) }));
  if (camera.waiting) parts.push(t("facts.waiting"));
  const dropped = Object.entries(camera.dropped).filter(([, count]) => count > 0)
    .map(([reason, count]) => t("facts.dropped_reason", { count, reason: said(reason) }));
  if (dropped.length) parts.push(t("facts.dropped", { frames: dropped.join(", ") }));
  if (camera.reconnects) parts.push(t("facts.reconnects", { count: camera.reconnects }));
  if (camera.retry_at) parts.push(t("facts.retry", { time: clock(camera.retry_at) }));
  if (!camera.armed) parts.push(disarmed(camera));
  if (camera.view) parts.push(t("facts.view", { view: camera.view, views: camera.views }));
  if (camera.budget) parts.push(camera.budget.sentence);
  return parts.join(" · ");
}
