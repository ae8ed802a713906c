// A chart of values over time, drawn as SVG: axes with units, a legend that is the readout, for mouse, touch and keys.
import { h, put, svg } from "./dom.js";
import { t } from "./words.js";

const HEIGHT = 150;
const MARGIN = { left: 58, right: 8, top: 8, bottom: 22 };
/** Widths in CSS pixels that a label of an axis wants. */
const LABEL_EVERY = 95;
const LINES = 4;
/** What people count time in, in ms. */
const TIMES = [50, 100, 200, 500, ...[1, 2, 5, 10, 15, 30, 60, 120, 300, 600].map((seconds) => seconds * 1000)];
/** Names of strokes and colours there are (`.line0` and so on in the styles). */
const STYLES = 8;

const roundUp = (value) => {
  const power = 10 ** Math.floor(Math.log10(value));
  return power * [1, 2, 5, 10].find((step) => step * power >= value * 0.999);
};

/**
 * Makes a chart. `series` is `[{key, name}]`; `format(value)` writes a value with its unit, `time(x)` a moment; `log`
 * gives decades the same height, `stack` piles the series up. `show(points, from, to)` draws points `{x, [key]: value}`.
 */
export function chart({ title, format, time, log = false, stack = false, series = [] }) {
  const plot = h("div", { class: "plot", tabindex: "0", role: "slider", "aria-label": title, "aria-valuemin": "0" });
  const legend = h("ul", { class: "legend" });
  const moment = h("span", { class: "dim mono" });
  const figures = h("tbody");
  const details = h("details", { ontoggle: () => list() },
    h("summary", null, t("chart.figures")),
    h("div", { class: "scroll" }, h("table", null,
      h("thead", null, h("tr", null, ["name", "now", "least", "mean", "most"].map((word) =>
        h("th", { scope: "col", class: word === "name" ? "" : "number" }, t(`chart.${word}`))))), figures)));
  const element = h("figure", { class: "card chart" }, h("figcaption", null, h("h3", null, title), moment), plot, legend, details);
  let [points, from, to] = [[], 0, 1];
  /** The moment that is read out; null: the latest. */
  let cursor = null;

  const at = () => (cursor === null ? points.length - 1 : points.findIndex((point) => point.x >= cursor));
  const value = (point, key) => point?.[key] ?? null;
  const said = (number) => (number === null ? "–" : format(number));

  function scale() {
    const tops = points.map((point) => (stack
      ? series.reduce((sum, { key }) => sum + (value(point, key) ?? 0), 0)
      : Math.max(0, ...series.map(({ key }) => value(point, key) ?? 0))));
    const high = Math.max(0, ...tops);
    const inner = HEIGHT - MARGIN.top - MARGIN.bottom;
    if (log) {
      const all = points.flatMap((point) => series.map(({ key }) => value(point, key))).filter((number) => number > 0);
      const low = Math.floor(Math.log10(Math.min(...all, high || 1)));
      const decades = Math.max(1, Math.ceil(Math.log10(high || 10)) - low);
      const y = (number) => MARGIN.top + inner * (1 - Math.max(0, Math.log10(Math.max(number, 10 ** low)) - low) / decades);
      return { y, ticks: Array.from({ length: decades + 1 }, (_, index) => 10 ** (low + index)) };
    }
    const step = roundUp((high || 1) / LINES);
    const most = step * Math.max(1, Math.ceil(high / step - 0.001));
    const y = (number) => MARGIN.top + inner * (1 - number / most);
    return { y, ticks: Array.from({ length: Math.round(most / step) + 1 }, (_, index) => index * step) };
  }

  function draw() {
    const width = plot.clientWidth || 400;
    const { y, ticks } = scale();
    const x = (moment) => MARGIN.left + ((moment - from) / (to - from)) * (width - MARGIN.left - MARGIN.right);
    const every = TIMES.find((step) => (to - from) / step <= width / LABEL_EVERY) ?? TIMES.at(-1);
    const marks = [];
    for (const tick of ticks) {
      marks.push(svg("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(tick), y2: y(tick) }),
        svg("text", { x: MARGIN.left - 6, y: y(tick) + 4, "text-anchor": "end" }, format(tick)));
    }
    for (let tick = Math.ceil(from / every) * every; tick <= to; tick += every) {
      marks.push(svg("text", { x: Math.min(Math.max(x(tick), MARGIN.left), width - 26), y: HEIGHT - 5, "text-anchor": "middle" }, time(tick)));
    }
    const below = points.map(() => 0);
    const paths = series.map(({ key }, place) => {
      let line = "";
      let isDrawing = false;
      const back = [];
      points.forEach((point, index) => {
        const number = value(point, key);
        if (number === null && !stack) { isDrawing = false; return; }
        if (stack) back.push(`L${x(point.x).toFixed(1)} ${y(below[index]).toFixed(1)}`);
        const top = (below[index] += number ?? 0);
        line += `${isDrawing ? "L" : "M"}${x(point.x).toFixed(1)} ${y(stack ? top : number).toFixed(1)}`;
        isDrawing = true;
      });
      if (!stack) below.fill(0);
      return svg("path", { class: `line${place % STYLES} ${stack ? "area" : "line"}`, d: stack ? `${line}${back.reverse().join("")}Z` : line });
    });
    const point = points[at()];
    const isRead = cursor !== null && point;
    put(plot, svg("svg", { width, height: HEIGHT, "aria-hidden": "true" }, marks, points.length > 0 && paths,
      isRead && svg("line", { class: "cursor", x1: x(point.x), x2: x(point.x), y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom })));
    moment.textContent = point ? time(point.x) : "";
    put(legend, series.map(({ key, name }, place) => h("li", null,
      svg("svg", { width: 22, height: 10, "aria-hidden": "true" }, svg("path", { class: `line${place % STYLES} line`, d: "M1 5H21" })),
      `${name} `, h("b", null, said(value(point, key))))));
    plot.setAttribute("aria-valuemax", Math.max(0, points.length - 1));
    // Said anew only when the reader moves, else a screen reader would talk every second.
    if (isRead || !plot.hasAttribute("aria-valuetext") || document.activeElement !== plot) {
      plot.setAttribute("aria-valuenow", Math.max(0, at()));
      plot.setAttribute("aria-valuetext", point
        ? `${time(point.x)}: ${series.map(({ key, name }) => `${name} ${said(value(point, key))}`).join(", ")}` : t("chart.empty"));
    }
    list();
  }

  function list() {
    if (!details.open) return;
    put(figures, series.map(({ key, name }) => {
      const all = points.map((point) => value(point, key)).filter((number) => number !== null);
      const mean = all.reduce((sum, number) => sum + number, 0) / all.length;
      const cells = all.length ? [value(points.at(-1), key), Math.min(...all), mean, Math.max(...all)] : [null, null, null, null];
      return h("tr", null, h("th", { scope: "row" }, name), cells.map((number) => h("td", { class: "number" }, said(number))));
    }));
  }

  function read(index) {
    cursor = points[Math.min(Math.max(index, 0), points.length - 1)]?.x ?? null;
    draw();
  }
  const release = () => { cursor = null; draw(); };
  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    const moment = from + ((event.clientX - box.left - MARGIN.left) / (box.width - MARGIN.left - MARGIN.right)) * (to - from);
    const next = points.findIndex((point) => point.x >= moment);
    read(next < 0 ? points.length - 1 : next);
  });
  plot.addEventListener("pointerleave", release);
  plot.addEventListener("blur", release);
  plot.addEventListener("keydown", (event) => {
    const here = at();
    const to = { ArrowLeft: here - 1, ArrowDown: here - 1, ArrowRight: here + 1, ArrowUp: here + 1,
      PageUp: here - 10, PageDown: here + 10, Home: 0, End: points.length - 1 }[event.key];
    if (event.key === "Escape") release();
    else if (to !== undefined) read(to);
    else return;
    event.preventDefault();
  });

  return {
    element,
    /** Draws points between two moments; other `series` may come with them. */
    show(newPoints, begin, end, newSeries = series) {
      [points, from, to, series] = [newPoints, begin, Math.max(end, begin + 1), newSeries];
      if (cursor !== null && !(points.at(-1)?.x >= cursor)) cursor = null;
      draw();
    },
  };
}
