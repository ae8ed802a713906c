// The cockpit: what the server does, second by second, over the last minutes.
import { get } from "./api.js";
import { choice, every, heading, hint } from "./admin-kit.js";
import { chart } from "./chart.js";
import { h, put } from "./dom.js";
import { here, number } from "./format.js";
import { has, t } from "./words.js";

const POLL_MS = 1000;
/** As many samples as the server keeps. */
const SAMPLES_MAX = 600;
/** A backlog that is older than this is marked, in ms. */
const LATE_MS = 5000;

/** A number as a chart has room for it: `12K`. */
export const short = (value) => number(value, { notation: value < 10_000 ? "standard" : "compact", maximumFractionDigits: value < 10 ? 2 : value < 100 ? 1 : 0 });
const scaled = (steps) => (value) => {
  const [size, unit] = steps.findLast(([size]) => value >= size) ?? steps[0];
  return `${short(value / size)} ${unit}`;
};
/** Microseconds, in the unit that suits. */
export const micros = scaled([[1, "µs"], [1000, "ms"], [1e6, "s"]]);
const bytes = scaled([[1, "B"], [1000, "kB"], [1e6, "MB"], [1e9, "GB"]]);
/** A refusal's short name. */
export const refusal = (code) => (has(`refusal.${code}`) ? t(`refusal.${code}`) : code);
/** All numbers of an object together. */
export const total = (counts) => Object.values(counts).reduce((sum, count) => sum + count, 0);
/** Lines of a chart by their words. */
export const series = (...keys) => keys.map((key) => ({ key, name: has(`line.${key}`) ? t(`line.${key}`) : key }));

/** What is drawn: how values are written, the lines, and what a sample gives for them. */
const CHARTS = {
  grabs: { format: short, series: series("won", "refused"), of: ({ grabs }) => ({ won: grabs.won, refused: total(grabs.refused) }) },
  refusals: { format: short, stack: true, series: [], of: ({ grabs }) => grabs.refused },
  latency: { format: micros, log: true, series: series("p50", "p90", "p99", "max"), of: (one) => one.latency_us },
  batch: { format: short, series: series("batch"), of: ({ events, rounds }) => ({ batch: rounds ? events / rounds : null }) },
  append: { format: micros, log: true, series: series("p50", "p99"), of: (one) => one.append_us },
  backlog: { format: short, series: series("backlog_events", "queued"), of: (one) => one },
  readers: { format: short, series: series("live_readers", "connections"), of: (one) => one },
  cpu: { format: (value) => `${short(value)} %`, series: series("cpu_percent"), of: (one) => one },
  memory: { format: bytes, series: series("memory_bytes"), of: (one) => one },
};

/** A figure with what it says; `more` is smaller. */
export const tile = (word, value, more, kind = "") => h("div", { class: `card ${kind}`, "data-tile": word }, h("dt", null, t(word)), h("dd", null, value, more && h("small", null, more)));

/** `#cockpit` */
export function cockpit(place) {
  let samples = [];
  const minutes = choice([1, 2, 5, 10].map((count) => [count, count]), { onchange: () => draw() });
  const tiles = h("dl", { class: "tiles" });
  const drawn = Object.entries(CHARTS).map(([name, { of, ...what }]) => ({ of, ...what, ...chart({ ...what, title: t(`chart.${name}`), time: (moment) => here(moment, { timeStyle: "medium" }) }) }));

  function draw() {
    const end = samples.at(-1)?.x ?? Date.now();
    const begin = end - minutes.value * 60_000;
    const shown = samples.filter(({ x }) => x >= begin);
    for (const { of, stack, show } of drawn) {
      const points = shown.map((one) => ({ ...of(one), x: one.x }));
      show(points, begin, end, stack && [...new Set(shown.flatMap((one) => Object.keys(of(one))))].sort().map((key) => ({ key, name: refusal(key) })) || undefined);
    }
  }

  function standing({ journal, store }) {
    const now = samples.at(-1);
    if (!now) return;
    const part = (word, { state, for_ms: ms, reason }) => tile(word, t(`state.${state}`), reason && `${micros((ms ?? 0) * 1000)} · ${reason}`, reason ? "bad" : "good");
    put(tiles, tile("line.won", `${short(now.grabs.won)} /s`), tile("line.refused", `${short(total(now.grabs.refused))} /s`), tile("tile.p99", now.latency_us ? micros(now.latency_us.p99) : "–"),
      part("tile.journal", journal), part("tile.store", store),
      tile("line.backlog_events", short(now.backlog_events), `${bytes(now.backlog_bytes)} · ${micros(now.backlog_ms * 1000)}`, now.backlog_ms > LATE_MS ? "warn" : ""),
      tile("line.live_readers", short(now.live_readers)), tile("chart.cpu", `${short(now.cpu_percent)} %`, bytes(now.memory_bytes)));
  }

  minutes.value = 2;
  put(place, h("div", { class: "row spread" }, heading(t("tab.cockpit")), h("label", null, t("minutes"), minutes)), tiles,
    hint("chart.says"), h("div", { class: "charts" }, drawn.map(({ element }) => element)));
  const end = every(POLL_MS, async () => {
    const since = samples.at(-1)?.at;
    const state = await get(`/v1/admin/cockpit${since ? `?since=${encodeURIComponent(since)}` : ""}`);
    samples = [...samples, ...state.samples.map((one) => ({ ...one, x: Date.parse(one.at) }))].slice(-SAMPLES_MAX);
    draw();
    standing(state);
  });
  return end;
}
