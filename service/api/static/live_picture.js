// The live picture of a camera: an <img> to which the server sends one JPEG after the other. It takes
// a connection, of which a browser has six for a server: one camera is shown at a time.

import { API, cameraPath } from "./api.js";
import { problemText, t } from "./texts.js";

const LOOK_EVERY_MS = 100; // browsers differ in whether such a picture is ever "loaded"

export class LivePicture {
  /** `onSize(width, height)` is called once there is a picture; `onRefused(reason)`, if any, where none comes. */
  constructor(image, onSize, onRefused = null) {
    this.image = image;
    this.onSize = onSize;
    this.onRefused = onRefused;
    this.timer = null;
  }

  get isOn() {
    return this.timer !== null;
  }

  start(camera) {
    if (this.isOn) return;
    const path = `${API}${cameraPath(camera)}/live.mjpeg`;
    this.image.onerror = () => this.isOn && this.refuse(path);
    this.image.src = path;
    this.timer = setInterval(() => {
      const { naturalWidth, naturalHeight } = this.image;
      if (!naturalWidth || !this.image.hidden) return;
      this.image.hidden = false;
      this.onSize(naturalWidth, naturalHeight);
    }, LOOK_EVERY_MS);
  }

  /** End it: a picture that is only hidden would be sent on. */
  stop() {
    clearInterval(this.timer);
    this.timer = null;
    this.image.hidden = true;
    this.image.removeAttribute("src");
  }

  async refuse(path) {
    this.stop();
    if (!this.onRefused) return;
    const asked = new AbortController();
    const answer = await fetch(path, { signal: asked.signal }).catch(() => null);
    const problem = answer && !answer.ok ? await answer.json().catch(() => ({})) : {};
    asked.abort(); // where it would be sent by now
    this.onRefused(problemText(problem) || t("live.broke_off"));
  }
}
