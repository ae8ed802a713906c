// One flight: how it stands, its live map with seats to block and withdraw, its rules, its aircraft, its books.
import "./seat-map.js";
import { Problem, get } from "./api.js";
import { saleButtons } from "./admin-flights.js";
import { across, adminPath, ask, book, button, departure, down, every, field, form, heading, hint, lines, link, saleTag, say, send, table, when, whole } from "./admin-kit.js";
import { cabinFields, saleRules, seatPlan, timesHint } from "./admin-new.js";
import { rehearse } from "./admin-rehearse.js";
import { $, h, put } from "./dom.js";
import { money, number, route } from "./format.js";
import { follow } from "./live.js";
import { t } from "./words.js";

const STATUS_MS = 2000;
/** As many moved orders, and chosen seats, are listed by name. */
const MOVED_MAX = 500;
const NAMED_MAX = 40;
const PARTS = { map, rules, aircraft, rehearse, manifest, waitlist, refunds, audit };

/** `#flight=FR101-20261224`, and `&view=` one of its parts. */
export function flight(place, given) {
  const id = given.get("flight");
  const ends = [];
  const loading = h("div", null, t("loading"));
  put(place, heading(id), loading);
  get(`/v1/flights/${encodeURIComponent(id)}`).then((flight) => ends.isOver || open(place, flight, given, ends), (problem) => {
    if (!(problem instanceof Problem)) throw problem;
    say(loading, problem.plain, "bad");
  });
  return () => {
    ends.isOver = true;
    for (const end of ends) end();
  };
}

function open(place, flight, given, ends) {
  const id = flight.flight_id;
  const path = adminPath(id);
  const part = Object.hasOwn(PARTS, given.get("view") ?? "") ? given.get("view") : "map";
  const [tag, live, kind, seats, seqs] = [h("span"), h("span"), h("span"), h("b"), h("span")];
  const [deeds, said] = [across(), h("div")];
  const inner = down();
  const restart = button("restart", async () => {
    if (!await ask("restart", h("p", null, t("restart.says")))) return null;
    return t("restart.done", await send(said, "POST", `${path}/restart`));
  }, said);
  let state;
  const show = (changed) => {
    Object.assign(flight, changed);
    put(tag, saleTag(flight));
    kind.textContent = flight.aircraft ?? t("own.cabins");
    seats.textContent = `${number(flight.available)} / ${number(flight.capacity)}`;
    if (state !== flight.sale.state) put(deeds, saleButtons(flight, said, ({ sale }) => show({ sale })), restart);
    state = flight.sale.state;
  };
  /** What the parts are given: the flight, how to change it, what to do when it changed, and whom the live map is told. */
  const view = { flight, path, given, ends, show, seen: null };
  put(place, heading(`${flight.flight_number} · ${route(flight)}`),
    h("p", { class: "facts" }, tag, live, h("span", null, departure(flight)), h("span", null, id), kind, h("span", null, t("w.available"), " ", seats), seqs,
      h("a", { href: `/flights/${encodeURIComponent(id)}` }, t("flight.page")), h("a", { href: `#orders&flight=${encodeURIComponent(id)}` }, t("tab.orders"))),
    h("div", { class: "no-print" }, deeds, said),
    h("nav", { class: "tabs small no-print", "aria-label": id }, Object.keys(PARTS).map((name) =>
      h("a", { href: `${link(id).hash}&view=${name}`, "data-test": `view-${name}`, ...(name === part && { "aria-current": "page" }) }, t(`view.${name}`)))), inner);
  show();
  PARTS[part](inner, view);
  $("h1", place).focus();
  ends.push(follow(id, {
    onSeats(model, changed) {
      show({ available: model.available, capacity: model.status.size });
      view.seen?.(model, changed);
    },
    onSale: (sale) => show({ sale }),
    onState: (now) => put(live, h("span", { class: `tag ${now === "live" ? "good" : "warn"}` }, t(`live.${now}`))),
  }), every(STATUS_MS, async () => {
    const own = (await get("/v1/admin/status")).flights.find((one) => one.flight_id === id);
    if (own) seqs.textContent = t("flight.seqs", own);
  }));
}

/** The live map: choose seats, then block, unblock or withdraw them; and more rows. */
function map(place, view) {
  const { flight, path } = view;
  const [plan, said, chosen] = [h("seat-map"), h("div"), h("p", { role: "status" })];
  plan.selectable = () => true;
  plan.mode = "choose";
  const count = () => {
    const { length } = plan.chosen;
    chosen.textContent = length ? `${t("seats", { count: length })}: ${plan.chosen.slice(0, NAMED_MAX).join(" ")}${length > NAMED_MAX ? " …" : ""}` : t("chosen.none");
  };
  plan.addEventListener("choose", count);
  view.seen = (model, changed) => plan.update(model, changed);
  const deed = (name, work) => button(`seats.${name}`, async () => {
    const seats = plan.chosen;
    if (!seats.length) return t("chosen.none");
    if (!await work(said, `${path}/seats/${name}`, { seats })) return null;
    plan.chosen = [];
    count();
    return true;
  }, said, name === "withdraw" && "danger");
  const post = (place, path, body) => send(place, "POST", path, body);
  const [first, last] = ["", ""].map(() => h("input", whole(1, 999)));
  const rows = button("rows.choose", () => {
    const [from, to] = [Number(first.value), Number(last.value || first.value)];
    plan.chosen = [...plan.model.status.keys()].filter((seat) => parseInt(seat, 10) >= from && parseInt(seat, 10) <= to);
    count();
  }, said);
  const before = flight.cabins.at(-1);
  const cabin = cabinFields("", () => before.fare.currency, { ...before, rows: ["", ""] });
  put(place, h("div", { class: "two" },
    h("div", { class: "stack" },
      h("div", { class: "card stack sticky" }, hint("map.says"), chosen,
        across(deed("block", post), deed("unblock", post), deed("withdraw", tried)), said,
        across(field("first", { control: first, word: "w.first_row" }), field("last", { control: last, word: "w.last_row" }), rows)),
      h("details", { class: "card" }, h("summary", null, t("rows.add")), form("rows.add", async (said) => Boolean(await post(said, `${path}/rows`, cabin.read())), cabin.element))),
    h("div", { class: "preview" }, plan)));
  count();
}

/** Tries a new seat plan, shows what it means for those who have seats, and does it if that is wanted. */
async function tried(said, path, body) {
  const plan = await send(said, "POST", `${path}?dry_run=true`, body);
  put(said);
  const cancel = h("input", { type: "checkbox", "data-test": "cancel-stranded" });
  const list = (word, columns, rows, cells) => {
    const heads = columns.map((name) => `w.${name}`);
    return rows?.length > 0 && [h("h3", null, t(word)), table(t(word), heads, h("tbody", null, lines(rows.slice(0, MOVED_MAX), heads, cells)))];
  };
  const isWanted = await ask("plan.title",
    h("p", null, t("plan.says", { ...plan, moved: plan.moved?.length ?? 0, stranded: plan.stranded?.length ?? 0 })),
    list("plan.moved", ["order", "from", "to", "together"], plan.moved, (one) => [one.order_id, one.from.join(" "), one.to.join(" "), t(one.kept_together ? "yes" : "no")]),
    list("plan.stranded", ["record_locator", "customer_id", "status", "seats", "payment"], plan.stranded, (one) =>
      [one.record_locator, one.customer_id, t(`order.${one.status}`), one.seats.join(" "), one.payment_reference]),
    plan.stranded?.length > 0 && h("label", { class: "check" }, cancel, t("plan.cancel")));
  return isWanted && send(said, "POST", path, { ...body, cancel_stranded: cancel.checked });
}

/** The rules of the sale. */
function rules(place, { flight, path }) {
  const controls = saleRules("", flight.sale);
  put(place, form("save", async (said) => Boolean(await send(said, "PATCH", path, controls.read())), hint("rules.says"), controls.element, timesHint()));
}

/** Another aircraft, tried first. */
function aircraft(place, { flight, path, show }) {
  const plan = seatPlan({ aircraft: flight.aircraft ?? "", currency: flight.cabins[0].fare.currency });
  put(place, h("div", { class: "two" }, form("aircraft.try", async (said) => {
    if (!await tried(said, `${path}/aircraft`, plan.body())) return null;
    show(await get(`/v1/flights/${encodeURIComponent(flight.flight_id)}`));
    return t("event.cabins_changed");
  }, hint("aircraft.says"), plan.element), plan.preview));
}

function manifest(place, { path, flight }) {
  put(place, book("view.manifest", ["seat", "passenger", "customer_id", "record_locator", "status", "cabin_class", "fare"], () => `${path}/manifest?`, "seats", (one) =>
    [one.seat, one.passenger, one.customer_id, one.record_locator, t(`order.${one.status}`), t(`cabin.${one.cabin_class}`), one.fare && money(one.fare)], `${flight.flight_id}-manifest.csv`));
}

function waitlist(place, { path }) {
  put(place, book("view.waitlist", ["place", "customer_id", "party", "accept", "cabin_class", "status", "created"], () => `${path}/waitlist?limit=100`, "waitlist", (one) =>
    [one.position, one.customer_id, one.party_size, one.accept.at_least ? `≥ ${one.accept.at_least}` : t(`accept.${one.accept}`), t(`cabin.${one.cabin_class ?? "any"}`),
      [t(`waitlist.${one.status}`), " ", one.order_id ?? ""], when(one.created_at)]));
}

function refunds(place, { path, flight }) {
  put(place, hint("refunds.says"), book("view.refunds", ["record_locator", "customer_id", "seats", "amount", "payment", "reason", "ended"], () => `${path}/refunds?limit=100`, "refunds", (one) =>
    [one.record_locator, one.customer_id, one.seats.join(" "), money(one), one.payment_reference, t(`refund.${one.reason}`), when(one.cancelled_at)], `${flight.flight_id}-refunds.csv`));
}

function audit(place, { path, flight }) {
  put(place, book("view.audit", ["seq", "when", "who", "what"], () => `${path}/audit?limit=100`, "events", (one) => {
    const told = Object.entries(one.details).filter(([, value]) => value !== null && value.length !== 0).map(([name, value]) => `${name}: ${typeof value[0] === "string" ? [value].flat().join(" ") : JSON.stringify(value)}`);
    return [one.seq, when(one.at), `${t(`actor.${one.actor}`)} ${one.by ?? ""}`, [h("b", null, t(`event.${one.kind}`)), h("small", { class: "mono" }, told.join(" · "))]];
  }, `${flight.flight_id}-audit.csv`));
}
