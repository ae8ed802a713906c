// The waitlist of a flight, for one party: joining, the place in line, leaving, being served.

import { change, get, newKey } from "./api.js";
import { h, put } from "./dom.js";
import { t } from "./words.js";

/** How often one's place is asked for, in ms. */
const ASK_EVERY = 4000;
const ACCEPT = ["all", "all_together", "some"];

/** A card about the waitlist. Told `wish()`; tells `onServed(order)`, `onEnded()`, `onChange()`, `onProblem(problem)`. */
export class Waitlist {
  /** Whether somebody was refused for want of seats. */
  wanted = false;
  #path;
  #kept;
  #tell;
  #entry = null;
  #look = "";
  #key;
  #busy = false;
  #accept = h("select", { "data-test": "accept" }, ACCEPT.map((value) => h("option", { value }, t(`wait.${value}`))));

  constructor(flightId, tell) {
    this.#path = `/v1/flights/${encodeURIComponent(flightId)}/waitlist`;
    this.#kept = `farerush.waitlist.${flightId}`;
    this.#tell = tell;
    /** What to put into the page. */
    this.card = h("section", { class: "card stack", "data-test": "waitlist", hidden: true });
    setInterval(() => this.#ask(), ASK_EVERY);
    this.#ask();
  }

  /** Shows itself where it is of use. */
  render(isSoldOut, isOpen, party) {
    const show = Boolean(this.#entry) || isSoldOut || (this.wanted && isOpen);
    this.card.hidden = !show;
    const look = JSON.stringify([show, this.#entry?.position, party]);
    if (!show || this.#look === look) return;
    this.#look = look;
    const button = (word, test, style, work) => h("button", { type: "button", class: style, "data-test": test, onclick: () => this.#do(work) }, word);
    put(this.card, h("h2", null, t("wait.title")), this.#entry
      ? [h("p", { "data-test": "position" }, t("wait.position", this.#entry)), button(t("wait.leave"), "leave", "danger", () => this.#leave())]
      : [h("p", { class: "dim" }, t("wait.text")), party > 1 && h("label", null, t("wait.accept"), this.#accept),
        button(t("wait.join", { count: party }), "join", "", () => this.#join())]);
  }

  async #do(work) {
    if (this.#busy) return;
    this.#busy = true;
    try {
      await work();
    } catch (problem) {
      this.#tell.onProblem(problem);
    } finally {
      this.#busy = false;
      this.#tell.onChange();
    }
  }

  async #join() {
    this.#key ??= newKey();
    const accept = this.#accept.value;
    const body = { ...this.#tell.wish(), accept: accept === "some" ? { at_least: 1 } : accept };
    const entry = await change("POST", this.#path, body, { key: this.#key }).catch((problem) => {
      if (problem.status && problem.status < 500) this.#key = null;
      throw problem;
    });
    this.#key = null;
    await this.#take(entry);
  }

  async #leave() {
    await this.#take(await change("DELETE", `/v1/waitlist/${encodeURIComponent(this.#entry.waitlist_id)}`));
  }

  async #take(entry) {
    if (entry.status === "waiting") {
      this.#entry = entry;
      localStorage.setItem(this.#kept, entry.waitlist_id);
      return;
    }
    const order = entry.order_id && await get(`/v1/orders/${encodeURIComponent(entry.order_id)}`);
    this.#forget();
    if (order) this.#tell.onServed(order);
    else this.#tell.onEnded();
  }

  #forget() {
    localStorage.removeItem(this.#kept);
    this.#entry = null;
    this.wanted = false;
  }

  async #ask() {
    const id = localStorage.getItem(this.#kept);
    if (!id || this.#busy) return;
    try {
      await this.#take(await get(`/v1/waitlist/${encodeURIComponent(id)}`));
    } catch (problem) {
      if (problem.code === "WAITLIST_ENTRY_NOT_FOUND") this.#forget();
    }
  }
}
