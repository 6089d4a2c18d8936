// An alert's picture with boxes over it, for whoever shows what stood out or what a mask would cover.

import { API } from "./api.js";

/** Return an alert's picture; it goes where there is none any more. */
export function newPicture(alert, text) {
  const picture = new Image();
  picture.alt = text;
  picture.onerror = () => picture.remove();
  picture.src = `${API}/alerts/${encodeURIComponent(alert)}/picture`;
  return picture;
}

/** Return a box to lie over a picture; left, top, width and height are shares of the picture's sides. */
export function newBox(sides) {
  const box = document.createElement("span");
  box.className = "box";
  ["left", "top", "width", "height"].forEach((side, at) => (box.style[side] = `${100 * sides[at]}%`));
  return box;
}
