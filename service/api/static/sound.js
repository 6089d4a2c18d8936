// A sound for each new alert, where somebody has asked for it in this browser.

import { $ } from "./api.js";
import { remember, remembered, t } from "./texts.js";

const KEY = "lookout.sound";
const CHOICES = ["off", "on"];
const LABELS = { off: "sound.off", on: "sound.on" };
const TONES_HZ = [660, 880];
const TONE_S = 0.18;
const LOUDNESS = 0.25;
const REST_MS = 3000; // many alerts at once are one sound

let audio = null; // an AudioContext, once somebody has pressed something
let rangAt = -REST_MS;

const isOn = () => remembered(KEY, CHOICES) === "on";

/** Let the button turn the sound on and off; turned on, it is heard once. */
export function setUpSound() {
  const button = $("#sound");
  const show = () => {
    button.textContent = t(LABELS[isOn() ? "on" : "off"]);
    button.setAttribute("aria-pressed", String(isOn()));
  };
  button.onclick = async () => {
    if (!remember(KEY, isOn() ? "off" : "on")) return; // what cannot be kept is not changed
    show();
    await wake();
    ring();
  };
  // Browsers let a page sound once it has been touched: after a reload, at the next press.
  for (const press of ["pointerdown", "keydown"]) addEventListener(press, wake, true);
  show();
}

async function wake() {
  if (!isOn()) return;
  audio ??= new AudioContext();
  await audio.resume();
}

/** Sound, where it is on and this browser lets it. */
export function ring() {
  if (!isOn() || audio?.state !== "running" || performance.now() - rangAt < REST_MS) return;
  rangAt = performance.now();
  TONES_HZ.forEach((hertz, index) => {
    const from = audio.currentTime + index * TONE_S;
    const loudness = new GainNode(audio, { gain: 0 });
    loudness.gain.setTargetAtTime(LOUDNESS, from, 0.01);
    loudness.gain.setTargetAtTime(0, from + TONE_S / 2, 0.04);
    const tone = new OscillatorNode(audio, { frequency: hertz });
    tone.connect(loudness).connect(audio.destination);
    tone.start(from);
    tone.stop(from + 2 * TONE_S);
  });
}
