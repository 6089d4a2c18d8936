// What the form of a camera says of a refusal: at each field what is wrong with it, and where somebody
// else was faster both versions side by side, with the choice for each field.

import { $, fromTemplate } from "./api.js";
import { problemOfField, t } from "./texts.js";

/** Say at each control what is wrong with it, and go to the first; return how many have a text. */
export function showFieldErrors(controls, errors = []) {
  clearFieldErrors(controls);
  const wrong = new Map();
  for (const error of errors) {
    const path = error.loc.slice(1).join(".");
    const inside = controls.filter(({ name }) => path === name || path.startsWith(`${name}.`));
    const control = inside.pop() || controls.find(({ name }) => name.startsWith(`${path}.`));
    if (control && control.type !== "hidden") wrong.set(control, [...(wrong.get(control) || []), problemOfField(error)]);
  }
  for (const [control, texts] of wrong) {
    const text = document.createElement("span");
    text.className = "error";
    text.id = `wrong-${control.name}`;
    text.textContent = texts.join("\n");
    control.after(text);
    control.setAttribute("aria-invalid", "true");
    control.setAttribute("aria-describedby", text.id);
  }
  controls.find((control) => wrong.has(control))?.focus();
  return wrong.size;
}

export function clearFieldErrors(controls) {
  for (const control of controls) {
    control.parentElement.querySelector(".error[id]")?.remove();
    control.removeAttribute("aria-invalid");
    control.removeAttribute("aria-describedby");
  }
}

/** Show both versions of some fields; each is {label, now, yours, choose}: `choose(isNow)` takes a version. */
export function showConflict(fields) {
  const table = $("#add-conflict");
  table.hidden = !fields.length;
  $("tbody", table).replaceChildren(...fields.map(({ label, now, yours, choose }, index) => {
    const row = fromTemplate("#conflict-template");
    $("th", row).textContent = label;
    [now, yours].forEach((text, column) => {
      const cell = row.cells[column + 1];
      const radio = $("input", cell);
      radio.name = `version-${index}`;
      radio.checked = column === 1;
      radio.onchange = () => choose(column === 0);
      radio.setAttribute("aria-label", t(column ? "form.yours_of" : "form.now_of", { field: label, value: text }));
      $("span", cell).textContent = text;
    });
    return row;
  }));
}
