// What lies over an alert's picture: boxes of what stood out or of what a mask would cover, and tracks.

import { API } from "./api.js";

const SVG = "http://www.w3.org/2000/svg";

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

/** Return boxes and tracks of regions, to lie over a picture. A track ends in a dot; one of a single place is left out. */
export function newMarks(regions, tracks) {
  const marks = document.createElementNS(SVG, "svg");
  marks.setAttribute("viewBox", "0 0 1 1");
  marks.setAttribute("preserveAspectRatio", "none");
  marks.setAttribute("aria-hidden", "true");
  const boxes = regions.map(({ box: [left, top, width, height] }) => ["region", `M${left} ${top}h${width}v${height}h${-width}z`]);
  const lines = tracks.filter(({ points }) => points.length > 1).flatMap(({ points }) => {
    const places = points.map(({ box: [left, top, width, height] }) => `${left + width / 2} ${top + height / 2}`);
    return [["track", `M${places.join("L")}`], ["dot", `M${places.at(-1)}h0`]];
  });
  for (const [kind, course] of [...boxes, ...lines]) {
    for (const layer of ["halo", "line"]) {
      const path = document.createElementNS(SVG, "path");
      path.setAttribute("class", `${kind} ${layer}`);
      path.setAttribute("d", course);
      marks.append(path);
    }
  }
  return marks;
}
