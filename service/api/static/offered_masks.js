// The part of the zone editor that offers masks: places that alarm often and alone, with the alarms
// that each would have spared and the true events that it would have hidden. None is applied by itself.

import { newBox, newPicture } from "./alert_picture.js";
import { $, call, cameraPath, fromTemplate } from "./api.js";
import { t } from "./texts.js";

const PICTURES = 4; // of events that would have been hidden

/** The masks that were dismissed while this page is open; another outline is another mask. */
const dismissed = new Set();

export class OfferedMasks {
  /** `node` is the list's element; `apply` makes a zone of a mask, which the form then saves. */
  constructor(node, apply) {
    this.node = node;
    this.apply = apply;
    this.camera = null;
  }

  /** Show what is offered for a camera; nothing where that cannot be had. */
  async show(camera) {
    this.camera = camera;
    const { items } = await call(`${cameraPath(camera)}/offered-masks`).catch(() => ({ items: [] }));
    if (camera !== this.camera) return;
    const offers = items.filter((mask) => !dismissed.has(this.key(mask)));
    $("ol", this.node).replaceChildren(...offers.map((mask) => this.row(mask)));
    this.hideEmpty();
  }

  key({ zone }) {
    return JSON.stringify([this.camera, zone.points]);
  }

  row(mask) {
    const row = fromTemplate("#offer-template");
    const { zone, spared, answered, hidden } = mask;
    const [[left, top], , [right, bottom]] = zone.points;
    const box = newBox([left, top, right - left, bottom - top]);
    $(".boxed", row).append(newPicture(mask.spared_alerts[0], t("offered.picture")), box);
    $(".spared", row).textContent = t("offered.spared", { count: spared, answered });
    $(".price", row).textContent = t("offered.hidden", { count: hidden });
    $(".price", row).toggleAttribute("data-some", hidden > 0);
    $(".hidden-events", row).append(
      ...mask.hidden_alerts.slice(0, PICTURES).map((id) => newPicture(id, t("offered.hidden_picture"))));
    for (const button of row.querySelectorAll("button")) {
      button.setAttribute("aria-label", t(button.dataset.label, { zone: zone.name }));
    }
    $(".apply-offer", row).onclick = () => {
      this.leave(row);
      this.apply(zone);
    };
    $(".dismiss-offer", row).onclick = () => {
      dismissed.add(this.key(mask));
      this.leave(row);
    };
    return row;
  }

  leave(row) {
    row.remove();
    this.hideEmpty();
  }

  hideEmpty() {
    this.node.hidden = !$("li", this.node);
  }
}
