// Light and dark: as the system prefers, or as the person has chosen in this browser.

import { $ } from "./api.js";
import { remember, remembered, t } from "./texts.js";

const KEY = "lookout.theme";
const CHOICES = ["system", "light", "dark"];

const LABELS = { system: "theme.system", light: "theme.light", dark: "theme.dark" };

const chosen = () => remembered(KEY, CHOICES) || "system";

export function applyTheme() {
  const choice = chosen();
  document.documentElement.style.colorScheme = choice === "system" ? "" : choice;
}

/** Let the button go through the choices; `onChange` is called when the colours have changed. */
export function setUpTheme(onChange) {
  const button = $("#theme");
  const show = () => {
    applyTheme();
    button.textContent = t(LABELS[chosen()]);
  };
  button.onclick = () => {
    const next = CHOICES[(CHOICES.indexOf(chosen()) + 1) % CHOICES.length];
    if (!remember(KEY, next)) return; // what cannot be kept is not changed
    show();
    onChange();
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", onChange);
  show();
}

/** Return a colour of page.css as it is now, for what is drawn on a canvas. */
export function color(name) {
  const probe = document.createElement("span");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}
