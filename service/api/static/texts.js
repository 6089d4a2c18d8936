// The texts of the page, one file a language, and numbers and times as the reader's locale has them.
// A view holds keys: `data-t` of an element is its text, `data-t-title` its title, and so on.

const KEY = "lookout.language";
const LANGUAGES = { en: "English", de: "Deutsch" };
const ATTRIBUTES = {
  "data-t-title": "title",
  "data-t-label": "aria-label",
  "data-t-alt": "alt",
  "data-t-placeholder": "placeholder",
};
const SECONDS_IN_DAY = 86400;

/** Return what was chosen in this browser: one of `choices`; null where nothing was, or it keeps nothing. */
export function remembered(key, choices) {
  try {
    const value = localStorage.getItem(key);
    return choices.includes(value) ? value : null;
  } catch {
    return null; // storage is off in this browser
  }
}

/** Keep a choice in this browser; return whether it could be kept. */
export function remember(key, value) {
  try {
    localStorage.setItem(key, value);
    return true;
  } catch {
    return false;
  }
}

const languageOf = (tag) => tag.split("-")[0].toLowerCase();

function preferred() {
  return navigator.languages.map(languageOf).find((language) => language in LANGUAGES) || "en";
}

/** The language that was chosen in this browser; null: as the browser prefers. */
const chosen = remembered(KEY, Object.keys(LANGUAGES));
export const language = chosen || preferred();
export const locale = navigator.languages.find((tag) => languageOf(tag) === language) || language;

const { api, ...texts } = await (await fetch(new URL(`texts_${language}.json`, import.meta.url))).json();
const plurals = new Intl.PluralRules(locale);
const dateFormat = new Intl.DateTimeFormat(locale, { dateStyle: "medium" });
const timeFormat = new Intl.DateTimeFormat(locale, { timeStyle: "medium" });
const minuteFormat = new Intl.DateTimeFormat(locale, { timeStyle: "short" });
const dayFormat = new Intl.DateTimeFormat(locale, { day: "numeric", month: "short" });

/** Return a number with so many digits behind the point. */
export const number = (value, digits = 0) =>
  value.toLocaleString(locale, { minimumFractionDigits: digits, maximumFractionDigits: digits });

/** Return the text of a key. `{name}` in it is the value of that name; `count` chooses the plural. */
export function t(key, values = {}) {
  const found = texts[key];
  const text = typeof found === "object" ? found[plurals.select(values.count)] || found.other : found;
  return text.replace(/\{(\w+)\}/g, (_, name) => (typeof values[name] === "number" ? values[name].toLocaleString(locale) : values[name]));
}

/** What pydantic calls the reasons of its refusals of a field, and their texts; those of Lookout are `problem.…`. */
const REASONS = {
  missing: "wrong.missing",
  extra_forbidden: "wrong.extra_forbidden",
  float_type: "wrong.number",
  int_type: "wrong.whole",
  int_from_float: "wrong.whole",
  bool_type: "wrong.bool",
  string_type: "wrong.text",
  list_type: "wrong.list",
  model_type: "wrong.group",
  less_than: "wrong.less_than",
  less_than_equal: "wrong.less_than_equal",
  greater_than: "wrong.greater_than",
  greater_than_equal: "wrong.greater_than_equal",
  literal_error: "wrong.choice",
  string_pattern_mismatch: "wrong.pattern",
  string_too_short: "wrong.too_short",
  string_too_long: "wrong.too_long",
  too_long: "wrong.too_many",
};

function reasonOf(name, values, sentence) {
  const key = Object.hasOwn(REASONS, name) ? REASONS[name] : `problem.${name}`;
  return Object.hasOwn(texts, key) ? t(key, inWords(values)) : sentence.replace("Value error, ", "");
}

/** Return the values of a reason, those that are reasons or words of the API in the reader's language. */
function inWords(values) {
  const found = { ...values, state: said(values.state), drop: said(values.drop) };
  for (const [name, sentence] of Object.entries(values)) {
    const code = values[`${name}_code`];
    if (!code) continue;
    const inner = Object.entries(values).filter(([part]) => part.startsWith(`${name}.`));
    found[name] = reasonOf(code, Object.fromEntries(inner.map(([part, value]) => [part.slice(name.length + 1), value])), sentence);
  }
  return found;
}

/** Return the reason `name` of a camera or job in the reader's language, or as the API says it; "" for none. */
export const reasonText = (owner, name) =>
  (owner[name] ? reasonOf(owner[`${name}_code`], owner[`${name}_values`], owner[name]) : "");

/** Return what is wrong with a field in the reader's language, or as the API says it. */
export const problemOfField = ({ type, values = {}, msg }) => reasonOf(type, values, msg);

/** Return why a request was refused, in the reader's language or as the API says it; "" where it does not. */
export function problemText({ code, values = {}, detail = "", errors }) {
  if (code || !errors) return reasonOf(code, values, detail);
  return errors.map((error) => `${error.loc.slice(1).join(".") || error.loc[0]}: ${problemOfField(error)}`).join("; ");
}

/** Return what the API says in English; what has no translation stays as it is. */
export const said = (text) => api[text] ?? text;

/** Return a time (s, UTC epoch) in the reader's zone, with its date if that is not today. */
export function clock(seconds) {
  const at = new Date(seconds * 1000);
  const isToday = at.toDateString() === new Date().toDateString();
  return isToday ? timeFormat.format(at) : `${dateFormat.format(at)} ${timeFormat.format(at)}`;
}

/** Return times (s) that are `step` seconds apart, for the axis of a curve or the rows of its table. */
export function axisTimes(times, step) {
  const format = step >= SECONDS_IN_DAY ? dayFormat : step >= 60 ? minuteFormat : timeFormat;
  return times.map((seconds) => format.format(seconds * 1000));
}

/** Set a <time> element; its title is the time in UTC. */
export function showTime(node, seconds) {
  node.textContent = clock(seconds);
  node.dateTime = node.title = new Date(seconds * 1000).toISOString();
}

/** Fill in the texts of a document, or of a template's content. */
function fillIn(root) {
  for (const node of root.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  for (const [from, to] of Object.entries(ATTRIBUTES)) {
    for (const node of root.querySelectorAll(`[${from}]`)) node.setAttribute(to, t(node.getAttribute(from)));
  }
  for (const { content } of root.querySelectorAll("template")) fillIn(content);
}

/** Fill in the document, and let its select, if it has one, choose the language. */
export function setUpTexts() {
  document.documentElement.lang = language;
  fillIn(document);
  const select = document.querySelector("#language");
  if (!select) return;
  select.replaceChildren(new Option(t("language.auto"), ""),
    ...Object.entries(LANGUAGES).map(([value, name]) => new Option(name, value)));
  select.value = chosen || "";
  select.onchange = () => {
    remember(KEY, select.value);
    location.reload();
  };
}
