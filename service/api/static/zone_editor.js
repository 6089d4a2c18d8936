// Zones of a camera, drawn on its picture or entered as numbers: an element of the form, whose value
// is the list of ZoneSettings in its hidden input. The server judges; a refusal is shown at its zone.

import { $, API, cameraPath, fromTemplate, showText } from "./api.js";
import { LivePicture } from "./live_picture.js";
import { OfferedMasks } from "./offered_masks.js";
import { problemOfField, t } from "./texts.js";

const WIDTH = 1000; // of the drawing's coordinates; its height follows the picture
const DIGITS = 1e4; // corners are rounded to a ten thousandth of the picture
const CORNER_PX = 7; // radius on the screen
const MIDDLE_PX = 5;
const CROSS_PX = 9;
const NUDGE = 0.005; // of an arrow key
const DOUBLE_MS = 400; // between the two presses of a double click
const FEWEST = 3; // corners that close
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const rounded = (share) => Math.round(Math.min(1, Math.max(0, share)) * DIGITS) / DIGITS;

class ZoneEditor extends HTMLElement {
  /** Build the element; `policy`: the numbers of a zone's alert policy as {path, title}. */
  setUp(help, policy) {
    this.policy = policy;
    this.zones = [];
    this.selected = -1; // the zone whose corners are shown
    this.corner = -1; // of it: the one that keys move or delete
    this.isDrawing = false; // each click adds a corner
    this.pressedAt = -Infinity; // when a corner was pressed last (ms)
    this.isDragged = false; // the corner follows the pointer
    this.cross = null; // where the server says that an outline crosses itself
    this.append(fromTemplate("#zone-editor-template"));
    this.input = $("input[type=hidden]", this);
    this.drawing = $("svg", this);
    this.picture = $(".still", this);
    this.live = new LivePicture($(".live-picture", this), (width, height) => this.setAspect(width, height));
    $("small", this).textContent = help;
    this.picture.onload = () => {
      this.picture.hidden = false;
      if ($(".live-picture", this).hidden) this.setAspect(this.picture.naturalWidth, this.picture.naturalHeight);
    };
    this.offers = new OfferedMasks($(".offers", this), (zone) => this.takeOver(zone));
    $(".new-zone", this).onclick = () => this.addZone();
    this.drawing.onpointerdown = (event) => this.press(event);
    this.drawing.onpointermove = (event) => this.isDragged && this.moveCorner(this.at(event));
    this.drawing.onpointerup = () => (this.isDragged = false);
    this.drawing.onkeydown = (event) => this.key(event);
    this.render();
    return this;
  }

  /** Show a camera's zones over its newest picture, and over the live one as soon as it is there. */
  show(camera) {
    this.live.start(camera.id);
    this.offers.show(camera.id);
    this.picture.src = `${API}${cameraPath(camera.id)}/frame?format=jpeg&at=${Date.now()}`;
    this.take(camera.zones);
  }

  /** Show zones in place of those that are shown. */
  take(zones) {
    this.zones = structuredClone(zones);
    this.selected = -1;
    this.commit();
    this.render();
  }

  disconnectedCallback() {
    this.live?.stop();
  }

  setAspect(width, height) {
    this.height = (WIDTH * height) / width;
    this.draw();
  }

  get zone() {
    return this.zones[this.selected];
  }

  // Changes

  /** Return a name that no zone has: a word and a number. */
  newName(word) {
    const taken = new Set(this.zones.map(({ name }) => name));
    let number = 1;
    while (taken.has(`${word}-${number}`)) number += 1;
    return `${word}-${number}`;
  }

  /** Make a zone of a mask that is offered. */
  takeOver(zone) {
    this.zones.push({ ...zone, name: this.newName("offered") });
    this.select(this.zones.length - 1);
    $(".zone[data-selected] .zone-name", this).focus();
  }

  addZone() {
    this.zones.push({ name: this.newName("zone"), kind: "ignore", points: [], alert: null });
    this.select(this.zones.length - 1);
    this.isDrawing = true;
    this.render();
    $(".zone[data-selected] .zone-name", this).focus();
  }

  select(index) {
    this.selected = index;
    this.corner = -1;
    this.isDrawing = false;
    this.render();
  }

  removeZone(index) {
    this.zones.splice(index, 1);
    this.select(-1);
    $(".new-zone", this).focus();
  }

  /** Add a corner before `index`; without a place it is in the middle of its neighbours. */
  addCorner(index, place = null) {
    const { points } = this.zone;
    const [before, after] = [points[index - 1] || points.at(-1), points[index] || points[0]];
    const between = before ? before.map((share, axis) => rounded((share + after[axis]) / 2)) : [0.5, 0.5];
    points.splice(index, 0, place || between);
    this.corner = index;
    this.render();
  }

  moveCorner(place) {
    this.zone.points[this.corner] = place;
    const row = this.querySelectorAll(".zone[data-selected] .corner")[this.corner];
    row.querySelectorAll("input").forEach((input, axis) => (input.value = place[axis]));
    this.commit();
  }

  removeCorner() {
    this.zone.points.splice(this.corner, 1);
    this.corner = -1;
    this.render();
  }

  finish() {
    this.isDrawing = false;
    this.render();
  }

  // Mouse and keys on the picture

  /** Return the place of a pointer as shares of the picture. */
  at(event) {
    const box = this.drawing.getBoundingClientRect();
    return [rounded((event.clientX - box.left) / box.width), rounded((event.clientY - box.top) / box.height)];
  }

  press(event) {
    event.preventDefault();
    this.drawing.focus();
    const { corner, middle, zone } = event.target.dataset;
    if (this.isDrawing) {
      if (corner === "0" && this.zone.points.length >= FEWEST) this.finish();
      else this.addCorner(this.zone.points.length, this.at(event));
      return;
    }
    if (middle) this.addCorner(Number(middle), this.at(event));
    else if (corner) {
      const isSecond = this.corner === Number(corner) && event.timeStamp - this.pressedAt < DOUBLE_MS;
      this.corner = Number(corner);
      this.pressedAt = event.timeStamp; // no dblclick comes, since the drawing is made anew
      if (isSecond) {
        this.removeCorner();
        return;
      }
    } else {
      this.corner = -1;
      if (zone) this.select(Number(zone));
      else this.draw();
      return;
    }
    this.isDragged = true;
    this.drawing.setPointerCapture(event.pointerId);
    this.draw();
  }

  key(event) {
    const step = ARROWS[event.key];
    const hasCorner = this.zone && this.corner >= 0;
    if (this.isDrawing && event.key === "Enter") this.finish();
    else if (this.isDrawing && event.key === "Escape") this.removeZone(this.selected);
    else if (hasCorner && ["Delete", "Backspace"].includes(event.key)) this.removeCorner();
    else if (hasCorner && step) {
      this.moveCorner(this.zone.points[this.corner].map((share, axis) => rounded(share + NUDGE * step[axis])));
    } else return;
    event.preventDefault(); // Escape would close the form
  }

  // What is seen

  /** Take over the zones as they are: the form's value, and the drawing. */
  commit() {
    this.input.value = this.zones.length ? JSON.stringify(this.zones) : "";
    this.draw();
  }

  render() {
    this.commit();
    const rows = this.zones.map((zone, index) => this.newRow(zone, index));
    const list = $(".zone-list", this);
    const stops = () => [...list.querySelectorAll("input, select, button")];
    const focused = stops().indexOf(document.activeElement);
    list.replaceChildren(...rows);
    if (focused >= 0) stops()[focused]?.focus(); // of a new corner: its first number
    const hint = this.isDrawing
      ? "zones.hint_draw"
      : "zones.hint_edit";
    showText($(".hint", this), this.zone ? t(hint) : null);
  }

  draw() {
    this.height ??= (WIDTH * 9) / 16;
    this.unit = WIDTH / (this.drawing.getBoundingClientRect().width || WIDTH); // of a pixel
    this.drawing.setAttribute("viewBox", `0 0 ${WIDTH} ${this.height}`);
    $(".zone-screen", this).style.aspectRatio = `${WIDTH} / ${this.height}`;
    const shapes = this.zones.map((zone, index) => {
      const outline = zone.points.map((point) => this.place(point).join(" "));
      const shape = outline.length ? `M${outline.join("L")}${this.isOpen(index) ? "" : "Z"}` : "";
      return newShape("path", { d: shape, "data-zone": index, class: `${zone.kind} ${this.isOpen(index) ? "open" : ""}` });
    });
    if (this.zone) shapes.push(...this.handles());
    if (this.cross) {
      const [x, y] = this.place(this.cross);
      const arm = CROSS_PX * this.unit;
      const d = `M${x - arm} ${y - arm}L${x + arm} ${y + arm}M${x - arm} ${y + arm}L${x + arm} ${y - arm}`;
      shapes.push(newShape("path", { d, class: "cross" }));
    }
    this.drawing.replaceChildren(...shapes);
  }

  isOpen(index) {
    return this.isDrawing && index === this.selected;
  }

  place([x, y]) {
    return [x * WIDTH, y * this.height];
  }

  /** Return the corners of the selected zone, and the middles of its sides. */
  handles() {
    const { points } = this.zone;
    const middles = points.length < FEWEST || this.isDrawing ? [] : points.map((point, index) => {
      const next = (index + 1) % points.length;
      const [cx, cy] = this.place(point.map((share, axis) => (share + points[next][axis]) / 2));
      return newShape("circle", { cx, cy, r: MIDDLE_PX * this.unit, "data-middle": index + 1, class: "middle" });
    });
    const corners = points.map((point, index) => {
      const [cx, cy] = this.place(point);
      const kind = index === this.corner ? "corner chosen" : "corner";
      return newShape("circle", { cx, cy, r: CORNER_PX * this.unit, "data-corner": index, class: kind });
    });
    return [...middles, ...corners];
  }

  newRow(zone, index) {
    const row = fromTemplate("#zone-template");
    row.dataset.kind = zone.kind;
    row.toggleAttribute("data-selected", index === this.selected);
    $(".zone-name", row).value = zone.name;
    $(".zone-kind", row).value = zone.kind;
    $(".zone-name", row).oninput = ({ target }) => {
      zone.name = target.value.trim();
      nameControls(row, zone);
      this.commit();
    };
    $(".zone-kind", row).onchange = ({ target }) => {
      zone.kind = target.value;
      if (zone.kind === "ignore") zone.alert = null;
      this.render();
    };
    $(".edit-zone", row).textContent = t(this.isOpen(index) ? "zone.done" : "zone.edit");
    $(".edit-zone", row).dataset.label = this.isOpen(index) ? "zone.done_of" : "zone.edit_of";
    $(".edit-zone", row).setAttribute("aria-pressed", String(index === this.selected));
    $(".edit-zone", row).onclick = () => (this.isOpen(index) ? this.finish() : this.select(index === this.selected ? -1 : index));
    $(".remove-zone", row).onclick = () => this.removeZone(index);
    if (index === this.selected) $(".corners", row).replaceChildren(...this.newCorners(zone));
    $(".zone-more", row).hidden = index !== this.selected;
    $(".add-corner", row).onclick = () => this.addCorner(zone.points.length);
    const policy = $(".zone-policy", row);
    policy.hidden = zone.kind !== "watch";
    if (!policy.hidden) policy.append(...this.policy.map((field) => newPolicyField(zone, field, () => this.commit())));
    nameControls(row, zone);
    return row;
  }

  newCorners(zone) {
    return zone.points.map((point, index) => {
      const row = fromTemplate("#corner-template");
      row.querySelectorAll("input").forEach((input, axis) => {
        input.value = point[axis];
        Object.assign(input.dataset, { label: "zone.corner_of", axis: "xy"[axis], number: index + 1 });
        input.oninput = () => {
          point[axis] = input.value === "" ? null : Number(input.value);
          this.corner = index;
          this.commit();
        };
      });
      Object.assign($("button", row).dataset, { label: "zone.remove_corner_of", number: index + 1 });
      $("button", row).onclick = () => {
        this.corner = index;
        this.removeCorner();
      };
      return row;
    });
  }

  // Refusals

  /** Show at each zone what the server has against it, and where its outline crosses itself. */
  showErrors(problem) {
    const texts = new Map();
    this.cross = null;
    for (const error of problem?.errors || []) {
      const { loc, values = {} } = error;
      if (loc[1] !== "zones") continue;
      const named = this.zones.findIndex(({ name }) => name === values.zone);
      const index = loc[2] === undefined ? named : Number(loc[2]);
      texts.set(index, [...(texts.get(index) || []), [...loc.slice(3), problemOfField(error)].join(" ")]);
      if (error.type === "zone_crosses") this.cross = [Number(values.x), Number(values.y)];
    }
    const first = [...texts.keys()].find((index) => index >= 0);
    if (first !== undefined) this.select(first);
    this.querySelectorAll(".zone").forEach((row, index) => showText($(".error", row), texts.get(index)?.join("\n")));
    this.draw();
    $(".zone[data-selected]", this)?.scrollIntoView({ block: "nearest" });
  }
}

/** Name the zone in the label of each of its controls. */
function nameControls(row, { name }) {
  for (const control of row.querySelectorAll("[data-label]")) {
    control.setAttribute("aria-label", t(control.dataset.label, { ...control.dataset, zone: name }));
  }
}

/** Return a number of a watched zone's own alert policy. */
function newPolicyField(zone, { path, title }, onChange) {
  const label = document.createElement("label");
  const input = document.createElement("input");
  input.inputMode = "decimal";
  input.placeholder = t("zone.as_camera");
  input.value = path.reduce((outer, name) => outer?.[name], zone.alert) ?? "";
  Object.assign(input.dataset, { label: "zone.policy_of", title });
  input.onchange = () => {
    const text = input.value.trim();
    zone.alert = withValue(zone.alert, path, text !== "" && Number.isFinite(Number(text)) ? Number(text) : text || null);
    onChange();
  };
  label.append(title, input);
  return label;
}

/** Return settings with the value at a path; null where nothing is set in them. */
function withValue(settings, [name, ...rest], value) {
  const changed = { ...settings, [name]: rest.length ? withValue(settings?.[name], rest, value) : value };
  return Object.values(changed).every((one) => one === null) ? null : changed;
}

function newShape(kind, attributes) {
  const shape = document.createElementNS("http://www.w3.org/2000/svg", kind);
  for (const [name, value] of Object.entries(attributes)) shape.setAttribute(name, value);
  return shape;
}

customElements.define("zone-editor", ZoneEditor);

export const newZoneEditor = (help, policy) => document.createElement("zone-editor").setUp(help, policy);
