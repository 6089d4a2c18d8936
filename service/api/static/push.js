// Notifications of this browser: one subscription, which is a sink of the server.

import { $, call, showText } from "./api.js";
import { remember, remembered, t } from "./texts.js";

const KEY = "lookout.push_sink"; // the sink of this browser
const SERVICE_WITHIN_MS = 15000; // a browser that cannot reach its push service tries for ever
const sinkPath = (id) => `/sinks/${encodeURIComponent(id)}`;

export class PushPanel {
  constructor() {
    this.button = $("#push-toggle");
    this.button.onclick = () => this.toggle();
  }

  /** Show whether this browser is told, by the sinks as they are now. */
  async show(sinks) {
    this.registration = await navigator.serviceWorker?.getRegistration("./");
    const isAble = Boolean(this.registration?.pushManager);
    const subscription = isAble ? await this.registration.pushManager.getSubscription() : null;
    const own = subscription && remembered(KEY, sinks.map(({ id }) => id));
    this.sink = sinks.find(({ id }) => id === own) || null;
    this.button.hidden = !isAble;
    this.button.textContent = t(this.sink ? "push.stop" : "push.start");
    $("#push-state").textContent = isAble ? t(this.sink ? "push.on" : "push.off") : t("push.unable");
  }

  async toggle() {
    this.button.disabled = true;
    try {
      if (this.sink) await this.stop();
      else await this.start();
      showText($("#push-error"), null);
      const { items } = await call("/sinks");
      await this.show(items);
    } catch (error) {
      showText($("#push-error"), error.message);
    } finally {
      this.button.disabled = false;
    }
  }

  async start() {
    if ((await Notification.requestPermission()) !== "granted") throw new Error(t("push.denied"));
    const { public_key: applicationServerKey } = await call("/push-key");
    const manager = this.registration.pushManager;
    const late = new Promise((_, fail) => setTimeout(() => fail(new Error(t("push.away"))), SERVICE_WITHIN_MS));
    const subscription = await Promise.race([manager.subscribe({ userVisibleOnly: true, applicationServerKey }), late]);
    const { endpoint, keys } = subscription.toJSON();
    const wanted = { kind: "webpush", url: endpoint, push_keys: keys, events: ["new"] };
    remember(KEY, (await call("/sinks", "POST", wanted)).id);
  }

  async stop() {
    const subscription = await this.registration.pushManager.getSubscription();
    await subscription?.unsubscribe();
    await call(sinkPath(this.sink.id), "DELETE");
  }
}
