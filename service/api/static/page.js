// The page: it loads the lists over REST once, then follows the WebSocket. Whatever comes from
// outside is set as text, never as HTML.

import { AccountsView } from "./accounts.js";
import { AlertList } from "./alert_list.js";
import { $, API, call, cameraPath, showText } from "./api.js";
import { CameraCard } from "./camera_card.js";
import { setUpForm } from "./camera_form.js";
import { lookForNewerPage, reloadIfNewer } from "./page_version.js";
import { Review } from "./review.js";
import { ring, setUpSound } from "./sound.js";
import { SystemView } from "./system.js";
import { number, said, setUpTexts, t } from "./texts.js";
import { setUpTheme } from "./theme.js";

const SCORES_LOADED = 900; // of a camera
const EVENTS_LOADED = 3;
const ALERTS_LOADED = 50;
const DRAW_EVERY_MS = 100;
const SUMMARISE_EVERY_MS = 1000;
const SUMMARY_AFTER_MS = 600; // of a change: the server keeps a line for half a second
const STANDINGS = ["blind", "lagging", "learning", "starting", "ended"]; // in the order of the line
const NAMED = ["blind", "lagging"]; // cameras that the line names
const REFRESH_EVERY_MS = 5000;
const QUIET_MS = 400; // without a message
const CHECK_EVERY_MS = 100;
const LATE_MS = 500; // of an answer: with QUIET_MS, a loss is told within a second
const ANSWER_WITHIN_MS = 5000;
const RECONNECT_FIRST_MS = 500;
const RECONNECT_MOST_MS = 10000;

setUpTexts();
const cards = new Map(); // id → CameraCard
const alerts = new AlertList();
const review = new Review();
const system = new SystemView();
const accounts = new AccountsView();
let threshold = 0.5; // at which alerts open, unless the camera has its own

// Views

let chosenCamera = null; // id of the camera whose own view is shown

/** Show the view that the address names, else the wall. */
function showView() {
  const views = { "#review": review, "#system": system, "#accounts": accounts };
  const hash = location.hash in views ? location.hash : "#wall";
  chosenCamera = [...cards.keys()].find((id) => location.hash === cards.get(id).address) ?? null;
  document.body.dataset.view = chosenCamera === null ? hash.slice(1) : "camera";
  for (const [id, card] of cards) card.choose(id === chosenCamera);
  alerts.choose(chosenCamera);
  summarise();
  for (const link of document.querySelectorAll("nav a")) {
    link.toggleAttribute("aria-current", link.id === `to-${document.body.dataset.view}`);
  }
  for (const [name, view] of Object.entries(views)) view.show(name === hash);
  loadSystem();
}

let areListed = false; // the cameras have been loaded

const loadSystem = () => areListed && system.load([...cards.values()].map(({ camera }) => camera));

// Cameras

const onScreen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    const card = cards.get(target.dataset.camera);
    if (card) card.visible = isIntersecting;
  }
}, { rootMargin: "200px" });

const resized = new ResizeObserver((entries) => {
  for (const { target } of entries) cards.get(target.dataset.camera)?.curve.resize();
});

function putCamera(camera) {
  const card = cards.get(camera.id) || addCard(camera);
  card.curve.threshold = camera.budget?.threshold ?? camera.alert.threshold ?? threshold;
  card.update(camera);
}

function addCard(camera) {
  const card = new CameraCard(camera, refresh, () => alerts.of(camera.id));
  cards.set(camera.id, card);
  const next = [...cards.keys()].sort().find((id) => id > camera.id);
  $("#cameras").insertBefore(card.node, next ? cards.get(next).node : null);
  onScreen.observe(card.node);
  resized.observe(card.node);
  return card;
}

function removeCamera(id) {
  const card = cards.get(id);
  if (!card) return;
  onScreen.unobserve(card.node);
  resized.unobserve(card.node);
  card.close();
  cards.delete(id);
  if (id === chosenCamera) location.hash = "";
}

// The summary in one line

function summarise() {
  const alarms = alerts.open().filter(({ kind }) => kind !== "unwatched"); // the summary tells of those
  const alarmed = new Set(alarms.map(({ camera }) => camera));
  for (const [id, card] of cards) card.node.classList.toggle("alarmed", alarmed.has(id));
  alerts.tick();
  document.title = alarmed.size ? `(${alarmed.size}) Lookout` : "Lookout";
  $("#cameras").dataset.size = wallSize(chosenCamera === null ? cards.size : 1);
  $("#no-cameras").hidden = cards.size > 0;
  $("#no-alerts").hidden = alerts.size > 0;
}

/** The size of the tiles, by how many there are. */
function wallSize(count) {
  if (count <= 1) return "one";
  if (count <= 9) return "few";
  return count <= 24 ? "many" : "wall";
}

/** Return the line on the whole watch; in English it is the server's own. */
function line({ enabled, alerts: open, cameras }) {
  const count = (standing) => cameras[standing]?.length || 0;
  const parts = [enabled ? t("summary.watched", { watched: count("watched"), enabled }) : t("summary.none")];
  if (open) parts.push(t("summary.alerts", { count: open }));
  const others = STANDINGS.filter(count);
  return [...parts, ...others.map((standing) => `${number(count(standing))} ${said(standing)}`)].join(" · ");
}

/** Show the line on the whole watch, and order the cards by their trouble. */
async function loadSummary() {
  const found = await call("/summary");
  const { level, cameras } = found;
  const text = line(found);
  const summary = $("#summary");
  if (summary.textContent !== text) summary.textContent = text; // a screen reader reads each change
  summary.dataset.level = level;
  const named = NAMED.filter((standing) => cameras[standing]);
  $("#summary-names").textContent = named.map((standing) => `${said(standing)}: ${cameras[standing].join(", ")}`).join(" · ");
  for (const [standing, ids] of Object.entries(cameras)) {
    for (const id of ids) {
      cards.get(id)?.stand(standing);
    }
  }
}

let summaryTimer = null;

function summariseSoon() {
  summarise();
  summaryTimer ??= setTimeout(() => {
    summaryTimer = null;
    loadSummary().catch(() => {}); // the socket shows that the server is away
  }, SUMMARY_AFTER_MS);
}

// REST

async function refresh() {
  const { items, unreadable } = await call("/cameras");
  const reasons = Object.entries(unreadable).map(([id, reason]) => `${id}: ${reason}`);
  showText($("#unreadable"), reasons.join("\n") || null);
  const ids = new Set(items.map((camera) => camera.id));
  for (const id of cards.keys()) {
    if (!ids.has(id)) removeCamera(id);
  }
  items.forEach(putCamera);
  areListed = true;
  review.offer(items.map(({ id }) => id));
  summarise();
  await loadSummary();
  await loadJobs();
  await loadSystem();
}

/** Show each camera's newest job of learning. */
async function loadJobs() {
  const { items } = await call("/jobs?latest=true");
  const jobs = new Map(items.map((job) => [job.camera, job]));
  for (const [id, card] of cards) card.learning.update(jobs.get(id) || null, card.camera);
}

/** Show the buttons that the role allows. The socket is closed where it changes. */
async function loadRole() {
  const me = await call("/me");
  document.body.dataset.role = me.role;
  $("#log-out").title = me.name;
  accounts.showMe(me);
}

async function loadAll() {
  await loadRole();
  threshold = (await call("/alert-rule")).threshold;
  review.threshold = threshold;
  await refresh();
  const open = await call("/alerts?state=open");
  const newest = await call(`/alerts?limit=${ALERTS_LOADED}`);
  const loaded = [...open.items, ...newest.items];
  alerts.keepOnly(new Set(loaded.map((alert) => alert.id)));
  loaded.forEach((alert) => alerts.put(alert));
  showView();
  await lookForNewerPage();
  await Promise.all([...cards.values()].map(loadCamera));
  summarise();
}

async function loadCamera(card) {
  const path = cameraPath(card.id);
  const none = { items: [] }; // a camera that was removed meanwhile
  const scores = await call(`${path}/scores?limit=${SCORES_LOADED}`).catch(() => none);
  scores.items.forEach((score) => card.addScore(score));
  const events = await call(`${path}/events?limit=${EVENTS_LOADED}`).catch(() => none);
  card.addEvents(events.items.reverse());
}

// The WebSocket

function handle({ type, event, data }) {
  if (type === "score") cards.get(data.camera)?.addScore(data);
  else if (type === "alert") {
    alerts.put(data);
    review.changed();
    if (event === "new" && !data.suppressed_by) ring();
  } else if (type === "event") cards.get(data.camera)?.addEvents([data]);
  else if (event === "end") removeCamera(data.id);
  else putCamera(data);
  if (type !== "score") summariseSoon();
}

let attempts = 0;
let socket = null;
let heardAt = 0; // performance.now() of the newest sign of the server
let isChecking = false;
let isAway = false; // the server has not answered
let isLoading = false; // the lists, after the socket has opened

function connect() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const opened = (socket = new WebSocket(`${scheme}://${location.host}${API}/live`));
  let early = []; // messages that come while the lists are loading; null afterwards
  opened.onopen = async () => {
    isLoading = true;
    try {
      await loadAll();
    } catch (error) {
      showLost(error.message);
      opened.close();
      return;
    } finally {
      isLoading = false;
    }
    if (opened !== socket) return; // there is a newer one
    attempts = 0;
    showBanner(null);
    const received = early;
    early = null;
    received.forEach(handle);
  };
  opened.onmessage = (message) => {
    heardAt = performance.now();
    const data = JSON.parse(message.data);
    if (early) early.push(data);
    else handle(data);
  };
  opened.onclose = () => {
    showLost();
    const pause = Math.min(RECONNECT_MOST_MS, RECONNECT_FIRST_MS * 2 ** attempts);
    attempts += 1;
    setTimeout(connect, pause * (0.75 + Math.random() / 2));
  };
}

/**
 * Where nothing has come for a while, ask whether the server still answers: a socket whose other end is
 * gone says nothing. A late answer is told meanwhile; after none the page connects anew, and catches up.
 */
async function checkAnswer() {
  if (document.hidden || isChecking || performance.now() - heardAt < QUIET_MS) return;
  if (socket?.readyState !== WebSocket.OPEN) return; // that is told already
  isChecking = true;
  const late = setTimeout(() => showLost(), LATE_MS);
  try {
    await fetch("./", { method: "HEAD", cache: "no-store", signal: AbortSignal.timeout(ANSWER_WITHIN_MS) });
    heardAt = performance.now();
    if (isAway) reconnect();
    else if (document.body.dataset.live !== "true" && !isLoading) showFound();
  } catch {
    isAway = true;
    showLost();
  } finally {
    clearTimeout(late);
    isChecking = false;
  }
}

function reconnect() {
  isAway = false;
  socket.onclose = socket.onmessage = null;
  socket.close();
  connect();
}

function showFound() {
  showBanner(null);
  summariseSoon();
}

function showLost(reason) {
  $("#summary").textContent = t("top.not_live");
  $("#summary").dataset.level = "warn";
  showBanner(reason ? t("top.lost_because", { reason }) : t("top.lost"));
}

function showBanner(text) {
  showText($("#banner"), text);
  document.body.dataset.live = String(!text);
  cards.forEach((card) => card.showLive());
}

// The login

async function offerLogOut() {
  const { needed } = await call("/session");
  for (const button of ["#log-out", "#log-out-all"]) $(button).hidden = !needed;
}

async function logOut(what) {
  await call(what, "DELETE").catch((error) => showBanner(error.message));
  location.reload();
}

/** Log out here, and then at the provider where the login is by one that has a page for it. */
async function logOutHere() {
  if (accounts.me?.by !== "oidc") return logOut("/session");
  const { address } = await call("/session/oidc").catch(() => ({})); // it is away: here alone
  if (!address) return logOut("/session");
  await call("/session", "DELETE").catch((error) => showBanner(error.message));
  const back = new URL("./", location.href).href;
  return location.assign(`${address}&${new URLSearchParams({ post_logout_redirect_uri: back })}`);
}

function logOutEverywhere() {
  if (confirm(t("top.log_out_all.sure"))) logOut("/logins");
}

// Start

const refreshIfSeen = () => document.hidden || refresh().catch(() => {}); // the socket shows trouble

$("#log-out").onclick = logOutHere;
$("#log-out-all").onclick = logOutEverywhere;
setUpForm((camera) => {
  putCamera(camera);
  summariseSoon();
});
setUpSound();
setUpTheme(() => {
  cards.forEach((card) => card.curve.redraw());
  review.redraw();
});
setInterval(() => {
  if (document.hidden) return;
  for (const card of cards.values()) card.draw(performance.now());
}, DRAW_EVERY_MS);
setInterval(summarise, SUMMARISE_EVERY_MS);
setInterval(checkAnswer, CHECK_EVERY_MS);
setInterval(reloadIfNewer, SUMMARISE_EVERY_MS);
setInterval(refreshIfSeen, REFRESH_EVERY_MS);
addEventListener("hashchange", showView);
matchMedia("(max-width: 75rem)").addEventListener("change", () => $("#options").hidePopover()); // the menu
document.addEventListener("visibilitychange", refreshIfSeen);
document.addEventListener("visibilitychange", () => document.hidden || lookForNewerPage().catch(() => {}));
document.addEventListener("visibilitychange", () => cards.forEach((card) => card.showLive()));
navigator.serviceWorker?.register("assets/service_worker.js", { scope: "./" }).catch(() => {}); // it works without
offerLogOut().catch(() => {}); // asked again when the page loads again
connect();
