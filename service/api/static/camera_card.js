// A camera's card: state, picture, curve and events. On the camera's own view it has the room.

import { $, API, call, cameraPath, fromTemplate, showText } from "./api.js";
import { CameraCurve } from "./camera_curve.js";
import { openForm } from "./camera_form.js";
import { LearningPanel } from "./learning_panel.js";
import { LivePicture } from "./live_picture.js";
import { clock, number, reasonText, said, showTime, t } from "./texts.js";

const EVENTS_SHOWN = 3;
const PICTURE_EVERY_MS = 1000;
const CONFIRM_MS = 4000;
const NOT_LIVE = new Set(["reconnecting", "stalled", "failed", "disabled", "ended"]);
let liveCard = null; // the card whose picture moves
const WORDS = {
  starting: "words.starting",
  learning: "words.learning",
  online: "words.online",
  lagging: "words.lagging",
  reconnecting: "words.reconnecting",
  stalled: "words.stalled",
  failed: "words.failed",
  disabled: "words.disabled",
  ended: "words.ended",
};
const EVENT_NAMES = {
  scene_change: "event.scene_change",
  tampered: "event.tampered",
  restored: "event.restored",
};

export class CameraCard {
  /** `onChange` is called after an operator changed the camera; `alerts()` returns its alerts. */
  constructor(camera, onChange, alerts) {
    this.id = camera.id;
    this.onChange = onChange;
    this.node = fromTemplate("#camera-template");
    this.node.dataset.camera = camera.id;
    this.node.id = `camera-${camera.id}`;
    $(".name a", this.node).textContent = camera.id;
    this.address = `#camera/${encodeURIComponent(camera.id)}`; // of its own view
    $(".name a", this.node).href = this.address;
    this.standing = null; // as the summary has it
    this.curve = new CameraCurve(this.node, camera.id, alerts);
    this.node.setAttribute("aria-label", t("card.label", { camera: camera.id }));
    this.newestId = null; // of the newest score
    this.showsHeat = true;
    this.visible = false;
    this.pictureDue = false; // there is a newer picture than the one that is shown
    this.pictureLoading = false;
    this.pictureAt = 0; // performance.now() of the last request
    this.live = new LivePicture($(".live-picture", this.node), (width, height) => this.setAspect(width, height),
      (reason) => this.refuseLive(reason));
    $(".live", this.node).onclick = () => this.toggleLive();
    $(".heat", this.node).onclick = () => this.toggleHeat();
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
    showText($(".error", this.node), reasonText(camera, "last_error"));
    showText($(".warnings", this.node), camera.warnings.join("\n") || null);
    this.showProgress(camera.progress);
    this.showWords();
    if (isStill) this.showValue(null);
    this.nameButtons();
  }

  /** Name the camera in each button's label: a list of "Remove" says nothing to a screen reader. */
  nameButtons() {
    for (const button of this.node.querySelectorAll(".buttons button, .curve-tools button")) {
      button.setAttribute("aria-label", t("card.action", { action: button.textContent, camera: this.id }));
    }
    $(".range", this.node).setAttribute("aria-label", t("card.action", { action: t("range"), camera: this.id }));
  }

  /** Take in how the summary counts the camera. */
  stand(standing) {
    this.standing = this.node.dataset.standing = standing;
    this.showWords();
  }

  /** Say in a sentence what the camera does. */
  showWords() {
    const { state, score_age_s } = this.camera;
    const parts = [t(WORDS[this.standing === "lagging" ? "lagging" : state])];
    if (score_age_s !== null) parts.push(t("words.age", { age: number(score_age_s, 1) }));
    const words = $(".in-words", this.node);
    if (words.textContent !== parts.join(" ")) words.textContent = parts.join(" ");
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
    reading.classList.toggle("high", value !== null && value >= this.curve.threshold);
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

  /** Show the camera on its own view, live where there is a picture, or on the wall again. */
  choose(isChosen) {
    this.node.classList.toggle("chosen", isChosen);
    const isWanted = isChosen && !NOT_LIVE.has(this.camera.state);
    if (isWanted !== (liveCard === this)) this.toggleLive();
  }

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
    $(".screen", this.node).style.aspectRatio = `${width} / ${height}`;
    this.node.style.setProperty("--aspect", width / height);
  }

  // Scores

  /** Add a score; one that is not newer (REST and the socket both bring it) changes nothing. */
  addScore(score) {
    if (this.newestId && !isNewer(score.id, this.newestId)) return;
    this.newestId = score.id;
    this.curve.addScore(score);
    this.pictureDue = true;
    this.node.dataset.points = this.curve.times.length;
    this.node.dataset.last = score.id;
    this.showValue(score.value);
  }

  /** Draw what is new, where somebody can see it. */
  draw(now) {
    this.curve.load(now).catch(() => {}); // asked again in a minute
    if (this.visible) this.curve.draw(now);
    this.loadPicture(now);
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
    this.curve.addEvents(events);
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
    this.curve.close();
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
