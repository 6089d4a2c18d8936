// What the answers to a camera's alerts suppress: each with its picture, what it has hidden, its price,
// and a button that revokes it. It is loaded while somebody looks.

import { newBox, newPicture } from "./alert_picture.js";
import { verdictOf } from "./alert_list.js";
import { $, call, cameraPath, fromTemplate, showText } from "./api.js";
import { clock, t } from "./texts.js";

export class Suppressions {
  /** `onRevoked` is called after one was revoked: what it hid may be told now. */
  constructor(onRevoked) {
    this.node = $("#suppressions");
    this.onRevoked = onRevoked;
    this.camera = null;
  }

  /** Show those of a camera; null: of none. */
  async show(camera) {
    this.camera = camera;
    if (!camera) {
      this.node.hidden = true;
      return;
    }
    const { items } = await call(pathOf(camera));
    if (camera !== this.camera) return; // another one was chosen meanwhile
    this.node.hidden = !items.length;
    $("summary", this.node).textContent = t("suppressions.count", { count: items.length });
    $("ol", this.node).replaceChildren(...items.map((item) => this.row(item)));
  }

  /** Open the list, and go to one suppression in it. */
  open(id) {
    this.node.open = true;
    this.node.querySelector(`[data-suppression="${CSS.escape(id)}"]`)?.scrollIntoView({ block: "nearest" });
  }

  row(one) {
    const row = fromTemplate("#suppression-template");
    const { created_at, created_by, expires_at, suppressed, true_alerts, true_hidden } = one;
    row.dataset.suppression = one.id;
    $(".boxed", row).append(newPicture(one.id, t("suppressions.picture")), ...one.regions.map(({ box }) => newBox(box)));
    const by = { verdict: verdictOf(one), name: created_by, time: clock(created_at) };
    $(".by", row).textContent = t("suppressions.by", by);
    showText($(".zone-of", row), one.zone && t("suppressions.zone", { zone: one.zone }));
    $(".until", row).textContent = t("suppressions.until", { time: clock(expires_at) });
    $(".hidden-ones", row).textContent = t("suppressions.hidden", { count: suppressed });
    $(".price", row).textContent = t("suppressions.price", { count: true_alerts, hidden: true_hidden });
    $(".price", row).toggleAttribute("data-some", true_hidden > 0);
    const button = $("button", row);
    button.setAttribute("aria-label", t("suppressions.revoke_of", { time: clock(created_at) }));
    button.onclick = () => this.revoke(one.id);
    return row;
  }

  async revoke(id) {
    try {
      await call(`${pathOf(this.camera)}/${encodeURIComponent(id)}`, "DELETE");
      showText($(".error", this.node), null);
      this.onRevoked();
    } catch (error) {
      showText($(".error", this.node), error.message);
    }
  }
}

const pathOf = (camera) => `${cameraPath(camera)}/suppressions`;
