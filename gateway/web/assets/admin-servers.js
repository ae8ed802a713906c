// The servers that share flights: which are there, what each has, and what moves between them.
import { get } from "./api.js";
import { across, adminPath, button, choice, every, field, fieldset, form, heading, hint, lines, link, say, send, table, when } from "./admin-kit.js";
import { short } from "./admin-cockpit.js";
import { h, put } from "./dom.js";
import { number } from "./format.js";
import { t } from "./words.js";

const POLL_MS = 1000;
/** Moves that are remembered while the page is looked at. */
const MOVES_MAX = 50;
/** So many flights are named for each server; the rest is a number. */
const NAMED_MAX = 100;
const SERVERS = ["server", "status", "lease", "flights", "load", "version", "deeds"].map((word) => `w.${word}`);
const MOVES = ["when", "flight", "from_server", "to_server"].map((word) => `w.${word}`);
const ACTIONS = ["when", "who", "what", "flight", "server"].map((word) => `w.${word}`);

/** How a server stands: whether it answers, and takes flights. */
function standing({ takes_flights: takes, lease_left_ms: left }, answered) {
  if (left === 0 || answered === false) return ["silent", "bad"];
  return takes ? ["takes", "good"] : ["drains", "warn"];
}

/** `#servers` */
export function servers(place) {
  const [body, moved, asked, flightsOf, said, few] = [h("tbody"), h("tbody"), h("tbody"), h("div", { class: "stack" }), h("div", { class: "said" }), h("div", { class: "said" })];
  const [rows, at, open, moves] = [new Map(), new Map(), new Set(), []];
  const names = h("datalist", { id: "flights-there" });
  const flightId = h("input", { list: "flights-there", autocomplete: "off", required: true });
  const to = choice([["", t("servers.anywhere")]]);
  let [known, isFirst] = ["", true];

  const moving = form("do.move", async (where) => {
    const done = await send(where, "POST", `${adminPath(flightId.value.trim())}/move`, { server: to.value || null });
    return t("servers.moved", { flight_id: done.flight_id, server: done.server ?? t("servers.anywhere") });
  }, fieldset(field("flight_id", { control: flightId }), field("server", { control: to, word: "w.to_server" })), names);

  function rowOf(name) {
    const cells = ["status", "lease", "flights", "load", "version", "deeds"].map(() => h("td"));
    const [status, lease, flights, load, version, deeds] = cells;
    const who = h("small");
    const deed = (word) => {
      const element = button(`do.${word}`, async () => {
        await send(said, "POST", `/v1/admin/servers/${encodeURIComponent(name)}/${word}`);
        return t(`servers.${word}`, { server: name });
      }, said);
      element.setAttribute("aria-label", `${t(`do.${word}`)} ${name}`);
      return element;
    };
    let key;
    const update = (server, answered) => {
      const [state, kind] = standing(server, answered);
      if (key !== `${state} ${server.takes_flights}`) {
        key = `${state} ${server.takes_flights}`;
        put(status, h("span", { class: `tag ${kind}`, "data-state": state }, t(`server.${state}`)));
        put(deeds, across(deed(server.takes_flights ? "drain" : "resume")));
      }
      who.textContent = server.is_this ? t("server.this") : server.peer_address ?? "–";
      lease.textContent = `${number(server.lease_left_ms)} ms`;
      [flights.textContent, load.textContent] = [number(server.flights), short(server.under_way)];
      version.textContent = server.version ?? "–";
    };
    return { update, element: h("tr", { "data-server": name }, h("th", { scope: "row" }, name, who), cells) };
  }

  /** Notes which flights have another server than when it was looked last. */
  function follow(flights) {
    for (const { flight_id: id, server } of flights) {
      const before = at.get(id);
      if (before && before !== server) moves.unshift({ at: new Date().toISOString(), id, from: before, to: server });
      at.set(id, server);
    }
    moves.length = Math.min(moves.length, MOVES_MAX);
    put(moved, lines(moves, MOVES, (one) => [when(one.at), link(one.id), one.from, one.to]));
  }

  function list(all, flights) {
    const of = new Map(all.map(({ server }) => [server, []]));
    for (const one of flights) of.get(one.server)?.push(one);
    put(flightsOf, all.map(({ server }) => {
      const own = of.get(server) ?? [];
      return h("details", { "data-flights-of": server, open: open.has(server), ontoggle: (event) => (event.target.open ? open.add(server) : open.delete(server)) },
        h("summary", null, `${server} · ${number(own.length)}`),
        h("p", { class: "ids" }, own.slice(0, NAMED_MAX).map(({ flight_id: id }) => h("span", { class: "block" }, link(id), " ")), own.length > NAMED_MAX && "…"));
    }));
  }
  async function load() {
    const [{ servers: all, actions }, status] = await Promise.all([get("/v1/admin/servers"), get("/v1/admin/status")]);
    const answered = new Map(status.members.map((member) => [member.life, member.answered]));
    const shown = all.map((server) => {
      if (!rows.has(server.life)) rows.set(server.life, rowOf(server.server));
      const row = rows.get(server.life);
      row.update(server, answered.get(server.life));
      return row.element;
    });
    if (shown.length !== body.children.length || shown.some((row, index) => row !== body.children[index])) put(body, shown);
    const now = all.map(({ server }) => server).join("\n");
    if (now !== known) {
      known = now;
      const chosen = to.value;
      put(to, [["", t("servers.anywhere")], ...all.map(({ server }) => [server, server])].map(([value, text]) => h("option", { value }, text)));
      to.value = chosen;
    }
    put(names, status.flights.slice(0, NAMED_MAX).map(({ flight_id: id }) => h("option", { value: id })));
    const told = status.flights.filter(({ server }) => server);
    follow(told);
    list(all, told);
    put(asked, lines(actions ?? [], ACTIONS, (one) => [when(one.at), one.by, t(`did.${one.action}`), one.flight_id && link(one.flight_id), one.server]));
    if (isFirst) put(few, all.length < 2 && hint("servers.alone"));
    isFirst = false;
    if (status.flights_unserved) say(few, t("servers.unserved", { count: number(status.flights_unserved) }), "bad");
    return POLL_MS;
  }

  put(place, heading(t("tab.servers")), hint("servers.says"), few, said,
    table(t("tab.servers"), SERVERS, body),
    h("h2", null, t("do.move")), moving,
    h("h2", null, t("servers.flights")), flightsOf,
    h("h2", null, t("servers.moves")), table(t("servers.moves"), MOVES, moved),
    h("h2", null, t("servers.actions")), table(t("servers.actions"), ACTIONS, asked));
  return every(POLL_MS, load);
}
