// New flights: one by one with a preview of the seat map, or many from a file. Also the editors of seat plans and rules.
import "./seat-map.js";
import { across, button, choice, down, fareOf, field, fieldset, form, heading, hint, lines, link, localTime, say, send, table, told, typed, utcTime, whole } from "./admin-kit.js";
import { city, codes } from "./airports.js";
import { h, put } from "./dom.js";
import { number } from "./format.js";
import { modelOf } from "./live.js";
import { t } from "./words.js";

const CLASSES = { F: "first", B: "business", P: "premium_economy", E: "economy" };
/** The server's templates (class, rows, layout), to show what one is about to get. */
const TEMPLATES = {
  A320: "E1-30 ABC DEF",
  A321: "B1-4 AC DF,E5-36 ABC DEF",
  A359: "B1-10 A DG K,P31-33 AC DEFG HK,E41-67 ABC DEF GHK",
  AT76: "E1-18 AC DF",
  B738: "B1-3 AC DF,E4-30 ABC DEF",
  B77W: "F1-2 A DG K,B5-17 A DG K,P20-23 AC DEFG HK,E30-58 ABC DEFG HJK",
  B789: "B1-7 A DG K,P20-23 ABC DEF GHJ,E30-54 ABC DEF GHJ",
};
const SEATS_MAX = 10_000;
const ROW_MAX = 999;
const LAYOUT = /^[A-HJ-Z]+( [A-HJ-Z]+)*$/;

const template = (name) => TEMPLATES[name]?.split(",").map((text) => {
  const [, kind, first, last, layout] = /^(\w)(\d+)-(\d+) (.+)$/.exec(text);
  return { cabin_class: CLASSES[kind], rows: [Number(first), Number(last)], layout };
});
const priceControl = (value = "") => h("input", { type: "number", min: "0", step: "any", value });

/** Controls of a cabin; `read()` gives it as the API has it. */
export function cabinFields(prefix, currency, given) {
  const kind = choice(Object.values(CLASSES).map((name) => [name, t(`cabin.${name}`)]));
  kind.value = given.cabin_class;
  const [first, last] = given.rows.map((row) => h("input", whole(1, ROW_MAX, row)));
  const layout = h("input", { value: given.layout, size: "12", class: "mono" });
  const fare = priceControl(typed(given.fare));
  const row = (control, word) => field(`${prefix}rows`, { control, word });
  return {
    element: fieldset(field(`${prefix}cabin_class`, { control: kind }), row(first, "w.first_row"), row(last, "w.last_row"), field(`${prefix}layout`, { control: layout }), field(`${prefix}fare`, { control: fare })),
    read: () => ({ cabin_class: kind.value, rows: [Number(first.value), Number(last.value)], layout: layout.value.trim().toUpperCase(), fare: fareOf(fare.value, currency()) }),
  };
}

/** The editor of a seat plan: a template with a fare for each class, or own cabins; with a preview. `body()` is its part of a body. */
export function seatPlan({ aircraft: name = "A320", currency: code = "TWD" } = {}) {
  const [map, summary, fares, rows] = [h("seat-map"), h("p", { class: "dim", role: "status" }), h("div"), down()];
  const aircraft = choice([...Object.keys(TEMPLATES).map((one) => [one, one]), ["", t("own.cabins")]]);
  const currency = h("input", { value: code, maxlength: "3", size: "4", class: "mono" });
  const [cabins, prices] = [[], new Map()];
  aircraft.value = name in TEMPLATES ? name : "";
  let seen = "A320";

  const add = (cabin) => {
    cabins.push(cabinFields(`cabins[${cabins.length}].`, () => currency.value, cabin));
    rows.append(cabins.at(-1).element);
    show();
  };
  const own = down(rows, h("div", { class: "row" },
    h("button", { type: "button", "data-test": "cabin.add", onclick: () => add({ ...cabins.at(-1).read(), rows: ["", ""], fare: null }) }, t("cabin.add")),
    h("button", { type: "button", "data-test": "cabin.remove", onclick: () => { if (cabins.length > 1) { cabins.pop(); rows.lastChild.remove(); show(); } } }, t("cabin.remove"))));

  function choose() {
    const cabinsOf = template(aircraft.value);
    [own.hidden, fares.hidden] = [Boolean(cabinsOf), !cabinsOf];
    if (cabinsOf) {
      seen = aircraft.value;
      put(fares, fieldset(cabinsOf.map(({ cabin_class: kind }) => {
        if (!prices.has(kind)) prices.set(kind, priceControl());
        return field(`fares.${kind}`, { control: prices.get(kind), word: `${t("w.fare")} · ${t(`cabin.${kind}`)}` });
      })));
      // Own cabins begin with those of the aircraft that was seen last.
    } else if (!cabins.length) template(seen).forEach(add);
    show();
  }

  function show() {
    const shown = (template(aircraft.value) ?? cabins.map((cabin) => cabin.read())).filter(({ rows: [first, last], layout }) =>
      first >= 1 && first <= last && last <= ROW_MAX && LAYOUT.test(layout));
    const model = modelOf({ cabins: shown });
    summary.textContent = `${t("seats", { count: number(model.status.size) })} · ${shown.map((cabin) => `${t(`cabin.${cabin.cabin_class}`)} ${cabin.rows.join("–")}`).join(" · ")}`;
    if (model.status.size <= SEATS_MAX) map.model = model;
  }

  aircraft.addEventListener("change", choose);
  own.addEventListener("input", show);
  choose();
  return {
    element: down(fieldset(field("aircraft", { control: aircraft }), field("currency", { control: currency })), fares, own),
    preview: h("div", { class: "preview sticky" }, summary, map),
    body() {
      const cabinsOf = template(aircraft.value);
      if (!cabinsOf) return { cabins: cabins.map((cabin) => cabin.read()) };
      const priced = cabinsOf.map(({ cabin_class: kind }) => [kind, fareOf(prices.get(kind).value, currency.value)]).filter(([, fare]) => fare.amount !== null);
      return { aircraft: aircraft.value, ...(priced.length && { fares: Object.fromEntries(priced) }) };
    },
  };
}

/** Controls of a sale's rules; `read()` gives them. */
export function saleRules(prefix, sale) {
  const element = fieldset(
    ["opens_at", "closes_at"].map((name) => field(prefix + name, { type: "datetime-local", value: localTime(sale[name]) })),
    Object.entries({ max_seats_per_order: [1, SEATS_MAX], max_seats_per_customer: [1, SEATS_MAX], hold_seconds: [0, 2_592_000], payment_grace_seconds: [0, 86_400], closes_before_minutes: [0, 10_080] })
      .map(([name, [min, max]]) => field(prefix + name, whole(min, max, sale[name]))));
  return { element, read: () => Object.fromEntries([...element.querySelectorAll("[name]")].map(({ name, type, value }) =>
    [name.slice(prefix.length), type === "number" ? Number(value) : utcTime(value)])) };
}

/** Says whose time is typed. */
export const timesHint = () => hint("times", { zone: Intl.DateTimeFormat().resolvedOptions().timeZone });

/** `#new` */
export function create(place) {
  const plan = seatPlan();
  const rules = saleRules("sale.", { max_seats_per_order: 9, max_seats_per_customer: 9, hold_seconds: 600, payment_grace_seconds: 120, closes_before_minutes: 0 });
  const airport = (name) => field(name, { list: "airports", maxlength: "3", size: "5" });
  const about = h("div", null, fieldset(field("flight_number", { placeholder: "FR101" }), airport("origin"), airport("destination"),
    field("departs_at", { type: "datetime-local" }), field("origin_time_zone", { placeholder: "Asia/Taipei" }), field("flight_id", { word: "w.id" })));
  const state = choice(["scheduled", "open"].map((name) => [name, t(`sale.${name}`)]));
  const part = (word, ...content) => h("fieldset", null, h("legend", null, t(word)), content);
  const sheet = form("create", async (said) => {
    const given = Object.fromEntries([...about.querySelectorAll("[name]")].filter(({ value }) => value.trim()).map(({ name, type, value }) =>
      [name, type === "datetime-local" ? utcTime(value) : ["flight_id", "origin_time_zone"].includes(name) ? value.trim() : value.trim().toUpperCase()]));
    const flight = await send(said, "POST", "/v1/admin/flights", { ...given, ...plan.body(), sale: { state: state.value, ...rules.read() } });
    location.hash = link(flight.flight_id).hash;
  }, part("w.flight_id", about), part("w.seats", plan.element), part("w.sale", fieldset(field("sale.state", { control: state, word: "w.status" })), rules.element), timesHint());
  put(place, heading(t("tab.new")), h("div", { class: "two" }, sheet, plan.preview), h("datalist", { id: "airports" }, codes.map((code) => h("option", { value: code }, city(code)))));
}

/** `#import` */
export function importFile(place) {
  const [said, found, skip] = [h("div"), h("div"), h("input", { type: "checkbox" })];
  const file = h("input", { type: "file", accept: ".csv,.jsonl,.ndjson", "data-test": "import.file", onchange: () => choose(file.files[0]) });
  const name = h("p", { class: "mono", role: "status" }, t("import.nothing"));
  let chosen = null;

  function choose(one) {
    chosen = one ?? chosen;
    name.textContent = chosen ? `${chosen.name} · ${number(chosen.size)} B` : t("import.nothing");
    check.click();
  }

  const upload = (isTry) => async () => {
    put(found);
    if (!chosen) return t("import.nothing");
    try {
      const done = await send(said, "POST", `/v1/admin/flights/import?dry_run=${isTry}&existing=${skip.checked ? "skip" : "refuse"}`, chosen,
        { type: /\.csv$/i.test(chosen.name) ? "text/csv" : "application/x-ndjson", timeout: 120_000 });
      put(found, h("p", { class: "ids" }, done.flights.slice(0, 200).flatMap((id) => [isTry ? id : link(id), " "])));
      return t(isTry ? "import.good" : "import.done", { count: done.flights.length, skipped: done.skipped });
    } catch (problem) {
      if (!problem.errors) throw problem;
      const heads = ["w.line", "w.field", "w.message"];
      say(said, t("import.bad", { count: problem.errors.length + problem.further_errors }), "bad");
      put(found, table(t("import.bad.lines"), heads, h("tbody", null, lines(problem.errors, heads, (one) => [one.line, one.field, told(one.message)]))),
        problem.further_errors > 0 && h("p", null, t("import.further", { count: problem.further_errors })));
      return null;
    }
  };
  const check = button("import.check", upload(true), said);
  const drop = h("div", { class: "card drop stack", ondragover: (event) => event.preventDefault(),
    ondrop: (event) => { event.preventDefault(); choose(event.dataTransfer.files[0]); } }, h("label", null, t("import.choose"), file), name);
  put(place, heading(t("tab.import")), h("p", null, t("import.says")), drop, h("label", { class: "check" }, skip, t("import.skip")),
    across(check, button("import.go", upload(false), said, "primary")), said, found);
}
