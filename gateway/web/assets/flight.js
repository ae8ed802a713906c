// The flight page: the seats as they are now, the grab and its retries under one key, the customer's orders, the waitlist.

import { begin } from "./chrome.js";
import "./words-flight.js";
import "./boarding-pass.js";
import "./seat-map.js";
import { change, customer, get, newKey, serverNow } from "./api.js";
import { $, announce, h, put } from "./dom.js";
import { Waitlist } from "./flight-wait.js";
import { closing, departure, here, left, money, number, route, zone } from "./format.js";
import { follow, modelOf } from "./live.js";
import { t } from "./words.js";

const flightId = decodeURIComponent(location.pathname.split("/")[2]);
const PATH = `/v1/flights/${encodeURIComponent(flightId)}`;
/** Where a grab under way is kept, with its key: a reload goes on with it. */
const GRAB = `farerush.grab.${flightId}`;
/** A kept grab that is older is not sent again; if it won, its order is in the list. All in ms. */
const GRAB_MAX_AGE = 600_000;
/** The server gives up after 5 s by itself. */
const TRY_FOR = 7000;
/** A refusal so close to the opening is a matter of clocks. */
const CLOCKS_DIFFER = 3000;
const TICK = 250;
/** So long after an order the button rests: the second half of a double click buys nothing. */
const NOT_AGAIN_FOR = 1000;
/** Who comes back to a busy server comes at a random moment of these. */
const SPREAD = 3000;
const MINUTE = 60;
/** So many chosen seats are named in the button. */
const NAMED_MAX = 4;
const TAGS = { open: "good", scheduled: "warn", paused: "warn", sold_out: "bad", closed: "dim" };

let flight;
let sale;
let model;
let isLive = false;
let grabbing = false;
let grabKept = JSON.parse(sessionStorage.getItem(GRAB));
let wasOpen;
let wonAt = -Infinity;
let together = "preferred";
let cabin = "";
let party = 2;
const orders = new Map();
const view = {};
const map = document.createElement("seat-map");

const names = (seats) => seats.join(", ");
const cabinAt = (cabins, row) => cabins.find(({ rows: [first, last] }) => row >= first && row <= last);
const seatsOf = (order) => order.seats.map(({ seat }) => seat);
const isAlive = (order) => order.status === "held" || order.status === "confirmed";
const available = () => model?.available ?? flight.available;
const unit = (value, name) => number(value, { style: "unit", unit: name, unitDisplay: "long" });
const write = (element, text) => { if (element.textContent !== text) element.textContent = text; };
const button = (word, test, onclick, style = "") => h("button", { type: "button", class: style, "data-test": test, onclick }, word);
const field = (label, ...inputs) => h("label", null, label, ...inputs);

// --- What one sees.

function build() {
  const size = () => setParty(view.party.valueAsNumber);
  view.sale = h("span", { class: "tag", "data-test": "sale-state" });
  view.live = h("span", { class: "live", "data-test": "live" });
  view.left = h("strong", { "data-test": "available" });
  view.meter = h("span", { class: "meter", "aria-hidden": "true" });
  view.facts = h("dl", { class: "facts" });
  view.party = h("input", { type: "number", id: "party-size", min: "1", inputmode: "numeric", "data-test": "party-size", oninput: size, onchange: () => {
    size();
    view.party.value = party;
  } });
  view.together = field(t("flight.together"), choice("together", ["preferred", "required", "any"], "flight", (value) => { together = value; }));
  view.cabins = h("fieldset", { class: "cabins" });
  view.picked = h("p", { class: "dim" });
  view.say = h("div", { class: "note", "data-test": "say", hidden: true });
  view.grab = button("", "grab", () => grab(), "primary big");
  view.sum = h("p", { class: "sum", "data-test": "sum" });
  view.wait = new Waitlist(flightId, {
    wish: () => ({ ...me(), party_size: party, ...(cabin && { cabin_class: cabin }) }),
    onServed: (order) => { won(order); say(t("wait.served"), "good"); },
    onEnded: () => say(t("wait.ended")),
    onChange: render,
    onProblem: (problem) => (problem.code === "UNAUTHORIZED" ? signIn() : say(problem.plain ?? problem.message, "bad")),
  });
  view.sign = h("section", { class: "card stack", hidden: true });
  view.orders = h("section", { class: "stack", "data-test": "orders", hidden: true }, h("h2", null, t("flight.orders")));
  view.passes = h("div", { class: "stack" });
  view.orders.append(view.passes);
  const step = (by, label, text) => h("button", { type: "button", "aria-label": t(label), onclick: () => setParty(party + by) }, text);
  put($("main"),
    h("header", { class: "head" },
      h("p", null, view.sale, view.live),
      h("h1", null, `${flight.flight_number} ${route(flight)}`),
      view.facts,
      h("p", { class: "left" }, view.left, " ", t("flight.left", { capacity: number(flight.capacity) }), view.meter)),
    h("div", { class: "side stack" },
      h("section", { class: "card stack" },
        view.cabins,
        h("div", { class: "row" },
          h("div", { class: "field" }, h("label", { for: "party-size" }, t("flight.party")),
            h("div", { class: "stepper" }, step(-1, "flight.fewer", "−"), view.party, step(1, "flight.more", "+"))),
          view.together),
        view.picked,
        h("div", { class: "go" }, view.say, view.sum, view.grab)),
      view.sign, view.wait.card, view.orders),
    h("section", { class: "map card", "aria-label": t("map.title") }, map));
  document.title = `${flight.flight_number} ${route(flight)} · Farerush`;
  map.mode = "choose";
  map.addEventListener("choose", ({ detail: { chosen, lost } }) => {
    if (chosen.length) party = chosen.length;
    if (lost.length && !grabbing) say(t("flight.taken", { seats: names(lost) }), "warn");
    render();
  });
}

function choice(test, values, prefix, onPick) {
  return h("select", { "data-test": test, onchange: ({ target }) => onPick(target.value) }, values.map((value) => h("option", { value }, t(`${prefix}.${value}`))));
}

function setParty(size) {
  map.chosen = [];
  party = Math.max(1, Math.min(sale.max_seats_per_order, Math.round(size) || 1));
  render();
}

/** Says what is going on; `offers` are what can be done about it: `[word, work]`. */
function say(text, style = "", offers = []) {
  view.say.hidden = !text;
  view.say.className = `note ${style}`;
  put(view.say, h("p", null, text), offers.length > 0 && h("div", { class: "row" }, offers.map(([word, work]) => button(word, "offer", work))));
  if (text) announce(text, style === "bad");
}

/** Facts and cabins change with the flight and its sale, not with every seat. */
function describe() {
  const fact = (word, value) => value && h("div", null, h("dt", null, t(word)), h("dd", null, value));
  put(view.facts, fact("pass.departs", `${departure(flight, { dateStyle: "full", timeStyle: "short" })} (${zone(flight)})`), fact("flight.aircraft", flight.aircraft),
    fact("flight.opens", sale.state === "scheduled" && sale.opens_at && here(sale.opens_at)), fact("flight.closes", (sale.closes_at || sale.closes_before_minutes > 0) && here(closing({ ...flight, sale }))),
    fact("flight.hold", sale.hold_seconds > 0 && (sale.hold_seconds % MINUTE ? unit(sale.hold_seconds, "second") : unit(sale.hold_seconds / MINUTE, "minute"))));
  const classes = [...new Set(flight.cabins.map(({ cabin_class: name }) => name))];
  view.counts = {};
  const options = (classes.length > 1 ? ["", ...classes] : classes).map((name) => {
    const fares = flight.cabins.filter(({ cabin_class: other }) => !name || other === name).map(({ fare }) => fare);
    const cheapest = fares.reduce((low, fare) => (fare.amount < low.amount ? fare : low));
    view.counts[name] = h("small");
    const word = h("span", null, t(name ? `cabin.${name}` : "flight.cheapest"));
    const price = name && h("b", null, money(cheapest));
    if (classes.length === 1) return h("p", null, word, price, view.counts[name]);
    return h("label", { class: "check" }, h("input", { type: "radio", name: "cabin", value: name, checked: name === cabin, "data-test": `cabin-${name || "cheapest"}`,
      onchange: () => { cabin = name; render(); } }), word, price, view.counts[name]);
  });
  put(view.cabins, h("legend", null, t("flight.cabin")), options);
  map.max = sale.max_seats_per_order;
  view.party.max = sale.max_seats_per_order;
  party = Math.min(party, sale.max_seats_per_order);
}

const opensAt = () => (sale.opens_at ? Date.parse(sale.opens_at) : Infinity);
const isOpen = () => sale.state === "open" || (sale.state === "scheduled" && serverNow() >= opensAt());

/** What the big button says, and whether it can be pressed. */
function offer() {
  if (grabbing) return [t("flight.trying"), true];
  if (performance.now() - wonAt < NOT_AGAIN_FOR) return ["✓", false];
  if (grabKept?.unsure) return [t("flight.find"), true];
  if (!isOpen()) {
    const wait = opensAt() - serverNow();
    if (sale.state !== "scheduled") return [t(`sale.${sale.state}`), false];
    return [wait < Infinity ? t("flight.in", { time: left(wait) }) : t("flight.later"), false];
  }
  if (isLive && model?.available === 0) return [t("sale.sold_out"), false];
  const { chosen } = map;
  if (chosen.length && chosen.length <= NAMED_MAX) return [t("flight.these", { seats: names(chosen) }), true];
  return [t(map.mine.size ? "flight.again" : "flight.grab", { count: chosen.length || party }), true];
}

function sum() {
  const fareOf = (seat) => cabinAt(model.cabins, parseInt(seat, 10))?.fare;
  const ours = flight.cabins.filter(({ cabin_class: name }) => !cabin || name === cabin);
  const prices = map.chosen.length ? map.chosen.map(fareOf) : ours.length === 1 ? Array(party).fill(ours[0].fare) : [];
  return prices.length && prices.every(Boolean) ? money({ ...prices[0], amount: prices.reduce((all, { amount }) => all + amount, 0) }) : "";
}

function render() {
  const open = isOpen();
  const state = open && available() === 0 ? "sold_out" : open ? "open" : sale.state;
  write(view.sale, t(`sale.${state}`));
  view.sale.className = `tag ${TAGS[state]}`;
  write(view.left, number(available()));
  view.meter.style.setProperty("--part", available() / Math.max(1, flight.capacity));
  if (document.activeElement !== view.party) view.party.value = party;
  view.together.hidden = party < 2 || map.chosen.length > 0;
  const [word, can] = offer();
  const isOver = state === "sold_out" || state === "closed";
  write(view.sum, isOver ? "" : sum());
  view.picked.hidden = isOver;
  write(view.grab, word);
  view.grab.disabled = !can;
  view.grab.setAttribute("aria-busy", String(grabbing));
  const chosen = names(map.chosen);
  if (view.picked.dataset.seats !== chosen) {
    view.picked.dataset.seats = chosen;
    put(view.picked, chosen ? [h("b", { class: "mono" }, chosen), " ", button(t("flight.clear"), "clear", () => setParty(party), "plain")] : t("flight.pick"));
  }
  if (wasOpen === false && open) {
    say(t("flight.open"), "good");
    if ([document.body, $("main")].includes(document.activeElement)) view.grab.focus({ preventScroll: true });
  }
  wasOpen = open;
  view.wait.render(state === "sold_out", open, party);
}

/** Seats left by cabin are counted a few times a second at most. */
function count() {
  if (!model || Object.keys(view.counts).length < 2) return;
  const free = {};
  for (const { cabin_class: name, layout, rows } of model.cabins) {
    for (let row = rows[0]; row <= rows[1]; row += 1) {
      for (const letter of layout) if (model.status.get(row + letter) === "free") free[name] = (free[name] ?? 0) + 1;
    }
  }
  for (const [name, place] of Object.entries(view.counts)) if (name) write(place, t("flight.n", { count: number(free[name] ?? 0) }));
}

let announced = Infinity;

function tick() {
  const wait = opensAt() - serverNow();
  if (sale.state === "scheduled" && wait > 0) {
    for (const seconds of [60, 10]) {
      if (wait > seconds * 1000 || announced <= seconds) continue;
      announced = seconds;
      announce(t("flight.announce", { time: left(wait) }));
    }
    if (wait < TICK) setTimeout(render, wait);
  }
  render();
}

// --- The grab.

function keep(pending) {
  grabKept = pending;
  if (pending) sessionStorage.setItem(GRAB, JSON.stringify(pending));
  else sessionStorage.removeItem(GRAB);
}

const me = () => (customer.token ? {} : { customer_id: customer.id });

function wish() {
  const seats = map.chosen;
  return seats.length ? { seats } : { quantity: party, together, ...(cabin && { cabin_class: cabin }) };
}

/** Grabs. A grab whose outcome is not known is sent again as it was, whatever is asked for now. */
async function grab(asked = wish()) {
  if (grabbing) return;
  if (!grabKept?.unsure) keep({ key: newKey(), body: { ...me(), ...asked }, at: Date.now() });
  grabbing = true;
  say(t("flight.asking"));
  render();
  try {
    const order = await change("POST", `${PATH}/orders`, grabKept.body, { key: grabKept.key, timeout: TRY_FOR, onRetry: (problem) => {
      if (!["OVERLOADED", "ELSEWHERE"].includes(problem.code)) keep({ ...grabKept, unsure: true });
      say(t(`flight.${problem.code}`), "warn");
    } });
    keep(null);
    won(order);
  } catch (problem) {
    refused(problem);
  } finally {
    grabbing = false;
    render();
  }
}

function won(order) {
  wonAt = performance.now();
  map.chosen = [];
  const word = order.status === "held" ? "flight.won_held" : "flight.won";
  if (isAlive(order)) say(t(word, { seats: names(seatsOf(order)) }), "good");
  else say("");
  take(order);
  const { pass } = orders.get(order.order_id);
  pass.focus({ preventScroll: true });
  pass.scrollIntoView({ block: "nearest" });
  map.show(order.seats[0].seat);
}

function refused(problem) {
  const { code, status } = problem;
  const { body, unsure } = grabKept;
  const soon = code === "SALE_NOT_OPEN" && Math.abs(Date.parse(problem.opens_at) - serverNow()) < CLOCKS_DIFFER;
  if (soon) {
    say(t("flight.soon"));
    setTimeout(() => grab(wishOf(body)), TICK);
    return;
  }
  if (code === "UNAUTHORIZED") {
    signIn();
    say("");
    return;
  }
  // Only an answer that says so means that nothing was bought.
  const isNoAnswer = status >= 500 || status === 0;
  if (unsure ? isNoAnswer || status === 429 : isNoAnswer && !["OVERLOADED", "ELSEWHERE"].includes(code)) {
    keep({ ...grabKept, unsure: true });
    say(t("flight.unsure"), "bad");
    return;
  }
  keep(null);
  say(problem.plain, code === "SALE_NOT_OPEN" ? "warn" : "bad", offersFor(problem, body));
}

/** What is possible instead. */
function offersFor(problem, body) {
  const retry = (word, changes) => [word, () => {
    map.chosen = [];
    grab({ ...wishOf(body), ...changes });
  }];
  const anyCabin = body.cabin_class && retry(t("flight.anycabin"), { cabin_class: undefined });
  const size = body.quantity ?? body.seats.length;
  const rest = problem.available;
  const offers = {
    NOT_TOGETHER: () => [retry(t("flight.apart"), { together: "preferred" }), anyCabin],
    NOT_ENOUGH_SEATS: () => [rest > 0 && retry(t("flight.rest", { count: rest }), { quantity: rest, together: "preferred" }), anyCabin],
    SOLD_OUT: () => [anyCabin],
    SEAT_TAKEN: () => {
      const near = nearest(body.seats, problem.seats ?? []);
      const any = retry(t("flight.anyseat"), { seats: undefined, quantity: size, together: "preferred" });
      return [near && retry(t("flight.near", { seats: names(near) }), { seats: near }), any];
    },
  }[problem.code]?.() ?? [];
  if (problem.code === "SOLD_OUT" || problem.code === "NOT_ENOUGH_SEATS") view.wait.wanted = true;
  return offers.filter(Boolean);
}

const wishOf = ({ customer_id: _, ...asked }) => asked;

/** The free seats that are nearest to those that were taken; the others of the party stay. */
function nearest(seats, taken) {
  const picked = seats.filter((seat) => !taken.includes(seat));
  for (const seat of taken) {
    const row = parseInt(seat, 10);
    const { layout, rows } = cabinAt(model.cabins, row) ?? {};
    let best = { far: Infinity };
    for (let other = rows?.[0]; other <= rows?.[1]; other += 1) {
      for (const letter of layout.replaceAll(" ", "")) {
        const name = other + letter;
        const far = 2 * Math.abs(other - row) + Math.abs(layout.indexOf(letter) - layout.indexOf(seat.at(-1)));
        if (far < best.far && model.status.get(name) === "free" && !picked.includes(name) && !taken.includes(name)) best = { far, name };
      }
    }
    if (!best.name) return null;
    picked.push(best.name);
  }
  return picked;
}

// --- The customer's orders.

function take(order) {
  const known = orders.get(order.order_id);
  if (known && known.order.seq > order.seq) return;
  const pass = known?.pass ?? document.createElement("boarding-pass");
  orders.set(order.order_id, { order, pass });
  if (pass.order !== order) pass.show(order, flight);
  if (!known) {
    pass.addEventListener("change", ({ detail }) => {
      if (detail.order.status !== orders.get(detail.order.order_id).order.status) say("");
      take(detail.order);
    });
    view.passes.prepend(pass);
  }
  view.orders.hidden = false;
  mark();
}

function mark() {
  map.mine = [...orders.values()].filter(({ order }) => isAlive(order)).flatMap(({ order }) => seatsOf(order));
}

async function load() {
  const query = new URLSearchParams({ ...me(), flight_id: flightId, limit: 100 });
  try {
    const list = await get(`/v1/orders?${query}`);
    for (const order of list.orders.filter(isAlive).reverse()) take(order);
  } catch (problem) {
    if (problem.code === "UNAUTHORIZED" && (customer.token || grabKept)) signIn();
  }
}

/** Somebody else may have ended an order of ours, or moved it: the map knows first. */
function check(changed) {
  for (const { order, pass } of orders.values()) {
    const isOdd = (seat) => ["free", "blocked", order.status === "held" ? "sold" : "held"].includes(model.status.get(seat));
    if (isAlive(order) && seatsOf(order).some((seat) => (!changed || changed.includes(seat)) && isOdd(seat))) setTimeout(() => pass.look(), TICK);
  }
}

function signIn() {
  const token = h("input", { type: "password", autocomplete: "off", "data-test": "token" });
  const use = async () => {
    if (!token.value.trim()) return;
    customer.token = token.value.trim();
    view.sign.hidden = true;
    if (grabKept) await grab(wishOf(grabKept.body));
    load();
  };
  put(view.sign, h("h2", null, t("sign.title")), h("p", null, t("sign.text")), field(t("sign.label"), token), button(t("sign.use"), "sign-in", use, "primary"));
  token.addEventListener("keydown", ({ key }) => { if (key === "Enter") use(); });
  view.sign.hidden = false;
  token.focus();
}

// --- The flight, as it lives.

async function onSeats(now, changed) {
  model = now;
  if (!changed) {
    const fareOf = ({ cabin_class: kind, rows: [first] }) => {
      const known = cabinAt(flight.cabins, first);
      return known?.cabin_class === kind ? known.fare : undefined;
    };
    if (!now.cabins.every(fareOf)) {
      // Another aircraft, or more rows.
      flight = await get(PATH).catch(() => flight);
      describe();
    }
    for (const part of now.cabins) part.fare = fareOf(part);
  }
  map.update(model, changed);
  check(changed);
  render();
}

/** Where no live events come at all, the map is at least drawn once. */
async function withoutLive() {
  if (model) return;
  const seats = await get(`${PATH}/seats`).catch(() => null);
  if (seats && !model) onSeats(modelOf({ ...seats, available: flight.available }), null);
}

function onSale(now) {
  sale = now;
  describe();
  render();
}

function onState(state) {
  const isBack = state === "live" && view.live.dataset.state === "waiting" && model;
  if (isBack) setTimeout(load, Math.random() * SPREAD);
  isLive = state === "live";
  view.live.dataset.state = state;
  write(view.live, t(`live.${state}`));
}

async function start() {
  begin("flight.title");
  const main = $("main");
  put(main, h("p", { class: "dim" }, t("loading")));
  try {
    flight = await get(PATH);
  } catch (problem) {
    put(main, h("h1", null, flightId), h("p", { class: "note bad", role: "alert" }, problem.plain),
      h("p", { class: "row" }, button(t("again"), "again", () => location.reload()), h("a", { href: "/" }, t("flight.back"))));
    return;
  }
  sale = flight.sale;
  build();
  describe();
  onState("waiting");
  write(view.live, "");
  render();
  follow(flightId, { onSeats, onSale, onState });
  setTimeout(withoutLive, SPREAD);
  setInterval(tick, TICK);
  setInterval(count, 2 * TICK);
  addEventListener("online", () => { if (grabKept?.unsure && !grabbing) grab(); });
  await load();
  if (!grabKept) return;
  keep(Date.now() - grabKept.at < GRAB_MAX_AGE ? { ...grabKept, unsure: true } : null);
  if (!grabKept) return;
  const resumed = grab();
  say(t("flight.resumed"));
  await resumed;
}

start();
