// The bar on top of every page: where one is, the language, light or dark. Every page imports it first.
import "./words-common.js";
import { setClock } from "./api.js";
import { $, h } from "./dom.js";
import { LANGUAGES, language, setLanguage, t, translate } from "./words.js";

const THEME = "farerush.theme";

const isDark = () => {
  const theme = document.documentElement.dataset.theme;
  return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
};

/** Puts the bar in and the words of the page; `title` is a key. */
export function begin(title) {
  const here = location.pathname;
  const link = (path, word) => h("a", { href: path, ...(here === path && { "aria-current": "page" }) }, t(word));
  const themeWord = () => t(isDark() ? "theme.light" : "theme.dark");
  const theme = h("button", { type: "button", title: t("theme.switch"), onclick: () => {
    const next = isDark() ? "light" : "dark";
    localStorage.setItem(THEME, next);
    document.documentElement.dataset.theme = next;
    theme.textContent = themeWord();
  } }, themeWord());
  const choice = h("select", { "aria-label": t("language"), onchange: () => setLanguage(choice.value) },
    Object.entries(LANGUAGES).map(([tag, name]) => h("option", { value: tag, lang: tag, selected: tag === language }, name)));
  document.body.prepend(
    h("a", { class: "skip", href: "#main" }, t("skip")),
    h("header", { class: "bar" }, h("div", null,
      h("a", { class: "name", href: "/" }, h("img", { src: "/assets/icon.svg", alt: "" }), "Farerush"),
      h("nav", { class: "row", "aria-label": t("nav.pages") }, link("/", "nav.departures"), link("/orders", "nav.orders"), link("/admin", "nav.admin")),
      h("span", { class: "end" }, choice, theme))));
  translate();
  document.title = `${t(title)} · Farerush`;
  $("main").id = "main";
  $("main").tabIndex = -1;
  setClock();
}
