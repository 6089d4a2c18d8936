// The view of who may come in: one's own account for everybody; users, API tokens and the audit for
// admins. It is loaded when it is opened and after each change, so that nothing typed is lost.

import { $, call, fromTemplate, showText } from "./api.js";
import { said, showTime, t } from "./texts.js";

const LINES_LOADED = 50;
const WAYS_IN = {
  password: "accounts.by.password",
  oidc: "accounts.by.oidc",
  api_token: "accounts.by.api_token",
  token: "accounts.by.token",
  nothing: "accounts.by.nothing",
};

const userPath = (name) => `/users/${encodeURIComponent(name)}`;

/** Return the cameras of a scope as they are typed: `gate, yard`; empty: all. */
const typed = (cameras) => (cameras || []).join(", ");

/** Return the scope that was typed, null for all. */
function scopeOf(input) {
  const names = input.value.split(",").map((name) => name.trim()).filter(Boolean);
  return names.length ? names : null;
}

export class AccountsView {
  constructor() {
    this.node = $("#accounts");
    this.isOpen = false;
    this.me = null;
    this.next = null; // cursor of older lines of the audit
    this.onSubmit("#own-password", (form) => this.changePassword(form));
    this.onSubmit("#add-user", (form) => this.addUser(form));
    this.onSubmit("#add-token", (form) => this.addToken(form));
    $("#audit-more").onclick = () => this.try($("#audit"), () => this.loadAudit(this.next));
  }

  /** Show or hide the view; a token that is shown once goes with it. */
  show(isOpen) {
    const opens = isOpen && !this.isOpen;
    this.isOpen = isOpen;
    this.node.hidden = !isOpen;
    if (opens) this.try($("#own"), () => this.load());
    if (!isOpen) this.showToken("");
  }

  /** Show who is asking. */
  showMe(me) {
    this.me = me;
    const cells = $("#own tbody").querySelectorAll("td");
    const values = [me.name, said(me.role), typed(me.cameras) || t("all"), t(WAYS_IN[me.by])];
    values.forEach((value, column) => { cells[column].textContent = value; });
    $("#own-password").hidden = !me.is_user;
    $("#own-name").defaultValue = me.name;
  }

  async load() {
    this.showMe(await call("/me"));
    if (this.me.role !== "admin") return;
    await Promise.all([this.loadUsers(), this.loadTokens(), this.loadAudit(null)]);
  }

  /** Have a form call `send`, show its error, and load the lists again. */
  onSubmit(selector, send) {
    const form = $(selector);
    form.onsubmit = (event) => {
      event.preventDefault();
      this.try(form.closest("section"), async () => {
        await send(form.elements);
        form.reset();
        await this.load();
      });
    };
  }

  /** Do something, and show its error in a section. */
  async try(section, act) {
    try {
      await act();
      showText($(".error", section), null);
    } catch (error) {
      showText($(".error", section), error.message);
    }
  }

  changePassword({ current_password, password }) {
    return call("/me", "PATCH", { current_password: current_password.value, password: password.value });
  }

  addUser({ name, password, role, cameras }) {
    const spec = { name: name.value.trim(), password: password.value, role: role.value, cameras: scopeOf(cameras) };
    return call("/users", "POST", spec);
  }

  async addToken({ name, role, cameras, days }) {
    const spec = { name: name.value.trim(), role: role.value, cameras: scopeOf(cameras), days: Number(days.value) };
    this.showToken((await call("/tokens", "POST", spec)).token);
  }

  /** Show a new token, empty for none; nobody can ask for it again. */
  showToken(token) {
    $("#new-token").hidden = !token;
    $("#new-token input").value = token;
    if (token) $("#new-token input").select();
  }

  async loadUsers() {
    const { items, unreadable } = await call("/users");
    showText($("#users .warnings"), unreadable.length ? t("accounts.unreadable", { names: unreadable.join(", ") }) : null);
    $("#users table").hidden = !items.length;
    $("#users tbody").replaceChildren(...items.map((user) => this.userRow(user)));
  }

  userRow(user) {
    const row = fromTemplate("#user-template");
    const [role, cameras] = [$("select", row), $("input", row)];
    $("th", row).textContent = user.name;
    role.value = user.role;
    cameras.defaultValue = typed(user.cameras);
    role.disabled = cameras.disabled = $(".save", row).disabled = user.by === "oidc"; // the provider's
    for (const node of row.querySelectorAll("[data-label]")) {
      node.setAttribute("aria-label", t(node.dataset.label, { name: user.name }));
    }
    this.onClick($(".save", row), () =>
      call(userPath(user.name), "PATCH", { role: role.value, cameras: scopeOf(cameras) }));
    this.onClick($(".end-logins", row), () => call(`${userPath(user.name)}/logins`, "DELETE"));
    this.onClick($(".remove", row), () => call(userPath(user.name), "DELETE"));
    return row;
  }

  async loadTokens() {
    const { items } = await call("/tokens");
    $("#tokens table").hidden = !items.length;
    $("#tokens tbody").replaceChildren(...items.map((token) => this.tokenRow(token)));
  }

  tokenRow(token) {
    const row = fromTemplate("#token-template");
    $("th", row).textContent = token.name;
    const [role, cameras, maker] = row.querySelectorAll("td");
    role.textContent = said(token.role);
    cameras.textContent = typed(token.cameras) || t("all");
    maker.textContent = token.created_by;
    showTime($("time", row), token.expires_at);
    const button = $("button", row);
    button.setAttribute("aria-label", t(button.dataset.label, { name: token.name }));
    this.onClick(button, () => call(`/tokens/${encodeURIComponent(token.name)}`, "DELETE"));
    return row;
  }

  /** Have a button of a row change something, after a question where it names one. */
  onClick(button, change) {
    button.onclick = () => {
      if (button.dataset.sure && !confirm(`${button.getAttribute("aria-label")}?`)) return;
      this.try(button.closest("section"), async () => {
        await change();
        await this.load();
      });
    };
  }

  /** Show the newest lines of the audit, or add those before `cursor`. */
  async loadAudit(cursor) {
    const query = cursor ? `&cursor=${cursor}` : "";
    const { items, next } = await call(`/audit?limit=${LINES_LOADED}${query}`);
    this.next = next;
    $("#audit-more").hidden = !next;
    if (!cursor) $("#audit tbody").replaceChildren();
    $("#audit tbody").append(...items.map(auditRow));
  }
}

function auditRow({ at, who, role, action, target, fields, address }) {
  const row = fromTemplate("#audit-template");
  showTime($("time", row), at);
  const texts = [`${who} (${said(role)})`, action, target, fields.join(", "), address];
  row.querySelectorAll("td").forEach((cell, column) => { cell.textContent = texts[column]; });
  return row;
}
