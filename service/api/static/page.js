"use strict";
// The page: REST once, then the WebSocket. Whatever comes from outside is set as text, never as HTML.

const API = "/api/v1";
const POINTS = 900; // a camera's curve holds
const ALERTS = 100; // the list holds
const EVENTS = 3; // shown of a camera
const PICTURE_MS = 1000;
const REFRESH_MS = 5000;
const TROUBLE = new Set(["reconnecting", "stalled", "failed"]);
const KINDS = { scene_change: "Scene change", tampered: "Tampered with", restored: "Restored" };
const STILL = new Set(["reconnecting", "stalled", "failed", "disabled", "ended"]);

const $ = (selector, inside = document) => inside.querySelector(selector);
const cameras = new Map(); // id → Card
const alerts = new Map(); // id → {alert, row}
let threshold = 0.5;

// The API

class Problem extends Error {}

async function call(path, method = "GET", body = undefined) {
  const options = { method, headers: {} };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  const answer = await fetch(API + path, options);
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  if (answer.status === 401) location.reload(); // the session is over: the form that asks for the token comes
  const problem = await answer.json().catch(() => ({}));
  throw new Problem(problem.detail || `the server answered ${answer.status}`);
}

const cameraPath = (id) => `/cameras/${encodeURIComponent(id)}`;

// A camera's card

class Card {
  constructor(camera) {
    this.id = camera.id;
    this.node = $("#camera-template").content.firstElementChild.cloneNode(true);
    this.node.dataset.camera = camera.id;
    this.node.id = `camera-${camera.id}`;
    $(".name", this.node).textContent = camera.id;
    this.times = [];
    this.values = [];
    this.lastId = null;
    this.heat = true;
    this.visible = false;
    this.askedAt = 0;
    this.loading = false;
    this.wanted = false; // a newer picture is there
    $(".heat", this.node).onclick = () => this.toggleHeat();
    $(".pause", this.node).onclick = () => this.act(() => call(cameraPath(this.id), "PATCH", { enabled: this.asked }));
    $(".remove", this.node).onclick = (event) => this.remove(event.currentTarget);
    this.update(camera);
  }

  update(camera) {
    this.camera = camera;
    this.node.dataset.state = camera.state;
    this.node.classList.toggle("stale", STILL.has(camera.state));
    $(".state", this.node).textContent = camera.state;
    $(".tampered", this.node).hidden = !camera.tampered;
    this.showError(camera.last_error);
    const learning = $(".learning", this.node);
    learning.hidden = !camera.progress;
    if (camera.progress) {
      const { learned, needed } = camera.progress;
      $("progress", learning).value = needed ? learned / needed : 0;
      $("span", learning).textContent = `learning what is normal here: ${learned} of ${needed} frames; no alerts yet`;
    }
    this.asked = !camera.enabled || camera.state === "ended";
    $(".pause", this.node).textContent = !camera.enabled ? "Resume" : camera.state === "ended" ? "Play again" : "Pause";
    $(".url", this.node).textContent = camera.url;
    $(".facts", this.node).textContent = facts(camera);
    if (STILL.has(camera.state)) this.read(null);
  }

  showError(text) {
    const error = $(".error", this.node);
    error.hidden = !text;
    error.textContent = text || "";
  }

  async act(work) {
    try {
      await work();
      refresh();
    } catch (error) {
      this.showError(error.message);
    }
  }

  remove(button) {
    if (button.classList.contains("sure")) {
      this.act(() => call(cameraPath(this.id), "DELETE"));
      return;
    }
    button.classList.add("sure");
    button.textContent = "Really remove?";
    setTimeout(() => {
      button.classList.remove("sure");
      button.textContent = "Remove";
    }, 4000);
  }

  toggleHeat() {
    this.heat = !this.heat;
    $(".heat", this.node).setAttribute("aria-pressed", String(this.heat));
    this.askedAt = 0;
    this.wanted = this.lastId !== null;
  }

  addScore(score) {
    if (this.lastId && !newer(score.id, this.lastId)) return; // told twice: by REST and by the socket
    this.lastId = score.id;
    const last = this.times[this.times.length - 1];
    if (last !== undefined && score.captured_at <= last) this.times.length = this.values.length = 0; // played again
    this.times.push(score.captured_at);
    this.values.push(score.value);
    if (this.times.length > POINTS) {
      this.times.splice(0, this.times.length - POINTS);
      this.values.splice(0, this.values.length - POINTS);
    }
    this.dirty = this.wanted = true;
    this.node.dataset.points = this.times.length;
    this.node.dataset.last = score.id;
    this.read(score.value);
  }

  /** Newest first; told again by REST, an event changes nothing. */
  addEvents(events) {
    const list = $(".events", this.node);
    for (const event of events) {
      const name = `${event.session}-${event.seq} ${event.kind}`;
      if ([...list.children].some((row) => row.dataset.event === name)) continue;
      const older = [...list.children].find((row) => Number(row.dataset.at) <= event.at);
      list.insertBefore(newEventRow(event, name), older || null);
    }
    [...list.children].slice(EVENTS).forEach((row) => row.remove());
    list.hidden = !list.children.length;
  }

  read(value) {
    const reading = $(".reading", this.node);
    reading.textContent = value === null ? "" : value.toFixed(2);
    reading.classList.toggle("high", value !== null && value >= threshold);
  }

  draw() {
    if (!this.dirty || !this.visible) return;
    this.dirty = false;
    const limit = new Array(this.times.length).fill(threshold);
    const data = [this.times, this.values, limit];
    if (this.plot) this.plot.setData(data);
    else this.plot = curve($(".curve", this.node), data);
  }

  resize() {
    const box = $(".curve", this.node);
    if (this.plot && box.clientWidth) this.plot.setSize({ width: box.clientWidth, height: box.clientHeight });
  }

  fetchPicture(now) {
    if (!this.visible || !this.wanted || this.loading || now - this.askedAt < PICTURE_MS) return;
    this.askedAt = now;
    this.loading = true;
    this.wanted = false;
    const next = new Image();
    const kind = this.heat ? "heatmap" : "frame";
    next.onload = () => {
      this.loading = false;
      const picture = $(".picture", this.node);
      picture.src = next.src;
      picture.hidden = false;
      picture.dataset.kind = kind;
    };
    next.onerror = () => {
      this.loading = false;
    };
    next.src = `${API}${cameraPath(this.id)}/${kind}?format=jpeg&at=${encodeURIComponent(this.lastId)}`;
  }
}

function newer(a, b) {
  const [s, n] = a.split("-").map(Number);
  const [t, m] = b.split("-").map(Number);
  return s > t || (s === t && n > m);
}

function newEventRow(event, name) {
  const row = $("#event-template").content.firstElementChild.cloneNode(true);
  row.dataset.event = name;
  row.dataset.kind = event.kind;
  row.dataset.at = event.at;
  $("time", row).textContent = clock(event.at);
  $("time", row).dateTime = new Date(event.at * 1000).toISOString();
  $(".kind", row).textContent = KINDS[event.kind] || event.kind;
  $(".detail", row).textContent = event.detail;
  return row;
}

function facts(camera) {
  const parts = [camera.model];
  if (camera.measured_fps !== null) parts.push(`${camera.measured_fps.toFixed(1)} frames/s`);
  if (camera.waiting) parts.push("waiting for its scores");
  const dropped = Object.entries(camera.dropped).filter(([, n]) => n > 0);
  if (dropped.length) parts.push(`dropped ${dropped.map(([why, n]) => `${n} ${why}`).join(", ")}`);
  if (camera.reconnects) parts.push(`${camera.reconnects} reconnects`);
  if (camera.retry_at) parts.push(`next try ${new Date(camera.retry_at * 1000).toLocaleTimeString()}`);
  return parts.join(" · ");
}

function curve(box, data) {
  const axis = { stroke: "#8b9aa8", grid: { stroke: "#1d2731", width: 1 }, ticks: { stroke: "#232d37", width: 1 },
    font: "11px system-ui, sans-serif" };
  return new uPlot({
    width: box.clientWidth || 400,
    height: box.clientHeight || 200,
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, points: { show: false } },
    scales: { x: { time: true }, y: { range: [0, 1] } },
    axes: [{ ...axis, space: 90 }, { ...axis, size: 36, splits: () => [0, 0.2, 0.4, 0.6, 0.8, 1],
      values: (_, ticks) => ticks.map((tick) => tick.toFixed(1)) }],
    series: [
      {},
      { stroke: heatStroke, width: 1.5, points: { show: false } },
      { stroke: "#ff6b5e99", width: 1, dash: [5, 5], points: { show: false } },
    ],
  }, data, box);
}

/** Blue below the threshold, red above it. */
function heatStroke(plot) {
  const top = plot.valToPos(1, "y", true);
  const bottom = plot.valToPos(0, "y", true);
  if (!Number.isFinite(top) || !Number.isFinite(bottom)) return "#7fb4e6";
  const stroke = plot.ctx.createLinearGradient(0, top, 0, bottom);
  stroke.addColorStop(0, "#ff6b5e");
  stroke.addColorStop(1 - threshold, "#ff6b5e");
  stroke.addColorStop(1 - threshold, "#7fb4e6");
  stroke.addColorStop(1, "#7fb4e6");
  return stroke;
}

const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const card = cameras.get(entry.target.dataset.camera);
    if (card) card.visible = entry.isIntersecting;
  }
}, { rootMargin: "200px" });
const sized = new ResizeObserver((entries) => {
  for (const entry of entries) cameras.get(entry.target.dataset.camera)?.resize();
});

function putCamera(camera) {
  let card = cameras.get(camera.id);
  if (card) {
    card.update(camera);
    return card;
  }
  card = new Card(camera);
  cameras.set(camera.id, card);
  const after = [...cameras.keys()].sort().find((id) => id > camera.id && cameras.get(id).node.isConnected);
  $("#cameras").insertBefore(card.node, after ? cameras.get(after).node : null);
  seen.observe(card.node);
  sized.observe(card.node);
  return card;
}

function dropCamera(id) {
  const card = cameras.get(id);
  if (!card) return;
  seen.unobserve(card.node);
  sized.unobserve(card.node);
  card.plot?.destroy();
  card.node.remove();
  cameras.delete(id);
}

// Alerts

function putAlert(alert) {
  const known = alerts.get(alert.id);
  const row = known ? known.row : newAlertRow(alert);
  alerts.set(alert.id, { alert, row });
  row.dataset.state = alert.state;
  $(".badge", row).textContent = alert.state === "open" ? "open now" : "over";
  $(".peak", row).textContent = `peak ${alert.peak_value.toFixed(2)} at ${clock(alert.peak_at)}`;
  showLength(alert, row);
  if (!known) {
    const list = $("#alert-list");
    const older = [...list.children].find((other) => before(alert, alerts.get(other.dataset.alert).alert));
    list.insertBefore(row, older || null);
    trimAlerts();
  }
}

const before = (a, b) => a.opened_at > b.opened_at || (a.opened_at === b.opened_at && a.id > b.id);

function newAlertRow(alert) {
  const row = $("#alert-template").content.firstElementChild.cloneNode(true);
  row.dataset.alert = alert.id;
  $(".name", row).textContent = alert.camera;
  $("time", row).textContent = clock(alert.opened_at);
  $("time", row).dateTime = new Date(alert.opened_at * 1000).toISOString();
  const picture = $("img", row);
  picture.onload = () => (picture.hidden = false);
  picture.src = `${API}/alerts/${encodeURIComponent(alert.id)}/picture`;
  $(".thumb", row).onclick = () => showLarge(alert.id);
  return row;
}

function clock(seconds) {
  const at = new Date(seconds * 1000);
  const day = at.toDateString() === new Date().toDateString() ? "" : `${at.toLocaleDateString()} `;
  return day + at.toLocaleTimeString();
}

function showLength(alert, row) {
  const until = alert.closed_at ?? Math.max(Date.now() / 1000, alert.opened_at);
  const length = Math.round(until - alert.opened_at);
  $(".length", row).textContent = length < 120 ? `· ${length} s` : `· ${Math.round(length / 60)} min`;
}

function showLarge(id) {
  const { alert, row } = alerts.get(id);
  if ($("img", row).hidden) return;
  $("#large-picture").src = $("img", row).src;
  $("#large-text").textContent = `${alert.camera}, ${clock(alert.opened_at)}, peak ${alert.peak_value.toFixed(2)}`;
  $("#large").showModal();
}

function trimAlerts() {
  const rows = [...$("#alert-list").children];
  for (const row of rows.slice(ALERTS).filter((old) => old.dataset.state !== "open")) {
    alerts.delete(row.dataset.alert);
    row.remove();
  }
}

// What all of it means

function summarise() {
  const open = [...alerts.values()].filter(({ alert }) => alert.state === "open");
  const alarmed = new Set(open.map(({ alert }) => alert.camera));
  for (const [id, card] of cameras) card.node.classList.toggle("alarmed", alarmed.has(id));
  for (const { alert, row } of open) showLength(alert, row);
  const needy = ({ camera }) => camera.tampered || TROUBLE.has(camera.state);
  const trouble = [...cameras.values()].filter(needy).map((card) => card.id);
  const [level, text] = verdict([...alarmed], trouble);
  const summary = $("#summary");
  if (summary.textContent !== text) summary.textContent = text;
  summary.dataset.level = level;
  document.title = alarmed.size ? `(${alarmed.size}) Lookout` : "Lookout";
  $("#no-cameras").hidden = cameras.size > 0;
  $("#no-alerts").hidden = alerts.size > 0;
}

function verdict(alarmed, trouble) {
  if (alarmed.length) return ["bad", `Something is not normal: ${alarmed.join(", ")}`];
  if (trouble.length) return ["warn", `Needs attention: ${trouble.join(", ")}`];
  if (!cameras.size) return ["calm", "No cameras yet"];
  return ["good", `All quiet, ${cameras.size} ${cameras.size === 1 ? "camera" : "cameras"}`];
}

// What comes in

async function refresh() {
  const list = (await call("/cameras")).items;
  const there = new Set(list.map((camera) => camera.id));
  for (const id of cameras.keys()) if (!there.has(id)) dropCamera(id);
  list.forEach(putCamera);
  summarise();
}

async function loadAll() {
  threshold = (await call("/alert-rule")).threshold;
  await refresh();
  const open = await call("/alerts?state=open");
  const newest = await call("/alerts?limit=50");
  const ids = new Set([...open.items, ...newest.items].map((alert) => alert.id));
  for (const [id, { row }] of alerts) {
    if (ids.has(id)) continue; // closed long ago, or dropped, while we were away
    alerts.delete(id);
    row.remove();
  }
  [...open.items, ...newest.items].forEach(putAlert);
  await Promise.all([...cameras.values()].flatMap((card) => [loadScores(card), loadEvents(card)]));
  summarise();
}

async function loadScores(card) {
  const scores = await call(`${cameraPath(card.id)}/scores?limit=${POINTS}`).catch(() => ({ items: [] }));
  scores.items.forEach((score) => card.addScore(score));
}

async function loadEvents(card) {
  const events = await call(`${cameraPath(card.id)}/events?limit=${EVENTS}`).catch(() => ({ items: [] }));
  card.addEvents(events.items.reverse());
}

function handle({ type, event, data }) {
  if (type === "score") cameras.get(data.camera)?.addScore(data);
  else if (type === "alert") putAlert(data);
  else if (type === "event") cameras.get(data.camera)?.addEvents([data]);
  else if (event === "end") dropCamera(data.id);
  else putCamera(data);
  if (type !== "score") summarise();
}

// The connection

const line = {
  tries: 0,

  open() {
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${API}/live`);
    let waiting = []; // what comes while the lists are still loading
    socket.onopen = async () => {
      try {
        await loadAll();
      } catch (error) {
        this.lost(error.message);
        socket.close();
        return;
      }
      this.tries = 0;
      this.say(null);
      const first = waiting;
      waiting = null;
      first.forEach(handle);
    };
    socket.onmessage = (message) => {
      const data = JSON.parse(message.data);
      if (waiting) waiting.push(data);
      else handle(data);
    };
    socket.onclose = () => {
      this.lost();
      const pause = Math.min(10000, 500 * 2 ** this.tries++) * (0.75 + Math.random() / 2);
      setTimeout(() => this.open(), pause);
    };
  },

  lost(why) {
    this.say(`Connection lost${why ? ` (${why})` : ""}: what you see is not live. Trying again…`);
  },

  say(text) {
    const banner = $("#banner");
    banner.hidden = !text;
    if (text) banner.textContent = text;
    document.body.dataset.live = String(!text);
  },
};

// The form

async function openForm() {
  const select = $("select[name=model]");
  select.replaceChildren();
  showFormError(null);
  $("#add").showModal();
  try {
    for (const model of (await call("/models")).items) {
      const option = new Option(model.error ? `${model.name} (cannot be used)` : model.name, model.name);
      option.disabled = Boolean(model.error);
      select.add(option);
    }
  } catch (error) {
    showFormError(error.message);
  }
}

function showFormError(text) {
  $("#add-error").hidden = !text;
  $("#add-error").textContent = text || "";
}

async function submitForm(event) {
  event.preventDefault();
  const given = new FormData(event.target);
  const body = {};
  for (const name of ["url", "id", "model", "pace", "calibration"]) {
    const text = (given.get(name) || "").trim();
    if (text || name === "url") body[name] = text;
  }
  const fps = (given.get("fps") || "").trim();
  if (fps) body.fps = Number.isFinite(Number(fps)) ? Number(fps) : fps; // the server says what is wrong with it
  try {
    putCamera(await call("/cameras", "POST", body));
    summarise();
    $("#add").close();
    event.target.reset();
  } catch (error) {
    showFormError(error.message);
  }
}

// The session

async function offerLogOut() {
  $("#log-out").hidden = !(await call("/session")).needed;
}

async function logOut() {
  await call("/session", "DELETE").catch((error) => line.say(error.message));
  location.reload();
}

$("#log-out").onclick = logOut;
$("#add-open").onclick = openForm;
$("#add-cancel").onclick = () => $("#add").close();
$("#add-form").onsubmit = submitForm;

setInterval(() => {
  if (document.hidden) return;
  for (const card of cameras.values()) {
    card.draw();
    card.fetchPicture(performance.now());
  }
}, 100);
setInterval(summarise, 1000);
setInterval(() => document.hidden || refresh().catch(() => {}), REFRESH_MS); // counters; trouble shows at the socket
document.addEventListener("visibilitychange", () => document.hidden || refresh().catch(() => {}));
offerLogOut().catch(() => {}); // asked again with the next page
line.open();
