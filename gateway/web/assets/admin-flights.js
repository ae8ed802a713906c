// All flights with their sales, live; and all orders.
import { get } from "./api.js";
import { across, adminPath, ask, book, button, choice, departure, every, field, fieldset, form, heading, link, saleTag, say, send, table, utcTime, when } from "./admin-kit.js";
import { h, put } from "./dom.js";
import { money, number, route } from "./format.js";
import { t } from "./words.js";

const REFRESH_MS = 2000;
const PAGE = 100;
/** So many flights are looked at less often: their status is large. */
const MANY = 1000;
const DEEDS = { scheduled: ["open", "close"], open: ["pause", "close"], paused: ["open", "close"], closed: ["open"] };
const any = (prefix, names) => choice([["", t("all")], ...names.map((name) => [name, t(`${prefix}.${name}`)])]);

/** Buttons that switch a flight's sale, those that make sense; `changed` is told the flight as it is then. */
export function saleButtons({ flight_id: id, flight_number: name, sale }, place, changed) {
  return DEEDS[sale.state].map((deed) => {
    const element = button(`do.${deed}`, async () => {
      const all = h("input", { type: "checkbox", "data-test": "cancel-orders" });
      if (deed === "close" && !await ask("do.close", h("p", null, `${name} · ${id}`), h("label", { class: "check" }, all, t("close.all")))) return null;
      const done = await send(place, "POST", `${adminPath(id)}/${deed}`, all.checked ? { cancel_orders: true } : undefined);
      changed(done.sale ? done : { sale: { ...sale, state: "closed" } });
      return done.sale ? true : t("close.done", { count: done.cancelled });
    }, place, deed === "close" ? "danger" : "");
    element.setAttribute("aria-label", `${t(`do.${deed}`)} ${name}`);
    return element;
  });
}

/** `#flights` */
export function flights(place) {
  const [body, said, rows] = [h("tbody"), h("div"), new Map()];
  const state = any("sale", Object.keys(DEEDS));
  const more = h("button", { type: "button", hidden: true, onclick: () => { pages += 1; load(); } }, t("more"));
  let pages = 1;

  async function load() {
    const all = [];
    let cursor = "";
    for (let page = 0; page < pages && cursor !== null; page += 1) {
      const list = await get(`/v1/flights?limit=${PAGE}${cursor}${state.value && `&status=${state.value}`}`);
      all.push(...list.flights);
      cursor = list.next_cursor && `&cursor=${list.next_cursor}`;
    }
    more.hidden = cursor === null;
    const status = await get("/v1/admin/status");
    const own = new Map(status.flights.map((flight) => [flight.flight_id, flight]));
    // Lines stay the same elements: somebody may be about to press a button in one.
    const shown = all.map((flight) => {
      if (!rows.has(flight.flight_id)) rows.set(flight.flight_id, rowOf(flight));
      const row = rows.get(flight.flight_id);
      row.update(flight, own.get(flight.flight_id));
      return row.element;
    });
    if (shown.length !== body.children.length || shown.some((row, index) => row !== body.children[index])) put(body, shown);
    if (status.stopped_flights.length) say(said, status.stopped_flights.map((one) => t("stopped", one)).join(" "), "bad");
    return status.flights.length > MANY ? 5 * REFRESH_MS : REFRESH_MS;
  }

  function rowOf(flight) {
    const [sale, deeds, count] = [h("td"), h("td"), h("span")];
    const [meter, seqs] = [h("meter", { "aria-hidden": "true" }), h("td", { class: "number mono dim" })];
    let key;
    const update = (now, own) => {
      if (key !== `${now.sale.state} ${now.available === 0}`) {
        key = `${now.sale.state} ${now.available === 0}`;
        put(sale, saleTag(now));
        put(deeds, across(saleButtons(now, said, (changed) => { now.sale = changed.sale; update(now, own); })));
      }
      count.textContent = `${number(now.available)} / ${number(now.capacity)}`;
      [meter.max, meter.value] = [now.capacity, now.capacity - now.available];
      if (own) seqs.textContent = `${own.seq} / ${own.durable_seq} / ${own.stored_seq}`;
    };
    return { update, element: h("tr", { "data-flight": flight.flight_id },
      h("th", { scope: "row" }, link(flight.flight_id, flight.flight_number), h("small", null, flight.flight_id)),
      h("td", null, route(flight), h("small", null, departure(flight))), sale, h("td", { class: "number" }, count, meter), seqs, deeds) };
  }

  state.addEventListener("change", load);
  put(place, heading(t("tab.flights")), across(h("label", null, t("w.status"), state)), said,
    h("div", { class: "cards" }, table(t("tab.flights"), ["w.flight_id", "w.route", "w.sale", "w.available", "w.seqs", "w.deeds"], body)), h("div", null, more));
  return every(REFRESH_MS, load);
}

/** `#orders` */
export function orders(place, given) {
  const list = h("div");
  const query = () => {
    const asked = new URLSearchParams({ limit: PAGE });
    for (const { name, type, value } of filters.querySelectorAll("[name]")) {
      if (value) asked.set(name, type === "datetime-local" ? utcTime(value) : value.trim());
    }
    return `/v1/admin/orders?${asked}`;
  };
  const show = () => {
    const path = query();
    put(list, book("tab.orders", ["record_locator", "flight_id", "customer_id", "status", "seats", "total", "created"], () => path, "orders", (order) =>
      [order.record_locator, link(order.flight_id), order.customer_id, t(`order.${order.status}`), order.seats.map(({ seat }) => seat).join(" "),
        money(order.total), when(order.created_at)], "orders.csv"));
  };
  const filters = form("search", show, fieldset(field("customer_id"), field("flight_id", { value: given.get("flight") ?? "" }), field("record_locator", { maxlength: "6" }),
    field("status", { control: any("order", ["held", "confirmed", "cancelled", "expired"]) }),
    field("created_from", { type: "datetime-local" }), field("created_to", { type: "datetime-local" })));
  put(place, heading(t("tab.orders")), filters, list);
  show();
}
