// One alert, large: its pictures, its clip, and what a person says of it.

import { place, traits, verdictOf, what } from "./alert_list.js";
import { newMarks } from "./alert_picture.js";
import { $, API, call, showText } from "./api.js";
import { clock, t } from "./texts.js";

const PICTURES = ["heat", "open", "peak"];

export class AlertDetail {
  /**
   * `onAnswer` is called with the alert as it was answered, `onSuppression` with one of which
   * somebody asks what suppressed it.
   */
  constructor(onAnswer, onSuppression) {
    this.node = $("#review-detail");
    this.onAnswer = onAnswer;
    this.alert = null;
    $(".seen", this.node).onclick = () => this.toggleSeen();
    for (const button of this.node.querySelectorAll(".verdict")) {
      button.onclick = () => this.toggleVerdict(button.dataset.verdict);
    }
    $("form", this.node).onsubmit = (event) => {
      event.preventDefault();
      this.answer({ note: $(".note", this.node).value });
    };
    $(".keep", this.node).onchange = ({ target }) => this.answer({ keep: target.checked });
    $(".suppressed button", this.node).onclick = () => onSuppression(this.alert);
    for (const which of PICTURES) {
      const picture = $(`.${which}`, this.node);
      picture.onload = () => (picture.closest("figure").hidden = false);
      picture.onerror = () => (picture.closest("figure").hidden = true);
    }
    $(".marks", this.node).onchange = () => this.showMarks(this.alert);
  }

  /** Show an alert; null: none. What was typed and not saved stays while the alert is the same. */
  show(alert) {
    const isOther = alert?.id !== this.alert?.id;
    const hadNote = this.alert?.note;
    this.alert = alert;
    this.node.hidden = !alert;
    if (isOther) this.showMedia(alert);
    if (!alert) return;
    $("h2", this.node).textContent = t("alert.title", { place: place(alert), time: clock(alert.opened_at) });
    const until = alert.closed_at ? t("alert.until", { time: clock(alert.closed_at) }) : t("alert.open_now");
    $(".facts", this.node).textContent = [what(alert), until].join(" · ");
    showText($(".traits", this.node), traits(alert.regions));
    const seen = alert.acknowledged_at && t("alert.seen_by", { name: alert.acknowledged_by, time: clock(alert.acknowledged_at) });
    showText($(".answer", this.node), seen);
    const until_s = alert.suppresses_until;
    showText($(".suppressing", this.node), until_s && t("suppressions.suppressing", { time: clock(until_s) }));
    this.showSuppressed(alert);
    showText($(".error", this.node), null);
    $(".seen", this.node).setAttribute("aria-pressed", String(Boolean(alert.acknowledged_at)));
    for (const button of this.node.querySelectorAll(".verdict")) {
      button.setAttribute("aria-pressed", String(button.dataset.verdict === alert.verdict));
    }
    if (isOther || hadNote !== alert.note) {
      const note = $(".note", this.node);
      note.defaultValue = note.value = alert.note;
    }
    $(".keep", this.node).checked = alert.keep;
    this.showClip(alert);
    this.showMarks(alert);
  }

  /** Draw over each picture what stood out in it, and where that was while the alert was open. */
  showMarks({ regions: { open, peak, tracks } }) {
    const isWanted = $(".marks", this.node).checked;
    $(".marked", this.node).hidden = !open.length && !peak.length && !tracks.length;
    for (const which of PICTURES) {
      const screen = $(`.${which}`, this.node).parentElement;
      $("svg", screen)?.remove();
      if (isWanted) screen.append(newMarks(which === "peak" ? peak : open, tracks));
    }
  }

  showMedia(alert) {
    const path = alert && `${API}/alerts/${encodeURIComponent(alert.id)}`;
    for (const which of PICTURES) {
      const picture = $(`.${which}`, this.node);
      picture.closest("figure").hidden = true;
      if (alert?.kind === "anomaly") picture.src = `${path}/picture?which=${which}`;
      else picture.removeAttribute("src");
    }
    $("video", this.node).removeAttribute("src");
    $("video", this.node).load();
  }

  /** Say by which answer an alert is suppressed; the alert that was answered may be gone. */
  async showSuppressed({ id, suppressed_by }) {
    $(".suppressed", this.node).hidden = !suppressed_by;
    if (!suppressed_by) return;
    const answered = await call(`/alerts/${encodeURIComponent(suppressed_by)}`).catch(() => null);
    if (this.alert?.id !== id) return; // another one is shown by now
    $(".suppressed button", this.node).hidden = !answered?.suppresses_until; // it is over, or was revoked
    const values = answered && { time: clock(answered.opened_at), verdict: verdictOf(answered) || t("none") };
    $(".suppressed span", this.node).textContent = t(answered ? "suppressions.suppressed" : "suppressions.suppressed_gone", values || {});
  }

  showClip({ id, clip }) {
    const video = $("video", this.node);
    const isReady = clip.state === "ready";
    video.hidden = !isReady;
    if (isReady && !video.hasAttribute("src")) video.src = `${API}/alerts/${encodeURIComponent(id)}/clip`;
    const words = { pending: t("clip.pending"), failed: t("clip.failed", { error: clip.error }) };
    showText($(".clip-state", this.node), words[clip.state]);
  }

  // Answers

  toggleSeen() {
    if (this.alert) this.answer({ acknowledged: !this.alert.acknowledged_at });
  }

  toggleVerdict(verdict) {
    if (this.alert) this.answer({ verdict: this.alert.verdict === verdict ? null : verdict });
  }

  focusNote() {
    $(".note", this.node).focus();
  }

  async answer(change) {
    try {
      this.onAnswer(await call(`/alerts/${encodeURIComponent(this.alert.id)}`, "PATCH", change));
    } catch (error) {
      showText($(".error", this.node), error.message);
    }
  }
}
