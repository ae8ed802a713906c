// The words of the pages in three languages: the browser's choice, or the visitor's.

/** What can be chosen. */
export const LANGUAGES = { en: "English", "zh-TW": "繁體中文", "zh-CN": "简体中文" };
const KEPT = "farerush.language";
const words = { en: {}, "zh-TW": {}, "zh-CN": {} };

function match(tag) {
  const lower = tag.toLowerCase();
  if (!lower.startsWith("zh")) return lower.startsWith("en") ? "en" : null;
  return /hant|tw|hk|mo/.test(lower) ? "zh-TW" : "zh-CN";
}

function choose() {
  const kept = localStorage.getItem(KEPT);
  if (kept in LANGUAGES) return kept;
  return navigator.languages.map(match).find(Boolean) ?? "en";
}

/** The language in use. */
export const language = choose();
document.documentElement.lang = language;

/** Changes the language; the page starts anew in it. */
export function setLanguage(tag) {
  localStorage.setItem(KEPT, tag);
  location.reload();
}

/** Adds a page's words: `{en: {...}, "zh-TW": {...}, "zh-CN": {...}}`, each with the same keys. */
export function addWords(more) {
  for (const tag in LANGUAGES) Object.assign(words[tag], more[tag]);
}

/** A text by its key, with `{name}` filled in. A plural is `key` and `key.one`, chosen by `count`. */
export function t(key, values = {}) {
  const ours = words[language];
  const text = (values.count === 1 && ours[`${key}.one`]) || ours[key];
  if (text === undefined) return key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** Whether there is a text of this key. */
export const has = (key) => key in words[language];

/** All words of a language that were added so far. */
export const dictionary = (tag) => ({ ...words[tag] });

/** Writes the words into a page: `data-word` into the text, `data-label` into `aria-label`, `data-hint` into placeholders. */
export function translate(root = document) {
  for (const element of root.querySelectorAll("[data-word]")) element.textContent = t(element.dataset.word);
  for (const element of root.querySelectorAll("[data-label]")) element.setAttribute("aria-label", t(element.dataset.label));
  for (const element of root.querySelectorAll("[data-hint]")) element.setAttribute("placeholder", t(element.dataset.hint));
}
