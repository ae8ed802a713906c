// <boarding-pass>: an order as a boarding pass; pays (a test), cancels, counts a hold down by the server's clock.

import "./words-parts.js";
import { change, get, newKey, payments, serverNow } from "./api.js";
import { city } from "./airports.js";
import { announce, h, put, svg } from "./dom.js";
import { departure, left, money, zone } from "./format.js";
import { t } from "./words.js";

const TAGS = { held: "warn", confirmed: "good", cancelled: "dim", expired: "bad" };
const PLANE = "M2 13 11 11V4.5a1.5 1.5 0 0 1 3 0V11l8 4.5v2L14 15v4l2.5 2v1.5L12.5 21.5 8.5 22.5V21l2.5-2v-4L2 15.5Z";
/** How often an order whose time is over is looked at, in ms, until the server has ended it. */
const LOOK = 1500;
const MINUTE = 60_000;

/** Asks in a dialog; true if the answer is yes. */
export function ask({ title, text, yes, no, style, test }) {
  return new Promise((resolve) => {
    const close = (value) => () => dialog.close(value);
    const dialog = h("dialog", { "aria-labelledby": "asked", "data-test": test, onclose: () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    } },
    h("h2", { id: "asked" }, title), h("p", null, text),
    h("div", { class: "row" },
      h("button", { type: "button", class: style, "data-test": `${test}-yes`, onclick: close("yes") }, yes),
      h("button", { type: "button", "data-test": `${test}-no`, onclick: close("no") }, no)));
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Stripes of a locator, as on paper; no scanner reads them. */
function stripes(text) {
  let x = 0;
  let d = "";
  for (const bits of [...text, ...text].map((letter, index) => letter.charCodeAt(0) * (index + 3))) {
    for (let bit = 0; bit < 7; bit += 1) {
      const wide = 1 + ((bits >> bit) & 1);
      if (bit % 2 === 0) d += `M${x} 0h${wide}v30h-${wide}Z`;
      x += wide;
    }
  }
  return svg("svg", { class: "stripes", viewBox: `0 0 ${x} 30`, preserveAspectRatio: "none", "aria-hidden": "true" }, svg("path", { d }));
}

const plane = () => svg("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, svg("path", { d: PLANE, transform: "rotate(90 12 12)" }));

class BoardingPass extends HTMLElement {
  #order;
  #flight;
  #timer;
  #busy = false;
  #keys = {};
  #warned = false;
  #looked = 0;

  /** The order that is shown. */
  get order() { return this.#order; }

  connectedCallback() { this.#count(); }
  disconnectedCallback() { clearInterval(this.#timer); }

  /** What it is about is where one goes on reading. */
  focus(options) { this.#title.focus(options); }

  /** Shows an order of a flight (which may be missing). */
  show(order, flight) {
    this.#order = order;
    this.#flight = flight ?? this.#flight;
    this.dataset.status = order.status;
    this.dataset.order = order.order_id;
    const hadFocus = this.contains(document.activeElement);
    put(this, this.#ticket());
    if (hadFocus) this.#title.focus();
    this.#count();
  }

  #title;
  #clock;
  #note;

  #ticket() {
    const { status, seats, total, record_locator: locator } = this.#order;
    const flight = this.#flight;
    this.#title = h("h3", { tabIndex: -1 }, `${flight?.flight_number ?? this.#order.flight_id} · ${t(status === "confirmed" ? "pass.title" : "pass.order")}`);
    const end = (code) => h("div", null, h("b", null, code), h("span", null, city(code)));
    const fact = (word, ...value) => h("div", null, h("dt", null, t(word)), h("dd", null, ...value));
    this.#note = h("p", { class: "note", "data-test": "order-note", role: "status", hidden: true });
    return h("article", { "aria-label": `${t("pass.order")} ${locator}` },
      h("header", null, this.#title, h("span", { class: `tag ${TAGS[status]}`, "data-test": "order-status" }, t(`order.${status}`))),
      h("div", { class: "leg" },
        flight && h("div", { class: "route" }, end(flight.origin), plane(), end(flight.destination)),
        h("dl", null, flight && fact("pass.departs", `${departure(flight)} (${zone(flight)})`), fact("pass.total", money(total))),
        h("ol", { "aria-label": t("pass.seats") }, seats.map(({ seat, cabin_class: cabin, passenger }, index) => h("li", null,
          h("b", { class: "mono" }, seat), h("span", null, passenger?.name ?? t("pass.passenger", { number: index + 1 })),
          h("small", null, cabin ? t(`cabin.${cabin}`) : ""))))),
      h("div", { class: "stub" }, h("small", null, t("pass.locator")), h("strong", { class: "mono", "data-test": "locator" }, locator), stripes(locator)),
      this.#actions());
  }

  #actions() {
    const { status, total } = this.#order;
    const held = status === "held";
    this.#clock = held && h("p", { class: "clock", role: "timer", "data-test": "hold-left" });
    const button = (word, test, style, onclick) => h("button", { type: "button", class: style, "data-test": test, onclick }, word);
    const buttons = [
      held && button(t("pass.pay", { amount: money(total) }), "pay", "primary", () => this.#do(() => this.#pay())),
      status === "confirmed" && button(t("pass.print"), "print", "", () => print()),
      (held || status === "confirmed") && button(t("pass.cancel"), "cancel", "danger", () => this.#do(() => this.#cancel())),
    ];
    if (TAGS[status] !== "warn") this.#say(t(`pass.${status}`), status === "confirmed" ? "good" : "");
    return h("footer", null, this.#clock, h("div", { class: "row" }, ...buttons), this.#note);
  }

  #say(text, style = "") {
    this.#note.hidden = !text;
    this.#note.className = `note ${style}`;
    this.#note.textContent = text;
  }

  async #do(work) {
    if (this.#busy) return;
    this.#busy = true;
    try {
      await work();
    } catch (problem) {
      const late = problem.code === "HOLD_EXPIRED";
      await this.look();
      this.#say(late ? t("pass.late") : problem.plain ?? problem.message, "bad");
      announce(this.#note.textContent, true);
    } finally {
      this.#busy = false;
      this.removeAttribute("aria-busy");
    }
  }

  /** One change of the order; its retries, by hand too, are the same request. */
  async #send(action, body) {
    this.#keys[action] ??= newKey();
    this.setAttribute("aria-busy", "true");
    this.#say(t("pass.busy"));
    const order = await change("POST", `/v1/orders/${encodeURIComponent(this.#order.order_id)}/${action}`, body,
      { key: this.#keys[action], onRetry: () => this.#say(t("pass.retry"), "warn") });
    this.#take(order);
    return order;
  }

  #take(order) {
    this.show(order);
    this.dispatchEvent(new CustomEvent("change", { detail: { order }, bubbles: true }));
  }

  async #pay() {
    await this.#send("pay");
    if (!payments.areTests) {
      this.#say(t("pass.elsewhere"));
      announce(t("pass.elsewhere"));
      return;
    }
    const { total } = this.#order;
    const amount = money(total);
    const yes = await ask({
      title: t("pass.test"), text: t("pass.test.text"), yes: t("pass.test.pay", { amount }), no: t("pass.test.later"), style: "primary", test: "payment",
    });
    if (!yes) return;
    // The same reference whenever this order is paid, from whatever page: it is paid once.
    await this.#send("confirm", { payment_reference: `test-${this.#order.record_locator}`, amount: total.amount, currency: total.currency });
    announce(t("pass.confirmed"));
  }

  async #cancel() {
    const seats = this.#order.seats.map(({ seat }) => seat).join(", ");
    const yes = await ask({
      title: t("pass.ask"), text: t("pass.ask.text", { seats }), yes: t("pass.ask.yes"), no: t("pass.ask.no"), style: "danger", test: "cancelling",
    });
    if (!yes) return;
    await this.#send("cancel");
    announce(t("pass.cancelled"));
  }

  /** Asks the server how the order stands. */
  async look() {
    try {
      const order = await get(`/v1/orders/${encodeURIComponent(this.#order.order_id)}`);
      if (order.seq > this.#order.seq) this.#take(order);
    } catch {
      // It is looked at again, and every action says what is wrong.
    }
  }

  #count() {
    clearInterval(this.#timer);
    if (!this.isConnected || this.#order?.status !== "held") return;
    const until = Date.parse(this.#order.hold_expires_at);
    const whole = until - Date.parse(this.#order.created_at);
    const tick = () => {
      const rest = until - serverNow();
      this.#clock.textContent = t("pass.left", { time: left(rest) });
      this.#clock.style.setProperty("--part", Math.max(0, Math.min(1, rest / whole)));
      this.#clock.classList.toggle("soon", rest < MINUTE);
      if (rest < MINUTE && rest > 0 && whole > MINUTE && !this.#warned) {
        this.#warned = true;
        announce(t("pass.minute", { locator: this.#order.record_locator }), true);
      }
      if (rest > 0 || this.#busy || performance.now() - this.#looked < LOOK) return;
      this.#looked = performance.now();
      this.look();
    };
    tick();
    this.#timer = setInterval(tick, 500);
  }
}

customElements.define("boarding-pass", BoardingPass);
