// Replays of recordings with a camera's present state: started, followed and cancelled here, with the
// strangest minutes, the alerts, and what other thresholds would have given. Loaded while somebody looks.
// A recording can be uploaded first; a period of the camera takes what is kept of it.

import { $, API, call, fromTemplate, showText } from "./api.js";
import { clock, number, problemText, reasonText, t } from "./texts.js";

const LOOK_EVERY_MS = 2000; // at replays that are not over
const STATES = {
  queued: "replay.queued",
  running: "replay.running",
  done: "replay.done",
  failed: "replay.failed",
  cancelled: "replay.cancelled",
};
const isActive = ({ state }) => state === "queued" || state === "running";
const jobPath = (id) => `/jobs/${encodeURIComponent(id)}`;

export class Replays {
  constructor() {
    this.node = $("#replays");
    this.list = $(".replay-list", this.node);
    this.camera = null;
    this.timer = null;
    this.node.ontoggle = () => this.load();
    this.uploaded = []; // names of recordings
    for (const form of this.node.querySelectorAll("form")) {
      form.onsubmit = (event) => {
        event.preventDefault();
        this.try(() => this.start(form));
      };
    }
    $("[name=file]", this.node).onchange = ({ target }) => this.try(() => this.upload(target));
  }

  /** Show those of a camera; null: of none. */
  show(camera) {
    if (camera !== this.camera) this.list.replaceChildren();
    this.camera = camera;
    this.node.hidden = !camera;
    this.load();
  }

  /** Load the list, and again while a replay goes on; not where nobody looks. */
  async load() {
    clearTimeout(this.timer);
    const { camera } = this;
    if (!camera || !this.node.open) return;
    await this.try(async () => {
      const { items } = await call(`/jobs?kind=replay&camera=${encodeURIComponent(camera)}`);
      if (camera !== this.camera) return;
      this.put(items);
      if (items.some(isActive)) this.timer = setTimeout(() => this.load(), LOOK_EVERY_MS);
    });
  }

  /** Show the jobs, newest first; a result that is open stays so. */
  put(jobs) {
    const rows = new Map([...this.list.children].map((row) => [row.dataset.job, row]));
    const shown = jobs.map((job) => this.update(rows.get(job.id) || this.newRow(job), job));
    if (shown.some((row, at) => row !== this.list.children[at]) || shown.length !== rows.size) {
      this.list.replaceChildren(...shown);
    }
    const known = new Set([...this.uploaded, ...jobs.map(({ video }) => video).filter(Boolean)]);
    $("datalist", this.node).replaceChildren(...[...known].map((video) => new Option(video)));
  }

  newRow(job) {
    const row = fromTemplate("#replay-template");
    row.dataset.job = job.id;
    const video = source(job);
    $(".video", row).textContent = video;
    $(".options", row).textContent = options(job);
    const cancel = $(".cancel", row);
    cancel.setAttribute("aria-label", t("replay.cancel_of", { video }));
    cancel.onclick = () => this.try(async () => this.update(row, await call(jobPath(job.id), "DELETE")));
    const result = $("details", row);
    $("summary", result).textContent = t("replay.result", { time: clock(job.created_at) });
    result.ontoggle = () => {
      if (result.open && !result.dataset.loaded) this.try(() => showResult(result, job));
    };
    return row;
  }

  update(row, job) {
    row.dataset.state = job.state;
    const percent = Math.round(100 * job.progress);
    const parts = [t(STATES[job.state], { percent }), job.paused && t("job.paused"), reasonText(job, "reason")];
    $(".state", row).textContent = parts.filter(Boolean).join(" · ");
    $("progress", row).hidden = $(".cancel", row).hidden = !isActive(job);
    $("progress", row).value = job.progress;
    $("details", row).hidden = job.state !== "done";
    return row;
  }

  async start(form) {
    const { video, threshold, began, from, to } = form.elements;
    const wanted = { kind: "replay", camera: this.camera };
    if (from) Object.assign(wanted, { from: seconds(from), to: seconds(to) });
    else wanted.video = video.value.trim();
    if (threshold.value) wanted.threshold = Number(threshold.value);
    if (began?.value) wanted.began_at = seconds(began);
    await call("/jobs", "POST", wanted);
    form.reset();
    await this.load();
  }

  /** Upload the chosen file, and name it as the recording to replay. */
  async upload(input) {
    const [file] = input.files;
    if (!file) return;
    const box = $(".uploading", this.node);
    const show = (part) => {
      $("progress", box).value = part;
      $(".uploaded", box).textContent = t("replay.uploaded", { percent: Math.floor(100 * part) });
    };
    show(0);
    box.hidden = false;
    input.disabled = true;
    try {
      const { items, most_bytes } = await call("/recordings");
      if (file.size > most_bytes) throw new Error(problemText({ code: "too_large", values: { most: most_bytes } }));
      const name = file.name.replace(/[^A-Za-z0-9_. ()+-]/g, "_").replace(/^[^A-Za-z0-9_]/, "_").slice(-100);
      const stored = await put(`${API}/recordings/${encodeURIComponent(name)}`, file, show, $(".stop", box));
      this.uploaded = [stored.name, ...items.map((item) => item.name)];
      $("[name=video]", this.node).value = stored.name;
      await this.load();
    } finally {
      box.hidden = true;
      input.disabled = false;
      input.value = "";
    }
  }

  async try(act) {
    try {
      await act();
      showText($(".error", this.node), null);
    } catch (error) {
      showText($(".error", this.node), error.message);
    }
  }
}

/** Return the time (s, UTC epoch) of a field in the reader's zone. */
const seconds = ({ value }) => new Date(value).getTime() / 1000;

/** Upload a file and return the answer; `show` gets the part that is sent, 0 to 1, `stop` ends it. fetch tells neither. */
function put(path, file, show, stop) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.upload.onprogress = ({ loaded, total }) => show(loaded / (total || 1));
    request.onload = () => {
      const { status, response } = request;
      if (status === 201) resolve(response);
      else reject(new Error(problemText(response || {}) || t("server.answered", { status })));
    };
    request.onerror = () => reject(new Error(t("replay.upload.lost")));
    request.onabort = () => reject(new Error(t("replay.upload.stopped")));
    stop.onclick = () => request.abort();
    request.open("PUT", path);
    request.responseType = "json";
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.send(file);
  });
}

/** Return what is replayed: the name of a file, or a period. */
function source({ video, until, options: { began_at } }) {
  return video || t("replay.period", { from: clock(began_at), to: clock(until) });
}

/** Return what a replay changes of its camera. */
function options({ until, options: { threshold, zones, began_at } }) {
  const parts = [
    threshold !== null && t("replay.threshold", { threshold: number(threshold, 2) }),
    zones !== null && t("replay.zones", { count: zones.length }),
    began_at !== null && until === null && t("replay.began", { time: clock(began_at) }),
  ];
  return parts.filter(Boolean).join(" · ");
}

/** Load the report of a replay that is done, and show it. */
async function showResult(node, { id }) {
  const { report, options: { began_at }, files } = await call(jobPath(id));
  if (!report) throw new Error(t("replay.no_report"));
  node.dataset.loaded = "true";
  const fileOf = (name) => `${API}${jobPath(id)}/files/${name}`;
  const at = (seconds) => (began_at === null ? span(seconds) : clock(began_at + seconds));
  const thumb = ({ zone, peak_s, peak_value, picture }) => {
    const place = zone ? `${zone}, ` : "";
    return newThumb(picture && fileOf(picture), `${place}${at(peak_s)}`, t("alert.peak", { peak: number(peak_value, 2) }));
  };
  const { scored, frames, duration_s, model, threshold, alerts_opened } = report;
  $(".facts", node).textContent = t("replay.facts", { scored, frames, length: span(duration_s), model });
  showText($(".warnings", node), report.notes.join("\n") || null);
  $(".minutes", node).replaceChildren(...report.minutes.map(thumb));
  $(".found", node).textContent = t("replay.alerts", { count: alerts_opened, threshold: number(threshold, 2) });
  $(".alerts", node).replaceChildren(...report.alerts.map(thumb));
  $(".alerts", node).parentElement.hidden = !report.alerts.length;
  $("tbody", node).replaceChildren(...report.thresholds.map(newThreshold));
  for (const link of node.querySelectorAll("a[data-file]")) {
    link.hidden = !files.includes(link.dataset.file);
    link.href = fileOf(link.dataset.file);
    link.download = `${id.replace(":", "-")}-${link.dataset.file}`;
  }
}

function newThumb(picture, when, peak) {
  const row = fromTemplate("#replay-thumb-template");
  const link = $("a", row);
  link.hidden = !picture;
  if (picture) {
    link.href = $("img", row).src = picture;
    $("img", row).alt = t("replay.picture", { time: when });
  }
  $("figcaption", row).textContent = `${when} · ${peak}`;
  return row;
}

function newThreshold({ threshold, alerts, open_s }) {
  const row = fromTemplate("#replay-threshold-template");
  const texts = [number(threshold, 2), number(alerts), t("seconds", { seconds: number(open_s, 1) })];
  [...row.children].forEach((cell, column) => (cell.textContent = texts[column]));
  return row;
}

/** Return seconds as 1:02:03. */
function span(seconds) {
  const whole = Math.floor(seconds);
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return parts.map((part) => String(part).padStart(2, "0")).join(":");
}
