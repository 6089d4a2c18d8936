// A page that is older than the server after an upgrade loads itself again: once for each version,
// and not while a form is being filled in. Where it may not, it says so.

import { $ } from "./api.js";
import { t } from "./texts.js";

const KEY = "lookout.reloaded_for"; // the version for which this tab was loaded again
const own = $("meta[name=page-version]").content;
let newer = null; // the version that the server has, where it is another

/** Ask the server for its version of the page. */
export async function lookForNewerPage() {
  const answer = await fetch("./", { method: "HEAD", cache: "no-store" });
  const tag = answer.ok ? answer.headers.get("ETag") : null;
  const served = tag?.replace(/^W\/|"/g, ""); // a proxy that compresses makes the tag a weak one
  newer = served && served !== own ? served : null;
  reloadIfNewer();
}

/** Load the newer page, if there is one and nothing is lost by it. */
export function reloadIfNewer() {
  const isBusy = isFilling();
  if (newer && !isBusy && isFirstTime()) location.reload();
  $("#newer").hidden = !newer;
  const text = newer ? t(isBusy ? "newer.later" : "newer.now") : "";
  if ($("#newer span").textContent !== text) $("#newer span").textContent = text;
  $("#newer button").onclick = () => location.reload();
}

/** Tell whether somebody fills in a form, looks at a picture or a new token, or has not saved a note. */
function isFilling() {
  const typed = document.querySelectorAll("#review-detail .note, #replays input, #accounts input");
  return Boolean($("dialog[open]")) || [...typed].some(({ value, defaultValue }) => value !== defaultValue);
}

/** Tell, once for each version, that the tab may load it. */
function isFirstTime() {
  try {
    if (sessionStorage.getItem(KEY) === newer) return false;
    sessionStorage.setItem(KEY, newer);
    return true;
  } catch {
    return false; // without storage it could go on for ever
  }
}
