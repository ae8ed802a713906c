// Rehearse: a rush of simulated customers on a shadow copy of a flight, watched as it happens, and its report.
import "./seat-map.js";
import { Problem, get } from "./api.js";
import { micros, refusal, series, short, tile, total } from "./admin-cockpit.js";
import { button, choice, down, every, field, fieldset, form, link, send, whole } from "./admin-kit.js";
import { chart } from "./chart.js";
import { announce, h, put } from "./dom.js";
import { here, number } from "./format.js";
import { modelOf } from "./live.js";
import { has, t } from "./words.js";

const POLL_MS = 250;
/** A large map is half a megabyte: it is fetched this often. */
const LARGE = 2000;
const LARGE_MS = 1000;
const seconds = (ms) => `${number(ms / 1000, { maximumFractionDigits: 2 })} s`;

/** The part of a flight's view; the rehearsal that is watched stands in the address (`&run=`). */
export function rehearse(place, { flight, path, given, ends }) {
  const watched = down();
  const start = choice(["now", "empty"].map((name) => [name, t(`start.${name}`)]));
  const [customers, time] = [h("input", whole(1, 1_000_000, 10_000)), h("input", whole(1, 120, 10))];
  let end = null;
  ends.push(() => end?.());
  const open = (id) => {
    end?.();
    end = watch(watched, id, flight);
  };
  put(place, h("div", { class: "card stack no-print" }, h("p", { class: "note" }, t("rehearse.says")),
    form("rehearse.start", async (said) => {
      const run = await send(said, "POST", `${path}/rehearsals`, { customers: Number(customers.value), over_seconds: Number(time.value), start_from: start.value }, { tryFor: 0 })
        .catch((problem) => { throw problem.code === "LIMIT_EXCEEDED" ? new Problem({ code: "BUSY" }, problem.status) : problem; });
      history.replaceState(null, "", `${link(flight.flight_id).hash}&view=rehearse&run=${run.rehearsal_id}`);
      open(run.rehearsal_id);
    }, fieldset(field("customers", { control: customers }), field("over_seconds", { control: time }), field("start_from", { control: start })))), watched);
  if (given.get("run")) open(given.get("run"));
}

function watch(place, id, flight) {
  const path = `/v1/admin/rehearsals/${encodeURIComponent(id)}`;
  const [map, report, said, figures] = [h("seat-map"), h("div"), h("div"), h("dl", { class: "tiles" })];
  const [bar, state] = [h("progress", { max: "1", "aria-label": t("view.rehearse") }), h("p", { "data-test": "rehearse-state" })];
  const stop = button("rehearse.stop", () => send(said, "DELETE", path).then(() => true), said, "danger");
  put(place, h("div", { class: "two" },
    down(h("div", { class: "card stack no-print" }, h("div", { class: "row spread" }, state, stop), bar, said), report, figures),
    h("div", { class: "preview" }, h("h3", null, t("rehearse.map")), map)));
  let [model, mapped] = [null, 0];

  async function seats() {
    const next = modelOf(await get(`${path}/seats`));
    map.update(next, model && [...next.status.keys()].filter((seat) => model.status.get(seat) !== next.status.get(seat)));
    model = next;
    mapped = performance.now();
  }

  const end = every(POLL_MS, async () => {
    const run = await get(path);
    const isOver = run.state !== "running";
    if (isOver || run.capacity <= LARGE || performance.now() - mapped > LARGE_MS) await seats();
    bar.value = isOver ? 1 : run.sent / run.customers;
    stop.hidden = isOver;
    state.textContent = `${t(`run.${run.state}`)} · ${number(run.sent)} / ${number(run.customers)} · ${seconds(run.elapsed_ms)}`;
    state.dataset.state = run.state;
    put(figures, tile("line.won", number(run.won)), tile("line.refused", number(total(run.refused))), tile("run.seats", `${number(run.seats_sold)} / ${number(run.capacity)}`),
      tile("tile.p99", run.latency_us ? micros(run.latency_us.p99) : "–"), tile("run.sold_out", run.sold_out_after_ms === null ? "–" : seconds(run.sold_out_after_ms)));
    if (!isOver) return;
    end();
    announce(t(`run.${run.state}`));
    put(report);
    reportOf(report, run, flight, figures);
  });
  return end;
}

/** The report: what came of it, in figures and over time, and what was checked. */
function reportOf(place, run, flight, figures) {
  const [counts, p99] = [["report.timeline", short, series("sent", "won", "refused")], ["tile.p99", micros, [{ key: "p99_us", name: "p99" }]]].map(([word, format, lines]) =>
    chart({ title: t(word), format, time: seconds, series: lines }));
  const answers = [[t("line.won"), run.won], ...Object.entries(run.refused).sort((a, b) => b[1] - a[1]).map(([code, count]) => [refusal(code), count])];
  const most = Math.max(1, ...answers.map(([, count]) => count));
  put(place, h("section", { class: "stack", "data-test": "rehearse-report" },
    h("div", { class: "row spread" }, h("h2", null, t("report.title", flight)), h("button", { type: "button", onclick: () => print() }, t("report.print"))),
    h("p", { class: `note ${run.state === "done" ? "good" : "warn"}` }, t(run.sold_out_after_ms === null ? "report.left" : "report.sold_out",
      { customers: number(run.customers), time: seconds(run.sold_out_after_ms ?? run.elapsed_ms), seats: number(run.seats_sold), available: number(run.available) })),
    h("p", { class: "dim" }, here(run.started_at), " · ", t("rehearse.says"), " ", run.failure), figures,
    h("table", { class: "bars" }, h("tbody", null, answers.map(([name, count]) => {
      const bar = h("span");
      bar.style.width = `${(count / most) * 100}%`;
      return h("tr", null, h("th", { scope: "row" }, name), h("td", { class: "number" }, number(count)), h("td", { "aria-hidden": "true" }, bar));
    }))),
    run.latency_us && h("p", null, `${t("chart.latency")}: ${series("p50", "p90", "p99", "max").map(({ key, name }) => `${name} ${micros(run.latency_us[key])}`).join(" · ")}`),
    h("div", { class: "charts" }, counts.element, p99.element),
    run.checks && [h("h3", null, t("report.checks")), h("ul", { class: "checks" }, run.checks.map(({ name, ok }) =>
      h("li", { class: ok ? "good" : "bad" }, h("b", null, ok ? "✓ " : "✗ ", h("span", { class: "unseen" }, t(ok ? "yes" : "no"))), has(`check.${name}`) ? t(`check.${name}`) : name)))]));
  const points = run.timeline.map((one) => ({ ...one, x: one.ms }));
  for (const one of [counts, p99]) one.show(points, 0, Math.max(run.elapsed_ms, points.at(-1)?.x ?? 0));
}
