// `/`: the flights as a departures board. What is asked for stands in the address; what is on screen is kept up to date.
import { begin } from "./chrome.js";
import { city, codes } from "./airports.js";
import { get, serverNow } from "./api.js";
import { $, h, put } from "./dom.js";
import { at, here, left, money, route } from "./format.js";
import { t } from "./words.js";
import "./words-departures.js";

/** Flights of one page. */
const PAGE = 50;
/** Most pages that an address may ask for at once. */
const PAGES_MAX = 20;
/** How often the pages on screen are read again, in ms; how long after a failure at most. */
const POLL = 2000;
const POLL_MAX = 15_000;
/** Fewer seats than this share of them are few. */
const FEW = 0.1;
const FILTERS = ["origin", "destination", "date", "status"];
const STATES = ["open", "scheduled", "paused", "closed"];
const SIGN = { open: "●", few: "◐", scheduled: "◷", paused: "‖", closed: "■", sold_out: "✕" };

begin("dep.title");
const field = Object.fromEntries(FILTERS.map((name) => [name, $(`#${name}`)]));
put(field.status, h("option", { value: "" }, t("dep.any")), STATES.map((state) => h("option", { value: state }, t(`sale.${state}`))));
put($("#airports"), codes.map((code) => h("option", { value: `${city(code)} (${code})` })));

const rows = new Map();
let pages = [];
let wanted = {};
let busy = new AbortController();
let timer;
let failures = 0;

// ---- What the address says.

function readAddress() {
  const query = new URLSearchParams(location.search);
  wanted = Object.fromEntries(FILTERS.map((name) => [name, query.get(name) ?? ""]));
  for (const name of FILTERS) field[name].value = wanted[name];
  for (const name of ["origin", "destination"]) if (city(wanted[name]) !== wanted[name]) field[name].value = `${city(wanted[name])} (${wanted[name]})`;
  $("#clear").hidden = !isFiltered();
  return Math.min(Math.max(Number(query.get("pages")) || 1, 1), PAGES_MAX);
}

const isFiltered = () => FILTERS.some((name) => wanted[name]);

function writeAddress(count, how) {
  const query = new URLSearchParams(Object.entries(wanted).filter(([, value]) => value));
  if (count > 1) query.set("pages", count);
  history[how](null, "", query.size ? `/?${query}` : "/");
}

/** The code of what was typed: a code, a suggestion, or the beginning of a city's name. */
function airportOf(text) {
  const typed = text.trim();
  const code = /^[a-z]{3}$/i.test(typed) ? typed : /\(([a-z]{3})\)$/i.exec(typed)?.[1];
  const lower = typed.toLowerCase();
  return typed && (code?.toUpperCase() ?? codes.find((one) => city(one).toLowerCase().startsWith(lower)));
}

function applyFilters() {
  const next = { date: field.date.value, status: field.status.value };
  for (const name of ["origin", "destination"]) {
    next[name] = airportOf(field[name].value);
    const isWrong = next[name] === undefined;
    field[name].setAttribute("aria-invalid", isWrong);
    $("#wrong").hidden = !isWrong;
    if (isWrong) return void ($("#wrong").textContent = t("dep.airport", { name: field[name].value }));
  }
  if (FILTERS.every((name) => next[name] === wanted[name])) return;
  wanted = next;
  writeAddress(1, "pushState");
  load(readAddress());
}

$("#filters").addEventListener("change", applyFilters);
$("#filters").addEventListener("submit", (event) => { event.preventDefault(); applyFilters(); });
$("#clear").addEventListener("click", () => {
  for (const name of FILTERS) field[name].value = "";
  applyFilters();
  field.origin.focus();
});
addEventListener("popstate", () => load(readAddress()));

// ---- Pages of flights.

/** The API's days are UTC's, people's are those of the airport: a day at an airport lies within three of UTC's. */
function days() {
  const noon = Date.parse(`${wanted.date}T12:00Z`);
  return noon ? [-1, 0, 1].map((step) => new Date(noon + step * 86_400_000).toISOString().slice(0, 10)) : [""];
}

const isWanted = (flight) => wanted.date
  ? new Date(flight.departs_at).toLocaleDateString("sv", { timeZone: zoneOf(flight) }) === wanted.date
  : Date.parse(flight.departs_at) > serverNow();

async function read(page) {
  const query = new URLSearchParams({ limit: PAGE });
  for (const name of FILTERS) if (wanted[name]) query.set(name, name === "date" ? days()[page.day] : wanted[name]);
  if (page.cursor) query.set("cursor", page.cursor);
  const { flights, next_cursor: next } = await get(`/v1/flights?${query}`, { signal: busy.signal });
  Object.assign(page, { flights: flights.filter(isWanted), next });
}

/** The page after this one, if there is one. */
function after(page) {
  if (!page) return { day: 0 };
  if (page.next) return { day: page.day, cursor: page.next };
  return page.day + 1 < days().length ? { day: page.day + 1 } : null;
}

/** Reads pages until so many of them show flights, or there are no more. */
async function extend(list, count) {
  for (let next = after(list.at(-1)); next && list.filter((page) => page.flights.length).length < count; next = after(next)) {
    await read(next);
    list.push(next);
  }
  return list;
}

async function load(count) {
  clearTimeout(timer);
  busy.abort();
  busy = new AbortController();
  $("#list").setAttribute("aria-busy", "true");
  if (!pages.length) say(t("loading"));
  try {
    const list = await extend([], count);
    for (const page of pages) page.body.remove();
    rows.clear();
    pages = list;
    show();
    settle(null);
  } catch (problem) {
    settle(problem);
  }
}

async function more() {
  const before = rows.size;
  try {
    const count = pages.filter((page) => page.flights.length).length + 1;
    await extend(pages, count);
    show();
    writeAddress(count, "replaceState");
    // Who pressed the button goes on with the first flight that is new.
    if (rows.size > before) $("a", [...rows.values()][before].row).focus();
  } catch (problem) {
    settle(problem);
  }
}
$("#more").addEventListener("click", more);

/** Reads the pages on screen again; if one now ends elsewhere, also those after it. */
async function poll() {
  try {
    let moved = false;
    for (const page of document.hidden ? [] : pages) {
      const before = pages[pages.indexOf(page) - 1];
      if (moved) Object.assign(page, after(before));
      const { top, bottom } = page.body.getBoundingClientRect();
      const isPast = page.next && !page.flights.length;
      if (!moved && (isPast || bottom < 0 || top > innerHeight)) continue;
      const { next } = page;
      await read(page);
      moved ||= page.next !== next;
    }
    show();
    settle(null);
  } catch (problem) {
    settle(problem);
  }
}

/** After each reading: what to say if it failed, and when to read again. */
function settle(problem) {
  if (problem && problem.status === undefined) return; // Put aside for something newer.
  $("#list").setAttribute("aria-busy", "false");
  failures = problem ? failures + 1 : 0;
  const live = put($("#live"), t(problem ? "live.waiting" : "live.live"));
  live.hidden = false;
  live.className = problem ? "waiting" : "";
  if (problem && !rows.size) say(problem.plain);
  clearTimeout(timer);
  timer = setTimeout(poll, Math.min(POLL * 2 ** failures, POLL_MAX));
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  clearTimeout(timer);
  poll();
});

// ---- The board.

function say(...children) {
  const text = children.join("");
  if ($("#said").textContent !== text) put($("#said"), ...children);
}

const head = ["time", "flight", "destination", "price", "left", "sale"];
const table = h("table", { role: "table", "aria-label": t("dep.title"), hidden: true },
  h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, head.map((name) => h("th", { role: "columnheader", scope: "col", class: name }, t(`dep.${name}`))))));
$("#list").append(table);

function show() {
  const seen = new Set();
  for (const page of pages) {
    page.body ??= table.appendChild(h("tbody", { role: "rowgroup" }));
    page.flights.forEach((flight, place) => {
      seen.add(flight.flight_id);
      let row = rows.get(flight.flight_id);
      if (!row) rows.set(flight.flight_id, row = makeRow(flight));
      if (page.body.children[place] !== row.row) page.body.insertBefore(row.row, page.body.children[place] ?? null);
      row.update(flight);
    });
  }
  for (const [id, { row }] of rows) if (!seen.has(id)) {
    row.remove();
    rows.delete(id);
  }
  const isMore = Boolean(after(pages.at(-1)));
  table.hidden = !rows.size;
  $("#more").hidden = !isMore || !rows.size;
  say(rows.size ? t(isMore ? "dep.found.more" : "dep.found", { count: rows.size }) : t(isFiltered() ? "dep.noMatch" : "dep.none"));
  tick();
}

/** Letters on flaps: those that change turn over. */
function flaps(element, text) {
  element.dataset.text = text;
  const shown = element.children;
  while (shown.length > text.length) shown[0].remove();
  while (shown.length < text.length) element.prepend(h("i"));
  [...text].forEach((letter, place) => {
    const flap = shown[place];
    if (flap.textContent === letter) return;
    if (flap.textContent) flap.classList.remove("turn"), void flap.offsetWidth, flap.classList.add("turn");
    flap.textContent = letter;
  });
}

/** How a sale stands: its state, or what follows from the seats. */
function stateOf({ sale, available, capacity }) {
  if (sale.state !== "open") return sale.state;
  return available === 0 ? "sold_out" : available < FEW * capacity ? "few" : "open";
}

function makeRow(flight) {
  const id = encodeURIComponent(flight.flight_id);
  const cell = (name, ...children) => h("td", { role: "cell", class: name }, children);
  const [hour, number, seats] = [1, 2, 3].map(() => h("span", { class: "flaps", "aria-hidden": "true" }));
  const [price, seatsSaid, change, bar, state, what, count] = ["b", "span", "small", "span", "b", "small", "b"].map((name) => h(name));
  seatsSaid.className = "unseen";
  bar.className = "bar-left";
  change.ariaHidden = "true";
  const time = at(flight.departs_at, flight.origin, { timeStyle: "short" });
  flaps(hour, time);
  flaps(number, flight.flight_number);
  const row = h("tr", { role: "row", "data-flight": flight.flight_id, "data-test": "flight" },
    cell("time", h("time", { datetime: flight.departs_at }, hour, h("span", { class: "unseen" }, time),
      h("small", null, at(flight.departs_at, flight.origin, { weekday: "short", month: "short", day: "numeric" })))),
    cell("flight", h("a", { href: `/flights/${id}` }, number, h("span", { class: "unseen" }, `${flight.flight_number} ${route(flight)}`)),
      flight.aircraft && h("small", null, flight.aircraft)),
    cell("destination", h("b", null, city(flight.destination)), h("small", null, t("dep.from", { city: city(flight.origin) }))),
    cell("price", price),
    cell("left", seats, change, seatsSaid, bar),
    cell("sale", state, h("small", { class: "count" }, what, " ", count)));

  let before = null;
  function update(now) {
    const key = stateOf(now);
    const open = now.cabins.filter((cabin) => cabin.available > 0);
    const cheapest = open.map((cabin) => cabin.fare).sort((a, b) => a.amount - b.amount)[0];
    price.textContent = cheapest ? money(cheapest) : "–";
    flaps(seats, String(now.available).padStart(String(now.capacity).length, " "));
    seatsSaid.textContent = t("seats", { count: now.available });
    bar.style.setProperty("--left", now.available / now.capacity);
    row.dataset.left = now.available;
    row.dataset.state = key;
    if (before !== null && before !== now.available) {
      change.textContent = now.available < before ? `▼${before - now.available}` : `▲${now.available - before}`;
      const fresh = change.cloneNode(true); // A new element starts its animation anew.
      fresh.className = "change";
      row.querySelector(".left").replaceChild(fresh, row.querySelector(".left small"));
    }
    before = now.available;
    put(state, h("span", { "aria-hidden": "true" }, SIGN[key]), " ", t(key === "few" ? "dep.few" : `sale.${key}`));
    row.sale = now.sale;
  }

  /** Counts down, each second. Asks whether to read again: what was awaited is there. */
  function countdown(now) {
    const { state: stands, opens_at: opens, closes_at: closes } = row.sale;
    const end = stands === "scheduled" ? opens : stands === "open" ? closes : null;
    const rest = end && Date.parse(end) - now;
    count.textContent = rest > 0 ? left(rest) : "";
    what.textContent = stands === "scheduled" ? t(!end ? "dep.unknown" : rest > 0 ? "dep.opens" : "dep.opening") : rest > 0 ? t("dep.closes") : "";
    return end && rest <= 0 && rest > -1000;
  }
  return { row, update, countdown };
}

function tick() {
  const now = serverNow();
  flaps($("#clock"), here(now, { timeStyle: "medium" }));
  const due = [...rows.values()].filter((row) => row.countdown(now)).length;
  if (due && timer) { clearTimeout(timer); timer = setTimeout(poll, 200); }
}

function everySecond() {
  tick();
  setTimeout(everySecond, 1000 - serverNow() % 1000);
}

load(readAddress());
everySecond();
