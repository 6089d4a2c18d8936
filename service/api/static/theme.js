// Light and dark: as the system prefers, or as the person has chosen in this browser.

import { $ } from "./api.js";

const KEY = "lookout.theme";
const CHOICES = ["system", "light", "dark"];

function chosen() {
  try {
    return CHOICES.includes(localStorage.getItem(KEY)) ? localStorage.getItem(KEY) : "system";
  } catch {
    return "system"; // storage is off in this browser
  }
}

export function applyTheme() {
  const choice = chosen();
  document.documentElement.style.colorScheme = choice === "system" ? "" : choice;
}

/** Let the button go through the choices; `onChange` is called when the colours have changed. */
export function setUpTheme(onChange) {
  const button = $("#theme");
  const show = () => {
    applyTheme();
    button.textContent = `Theme: ${chosen()}`;
  };
  button.onclick = () => {
    const next = CHOICES[(CHOICES.indexOf(chosen()) + 1) % CHOICES.length];
    try {
      localStorage.setItem(KEY, next);
    } catch {
      return; // what cannot be kept is not changed
    }
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
