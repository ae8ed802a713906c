// `/`: the flights as a departures board. What is asked for stands in the address; what is on screen is kept up to date.
import { begin } from "./chrome.js";
import { city, codes } from "./airports.js";
import { get, serverNow } from "./api.js";
import { $, h, put } from "./dom.js";
import { closing, departure, here, left, money, offset, route } from "./format.js";
import { t } from "./words.js";
import "./words-departures.js";

/** Flights of one page. */
const PAGE = 50;
/** How often the pages on screen are read again, in ms; how rarely at most while that fails. */
const POLL = 2000;
const POLL_MAX = 15_000;
/** Fewer seats than this share of them are few. */
const FEW = 0.1;
const DAY = 86_400_000;
const STATES = ["open", "scheduled", "paused", "closed"];
const SIGN = { open: "●", few: "◐", scheduled: "◷", paused: "‖", closed: "■", sold_out: "✕" };
const COLUMNS = ["time", "flight", "destination", "price", "left", "sale"];
/** What an address may say; all else is as if it were not there. */
const AIRPORT = /^[A-Z]{3}$/;
const FORMS = { origin: AIRPORT, destination: AIRPORT, date: /^20\d\d-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$/, status: new RegExp(`^(${STATES.join("|")})$`) };
const FILTERS = Object.keys(FORMS);

begin("dep.title");
const field = Object.fromEntries(FILTERS.map((name) => [name, $(`#${name}`)]));
put(field.status, ["", ...STATES].map((state) => h("option", { value: state }, t(state ? `sale.${state}` : "dep.any"))));
const airport = (code) => (codes.includes(code) ? `${city(code)} (${code})` : code);
put($("#airports"), codes.map((code) => h("option", { value: airport(code) })));

let wanted = {};
/** Each `{cursor, next, flights, body}`: where it begins, where the next one does, what it has, its part of the table. */
let pages = [];
const rows = new Map();
let reading = new AbortController();
let isLoading = false;
let timer;
let failures = 0;

// ---- What is asked for.

const isFiltered = () => FILTERS.some((name) => wanted[name]);

function readAddress() {
  const query = new URLSearchParams(location.search);
  for (const name of FILTERS) {
    wanted[name] = FORMS[name].exec(query.get(name))?.[0] ?? "";
    field[name].value = airport(wanted[name]);
    field[name].removeAttribute("aria-invalid");
  }
  wanted.date = field.date.value; // A day that there is not, such as 31 February, is not taken.
  $("#wrong").hidden = true;
  $("#clear").hidden = !isFiltered();
  load();
}

/** The code of what was typed: a code, a suggestion, or the beginning of a city's name; `undefined` if it is nothing. */
function airportOf(text) {
  const typed = text.trim();
  const code = (/\((\w{3})\)$/.exec(typed)?.[1] ?? typed).toUpperCase();
  if (!typed || codes.includes(code)) return code;
  return codes.find((one) => city(one).toLowerCase().startsWith(typed.toLowerCase())) ?? AIRPORT.exec(code)?.[0];
}

function ask() {
  const query = new URLSearchParams();
  for (const name of FILTERS) {
    const { value } = field[name];
    const asked = FORMS[name] === AIRPORT ? airportOf(value) : value;
    field[name].setAttribute("aria-invalid", asked === undefined);
    if (asked) query.set(name, asked);
    if (asked !== undefined) continue;
    $("#wrong").hidden = false;
    $("#wrong").textContent = t("dep.airport", { name: value });
    return;
  }
  const search = query.size ? `?${query}` : "";
  if (search !== location.search) history.pushState(null, "", `/${search}`);
  readAddress();
}

$("#filters").onchange = ask;
$("#filters").onsubmit = (event) => { event.preventDefault(); ask(); };
$("#clear").onclick = () => {
  for (const name of FILTERS) field[name].value = "";
  ask();
  field.origin.focus();
};
addEventListener("popstate", readAddress);

// ---- Pages of flights.

/** A day is shown whole, everything else from now on. */
const isWanted = ({ departs_at: departs }) => wanted.date || Date.parse(departs) > serverNow();

async function read(page) {
  const asked = { ...wanted, cursor: page.cursor, limit: PAGE };
  const query = new URLSearchParams(Object.entries(asked).filter(([, value]) => value));
  const { flights, next_cursor: next } = await get(`/v1/flights?${query}`, { signal: reading.signal });
  Object.assign(page, { flights: flights.filter(isWanted), next });
}

/** Where the page after this one begins, if there is one. */
function after(page) {
  if (!page) return { cursor: "" };
  return page.next && { cursor: page.next };
}

/** Reads pages until there is about one page more to show. */
async function extend(list) {
  let found = 0;
  for (let next = after(list.at(-1)); next && found < PAGE / 2; next = after(next)) {
    await read(next);
    list.push(next);
    found += next.flights.length;
  }
  return list;
}

/** Does some reading, then says how it went, and when to read again. */
async function doing(work) {
  let problem = null;
  try {
    await work();
    show();
  } catch (error) {
    if (error.name === "AbortError") return; // Put aside for something newer.
    problem = error;
    if (!rows.size) say(problem.plain ?? problem.message);
  }
  isLoading = false;
  $("#list").ariaBusy = "false";
  failures = problem ? failures + 1 : 0;
  const live = put($("#live"), t(problem ? "live.waiting" : "live.live"));
  live.className = problem ? "waiting" : "";
  again(Math.min(POLL * 2 ** failures, POLL_MAX));
}

function again(pause) {
  clearTimeout(timer);
  if (!isLoading) timer = setTimeout(() => doing(refresh), pause);
}

/** Begins anew; what is shown stays until there is something else to show. */
function load() {
  reading.abort();
  reading = new AbortController();
  clearTimeout(timer);
  isLoading = true;
  $("#list").ariaBusy = "true";
  if (!rows.size) say(t("loading"));
  pages = [];
  return doing(() => extend(pages));
}

$("#more").onclick = async ({ target }) => {
  const before = rows.size;
  target.disabled = true;
  await doing(() => extend(pages));
  target.disabled = false;
  // Who pressed the button goes on with the first flight that is new.
  if (rows.size > before) $("a", [...rows.values()][before].row).focus();
};

/** Reads the pages on screen again; if one now ends elsewhere, also those after it. */
async function refresh() {
  if (!pages.length) return void await extend(pages);
  let isMoved = false;
  for (let place = 0; place < pages.length && !document.hidden; place += 1) {
    const page = pages[place];
    if (isMoved) {
      const from = after(pages[place - 1]);
      if (!from) return void pages.splice(place);
      Object.assign(page, from);
    }
    const { top, bottom } = page.body?.getBoundingClientRect() ?? { top: 0, bottom: 0 };
    const isPast = page.next && !page.flights.length;
    if (!isMoved && (isPast || bottom < 0 || top > innerHeight)) continue;
    const { next } = page;
    await read(page);
    isMoved ||= page.next !== next;
  }
}

document.addEventListener("visibilitychange", () => document.hidden || again(0));

// ---- The board.

const say = (text) => { if ($("#said").textContent !== text) $("#said").textContent = text; };

const table = h("table", { role: "table", "aria-label": t("dep.title") }, h("thead", { role: "rowgroup" }, h("tr", { role: "row" },
  COLUMNS.map((name) => h("th", { role: "columnheader", scope: "col" }, t(`dep.${name}`))))));
$("#list").append(table);

function show() {
  const seen = new Set();
  for (const page of pages) {
    page.body ??= table.appendChild(h("tbody", { role: "rowgroup" }));
    page.flights.forEach((flight, place) => {
      const id = flight.flight_id;
      seen.add(id);
      if (!rows.has(id)) rows.set(id, makeRow(flight));
      const { row, update } = rows.get(id);
      if (page.body.children[place] !== row) page.body.insertBefore(row, page.body.children[place]);
      update(flight);
    });
  }
  for (const [id, { row }] of rows) if (!seen.has(id)) {
    row.remove();
    rows.delete(id);
  }
  for (const body of [...table.tBodies]) if (!pages.some((page) => page.body === body)) body.remove();
  const isMore = Boolean(after(pages.at(-1)));
  table.hidden = !rows.size;
  $("#more").hidden = !isMore;
  say(rows.size ? t(isMore ? "dep.found.more" : "dep.found", { count: rows.size }) : t(isFiltered() ? "dep.noMatch" : "dep.none"));
  tick();
}

/** Starts the animation of a class anew. */
function restart(element, name) {
  element.classList.remove(name);
  void element.offsetWidth;
  element.classList.add(name);
}

/** Letters on flaps: those that change turn over. */
function flaps(element, text) {
  const shown = element.children;
  while (shown.length > text.length) shown[0].remove();
  while (shown.length < text.length) element.prepend(h("i"));
  [...text].forEach((letter, place) => {
    const flap = shown[place];
    if (flap.textContent && flap.textContent !== letter) restart(flap, "turn");
    flap.textContent = letter;
  });
  return element;
}

/** How a sale stands: its state, or what follows from the seats. */
function stateOf({ sale, available, capacity }) {
  if (sale.state !== "open") return sale.state;
  return available === 0 ? "sold_out" : available < FEW * capacity ? "few" : "open";
}

function makeRow(flight) {
  const board = (text = "") => flaps(h("span", { class: "flaps", "aria-hidden": "true" }), text);
  const unseen = (text) => h("span", { class: "unseen" }, text);
  const small = (...children) => h("small", null, ...children);
  const time = departure(flight, { timeStyle: "short" });
  const [price, state, count] = [h("b"), h("b"), h("b")];
  const [seats, seatsSaid, what, bar, change] = [board(), unseen(), h("span"), h("s"), h("em", { "aria-hidden": "true" })];
  const cells = {
    time: [board(time), unseen(time), small(departure(flight, { weekday: "short", month: "short", day: "numeric" }), " · ", offset(flight))],
    flight: [h("a", { href: `/flights/${encodeURIComponent(flight.flight_id)}` }, board(flight.flight_number), unseen(`${flight.flight_number} ${route(flight)}`)), small(flight.aircraft ?? "")],
    destination: [h("b", null, city(flight.destination)), small(t("dep.from", { city: city(flight.origin) }))],
    price: [price],
    left: [seats, small(t("dep.left")), change, seatsSaid, bar],
    sale: [state, small(what, " ", count)],
  };
  const row = h("tr", { role: "row", "data-test": "flight", "data-flight": flight.flight_id },
    COLUMNS.map((name) => h("td", { role: "cell", class: name }, cells[name])));
  let now = flight;

  function update(next) {
    const key = stateOf(next);
    const lost = now.available - next.available;
    now = next;
    const fares = now.cabins.filter((cabin) => cabin.available > 0).map((cabin) => cabin.fare);
    price.textContent = fares.length ? money(fares.reduce((a, b) => (a.amount <= b.amount ? a : b))) : "–";
    flaps(seats, String(now.available).padStart(String(now.capacity).length));
    seatsSaid.textContent = t("seats", { count: now.available });
    bar.style.setProperty("--left", now.available / now.capacity);
    row.dataset.left = now.available;
    if (lost) {
      change.textContent = `${lost > 0 ? "▼" : "▲"}${Math.abs(lost)}`;
      restart(change, "fade");
    }
    if (row.dataset.state === key) return;
    row.dataset.state = key;
    put(state, h("span", { "aria-hidden": "true" }, SIGN[key]), " ", t(key === "few" ? "dep.few" : `sale.${key}`));
  }

  /** Counts down; true in the second in which what was awaited happens. */
  function countdown(moment) {
    const { opens_at: opens, closes_at: closes, closes_before_minutes: before } = now.sale;
    const isAwaited = row.dataset.state === "scheduled";
    // Every sale closes when its flight leaves: that is told on the last day, an earlier end always.
    const closesAt = now.sale.state === "open" && now.available && closing(now);
    const end = isAwaited ? opens && Date.parse(opens) : (closes || before || closesAt - moment < DAY) && closesAt;
    const rest = end && end - moment;
    count.textContent = rest > 0 ? left(rest) : "";
    const word = !isAwaited ? rest > 0 && "closes" : !end ? "unknown" : rest > 0 ? "opens" : "opening";
    what.textContent = word ? t(`dep.${word}`) : "";
    return end && rest <= 0 && rest > -1000;
  }
  return { row, update, countdown };
}

function tick() {
  const now = serverNow();
  flaps($("#clock"), here(now, { timeStyle: "medium" }));
  return [...rows.values()].filter((row) => row.countdown(now)).length;
}

function everySecond() {
  if (tick()) again(100);
  setTimeout(everySecond, 1000 - serverNow() % 1000);
}

readAddress();
everySecond();
