// The part of a camera's card that shows its newest job of learning, and its buttons.

import { $, call, cameraPath } from "./api.js";
import { LeftOut } from "./left_out.js";

const ACTIVE = new Set(["queued", "recording", "training", "shadow"]);

export class LearningPanel {
  /** `card` is the card's element; `change` calls a request, shows its error and loads the lists. */
  constructor(card, id, change) {
    this.id = id;
    this.node = $(".job", card);
    this.job = null;
    $(".learn", card).onclick = () => change(() => this.learnOrCancel());
    $(".promote", card).onclick = () => change(() => call(`${jobPath(this.job)}/promote`, "POST"));
    $(".rollback", card).onclick = () => change(() => call(`${cameraPath(id)}/rollback`, "POST"));
    this.leftOut = new LeftOut(card, change);
    this.buttons = { learn: $(".learn", card), promote: $(".promote", card), rollback: $(".rollback", card) };
  }

  learnOrCancel() {
    if (this.isActive) return call(jobPath(this.job), "DELETE");
    return call(`${cameraPath(this.id)}/learn`, "POST", {});
  }

  get isActive() {
    return this.job !== null && ACTIVE.has(this.job.state);
  }

  /** Show the camera's newest job; null where it never had one. */
  update(job, camera) {
    this.job = job;
    this.node.hidden = !job || job.state === "cancelled";
    this.node.dataset.state = job ? job.state : "";
    const bar = $("progress", this.node);
    bar.hidden = !this.isActive;
    bar.value = job ? job.progress : 0;
    $("span", this.node).textContent = job ? describe(job) : "";
    this.leftOut.update(job);
    this.buttons.learn.textContent = this.isActive ? "Cancel learning" : "Learn";
    this.buttons.learn.setAttribute("aria-label", `${this.buttons.learn.textContent} ${this.id}`);
    this.buttons.promote.hidden = !job || job.state !== "trained";
    this.buttons.rollback.hidden = !camera.model.startsWith(`${camera.id}-`);
  }
}

const jobPath = (job) => `/jobs/${encodeURIComponent(job.id)}`;

/** Return a job in one line. */
function describe(job) {
  const parts = [headline(job)];
  if (job.left_s && ACTIVE.has(job.state)) parts.push(`${duration(job.left_s)} left`);
  if (job.paused) parts.push("paused: live scores come first");
  if (job.before) parts.push(figures(job));
  if (job.shadow) parts.push(sideBySide(job.shadow));
  if (job.reason) parts.push(job.reason);
  return parts.join(" · ");
}

function headline(job) {
  const percent = `${Math.round(100 * job.progress)} %`;
  if (job.state === "recording" && job.recording) return `reading ${job.recording} ${percent}`;
  if (job.state === "recording") {
    return `recording: ${Math.round(job.recorded_s)} of ${Math.round(job.footage_s)} s of normal footage`;
  }
  if (job.state === "training") return `training ${percent}`;
  if (job.state === "shadow") return `comparing old and new ${percent}`;
  if (job.state === "trained") return `trained ${job.checkpoint}, not in use`;
  if (job.state === "promoted") return `learned ${job.checkpoint}`;
  return job.state === "failed" ? "learning failed" : "waiting to learn";
}

/** Return held-out figures, before and after where there are both. */
function figures({ before, after }) {
  const both = (name, digits) => [before, after].filter((one) => one && one[name] !== null)
    .map((one) => one[name].toFixed(digits)).join(" → ");
  const auc = both("auc_percent", 1);
  return `held out ${both("psnr_db", 1)} dB${auc && `, made anomalies ${auc} %`}`;
}

/** Return what old and new made of the same live footage. */
function sideBySide(shadow) {
  const recall = `${Math.round(shadow.old_recall_percent)} → ${Math.round(shadow.new_recall_percent)} %`;
  return `side by side they agree on ${Math.round(shadow.agreement_percent)} % of ${shadow.frames} frames, recall ${recall}`;
}

function duration(seconds) {
  return seconds < 90 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
}
