// Elements, made without markup in text: what comes from outside can only ever become text.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && typeof value !== "string") element[name] = value;
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child != null && child !== false));
  return element;
}

/** An HTML element: `h("p", {class: "hint", onclick: f}, "text", child)`. */
export const h = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);

/** An SVG element. Its attributes are always text. */
export function svg(name, attributes, ...children) {
  const element = document.createElementNS(SVG, name);
  const texts = Object.entries(attributes ?? {}).map(([key, value]) =>
    [key, typeof value === "number" ? String(value) : value]);
  return fill(element, Object.fromEntries(texts), children);
}

/** The first element that a selector finds. */
export const $ = (selector, root = document) => root.querySelector(selector);

/** Puts children in place of what is there. */
export function put(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child != null && child !== false));
  return element;
}

/** Says something to those who cannot see the page change. */
export function announce(text, urgent = false) {
  const id = urgent ? "announced-now" : "announced";
  let place = document.getElementById(id);
  if (!place) {
    place = h("div", { id, class: "unseen", role: urgent ? "alert" : "status", "aria-live": urgent ? "assertive" : "polite" });
    document.body.append(place);
  }
  place.textContent = "";
  // A text that is put in at once may be missed by screen readers.
  requestAnimationFrame(() => { place.textContent = text; });
}
