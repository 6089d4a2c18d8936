// What every part of the page uses: the REST API, and small helpers for the document and the browser.

import { problemText, t } from "./texts.js";

export const API = new URL("api/v1", document.baseURI).pathname; // below the page, wherever a proxy puts it

export const $ = (selector, inside = document) => inside.querySelector(selector);

export const cameraPath = (id) => `/cameras/${encodeURIComponent(id)}`;

/** Return the version (`ETag`) of what a path names. */
export const versionOf = async (path) => (await fetch(API + path, { method: "HEAD" })).headers.get("ETag");

/**
 * Call the REST API and return the JSON of its answer, null for none; `version`: the change is for
 * that one alone. Throws with the reason, the `problem` that was answered, and the newest `version`.
 */
export async function call(path, method = "GET", body = undefined, version = null) {
  const options = { method, headers: version ? { "If-Match": version } : {} };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  const answer = await fetch(API + path, options);
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  if (answer.status === 401) location.reload(); // the login has ended: the server answers with its form
  const problem = await answer.json().catch(() => ({}));
  const error = new Error(problemText(problem) || t("server.answered", { status: answer.status }));
  throw Object.assign(error, { problem, version: answer.headers.get("ETag") });
}

/** Return a copy of the one element that a <template> holds. */
export const fromTemplate = (selector) => $(selector).content.firstElementChild.cloneNode(true);

/** Show a text, or hide the element if there is none. */
export function showText(node, text) {
  node.hidden = !text;
  node.textContent = text || "";
}
