// What the admin's views are made of: fields that show their own errors, buttons that work, tables, questions, files.
import { Problem, change, get } from "./api.js";
import { $, announce, h, put } from "./dom.js";
import { minorDigits, money } from "./format.js";
import { has, t } from "./words.js";

let fields = 0;

/** A labelled control. `name` is its path in the body, where the API's errors find it; its word is `field.<last part>`. */
export function field(name, { control, word = name.split(".").at(-1), class: kind, ...attributes } = {}) {
  const wrong = h("span", { class: "wrong", id: `wrong${(fields += 1)}` });
  const input = control ?? h("input", attributes);
  input.name = name;
  return h("label", { class: kind }, t(`field.${word}`), input, wrong);
}

/** A list to choose from: `[[value, text], ...]`. */
export const choice = (options, attributes) => h("select", attributes, options.map(([value, text]) => h("option", { value }, text)));

/** A moment as a `datetime-local` control has it, in the visitor's time; and back. */
export const localTime = (moment) => {
  if (!moment) return "";
  const date = new Date(moment);
  return new Date(date - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
};
export const utcTime = (text) => (text ? new Date(text).toISOString() : null);

/** Money that was typed, as the API wants it. */
export function fareOf(text, currency) {
  const code = currency.trim().toUpperCase();
  const digits = /^[A-Z]{3}$/.test(code) ? minorDigits(code) : 2;
  return { amount: text.trim() === "" ? null : Math.round(Number(text) * 10 ** digits), currency: code };
}

/** Money as one types it. */
export const typed = (fare) => String(fare.amount / 10 ** minorDigits(fare.currency));

/** Says something where it belongs, and to those who cannot see it. */
export function say(place, text, kind = "good") {
  put(place, h("p", { class: `note ${kind}` }, text));
  announce(text, kind === "bad");
}

/** A message of the API about a field, in the visitor's language where it is a usual one. */
function told(message) {
  const range = /^must be a whole number from (\d+) to (\d+)$/.exec(message);
  if (range) return t("wrong.range", { from: range[1], to: range[2] });
  return has(`wrong.${message}`) ? t(`wrong.${message}`) : message;
}

/** Marks what is wrong at its fields, and gives what has none. */
export function showErrors(root, problem) {
  for (const marked of root.querySelectorAll("[aria-invalid]")) {
    marked.removeAttribute("aria-invalid");
    marked.removeAttribute("aria-describedby");
    $(".wrong", marked.parentElement).textContent = "";
  }
  const controls = [...root.querySelectorAll("[name]")].filter((control) => !control.closest("[hidden]"));
  const rest = [];
  for (const { field: name, message } of problem?.errors ?? []) {
    const found = controls.filter((control) => name === control.name || name.startsWith(`${control.name}.`) || control.name.startsWith(`${name}.`));
    const control = found.find((one) => one.name === name) ?? found[0];
    if (!control) { rest.push(`${name}: ${told(message)}`); continue; }
    const wrong = $(".wrong", control.parentElement);
    control.setAttribute("aria-invalid", "true");
    control.setAttribute("aria-describedby", wrong.id);
    wrong.textContent = told(message);
  }
  $("[aria-invalid]", root)?.focus();
  return rest;
}

/** Does some work that a button starts, once at a time; problems are said at `place`, and marked in `root`. */
export async function run(button, place, work, root = place.parentElement) {
  if (button.getAttribute("aria-busy") === "true") return;
  button.setAttribute("aria-busy", "true");
  put(place);
  showErrors(root);
  try {
    const done = await work();
    if (done) say(place, done);
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    say(place, [problem.plain, ...showErrors(root, problem)].join(" · "), "bad");
  } finally {
    button.removeAttribute("aria-busy");
  }
}

/** Changes something; each try that failed is told at `place`. */
export const send = (place, method, path, body, options) => change(method, path, body, {
  onRetry: (problem, tries) => say(place, `${problem.plain} ${t("retry", { tries })}`, "warn"), ...options });

/** A button with the place beside it where it says what came of it. */
export function button(word, work, { place = h("div", { class: "said" }), class: kind = "", test = word, root } = {}) {
  const element = h("button", { type: "button", class: kind, "data-test": test,
    onclick: () => run(element, place, () => work(place), root ?? place.parentElement) }, t(word));
  return element;
}

/** A form that is sent by script. Its last lines are the button and what came of it. */
export function form(word, work, ...children) {
  const place = h("div", { class: "said" });
  const submit = h("button", { class: "primary", "data-test": word }, t(word));
  const element = h("form", { class: "stack", novalidate: true }, children, h("div", { class: "row" }, submit), place);
  element.addEventListener("submit", (event) => {
    event.preventDefault();
    run(submit, place, () => work(place, element), element);
  });
  return element;
}

/** Asks before something that cannot be taken back; `true` if it is wanted. */
export function ask(title, content, word, kind = "primary") {
  return new Promise((resolve) => {
    const close = (answer) => { dialog.close(); resolve(answer); };
    const dialog = h("dialog", { "aria-label": title, onclose: () => { dialog.remove(); resolve(false); } },
      h("h2", null, title), content,
      h("p", { class: "row" }, h("button", { type: "button", class: kind, "data-test": "yes", onclick: () => close(true) }, word),
        h("button", { type: "button", "data-test": "no", onclick: () => close(false) }, t("cancel"))));
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** A table: `columns` is `[word or text, class]`. */
export const table = (caption, columns, rows) => h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
  h("table", null, h("thead", null, h("tr", null, columns.map(([text, kind]) => h("th", { scope: "col", class: kind }, text)))), rows));

/** A line of a table; numbers stand right. */
export const line = (...cells) => h("tr", null, cells.map((cell) =>
  (cell instanceof Element && /^T[DH]$/.test(cell.tagName) ? cell : h("td", { class: typeof cell === "number" && "number" }, cell ?? "–"))));

/** A table read page by page: `more(cursor)` gives `[rows, next cursor]`. */
export function pages(caption, columns, more) {
  const body = h("tbody");
  const place = h("div", { class: "said" });
  let cursor = null;
  const next = button("more", async () => {
    const [rows, after] = await more(cursor);
    body.append(...rows);
    cursor = after;
    next.hidden = !after;
    if (!body.children.length) body.append(h("tr", null, h("td", { colspan: String(columns.length), class: "dim" }, t("none"))));
  }, { place });
  next.click();
  return h("div", null, table(caption, columns, body), next, place);
}

/** A button that fetches a table as CSV, with the token, and saves it. */
export const csvButton = (path, name) => button("csv", async () => {
  const text = await get(typeof path === "function" ? path() : path, { accept: "text/csv", timeout: 60_000 });
  const url = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
  return t("csv.done", { name });
});

/** A sale's state as a label. */
export function saleTag({ sale, available }) {
  const state = sale.state === "open" && available === 0 ? "sold_out" : sale.state;
  const kind = { open: "good", scheduled: "dim", paused: "warn", sold_out: "bad", closed: "bad" }[state];
  return h("span", { class: `tag ${kind}`, "data-state": sale.state }, t(`sale.${state}`));
}

/** Money, if there is any. */
export const price = (fare) => (fare ? money(fare) : "–");

/** Does something again and again while the page is looked at, each time after the last; gives what ends it. */
export function every(ms, work) {
  let timer;
  let isOver = false;
  const turn = async () => {
    let next = ms;
    if (!document.hidden) {
      try { next = (await work()) ?? ms; } catch (problem) {
        if (!(problem instanceof Problem)) throw problem;
        // A server that is away is asked less often.
        next = 4 * ms;
      }
    }
    if (!isOver) timer = setTimeout(turn, next);
  };
  turn();
  return () => { isOver = true; clearTimeout(timer); };
}
