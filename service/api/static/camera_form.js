// The form that adds a camera or changes one. Its fields are those of CameraSpec in the OpenAPI
// schema: titles are labels, descriptions help, enums choices; `x-choices` names the list that the
// choices come from.

import { $, call, cameraPath, showText, versionOf } from "./api.js";
import { showConflict, showFieldErrors } from "./form_refusal.js";
import { said, t } from "./texts.js";
import { newZoneEditor } from "./zone_editor.js";

let changed = null; // the camera that is being changed; null while one is added
let version = null; // of its fields as the form shows them

/** Let the operator add cameras; `onSaved` is called with each that was added or changed. */
export function setUpForm(onSaved) {
  const dialog = $("#add");
  $("#add-open").onclick = () => openForm(null);
  dialog.onclose = () => $("#add-fields").replaceChildren(); // its live picture ends
  $("#add-cancel").onclick = () => dialog.close();
  $("#add-form").onsubmit = async (event) => {
    event.preventDefault();
    showConflict([]);
    const [path, method] = changed ? [cameraPath(changed.id), "PATCH"] : ["/cameras", "POST"];
    try {
      onSaved(await call(path, method, entered(), version));
      dialog.close();
    } catch (error) {
      showRefusal(error);
    }
  };
}

/** Say why a change was not made; what somebody else has changed meanwhile is taken over or chosen. */
function showRefusal(error) {
  const { message, problem, version: newest } = error;
  const wrong = showFieldErrors(controls(), problem?.errors);
  const isAll = wrong > 0 && wrong === problem.errors.length;
  showText($("#add-error"), isAll ? t("form.wrong", { count: wrong }) : message);
  $("zone-editor")?.showErrors(problem);
  if (!problem?.current) return;
  version = newest; // who saves again has seen both
  const both = controls().flatMap((control) => takeOver(control, problem.current));
  showConflict(both);
  showText($("#add-error"), t(both.length ? "form.conflict" : "form.conflict_elsewhere", { camera: changed.id }));
  $("#add-error").scrollIntoView({ block: "nearest" });
}

/** Take over what a field is now; return both versions, in a list, where this form has another. */
function takeOver(control, current) {
  const mine = valueOf(control);
  const isTouched = JSON.stringify(mine) !== control.dataset.before;
  const yours = shownValue(control);
  put(control, current);
  const theirs = valueOf(control);
  if (!isTouched || JSON.stringify(mine) === control.dataset.before) return [];
  const now = shownValue(control);
  const choose = (isNow) => setValue(control, isNow ? theirs : mine);
  choose(false);
  return [{ label: labelOf(control), now, yours, choose }];
}

/** Return a field's value in words. */
function shownValue(control) {
  if (control.type === "checkbox") return t(control.checked ? "form.on" : "form.off");
  if (control.name === "zones") return (valueOf(control) || []).map(({ name }) => name).join(", ") || t("none.value");
  return control.selectedOptions?.[0].textContent || control.value || t("form.unset");
}

function labelOf(control) {
  const group = control.closest("fieldset")?.querySelector("legend").textContent;
  const own = control.closest("label")?.firstChild.textContent;
  return [group, own].filter(Boolean).join(": ");
}

/** Open the form for a camera that there is, or for a new one (null). */
export async function openForm(camera) {
  changed = camera;
  $("#add-title").textContent = camera ? t("form.change", { camera: camera.id }) : t("form.add");
  $("#add-submit").textContent = t(camera ? "save" : "top.add");
  showText($("#add-error"), null);
  showConflict([]);
  $("#add-fields").replaceChildren();
  $("#add").showModal();
  try {
    version = camera ? await versionOf(cameraPath(camera.id)) : null;
    const { schemas } = (await call("/openapi.json")).components;
    const fields = await newFields(schemas.CameraSpec, schemas, "");
    $("#add-fields").replaceChildren(...fields);
    if (camera) fill(camera);
    $("input", $("#add-fields"))?.focus();
  } catch (error) {
    showText($("#add-error"), error.message);
  }
}

const controls = () => [...$("#add-fields").querySelectorAll("input, select")].filter((control) => control.name);

/** Show what the camera has. Passwords are masked: an address is sent only where it was changed. */
function fill(camera) {
  $("zone-editor").show(camera);
  for (const control of controls()) {
    put(control, camera);
    control.disabled = control.name === "id";
  }
}

/** Show what a camera has in one field, and keep it, to tell a change. */
function put(control, camera) {
  setValue(control, control.name.split(".").reduce((outer, name) => outer?.[name], camera) ?? "");
  control.dataset.before = JSON.stringify(valueOf(control));
}

function setValue(control, value) {
  if (control.name === "zones") $("zone-editor").take(value || []);
  else if (control.type === "checkbox") control.checked = value;
  else {
    if (control.tagName === "SELECT" && ![...control.options].some((option) => option.value === value)) {
      control.add(new Option(value || t("form.unset"), value));
    }
    control.value = Array.isArray(value) ? (value.length ? JSON.stringify(value) : "") : value;
  }
}

/** Return a control for each property of an object's schema. */
function newFields(schema, schemas, prefix) {
  const required = schema.required || [];
  const made = Object.entries(schema.properties).map(([name, property]) =>
    newField(prefix + name, { ...valueSchema(property, schemas), ...property }, schemas, required.includes(name)));
  return Promise.all(made);
}

/** Return the schema of a property's value: behind a reference, and without null. */
function valueSchema(property, schemas) {
  if (property.$ref) return schemas[property.$ref.split("/").pop()];
  const choice = (property.anyOf || []).find(({ type }) => type !== "null") || {};
  return choice.$ref ? valueSchema(choice, schemas) : choice;
}

async function newField(name, schema, schemas, required) {
  if (schema.items?.$ref?.endsWith("/ZoneSettings")) {
    const group = document.createElement("fieldset");
    const legend = document.createElement("legend");
    legend.textContent = said(schema.title);
    group.append(legend, newZoneEditor(plain(schema.description), numbers(schemas.AlertSettings, schemas, [])));
    return group;
  }
  const help = document.createElement("small");
  help.textContent = plain(schema.description);
  if (schema.properties) {
    const group = document.createElement("fieldset");
    group.dataset.name = name;
    group.dataset.optional = String((schema.anyOf || []).some(({ type }) => type === "null"));
    const legend = document.createElement("legend");
    legend.textContent = said(schema.title);
    const fields = required ? schema : { ...schema, required: [] }; // a group may be left out
    group.append(legend, help, ...(await newFields(fields, schemas, `${name}.`)));
    return group;
  }
  const control = await newControl(schema);
  control.name = name;
  control.required = required;
  const label = document.createElement("label");
  label.className = required ? "wide" : "";
  label.append(said(schema.title), control, help);
  return label;
}

const plain = (description = "") => said(description).replaceAll("`", "").replace(/\[([^\]]*)\]\([^)]*\)/g, "$1");

/** Return path and title of each number in a schema and the groups within. */
function numbers(schema, schemas, path) {
  return Object.entries(schema.properties).flatMap(([name, property]) => {
    const inner = { ...valueSchema(property, schemas), ...property };
    if (inner.properties) return numbers(inner, schemas, [...path, name]);
    return inner.type === "number" ? [{ path: [...path, name], title: said(property.title) }] : [];
  });
}

async function newControl(schema) {
  if (schema["x-choices"] || schema.enum) return newSelect(schema);
  const input = document.createElement("input");
  if (schema.type === "boolean") {
    input.type = "checkbox";
    input.checked = schema.default;
    return input;
  }
  input.autocomplete = "off";
  input.spellcheck = false;
  input.dataset.type = schema.type;
  if (schema.type === "number" || schema.type === "integer") input.inputMode = "decimal";
  const example = schema.examples?.[0];
  if (example !== undefined) input.placeholder = t("example", { example: schema.type === "array" ? JSON.stringify(example) : String(example) });
  return input;
}

async function newSelect(schema) {
  const select = document.createElement("select");
  if (!schema.default) select.add(new Option(t("form.unset"), ""));
  for (const value of schema.enum || []) select.add(new Option(value, value, value === schema.default));
  if (schema.enum) select.value = schema.default || "";
  const items = schema["x-choices"] ? (await call(schema["x-choices"])).items : [];
  for (const { name, error } of items) {
    const option = new Option(error ? t("form.unusable", { name }) : name, name);
    option.disabled = Boolean(error);
    select.add(option);
  }
  return select;
}

/**
 * Return what the operator entered. Of a new camera an empty field is left out, so that its default
 * holds; of one that there is, what has not changed is left out, and an empty field is null.
 */
function entered() {
  const body = {};
  for (const control of controls()) {
    const value = valueOf(control);
    if (changed ? JSON.stringify(value) === control.dataset.before : value === "" && !control.required) continue;
    set(body, control.name, value === "" && !control.required ? emptied(control) : value);
  }
  if (changed) clearEmptyGroups(body);
  return body;
}

const emptied = (control) => (control.dataset.type === "array" ? [] : null);

function set(body, path, value) {
  const groups = path.split(".");
  const name = groups.pop();
  groups.reduce((outer, inner) => (outer[inner] ??= {}), body)[name] = value;
}

/** A group that may be left out, and of which everything was emptied, is null as a whole. */
function clearEmptyGroups(body) {
  for (const group of $("#add-fields").querySelectorAll("fieldset[data-optional=true]")) {
    const inside = controls().filter((control) => group.contains(control));
    const wasFilled = inside.some((control) => JSON.parse(control.dataset.before) !== "");
    if (wasFilled && inside.every((control) => valueOf(control) === "")) set(body, group.dataset.name, null);
  }
}

/** Text that should be a number or a list and is none is sent as it stands: the server says what is wrong. */
function valueOf(control) {
  if (control.type === "checkbox") return control.checked;
  const text = control.value.trim();
  if (control.dataset.type === "array" && text !== "") {
    try {
      return JSON.parse(text);
    } catch {
      return text;
    }
  }
  const isNumber = ["number", "integer"].includes(control.dataset.type) && text !== "" && Number.isFinite(Number(text));
  return isNumber ? Number(text) : text;
}
