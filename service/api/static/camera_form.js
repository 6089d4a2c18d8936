// The form that adds a camera. Its fields are those of CameraSpec in the OpenAPI schema: titles are
// labels, descriptions help, enums choices; `x-choices` names the list that the choices come from.

import { $, call, showText } from "./api.js";

/** Let the operator add cameras; `onAdded` is called with each. */
export function setUpForm(onAdded) {
  const dialog = $("#add");
  $("#add-open").onclick = open;
  $("#add-cancel").onclick = () => dialog.close();
  $("#add-form").onsubmit = async (event) => {
    event.preventDefault();
    try {
      onAdded(await call("/cameras", "POST", entered()));
      dialog.close();
    } catch (error) {
      showText($("#add-error"), error.message);
    }
  };
}

async function open() {
  showText($("#add-error"), null);
  $("#add-fields").replaceChildren();
  $("#add").showModal();
  try {
    const { schemas } = (await call("/openapi.json")).components;
    const fields = await newFields(schemas.CameraSpec, schemas, "");
    $("#add-fields").replaceChildren(...fields);
    $("input", $("#add-fields"))?.focus();
  } catch (error) {
    showText($("#add-error"), error.message);
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
  const help = document.createElement("small");
  help.textContent = (schema.description || "").replaceAll("`", "");
  if (schema.properties) {
    const group = document.createElement("fieldset");
    const legend = document.createElement("legend");
    legend.textContent = schema.title;
    const fields = required ? schema : { ...schema, required: [] }; // a group may be left out
    group.append(legend, help, ...(await newFields(fields, schemas, `${name}.`)));
    return group;
  }
  const control = await newControl(schema);
  control.name = name;
  control.required = required;
  const label = document.createElement("label");
  label.className = required ? "wide" : "";
  label.append(schema.title, control, help);
  return label;
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
  if (example !== undefined) input.placeholder = `e.g. ${schema.type === "array" ? JSON.stringify(example) : example}`;
  return input;
}

async function newSelect(schema) {
  const select = document.createElement("select");
  if (!schema.default) select.add(new Option("unset", ""));
  for (const value of schema.enum || []) select.add(new Option(value, value, value === schema.default));
  if (schema.enum) select.value = schema.default || "";
  const items = schema["x-choices"] ? (await call(schema["x-choices"])).items : [];
  for (const { name, error } of items) {
    const option = new Option(error ? `${name} (cannot be used)` : name, name);
    option.disabled = Boolean(error);
    select.add(option);
  }
  return select;
}

/** Return what the operator entered; an empty field is left out, so that its default holds. */
function entered() {
  const body = {};
  for (const control of $("#add-fields").querySelectorAll("input, select")) {
    const value = valueOf(control);
    if (value === "" && !control.required) continue;
    const groups = control.name.split(".");
    const name = groups.pop();
    const group = groups.reduce((outer, inner) => (outer[inner] ??= {}), body);
    group[name] = value;
  }
  return body;
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
