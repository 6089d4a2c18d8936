// The part of a camera's card that shows what its newest training left out, for a yes or no.

import { $, API, call, fromTemplate, showText } from "./api.js";
import { number, showTime, t } from "./texts.js";

const NOT_JUDGED_YET = new Set(["queued", "recording"]);

export class LeftOut {
  /** `card` is the card's element; `change` calls a request, shows its error and loads the lists. */
  constructor(card, change) {
    this.change = change;
    this.node = $(".left-out", card);
    this.job = null;
    this.key = ""; // the list that is loaded
    this.node.ontoggle = () => this.load();
  }

  /** Follow the camera's newest job; null where it never had one. */
  update(job) {
    this.job = job;
    this.node.hidden = !job || !job.left_out || NOT_JUDGED_YET.has(job.state);
    if (this.node.hidden) this.node.open = false;
    else $("summary", this.node).textContent = t("left_out.count", { count: job.left_out });
    this.load();
  }

  /** Load the list where somebody looks and the training has judged the footage anew. */
  load() {
    const key = this.node.open ? `${this.job.id} ${this.job.left_out}` : "";
    if (key === this.key) return;
    this.key = key;
    if (key) this.change(() => this.show(key));
  }

  async show(key) {
    const { items } = await call(pathOf(this.job));
    if (key !== this.key) return; // closed meanwhile, or another job's
    $("ol", this.node).replaceChildren(...items.map((item) => this.row(item)));
    showText($(".hint", this.node), t(items.length ? "left_out.hint" : "left_out.none"));
  }

  row(segment) {
    const row = fromTemplate("#left-out-template");
    const path = `${pathOf(this.job)}/${encodeURIComponent(segment.id)}`;
    const picture = $("img", row);
    picture.onerror = () => { picture.hidden = true; };
    picture.src = `${API}${path}/picture`;
    showTime($("time", row), segment.begins_at);
    $(".psnr", row).textContent = t("left_out.psnr", { psnr: number(segment.psnr_db, 1) });
    for (const button of row.querySelectorAll("button")) {
      button.setAttribute("aria-label", t("left_out.action", { action: button.textContent, time: $("time", row).textContent }));
      button.onclick = () => this.change(async () => {
        const isUndone = button.getAttribute("aria-pressed") === "true";
        press(row, (await call(path, "PATCH", { answer: isUndone ? null : button.dataset.answer })).answer);
      });
    }
    press(row, segment.answer);
    return row;
  }
}

const pathOf = (job) => `/jobs/${encodeURIComponent(job.id)}/left-out`;

/** Show an answer, null for none, by the buttons of a segment. */
function press(row, answer) {
  for (const button of row.querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.dataset.answer === answer));
  }
}
