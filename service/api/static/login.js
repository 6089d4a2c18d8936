// The way in: the password or token goes out once, and the browser keeps a cookie that no script can read.

import { setUpTexts, t } from "./texts.js";

const form = document.querySelector("#login");
const problem = document.querySelector("#login-error");
const button = document.querySelector("#login-submit");

/** Log in by name and password, or by a token where the name is empty. */
async function logIn(user, secret) {
  const answer = await fetch("api/v1/session", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(user ? { user, password: secret } : { token: secret.trim() }),
  });
  if (answer.ok) return;
  const { detail } = await answer.json().catch(() => ({}));
  throw new Error(detail || t("server.answered", { status: answer.status }));
}

form.onsubmit = async (event) => {
  event.preventDefault();
  problem.hidden = button.disabled = true;
  try {
    await logIn(document.querySelector("#user").value.trim(), document.querySelector("#token").value);
    location.reload();
  } catch (error) {
    problem.textContent = error.message;
    problem.hidden = button.disabled = false;
  }
};

setUpTexts();
