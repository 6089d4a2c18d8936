// The way in: the password or token goes out once, and the browser keeps a cookie that no script can read.

import { problemText, setUpTexts, t } from "./texts.js";

const form = document.querySelector("#login");
const problem = document.querySelector("#login-error");
const button = document.querySelector("#login-submit");
const oidcButton = document.querySelector("#login-oidc");

/** Return the answer of the API, null where it has no content; without a body, none is sent. */
async function ask(path, method, body) {
  const headers = body ? { "Content-Type": "application/json" } : {};
  const answer = await fetch(`api/v1/session${path}`, { method, headers, body: body && JSON.stringify(body) });
  const content = await answer.json().catch(() => null);
  if (answer.ok) return content;
  throw new Error(problemText(content || {}) || t("server.answered", { status: answer.status }));
}

/** Do a step of a log-in, and show why it fails. */
async function attempt(step) {
  problem.hidden = button.disabled = oidcButton.disabled = true;
  try {
    await step();
  } catch (error) {
    problem.textContent = error.message;
    problem.hidden = button.disabled = oidcButton.disabled = false;
  }
}

/** Show the page, which stands in the place of the form, or beside `/login`. */
const toPage = () => (location.pathname.endsWith("/login") ? location.replace("./") : location.reload());

form.onsubmit = (event) => {
  event.preventDefault();
  const user = document.querySelector("#user").value.trim();
  const secret = document.querySelector("#token").value;
  attempt(async () => {
    await ask("", "POST", user ? { user, password: secret } : { token: secret.trim() });
    toPage();
  });
};

oidcButton.onclick = () => attempt(async () => location.assign((await ask("/oidc", "POST")).address));

/** Hand in what a provider of log-ins has sent the browser back with. */
function comeBack() {
  const found = new URLSearchParams(location.search);
  if (!found.has("state")) return;
  history.replaceState(null, "", location.pathname);
  const answer = { state: found.get("state") };
  for (const name of ["code", "error"]) if (found.has(name)) answer[name] = found.get(name);
  attempt(async () => {
    await ask("/oidc/login", "POST", answer);
    toPage();
  });
}

setUpTexts();
comeBack();
ask("", "GET").then(({ oidc }) => {
  oidcButton.hidden = !oidc;
  oidcButton.textContent = t("login.oidc", { name: oidc });
}).catch(() => {}); // whoever logs in is told
