// `/orders`: a customer's orders: find one, open it, change it, grab a new one. What is open stands in the address.
import { begin } from "./chrome.js";
import { change, customer, get, newKey, serverNow } from "./api.js";
import "./boarding-pass.js";
import { $, announce, h, put } from "./dom.js";
import { departure, left, money, offset, route } from "./format.js";
import { follow } from "./live.js";
import "./seat-map.js";
import { t } from "./words.js";
import "./words-orders.js";

/** Orders of one page; of one reading where all are needed, to be sorted or searched here, and how many those may be. */
const PAGE = 20;
const READ = 200;
const ALL_MAX = 2000;
/** How long after the end of a hold its order is asked for, in ms: the server needs a moment. */
const AFTER_HOLD = 800;
/** How long after a list that could not be read it is asked for again, in ms. */
const AGAIN = 5000;
const SORTS = ["newest", "departure", "status"];
const TONES = { held: "warn", confirmed: "good", cancelled: "dim", expired: "bad" };
const STATES = Object.keys(TONES);
/** A grab whose outcome is not known: even a page that was loaded anew asks for it under the same key. */
const PENDING = "farerush.pending_grab";

begin("ord.title");
const option = (value, text) => h("option", { value }, text);
put($("#sort"), SORTS.map((name) => option(name, t(`ord.by.${name}`))));
put($("#status"), ["", ...STATES].map((name) => option(name, t(name ? `order.${name}` : "ord.any"))));

const flights = new Map();
let asked = {};
let orders = [];
let next = null;
let shown = PAGE;
let loads = 0;
let unfollow = () => {};

const orderPath = (id) => `/v1/orders/${encodeURIComponent(id)}`;
const lineOf = (id) => $(`[data-order="${CSS.escape(id)}"]`, $("#list"));
const isLive = ({ status }) => status === "held" || status === "confirmed";

function say(text) {
  $("#said").hidden = !text;
  $("#said").textContent = text;
}

/** Does something, and says in plain words why it could not be done; gives what went wrong. */
async function trying(work) {
  say("");
  try {
    await work();
  } catch (problem) {
    say(problem.plain ?? problem.message);
    if (problem.status === 401) {
      $("#who").open = true;
      $("#token").focus();
    }
    return problem;
  }
}

function onSubmit(form, work) {
  form.onsubmit = async (event) => {
    event.preventDefault();
    const button = event.submitter;
    if (button) button.disabled = true;
    await trying(work);
    if (button) button.disabled = false;
  };
}

/** A flight, asked for once; `null` if it cannot be had. */
async function flightOf(id) {
  if (!flights.has(id)) flights.set(id, await get(`/v1/flights/${encodeURIComponent(id)}`).catch(() => null));
  return flights.get(id);
}

// ---- The list.

function address(more) {
  const said = Object.entries({ ...asked, ...more }).filter(([, value]) => value && value !== SORTS[0]);
  return said.length ? `/orders?${new URLSearchParams(said)}` : "/orders";
}

/** Reads the address, and loads the list if other orders are asked for. */
function readAddress() {
  const query = new URLSearchParams(location.search);
  const before = asked;
  const one = (name, known) => (known.includes(query.get(name)) ? query.get(name) : known[0]);
  asked = { order: query.get("order"), sort: one("sort", SORTS), status: one("status", ["", ...STATES]), flight: query.get("flight") ?? "" };
  drawFilters();
  return ["sort", "status", "flight"].some((name) => asked[name] !== before[name]) && load();
}

function go(more) {
  history.pushState(null, "", address(more));
  return readAddress();
}

async function read(filter, limit, cursor) {
  const query = Object.entries({ customer_id: customer.token ? "" : customer.id, ...filter, limit, cursor });
  try {
    return await get(`/v1/orders?${new URLSearchParams(query.filter(([, value]) => value))}`);
  } catch (problem) {
    if (problem.code !== "INVALID_REQUEST" || !customer.token) throw problem;
    customer.token = null; // This server takes customers by their word.
    drawWho();
    return read(filter, limit, cursor);
  }
}

async function readAll(filter) {
  const all = [];
  let cursor = "";
  do {
    const page = await read(filter, READ, cursor);
    all.push(...page.orders);
    cursor = page.next_cursor;
  } while (cursor && all.length < ALL_MAX);
  return all;
}

const filter = () => ({ status: asked.status, flight_id: asked.flight });

async function load() {
  const turn = (loads += 1);
  $("#list").ariaBusy = "true";
  const problem = await trying(async () => {
    const page = asked.sort === "newest" ? await read(filter(), PAGE) : { orders: await readAll(filter()) };
    if (asked.sort === "status") page.orders.sort((a, b) => STATES.indexOf(a.status) - STATES.indexOf(b.status));
    if (asked.sort === "departure") {
      await Promise.all([...new Set(page.orders.map((order) => order.flight_id))].map(flightOf));
      const when = (order) => flights.get(order.flight_id)?.departs_at ?? "";
      page.orders.sort((a, b) => when(a).localeCompare(when(b)));
    }
    if (turn !== loads) return;
    [orders, next, shown] = [page.orders, page.next_cursor, PAGE];
    await draw();
  });
  $("#list").ariaBusy = "false";
  if (problem && problem.status !== 401 && turn === loads) setTimeout(load, AGAIN);
}

$("#more").onclick = () => trying(async () => {
  const before = shown;
  if (orders.length <= shown) {
    const page = await read(filter(), PAGE, next);
    orders.push(...page.orders);
    next = page.next_cursor;
  }
  shown += PAGE;
  await draw();
  $("#list").children[before]?.firstChild.focus();
});

async function draw() {
  const seen = orders.slice(0, shown);
  await Promise.all([...new Set(seen.map((order) => order.flight_id))].map(flightOf));
  put($("#list"), seen.map(line));
  const isMore = Boolean(next) || orders.length > shown;
  $("#more").hidden = !isMore;
  const word = seen.length ? (isMore ? "ord.count.more" : "ord.count") : asked.status || asked.flight ? "ord.noMatch" : "ord.none";
  $("#count").textContent = t(word, { count: seen.length });
  drawFilters();
  mark();
}

function drawFilters() {
  const known = new Set([...flights.keys(), asked.flight].filter(Boolean));
  put($("#of"), option("", t("ord.any")), [...known].map((id) => option(id, nameOf(id))));
  [$("#sort").value, $("#status").value, $("#of").value] = [asked.sort, asked.status, asked.flight];
}

const nameOf = (id) => {
  const flight = flights.get(id);
  return flight ? `${flight.flight_number} · ${route(flight)}` : id;
};

function line(order) {
  const flight = flights.get(order.flight_id);
  const isHeld = order.status === "held";
  const onclick = (event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    go({ order: order.order_id });
    open();
  };
  return h("li", { "data-order": order.order_id, "data-status": order.status, "data-until": isHeld && order.hold_expires_at },
    h("a", { href: address({ order: order.order_id }), onclick },
      h("b", { class: "mono locator" }, order.record_locator), h("span", { class: `tag ${TONES[order.status]}` }, t(`order.${order.status}`)),
      h("b", { class: "name" }, nameOf(order.flight_id)),
      h("span", { class: "dim" }, flight && `${departure(flight)} (${offset(flight)})`), h("span", null, money(order.total)),
      h("span", { class: "mono" }, order.seats.map(({ seat }) => seat).join(" ")),
      isHeld && h("span", { class: "hold" }, t("ord.pay"), " ", h("b", { class: "mono", role: "timer" }))));
}

/** Shows which order of the list is open. */
function mark() {
  for (const item of $("#list").children) item.firstChild.ariaCurrent = item.dataset.order === asked.order ? "true" : null;
  tick();
}

/** Puts an order as it is now in place of what the list knows. */
function took(order) {
  orders = orders.map((one) => (one.order_id === order.order_id ? order : one));
  const old = lineOf(order.order_id);
  const hadFocus = old?.contains(document.activeElement);
  old?.replaceWith(line(order));
  if (hadFocus) lineOf(order.order_id).firstChild.focus();
  mark();
}

function tick() {
  for (const item of document.querySelectorAll("[data-until]")) {
    const rest = Date.parse(item.dataset.until) - serverNow();
    $(".hold b", item).textContent = left(rest);
    if (rest > -AFTER_HOLD) continue;
    item.removeAttribute("data-until");
    get(orderPath(item.dataset.order)).then(took, () => {});
  }
}
setInterval(tick, 1000);

// ---- One order.

async function open() {
  unfollow();
  mark();
  const place = $("#opened");
  const { order: id } = asked;
  $("#both").className = id ? "one" : "";
  place.hidden = !id;
  if (!id) return;
  const back = h("a", { href: address({ order: "" }), "data-test": "back", onclick: (event) => {
    event.preventDefault();
    go({ order: "" });
    open();
    (lineOf(id)?.firstChild ?? $("#locator")).focus();
  } }, t("ord.back"));
  put(place, back, h("p", null, t("loading")));
  place.focus();
  try {
    const order = await get(orderPath(id));
    flights.delete(order.flight_id); // Its cabins may have changed.
    const flight = await flightOf(order.flight_id);
    if (asked.order !== id) return;
    const pass = h("boarding-pass");
    const edit = h("div", { class: "stack" });
    put(place, back, h("h2", { class: "unseen" }, t("ord.one")), pass, edit);
    let before;
    const changed = (now) => {
      took(now);
      const what = JSON.stringify([now.status, now.seats]);
      if (what !== before) put(edit, flight && isLive(now) && [seatsPart(now, flight, save), namesPart(now, save)]);
      before = what;
    };
    const save = async (body, tell) => {
      const now = await change("PATCH", orderPath(id), body, { onRetry: (problem) => tell(`${problem.plain} ${t("ord.retry")}`) });
      if (asked.order !== id) return;
      pass.show(now, flight);
      changed(now);
      announce(t("ord.saved"));
      place.focus();
    };
    pass.addEventListener("change", ({ detail }) => changed(detail.order));
    pass.show(order, flight);
    changed(order);
  } catch (problem) {
    put(place, back, h("p", { class: "note bad", role: "alert" }, problem.plain ?? problem.message));
  }
}

/** A part of an order that can be changed; `bodyOf` gives what to send, the last of `foot` is the button. */
function part(name, save, bodyOf, foot, ...children) {
  const button = foot.at(-1);
  const note = h("p", { class: "note bad", role: "alert", hidden: true });
  const tell = (text) => {
    note.textContent = text;
    note.hidden = !text;
  };
  const form = h("form", { class: "stack", onsubmit: async (event) => {
    event.preventDefault();
    tell("");
    button.disabled = true;
    await save(bodyOf(), tell).catch((problem) => tell(problem.plain ?? problem.message));
    button.disabled = false;
  } }, ...children, h("div", { class: "stack foot" }, note, ...foot));
  return h("details", { class: "card", "data-test": name }, h("summary", null, t(`ord.${name}`)), form);
}

function namesPart(order, save) {
  const inputs = order.seats.map(({ passenger }) => h("input", { maxlength: 100, value: passenger?.name ?? "", autocomplete: "off" }));
  const named = ({ value }) => (value.trim() ? { name: value.trim() } : null);
  return part("names", save, () => ({ passengers: inputs.map(named) }), [h("button", { class: "primary" }, t("save"))],
    order.seats.map(({ seat }, place) => h("label", null, t("ord.sits", { seat }), inputs[place])));
}

function seatsPart(order, flight, save) {
  const old = order.seats.map(({ seat }) => seat);
  const isPaid = order.status === "confirmed";
  const fareOf = (seat) => {
    const row = parseInt(seat, 10);
    return flight.cabins.find(({ rows, layout }) => rows[0] <= row && row <= rows[1] && layout.includes(seat.at(-1)))?.fare.amount;
  };
  const map = h("seat-map");
  const hint = h("p", { role: "status" });
  const button = h("button", { class: "primary", "data-test": "move" }, t("ord.move"));
  // Who keeps a seat keeps it: names belong to places in the order.
  const bodyOf = () => {
    const fresh = map.chosen.filter((seat) => !old.includes(seat));
    return { seats: old.map((seat) => (map.chosen.includes(seat) ? seat : fresh.shift())) };
  };
  const check = () => {
    const { chosen } = map;
    const amount = chosen.reduce((sum, seat) => sum + fareOf(seat), 0);
    const isWhole = chosen.length === old.length;
    const isDearer = isPaid && isWhole && amount !== order.total.amount;
    hint.textContent = isDearer ? t("ord.price") : `${t("ord.chosen", { count: chosen.length, of: old.length })} ${chosen.join(" ")} · ${money({ ...order.total, amount })}`;
    button.disabled = !isWhole || isDearer || chosen.every((seat) => old.includes(seat));
  };
  map.mode = "choose";
  map.max = old.length;
  map.mine = new Set(old);
  map.selectable = (seat, status) => status === "free" || old.includes(seat);
  map.addEventListener("choose", check);
  const details = part("seats", save, bodyOf, [hint, button], h("p", { class: "dim" }, t("ord.all"), " ", t(isPaid ? "ord.paid" : "ord.held")), map);
  details.addEventListener("toggle", () => {
    unfollow();
    if (!details.open) return;
    let isNew = true;
    unfollow = follow(order.flight_id, { onSeats: (model, changed) => {
      map.update(model, changed);
      if (isNew) map.chosen = old;
      isNew = false;
      check();
    } });
  });
  return details;
}

// ---- Who, which, and new ones.

function drawWho() {
  let name = customer.id;
  try {
    if (customer.token) name = JSON.parse(atob(customer.token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/"))).sub;
  } catch {
    name = "?"; // Whether the token is any good, the server says.
  }
  $("#me").textContent = name;
  $("#customer").value = customer.id;
  $("#out").hidden = !customer.token;
}

function become(token) {
  customer.token = token;
  $("#token").value = "";
  $("#who").open = false;
  drawWho();
  history.pushState(null, "", "/orders");
  asked = {};
  readAddress();
  return open();
}

onSubmit($("#as"), () => { customer.id = $("#customer").value.trim(); return become(null); });
onSubmit($("#sign"), () => become($("#token").value.trim()));
$("#out").onclick = () => become(null);

onSubmit($("#find"), async () => {
  let id = $("#locator").value.trim();
  if (/^\w{6}$/.test(id)) {
    const locator = id.toUpperCase();
    const isIt = (order) => order.record_locator === locator;
    id = (orders.find(isIt) ?? (await readAll({})).find(isIt))?.order_id;
    if (!id) throw Error(t("ord.unknown", { locator }));
  }
  go({ order: id });
  return open();
});

$("#filters").onchange = () => go({ sort: $("#sort").value, status: $("#status").value, flight: $("#of").value });
addEventListener("popstate", () => { readAddress(); open(); });

async function offer() {
  const { flights: found } = await get(`/v1/flights?status=open&limit=${READ}`);
  const { value } = $("#flight");
  put($("#flight"), found.filter((flight) => flight.available && Date.parse(flight.departs_at) > serverNow()).map((flight) => option(flight.flight_id,
    [flight.flight_number, route(flight), departure(flight, { dateStyle: "medium" }), t("seats", { count: flight.available })].join(" · "))));
  if (value) $("#flight").value = value;
}

onSubmit($("#grab"), async () => {
  const path = `/v1/flights/${encodeURIComponent($("#flight").value)}/orders`;
  const body = { ...(!customer.token && { customer_id: customer.id }), quantity: $("#party").valueAsNumber };
  const what = JSON.stringify([path, body, $("#me").textContent]);
  const pending = JSON.parse(sessionStorage.getItem(PENDING) ?? "{}");
  const key = pending.what === what ? pending.key : newKey();
  sessionStorage.setItem(PENDING, JSON.stringify({ what, key }));
  let isKnown = true;
  try {
    const order = await change("POST", path, body, { key, onRetry: (problem) => say(`${problem.plain} ${t("ord.retry")}`) });
    announce(t("ord.got", { locator: order.record_locator }));
    go({ order: order.order_id });
    await Promise.all([load(), open(), offer().catch(() => {})]);
    if (orders.some((one) => one.order_id === order.order_id)) return;
    orders.unshift(order); // The list comes from the store, which may be a moment behind.
    await draw();
  } catch (problem) {
    isKnown = !["OFFLINE", "OUTCOME_UNKNOWN"].includes(problem.code);
    throw problem;
  } finally {
    if (isKnown) sessionStorage.removeItem(PENDING);
  }
});

drawWho();
readAddress();
if (asked.order) open();
trying(offer);
