// The part of a camera's card that shows its newest job of learning, and its buttons.

import { $, call, cameraPath } from "./api.js";
import { LeftOut } from "./left_out.js";
import { number, reasonText, t } from "./texts.js";

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
    this.buttons.learn.textContent = t(this.isActive ? "learn.cancel" : "learn");
    this.buttons.learn.setAttribute("aria-label", t("card.action", { action: this.buttons.learn.textContent, camera: this.id }));
    this.buttons.promote.hidden = !job || job.state !== "trained";
    this.buttons.rollback.hidden = !camera.model.startsWith(`${camera.id}-`);
  }
}

const jobPath = (job) => `/jobs/${encodeURIComponent(job.id)}`;

/** Return a job in one line. */
function describe(job) {
  const parts = [headline(job)];
  if (job.left_s && ACTIVE.has(job.state)) parts.push(t("job.left", { time: duration(job.left_s) }));
  if (job.paused) parts.push(t("job.paused"));
  if (job.before) parts.push(figures(job));
  if (job.shadow) parts.push(sideBySide(job.shadow));
  if (job.reason) parts.push(reasonText(job, "reason"));
  return parts.join(" · ");
}

function headline(job) {
  const { state, checkpoint } = job;
  const percent = Math.round(100 * job.progress);
  if (state === "recording" && job.recording) return t("job.reading", { file: job.recording, percent });
  if (state === "recording") {
    return t("job.recording", { done: Math.round(job.recorded_s), all: Math.round(job.footage_s) });
  }
  if (state === "training") return t("job.training", { percent });
  if (state === "shadow") return t("job.shadow", { percent });
  if (state === "trained") return t("job.trained", { checkpoint });
  if (state === "promoted") return t("job.promoted", { checkpoint });
  return t(state === "failed" ? "job.failed" : "job.queued");
}

/** Return held-out figures, before and after where there are both. */
function figures({ before, after }) {
  const both = (name, digits) => [before, after].filter((one) => one && one[name] !== null)
    .map((one) => number(one[name], digits)).join(" → ");
  const auc = both("auc_percent", 1);
  return t(auc ? "job.figures_auc" : "job.figures", { psnr: both("psnr_db", 1), auc });
}

/** Return what old and new made of the same live footage. */
function sideBySide(shadow) {
  const recall = `${Math.round(shadow.old_recall_percent)} → ${Math.round(shadow.new_recall_percent)}`;
  return t("job.side_by_side", { agreement: Math.round(shadow.agreement_percent), count: shadow.frames, recall });
}

function duration(seconds) {
  if (seconds < 90) return t("seconds", { seconds: Math.round(seconds) });
  return t("minutes", { minutes: Math.round(seconds / 60) });
}
