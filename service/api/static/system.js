// The system view: how the service itself is. It is loaded while somebody looks.

import { $, call, showText } from "./api.js";
import { PushPanel } from "./push.js";
import { clock, number, said, t } from "./texts.js";

const LITTLE = 0.1; // of the disk is free
const GIB = 2 ** 30;

export class SystemView {
  constructor() {
    this.node = $("#system");
    this.isOpen = false;
    this.push = new PushPanel();
  }

  /** Show or hide the view. */
  show(isOpen) {
    this.isOpen = isOpen;
    this.node.hidden = !isOpen;
  }

  /** Show the service, with the cameras as they were loaded last. */
  async load(cameras) {
    if (!this.isOpen) return;
    try {
      const [found, sinks] = await Promise.all([call("/system"), call("/sinks")]);
      await this.push.show(sinks.items);
      fill("#system-stages", found.stages.flatMap(stageRows));
      fill("#system-cameras", cameras.map(cameraRow));
      fill("#system-sinks", sinks.items.map(sinkRow));
      $("#system-sinks").parentElement.hidden = !sinks.items.length;
      $("#no-sinks").hidden = sinks.items.length > 0;
      showDisk(found.disk);
      fill("#system-versions", versionRows(found));
      showText($("#system-error"), null);
      this.node.dataset.loaded = ""; // seen from now on: what fills up would push the rest down
    } catch (error) {
      showText($("#system-error"), error.message);
    }
  }
}

/** Put rows into a table: each has its texts, the first of which names it, and `isBad`. */
function fill(selector, rows) {
  $(selector).replaceChildren(...rows.map(({ texts, isBad }) => {
    const row = document.createElement("tr");
    row.classList.toggle("bad", Boolean(isBad));
    row.append(...texts.map((text, column) => {
      const cell = document.createElement(column ? "td" : "th");
      if (!column) cell.scope = "row";
      cell.textContent = text;
      return cell;
    }));
    return row;
  }));
}

function stageRows({ name, is_optional, workers }) {
  if (!workers.length) return [{ texts: [name, t("system.no_worker"), ""], isBad: !is_optional }];
  return workers.map(({ id, fps }) => ({ texts: [name, id, number(fps, 1)] }));
}

function cameraRow({ id, state, score_age_s, dropped }) {
  const age = score_age_s === null ? t("none.value") : t("seconds", { seconds: number(score_age_s, 1) });
  const isBad = ["reconnecting", "stalled", "failed"].includes(state);
  return { texts: [id, said(state), age, number(dropped.lag || 0)], isBad };
}

function sinkRow({ id, kind, enabled, failing_since, last_error, delivered_at, letters }) {
  let state = t("system.sink_waits");
  if (!enabled) state = t("system.sink_off");
  else if (failing_since) state = t("system.sink_failing", { time: clock(failing_since), error: last_error });
  else if (delivered_at) state = t("system.sink_delivered", { time: clock(delivered_at) });
  return { texts: [`${id} (${kind})`, state, number(letters)], isBad: (enabled && failing_since) || letters > 0 };
}

function showDisk(disk) {
  const meter = $("#system-disk");
  meter.hidden = !disk;
  if (disk) {
    meter.value = 1 - disk.free_bytes / disk.total_bytes;
    meter.high = 1 - LITTLE;
    meter.optimum = 0;
  }
  const sizes = disk && { free: number(disk.free_bytes / GIB, 1), total: number(disk.total_bytes / GIB, 1) };
  $("#system-disk-text").textContent = disk ? t("system.disk_free", sizes) : t("none.value");
}

function versionRows({ version, python, page, servers }) {
  const of = servers.map(({ name, version: one, error }) => ({
    texts: [`Redis (${name})`, error || one || t("none.value")],
    isBad: Boolean(error),
  }));
  return [{ texts: ["Lookout", version] }, { texts: [t("system.page"), page] }, { texts: ["Python", python] }, ...of];
}
