// A chart of values over time, as SVG: axes with units, a legend that is the readout, for mouse, touch and keys.
import { h, put, svg } from "./dom.js";
import { t } from "./words.js";

const HEIGHT = 150;
const [LEFT, RIGHT, TOP, BOTTOM] = [60, 8, 8, 22];
/** Width that a label of an axis wants, in CSS pixels, and how many lines a chart has across. */
const LABEL = 90;
const LINES = 4;
/** Steps that people count time in, in ms. */
const TIMES = [100, 200, 500, ...[1, 2, 5, 10, 15, 30, 60, 120, 300].map((seconds) => seconds * 1000)];
/** Colours and dashes there are: `.line0` and so on. */
const STYLES = 8;

/**
 * Makes a chart. `series` is `[{key, name}]`; `format(value)` writes a value with its unit, `time(x)` a moment; `log` gives
 * each power of ten the same height, `stack` piles the series up. `show(points, from, to)` draws points `{x, [key]: value}`.
 */
export function chart({ title, format, time, log, stack, series }) {
  const plot = h("div", { class: "plot", tabindex: "0", role: "slider", "aria-label": title, "aria-valuemin": "0" });
  const legend = h("ul", { class: "legend" });
  const moment = h("span", { class: "dim mono" });
  let [points, from, to] = [[], 0, 1];
  /** The moment that is read out; null: the latest. */
  let cursor = null;

  const at = () => (cursor === null ? points.length - 1 : points.findIndex(({ x }) => x >= cursor));
  const said = (value) => (value == null ? "–" : format(value));
  const values = (key) => points.map((point) => point[key]).filter((value) => value != null);

  /** Where a value stands from 0 (low) to 1, and the values that get a line across. */
  function scale() {
    const tops = stack ? points.map((point) => series.reduce((sum, { key }) => sum + (point[key] ?? 0), 0)) : series.flatMap(({ key }) => values(key));
    const high = Math.max(0, ...tops) || 1;
    if (log) {
      const low = Math.floor(Math.log10(Math.min(high, ...tops.filter((value) => value > 0))));
      const powers = Math.max(1, Math.ceil(Math.log10(high)) - low);
      return [(value) => Math.max(0, Math.log10(value) - low) / powers, Array.from({ length: powers + 1 }, (_, index) => 10 ** (low + index))];
    }
    const power = 10 ** Math.floor(Math.log10(high / LINES));
    const step = power * [1, 2, 5, 10].find((times) => times * power >= high / LINES * 0.999);
    const most = step * Math.ceil(high / step - 0.001);
    return [(value) => value / most, Array.from({ length: Math.round(most / step) + 1 }, (_, index) => index * step)];
  }

  function draw() {
    const width = plot.clientWidth || 400;
    const [height, lines] = scale();
    const y = (value) => (TOP + (HEIGHT - TOP - BOTTOM) * (1 - height(value))).toFixed(1);
    const x = (moment) => (LEFT + ((moment - from) / (to - from)) * (width - LEFT - RIGHT)).toFixed(1);
    const every = TIMES.find((step) => (to - from) / step <= (width - LEFT) / LABEL) ?? TIMES.at(-1);
    const marks = lines.flatMap((value) => [svg("path", { class: "grid", d: `M${LEFT} ${y(value)}H${width - RIGHT}` }),
      svg("text", { x: LEFT - 6, y: Number(y(value)) + 4, class: "y" }, format(value))]);
    for (let tick = Math.ceil(from / every) * every; tick <= to; tick += every) {
      marks.push(svg("text", { x: Math.min(x(tick), width - 26), y: HEIGHT - 5 }, time(tick)));
    }
    const below = points.map(() => 0);
    for (const [place, { key }] of series.entries()) {
      const back = [];
      let d = "";
      let pen = "M";
      points.forEach((point, index) => {
        if (stack) back.unshift(`L${x(point.x)} ${y(below[index])}`);
        else if (point[key] == null) { pen = "M"; return; }
        below[index] = (stack ? below[index] : 0) + (point[key] ?? 0);
        d += `${pen}${x(point.x)} ${y(below[index])}`;
        pen = "L";
      });
      marks.push(svg("path", { class: `line${place % STYLES} ${stack ? "area" : ""}`, d: d + back.join("") }));
    }
    const point = points[at()];
    if (cursor !== null) marks.push(svg("path", { class: "cursor", d: `M${x(point.x)} ${TOP}V${HEIGHT - BOTTOM}` }));
    put(plot, svg("svg", { width, height: HEIGHT, "aria-hidden": "true" }, marks));
    moment.textContent = point ? time(point.x) : t("chart.empty");
    put(legend, series.map(({ key, name }, place) => h("li", null,
      svg("svg", { width: 22, height: 10, "aria-hidden": "true" }, svg("path", { class: `line${place % STYLES}`, d: "M1 5H21" })),
      name, h("b", null, said(point?.[key] ?? (stack && point ? 0 : null))), h("small", null, t("chart.most", { value: said(values(key).length ? Math.max(...values(key)) : null) })))));
    // Said anew only when the reader moves, else a screen reader would talk every second.
    if (cursor === null && document.activeElement === plot && plot.hasAttribute("aria-valuetext")) return;
    plot.setAttribute("aria-valuemax", Math.max(0, points.length - 1));
    plot.setAttribute("aria-valuenow", Math.max(0, at()));
    plot.setAttribute("aria-valuetext", `${moment.textContent}: ${[...legend.children].map((item) => [...item.childNodes].map((node) => node.textContent).join(" ")).join("; ")}`);
  }

  function read(index) {
    cursor = points[Math.min(Math.max(index, 0), points.length - 1)]?.x ?? null;
    draw();
  }
  const release = () => { cursor = null; draw(); };
  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    const moment = from + ((event.clientX - box.left - LEFT) / (box.width - LEFT - RIGHT)) * (to - from);
    const next = points.findIndex((point) => point.x >= moment);
    read(next < 0 ? points.length : next);
  });
  plot.addEventListener("pointerleave", release);
  plot.addEventListener("blur", release);
  plot.addEventListener("keydown", (event) => {
    const last = points.length - 1;
    const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageUp: -10, PageDown: 10, Home: -last, End: last };
    if (event.key === "Escape") release();
    else if (event.key in steps) read(at() + steps[event.key]);
    else return;
    event.preventDefault();
  });

  new ResizeObserver(draw).observe(plot);
  return {
    element: h("figure", { class: "card chart" }, h("figcaption", { class: "row spread" }, h("h2", null, title), moment), plot, legend),
    /** Draws points between two moments; other series may come with them. */
    show(newPoints, begin, end, newSeries = series) {
      [points, from, to, series] = [newPoints, begin, Math.max(end, begin + 1), newSeries];
      if (!(points[0]?.x <= cursor)) cursor = null;
      draw();
    },
  };
}
