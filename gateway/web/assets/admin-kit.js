// What the admin's views are made of: fields that show their own errors, buttons that work, tables, questions, files.
import { Problem, admin, change, get } from "./api.js";
import { $, announce, h, put } from "./dom.js";
import { departure as leaves, here, minorDigits, offset } from "./format.js";
import { has, t } from "./words.js";

let fields = 0;
const CSV_PAGES_MAX = 2000;

/** Addresses of a flight: in the API for admins, and in this page. */
export const adminPath = (id) => `/v1/admin/flights/${encodeURIComponent(id)}`;
export const link = (id, text = id) => h("a", { href: `#flight=${encodeURIComponent(id)}` }, text);

/** Parts below each other, beside each other, and a line that explains. */
export const down = (...content) => h("div", { class: "stack" }, content);
export const across = (...content) => h("div", { class: "row" }, content);
export const hint = (word, values) => h("p", { class: "dim" }, t(word, values));

/** What is on top of a view. */
export const heading = (text) => h("h1", { tabindex: "-1" }, text);

/** A labelled control. `name` is its path in the body, where the API's errors find it; `word` says what it is. */
export function field(name, { control, word = `w.${name.split(".").at(-1)}`, ...attributes } = {}) {
  const input = control ?? h("input", attributes);
  input.name = name;
  return h("label", null, t(word), input, h("span", { class: "wrong", id: `wrong${(fields += 1)}` }));
}
export const fieldset = (...controls) => h("div", { class: "fields" }, controls);
export const whole = (min, max, value = "") => ({ type: "number", min: String(min), max: String(max), value: String(value) });

/** A list to choose from: `[[value, text], ...]`. */
export const choice = (options, attributes) => h("select", attributes, options.map(([value, text]) => h("option", { value }, text)));

/** A moment as a `datetime-local` control has it, in the visitor's time; and back. */
export const localTime = (moment) => (moment ? new Date(Date.parse(moment) - new Date(moment).getTimezoneOffset() * 60_000).toISOString().slice(0, 16) : "");
export const utcTime = (text) => (text ? new Date(text).toISOString() : null);

/** Money that was typed, as the API wants it; and back. */
export function fareOf(text, currency) {
  const code = currency.trim().toUpperCase();
  return { amount: text === "" ? null : Math.round(text * 10 ** (/^[A-Z]{3}$/.test(code) ? minorDigits(code) : 2)), currency: code };
}
export const typed = (fare) => (fare ? String(fare.amount / 10 ** minorDigits(fare.currency)) : "");

/** Says something where it belongs, and to those who cannot see it. */
export function say(place, text, kind = "good") {
  put(place, h("p", { class: `note ${kind}` }, text));
  announce(text, kind === "bad");
}

/** Trouble of any view, or none any more: the page knows what to do. */
const tell = (problem) => document.dispatchEvent(new CustomEvent("trouble", { detail: problem }));

/** A message of the API about a field, in the visitor's language where it is a usual one. */
export function told(message) {
  const range = /^must be a whole number from (\d+) to (\d+)$/.exec(message);
  if (range) return t("wrong.range", { from: range[1], to: range[2] });
  // Its first words tell it from others.
  const key = `wrong.${message.split(" ").slice(0, 5).join(" ")}`;
  return (has(key) && t(key)) || message;
}

/** Marks what is wrong at its fields, and gives what has none. */
function showErrors(root, errors = []) {
  const controls = [...root.querySelectorAll("label > [name]")].filter((control) => !control.closest("[hidden]"));
  const mark = (control, text) => {
    const wrong = $(".wrong", control.parentElement);
    wrong.textContent = text;
    control.setAttribute("aria-invalid", String(text !== ""));
    control.setAttribute("aria-describedby", wrong.id);
  };
  for (const control of controls) mark(control, "");
  const rest = errors.filter(({ field: name, message }) => {
    const control = controls.find((one) => one.name === name) ?? controls.find((one) => name.startsWith(`${one.name}.`) || one.name.startsWith(`${name}.`));
    if (control) mark(control, told(message));
    return !control;
  });
  $("[aria-invalid=true]", root)?.focus();
  return rest.map(({ field: name, message }) => `${name}: ${told(message)}`);
}

/** Does the work of a button, once at a time. What it gives is said at `place`; so are problems, and at fields in `root`. */
async function run(element, place, work, root) {
  if (element.getAttribute("aria-busy") === "true") return;
  element.setAttribute("aria-busy", "true");
  put(place);
  if (root) showErrors(root);
  try {
    const done = await work(place);
    if (done) say(place, done === true ? t("done", { what: element.textContent }) : done);
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (problem.code === "UNAUTHORIZED") tell(problem);
    say(place, [problem.plain, ...(root ? showErrors(root, problem.errors) : [])].join(" · "), "bad");
  } finally {
    element.removeAttribute("aria-busy");
  }
}

/** Changes something; each try that failed is told at `place`. */
export const send = (place, method, path, body, options) => change(method, path, body, {
  onRetry: (problem, tries) => say(place, `${problem.plain} ${t("retry", { tries })}`, "warn"), ...options });

/** A button that does some work and says at `place` what came of it. */
export function button(word, work, place, kind) {
  const element = h("button", { type: "button", class: kind, "data-test": word, onclick: () => run(element, place, work) }, t(word));
  return element;
}

/** A form that is sent by script; its button and what came of it are its last lines. */
export function form(word, work, ...children) {
  const place = h("div", { class: "said" });
  const submit = h("button", { class: "primary", "data-test": word }, t(word));
  const element = h("form", { class: "stack", novalidate: true, onsubmit: (event) => {
    event.preventDefault();
    run(submit, place, work, element);
  } }, children, across(submit), place);
  return element;
}

/** Asks before something that cannot be taken back; `true` if it is wanted. */
export async function ask(word, ...content) {
  const before = document.activeElement;
  const dialog = h("dialog", { "aria-label": t(word) });
  document.body.append(dialog);
  const wanted = await new Promise((resolve) => {
    const choose = (answer, kind) => h("button", { type: "button", class: kind, autofocus: !answer, "data-test": answer ? "yes" : "no", onclick: () => resolve(answer) }, t(answer ? "do" : "cancel"));
    dialog.addEventListener("close", () => resolve(false));
    put(dialog, h("h2", null, t(word)), content, h("p", { class: "row" }, choose(true, "primary"), choose(false)));
    dialog.showModal();
  });
  dialog.remove();
  before?.focus();
  return wanted;
}

/** A table; columns are words, of which those in `NUMBERS` stand right. */
const NUMBERS = ["w.amount", "w.total", "w.seq", "w.fare", "w.line", "w.available", "w.seqs"];
export const table = (caption, columns, body) => h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, h("table", null,
  h("thead", null, h("tr", null, columns.map((word) => h("th", { scope: "col", class: NUMBERS.includes(word) && "number" }, t(word))))), body));

/** Lines of a table; what is null is a dash. */
export const lines = (list, columns, cells) => list.map((one) => h("tr", null, cells(one).map((cell, index) =>
  h(index ? "td" : "th", { class: NUMBERS.includes(columns[index]) && "number", ...(!index && { scope: "row" }) }, cell ?? "–"))));

/** A table that is read page by page, with a button that saves all of it as CSV under the name `file`. */
export function book(word, columns, path, list, cells, file) {
  const heads = columns.map((name) => `w.${name}`);
  const [body, place] = [h("tbody"), h("div", { class: "said" })];
  let cursor = "";
  const more = button("more", async () => {
    const page = await get(path() + cursor, { timeout: 60_000 });
    body.append(...lines(page[list], heads, cells));
    cursor = `&cursor=${encodeURIComponent(page.next_cursor)}`;
    more.hidden = !page.next_cursor;
    if (!body.firstChild) body.append(h("tr", null, h("td", { colspan: String(heads.length) }, t("none"))));
  }, place);
  more.click();
  return down(file && h("div", null, button("csv", () => save(path(), file), place)), place, table(t(word), heads, body), h("div", null, more));
}

async function save(path, file) {
  let [text, next] = ["", path];
  for (let page = 0; next && page < CSV_PAGES_MAX; page += 1) {
    const answer = await fetch(next, { headers: { accept: "text/csv", authorization: `Bearer ${admin.token}` } });
    const part = await answer.text();
    if (!answer.ok) throw new Problem(JSON.parse(part), answer.status);
    // Each page has the line with the columns' names.
    text += page ? part.slice(part.indexOf("\n") + 1) : part;
    next = /<([^>]+)>; *rel="next"/.exec(answer.headers.get("link"))?.[1];
  }
  const url = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  h("a", { href: url, download: file }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
  return file;
}

/** A sale's state as a label. */
export function saleTag({ sale, available }) {
  const state = sale.state === "open" && available === 0 ? "sold_out" : sale.state;
  const kind = { open: "good", scheduled: "dim", paused: "warn" }[state] ?? "bad";
  return h("span", { class: `tag ${kind}`, "data-state": sale.state }, t(`sale.${state}`));
}

/** When a flight leaves, there; and a moment where the visitor is. */
export const departure = (flight) => `${leaves(flight)} (${offset(flight)})`;
export const when = (moment) => here(moment, { dateStyle: "short", timeStyle: "medium" });

/** Does something again and again while the page is looked at, each time so long after the last, or as it says; gives what ends it. */
export function every(ms, work) {
  let timer;
  let isOver = false;
  const turn = async () => {
    let pause = ms;
    try {
      if (!document.hidden) {
        pause = (await work()) ?? ms;
        tell(null);
      }
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      if (!isOver) tell(problem);
    } finally {
      if (!isOver) timer = setTimeout(turn, pause);
    }
  };
  turn();
  return () => { isOver = true; clearTimeout(timer); };
}
