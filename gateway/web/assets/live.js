// A flight as it is now: its seats and its sale by server-sent events, with catch-up after a lost connection.

/** What the letters of a whole state stand for. */
const STATUS = { f: "free", h: "held", s: "sold", b: "blocked" };
/** A server that refuses the stream is asked again after this time, in ms, longer each time. */
const AGAIN_MIN = 1000;
const AGAIN_MAX = 15_000;

/**
 * Follows a flight. Calls `onSeats(model, changed)` with the whole model and the names of the seats that changed (`null`:
 * all), `onSale(sale)`, and `onState("live" | "waiting")`. Returns a function that ends it.
 *
 * A model: `{seq, available, cabins: [{cabin_class, layout, rows: [first, last]}], status: Map("12A" -> "free")}`.
 */
export function follow(flightId, { onSeats, onSale, onState }) {
  const model = { seq: 0, available: 0, cabins: [], status: new Map() };
  let source;
  let pause = AGAIN_MIN;
  let timer;
  const path = `/v1/flights/${encodeURIComponent(flightId)}/live`;

  function connect() {
    source = new EventSource(path);
    source.addEventListener("open", () => {
      pause = AGAIN_MIN;
      onState?.("live");
    });
    source.addEventListener("sale", (event) => onSale?.(JSON.parse(event.data)));
    source.addEventListener("seats", (event) => onSeats?.(model, apply(model, JSON.parse(event.data))));
    source.addEventListener("error", () => {
      onState?.("waiting");
      if (source.readyState !== EventSource.CLOSED) return; // The browser comes back by itself, with Last-Event-ID.
      timer = setTimeout(connect, pause * (0.75 + Math.random() / 2));
      pause = Math.min(2 * pause, AGAIN_MAX);
    });
  }

  connect();
  return () => {
    clearTimeout(timer);
    source.close();
  };
}

/** Brings a model up to an event; gives the names of the seats that changed, `null` if all may have. */
export function apply(model, event) {
  model.seq = event.seq;
  model.available = event.available;
  if (!event.reset) {
    for (const { seat, status } of event.seats) model.status.set(seat, status);
    return event.seats.map(({ seat }) => seat);
  }
  model.cabins = event.cabins.map(({ cabin_class, layout, rows }) => ({ cabin_class, layout, rows }));
  model.status = new Map();
  for (const cabin of event.cabins) {
    const letters = cabin.layout.replaceAll(" ", "");
    cabin.seats.forEach((row, index) => {
      for (let place = 0; place < letters.length; place += 1) {
        model.status.set(`${cabin.rows[0] + index}${letters[place]}`, STATUS[row[place]]);
      }
    });
  }
  return null;
}

/** A model from `GET /v1/flights/{id}/seats`, or from cabins alone (all seats free). */
export function modelOf({ seq = 0, available = 0, cabins }) {
  const model = { seq, available, cabins: [], status: new Map() };
  for (const cabin of cabins) {
    const isMap = typeof cabin.rows[0] === "object";
    const rows = isMap ? [cabin.rows[0].row, cabin.rows.at(-1).row] : cabin.rows;
    model.cabins.push({ cabin_class: cabin.cabin_class, layout: cabin.layout, rows });
    if (isMap) for (const row of cabin.rows) for (const { seat, status } of row.seats) model.status.set(seat, status);
    else for (let row = rows[0]; row <= rows[1]; row += 1) {
      for (const letter of cabin.layout.replaceAll(" ", "")) model.status.set(`${row}${letter}`, "free");
    }
  }
  return model;
}
