// <seat-map>: an aircraft, drawn, with its seats as they are now. Built once; an update repaints only what changed.

import "./words-parts.js";
import { h, put, svg } from "./dom.js";
import { money } from "./format.js";
import { t } from "./words.js";

/** Side of the smallest seat, width of an aisle, side of the largest seat, depth of the wall: in units of the drawing. */
const SEAT = 30;
const AISLE = 26;
const SEAT_MAX = 45;
const WALL = 17;
/** Height of what stands above a cabin's first row: its name and the letters. */
const HEAD = 58;
/** A narrower fuselage would not look like one. */
const INNER_MIN = 190;
/** From so many rows on, a cabin with one aisle has exits over the wing. */
const OVERWING_ROWS = 20;
/** A longer aircraft is painted in parts of some rows, only those in sight: ten thousand seats stay quick. */
const ROWS_SHORT = 80;
const ROWS_IN_PART = 40;
/** So many seats flash when they change; more at once are a flood, not news. */
const FLASH_MAX = 12;
/** Rows that Page Up and Page Down pass. */
const PAGE = 10;

/** A seat in a box of 24, seen from above, looking up; each status has a mark of its own inside. */
const BODY = "M5 2h14a3 3 0 0 1 3 3v13a4 4 0 0 1-4 4H6a4 4 0 0 1-4-4V5a3 3 0 0 1 3-3Z";
const MARKS = {
  free: `${BODY}M6 18.2h12`,
  held: `${BODY}M8 6h8M8 18h8M9 6c0 5 6 7 6 12M15 6c0 5-6 7-6 12`,
  sold: `${BODY}M12 5.5a3 3 0 1 1 0 6 3 3 0 1 1 0-6M6.5 18.5c0-6 11-6 11 0`,
  blocked: "M5 5h14v14H5ZM5 5l14 14M19 5 5 19",
  chosen: `${BODY}M18 7l-7.8 10L6 12.5`,
  mine: `${BODY}M12 5.5l1.9 4.2 4.6.5-3.4 3.1.9 4.5L12 15.5l-4 2.3.9-4.5L5.5 10.2l4.6-.5Z`,
};
const STATUSES = ["free", "held", "sold", "blocked"];
const EXIT = "M0-5 7 0 0 5Z";

const still = matchMedia("(prefers-reduced-motion: reduce)");
const shapeOf = (cabins) => JSON.stringify(cabins.map(({ cabin_class, layout, rows, fare }) => [cabin_class, layout, rows, fare]));
const lettersOf = (layout) => layout.replaceAll(" ", "").length;
const aislesOf = (layout) => layout.length - lettersOf(layout);

const names = new Map();

/** `12A, window, free`: words are looked up once for each kind of seat. */
function nameOf(seat, place, look) {
  const kind = `${place} ${look}`;
  if (!names.has(kind)) names.set(kind, t("map.name", { place: t(`map.${place}`), status: lookWord(look) }));
  return names.get(kind).replace("{seat}", seat);
}

const lookWord = (look) => t(look === "chosen" || look === "exit" ? `map.${look}` : `seat.${look}`);

/** Where the seats and aisles of a layout are, across `inner` units. */
function columns(layout, inner) {
  const letters = lettersOf(layout);
  const aisles = aislesOf(layout);
  const size = Math.min(SEAT_MAX, (inner - aisles * AISLE) / letters);
  const spare = inner - aisles * AISLE - letters * size;
  const aisle = AISLE + (aisles ? spare / aisles : 0);
  let x = WALL + (aisles ? 0 : spare / 2);
  const seats = [];
  const paths = [];
  for (let index = 0; index < layout.length; index += 1) {
    const isAisle = layout[index] === " ";
    if (isAisle) paths.push(x + aisle / 2);
    else {
      const atWindow = index === 0 || index === layout.length - 1;
      const atAisle = layout[index - 1] === " " || layout[index + 1] === " ";
      const place = atWindow && atAisle ? "alone" : atWindow ? "window" : atAisle ? "aisle" : "middle";
      seats.push({ letter: layout[index], x: x + size / 2, place });
    }
    x += isAisle ? aisle : size;
  }
  return { size, seats, aisles: paths };
}

class SeatMap extends HTMLElement {
  /** `(seat, status) -> bool`: what can be chosen. */
  selectable = (seat, status) => status === "free";
  /** How many can be chosen; one more drops the first. */
  max = Infinity;
  #model = null;
  #mode = "view";
  #shape = "";
  #seats = new Map(); // "12A" -> {path, row, x, place, status}
  #rows = []; // names, from the left
  #chosen = new Set();
  #mine = new Set();
  #counts = {};
  #legend = {};
  #current = null; // The seat that the tab key reaches.
  #anchor = null; // Where a range of seats begins.

  get model() { return this.#model; }
  set model(model) { this.update(model, null); }

  get mode() { return this.#mode; }
  set mode(mode) {
    this.#mode = mode;
    this.dataset.mode = mode;
    if (mode === "view") this.#choose(new Set(), false);
    this.refresh();
  }

  get chosen() { return [...this.#chosen]; }
  set chosen(seats) { this.#choose(new Set(seats), false); }

  get mine() { return this.#mine; }
  set mine(seats) {
    const before = this.#mine;
    this.#mine = new Set(seats);
    for (const name of new Set([...before, ...this.#mine])) this.#paint(name);
    this.#count();
  }

  /** Takes a model over; `changed` names the seats that are different, `null`: look at all. */
  update(model, changed = null) {
    this.#model = model;
    const shape = shapeOf(model.cabins);
    if (shape !== this.#shape) {
      this.#shape = shape;
      this.#build();
      changed = null;
    }
    const names = changed ?? this.#seats.keys();
    const flashes = changed && changed.length <= FLASH_MAX && !still.matches;
    for (const name of names) if (this.#paint(name) && flashes) this.#flash(name);
    const lost = this.chosen.filter((name) => !this.#can(name));
    if (lost.length) this.#choose(new Set(this.chosen.filter((name) => this.#can(name))), true, lost);
    this.#count();
  }

  /** Paints all seats again, for example when `selectable` has changed. */
  refresh() {
    for (const name of this.#seats.keys()) this.#paint(name, true);
    this.#count();
  }

  /** Brings a seat into the middle, where the map scrolls, and makes it the one that the tab key reaches. */
  show(name) {
    const seat = this.#seats.get(name);
    if (!seat) return;
    this.#reach(name);
    const plane = this.lastChild;
    const [inside, around] = [seat.path.getBoundingClientRect(), plane.getBoundingClientRect()];
    plane.scrollBy({ top: inside.top - around.top - around.height / 2, behavior: still.matches ? "auto" : "smooth" });
  }

  #can(name) {
    const seat = this.#seats.get(name);
    return Boolean(seat) && this.#mode === "choose" && this.selectable(name, seat.status);
  }

  #look(name, seat) {
    if (this.#chosen.has(name)) return "chosen";
    return this.#mine.has(name) ? "mine" : seat.status;
  }

  /** Says whether the seat looks different now. */
  #paint(name, force = false) {
    const seat = this.#seats.get(name);
    if (!seat) return false;
    const status = this.#model.status.get(name) ?? "blocked";
    if (status !== seat.status) {
      this.#counts[seat.status] -= 1;
      this.#counts[status] += 1;
      seat.status = status;
      seat.path.dataset.status = status;
      force = true;
    }
    const look = this.#look(name, seat);
    if (look === seat.look && !force) return false;
    seat.look = look;
    const { path } = seat;
    path.setAttribute("d", MARKS[look]);
    path.dataset.look = look;
    path.setAttribute("aria-selected", String(look === "chosen"));
    path.setAttribute("aria-disabled", String(!this.#can(name)));
    path.setAttribute("aria-label", nameOf(name, seat.place, look));
    path.firstChild?.remove();
    return true;
  }

  #flash(name) {
    const { path } = this.#seats.get(name);
    path.animate([{ fill: "var(--link)", strokeWidth: 4 }, {}], { duration: 900, easing: "ease-out" });
  }

  #choose(seats, tell, lost = []) {
    const before = this.#chosen;
    this.#chosen = seats;
    for (const name of new Set([...before, ...seats])) this.#paint(name);
    if (tell) this.dispatchEvent(new CustomEvent("choose", { detail: { chosen: this.chosen, lost }, bubbles: true }));
  }

  #toggle(name, isRange) {
    if (!this.#can(name)) return;
    const seats = new Set(this.#chosen);
    if (isRange && this.#seats.has(this.#anchor)) for (const other of this.#range(this.#anchor, name)) seats.add(other);
    else if (!seats.delete(name)) seats.add(name);
    while (seats.size > this.max) seats.delete(seats.values().next().value);
    this.#anchor = name;
    this.#choose(seats, true);
  }

  #range(from, to) {
    const [a, b] = [this.#seats.get(from), this.#seats.get(to)];
    const [left, right] = [Math.min(a.x, b.x) - 1, Math.max(a.x, b.x) + 1];
    const rows = this.#rows.slice(Math.min(a.row, b.row), Math.max(a.row, b.row) + 1);
    return rows.flat().filter((name) => {
      const { x } = this.#seats.get(name);
      return x > left && x < right && this.#can(name);
    });
  }

  #reach(name) {
    this.#seats.get(this.#current)?.path.setAttribute("tabindex", "-1");
    this.#current = name;
    this.#seats.get(name)?.path.setAttribute("tabindex", "0");
  }

  #press(event) {
    const seat = this.#seats.get(event.target.dataset?.seat);
    if (!seat || event.altKey || event.metaKey) return;
    const name = event.target.dataset.seat;
    const row = this.#rows[seat.row];
    const place = row.indexOf(name);
    const above = (rows) => {
      const to = this.#rows[Math.max(0, Math.min(this.#rows.length - 1, seat.row + rows))];
      return to.reduce((best, other) =>
        (Math.abs(this.#seats.get(other).x - seat.x) < Math.abs(this.#seats.get(best).x - seat.x) ? other : best));
    };
    const moves = {
      ArrowLeft: () => row[place - 1], ArrowRight: () => row[place + 1], ArrowUp: () => above(-1), ArrowDown: () => above(1),
      PageUp: () => above(-PAGE), PageDown: () => above(PAGE),
      Home: () => (event.ctrlKey ? this.#rows[0][0] : row[0]), End: () => (event.ctrlKey ? this.#rows.at(-1) : row).at(-1),
    };
    if (event.key === " " || event.key === "Enter") this.#toggle(name, event.shiftKey);
    else if (event.key in moves) {
      const next = moves[event.key]();
      if (next) {
        this.#reach(next);
        const { path } = this.#seats.get(next);
        path.focus({ preventScroll: true });
        path.scrollIntoView({ block: "nearest", inline: "nearest" });
      }
    } else return;
    event.preventDefault();
  }

  #count() {
    const shown = { ...this.#counts, mine: this.#mine.size, chosen: this.#chosen.size };
    for (const [look, { item, number }] of Object.entries(this.#legend)) {
      if (look in shown) number.textContent = shown[look];
      item.hidden = (look === "mine" && !shown.mine) || (look === "chosen" && this.#mode === "view") || (look === "blocked" && !shown.blocked);
    }
  }

  #build() {
    const { cabins } = this.#model;
    const had = this.contains(document.activeElement) && document.activeElement.dataset?.seat;
    this.#seats.clear();
    this.#rows = [];
    this.#counts = Object.fromEntries(STATUSES.map((status) => [status, 0]));
    const inner = Math.max(INNER_MIN, ...cabins.map(({ layout }) => lettersOf(layout) * SEAT + aislesOf(layout) * AISLE));
    const width = inner + 2 * WALL;
    const nose = width * 0.42;
    const parts = [];
    let y = nose;
    for (const cabin of cabins) y = this.#cabin(cabin, y, width, inner, parts);
    const end = y + 28;
    const height = end + width * 0.4;
    const hull = svg("svg", { class: "outside", viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" }, fuselage(width, height, nose, end), exits(y + 14, width));
    const plane = h("div", {
      class: this.#rows.length > ROWS_SHORT ? "plane long" : "plane", role: "listbox", "aria-multiselectable": "true", "aria-label": t("map.title"),
      onclick: (event) => this.#click(event), onkeydown: (event) => this.#press(event), onpointerover: (event) => this.#hint(event),
    }, hull, parts.map(({ top, name, drawing, seats }, index) => {
      const from = index ? top : 0;
      const tall = (parts[index + 1]?.top ?? height) - from;
      const part = h("div", { role: "group", "aria-label": name }, svg("svg", { viewBox: `0 ${from} ${width} ${tall}`, role: "none" }, drawing, seats));
      part.style.aspectRatio = `${width} / ${tall}`;
      return part;
    }));
    plane.style.setProperty("--units", width);
    put(this, this.#legendOf(), h("div", { class: "sky" }, plane));
    this.#reach(this.#seats.has(this.#current) ? this.#current : this.#rows[0]?.[0]);
    if (had) this.#seats.get(this.#current)?.path.focus();
  }

  /** Draws a cabin from `top` on, in parts of some rows each; says where it ends. */
  #cabin({ cabin_class: kind, layout, rows, fare }, top, width, inner, parts) {
    const { size, seats, aisles } = columns(layout, inner);
    const name = t(`cabin.${kind}`);
    const pitch = size + (size > SEAT ? 7 : 3);
    const scale = (size - 3) / 24;
    const begin = (from) => parts.push({ top: from, name, drawing: svg("g", { "aria-hidden": "true" }), seats: svg("g") });
    begin(top);
    parts.at(-1).drawing.append(...exits(top + 12, width),
      svg("path", { class: "wall", d: `M${WALL} ${top + 30}H${width - WALL}` }),
      svg("text", { class: "cabin", x: width / 2, y: top + 17 }, fare ? `${name} · ${money(fare)}` : name),
      ...seats.map(({ letter, x }) => svg("text", { x, y: top + HEAD - 10 }, letter)));
    const count = rows[1] - rows[0] + 1;
    if (aisles.length === 1 && count > OVERWING_ROWS) {
      parts.at(-1).drawing.append(...exits(top + HEAD + pitch * (Math.min(count, ROWS_IN_PART) / 2 + 0.5), width));
    }
    const model = svg("path", { class: "seat", role: "option", tabindex: "-1" });
    for (let index = 0; index < count; index += 1) {
      const y = top + HEAD + index * pitch;
      if (index && index % ROWS_IN_PART === 0) begin(y - 1.5);
      const part = parts.at(-1);
      const row = rows[0] + index;
      const middle = y + size / 2;
      for (const x of aisles.length ? aisles : [WALL / 2 + 1]) part.drawing.append(svg("text", { x, y: middle + 3.5 }, String(row)));
      const names = [];
      for (const { letter, x, place } of seats) {
        const path = model.cloneNode();
        const seat = `${row}${letter}`;
        path.setAttribute("transform", `translate(${(x - 12 * scale).toFixed(1)} ${(middle - 12 * scale).toFixed(1)})scale(${scale.toFixed(3)})`);
        path.dataset.seat = seat;
        names.push(seat);
        this.#seats.set(seat, { path, row: this.#rows.length, x, place, status: "none" });
        part.seats.append(path);
      }
      this.#rows.push(names);
    }
    return top + HEAD + count * pitch + 6;
  }

  #legendOf() {
    const looks = ["free", "chosen", "mine", "held", "sold", "blocked", "exit"];
    this.#legend = Object.fromEntries(looks.map((look) => {
      const number = h("b");
      const isExit = look === "exit";
      const mark = isExit ? svg("path", { class: "exit", d: EXIT, transform: "translate(9 12)" })
        : svg("path", { class: "seat", "data-look": look, d: MARKS[look] });
      return [look, { number, item: h("li", null, svg("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, mark), lookWord(look), " ", number) }];
    }));
    return h("ul", { class: "legend", "aria-label": t("map.legend") }, Object.values(this.#legend).map(({ item }) => item));
  }

  #click(event) {
    const name = event.target.closest("[data-seat]")?.dataset.seat;
    if (!name) return;
    this.#reach(name);
    this.#toggle(name, event.shiftKey);
  }

  /** A tooltip is made when it is wanted: ten thousand would weigh more than the seats. */
  #hint(event) {
    const path = event.target;
    if (path.dataset?.seat && !path.firstChild) path.append(svg("title", null, path.getAttribute("aria-label")));
  }
}

function exits(y, width) {
  return [`translate(${width - 7} ${y})`, `translate(7 ${y})scale(-1 1)`].map((transform) => svg("path", { class: "exit", d: EXIT, transform }));
}

/** Wings, fuselage with nose and tail, windows of the cockpit. */
function fuselage(width, height, nose, end) {
  const middle = width / 2;
  const wing = (end + nose) / 2 - width * 0.3;
  const low = height - width * 0.04;
  const tail = `M${width * 0.2} ${height - width * 0.28}L${-width * 0.3} ${low}v${width * 0.08}L${width * 0.35} ${low}Z`;
  const parts = [];
  for (const flip of ["", `translate(${width} 0)scale(-1 1)`]) {
    parts.push(
      svg("path", { class: "wing", transform: flip, d: `M2 ${wing}L${-width} ${wing + width * 0.85}v${width * 0.16}L2 ${wing + width * 0.75}Z` }),
      svg("path", { class: "wing", transform: flip, d: tail }),
    );
  }
  const hull = `M1 ${nose}C1 ${nose * 0.45} ${middle * 0.55} 1 ${middle} 1S${width - 1} ${nose * 0.45} ${width - 1} ${nose}V${end}`
    + `C${width - 1} ${end + (height - end) * 0.5} ${middle * 1.35} ${height} ${middle} ${height}S1 ${end + (height - end) * 0.5} 1 ${end}Z`;
  const pane = (side) => {
    const near = middle + side * 0.015 * width;
    return `M${near} ${nose * 0.45}L${middle + side * 0.17 * width} ${nose * 0.5}l${-side * 0.03 * width} ${-nose * 0.16}L${near} ${nose * 0.25}Z`;
  };
  parts.push(svg("path", { class: "hull", d: hull }), svg("path", { class: "cockpit", d: pane(1) + pane(-1) }));
  return parts;
}

customElements.define("seat-map", SeatMap);
