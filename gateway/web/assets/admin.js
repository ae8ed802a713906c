// The admin's page: signing in, which view the address asks for, and trouble that concerns all of them.
import { begin } from "./chrome.js";
import "./words-admin.js";
import { Problem, admin, get } from "./api.js";
import { cockpit } from "./admin-cockpit.js";
import { flight } from "./admin-flight.js";
import { flights, orders } from "./admin-flights.js";
import { field, form, heading, hint, say } from "./admin-kit.js";
import { create, importFile } from "./admin-new.js";
import { servers } from "./admin-servers.js";
import { $, h, put } from "./dom.js";
import { t } from "./words.js";

const TABS = { flights, cockpit, servers, new: create, import: importFile, orders };
const VIEWS = { ...TABS, flight };
const main = $("main");
const trouble = h("div");
let leave = null;

begin("nav.admin");

/** Shows the view that the address names: `#flight=FR101&view=audit` is `flight` with these parameters. */
function show(isNew) {
  leave?.();
  if (!admin.token) { signIn(); return; }
  const given = new URLSearchParams(location.hash.slice(1));
  const [first] = given.keys();
  const name = Object.hasOwn(VIEWS, first) ? first : "flights";
  const place = h("section", { class: "stack" });
  const signOut = () => { admin.token = null; show(); };
  put(main, h("nav", { class: "tabs no-print", "aria-label": t("nav.admin") }, Object.keys(TABS).map((tab) =>
    h("a", { href: `#${tab}`, "data-test": `tab-${tab}`, ...(tab === name && { "aria-current": "page" }) }, t(`tab.${tab}`))),
  h("button", { type: "button", class: "plain", "data-test": "sign.out", onclick: signOut }, t("sign.out"))), put(trouble), place);
  leave = VIEWS[name](place, given);
  if (isNew) $("h1", place)?.focus();
}

function signIn(problem) {
  leave = null;
  const token = h("input", { type: "password", autocomplete: "current-password", spellcheck: "false" });
  const sheet = form("sign.in", async () => {
    admin.token = token.value.trim();
    try {
      await get("/v1/admin/status");
      show(true);
    } catch (problem) {
      admin.token = null;
      token.select();
      throw problem.code === "UNAUTHORIZED" ? new Problem({ code: "TOKEN" }, problem.status) : problem;
    }
  }, field("token", { control: token }));
  put(main, h("div", { class: "card sign-in stack" }, heading(t("sign.title")), hint("sign.hint"), sheet));
  if (problem) say($(".said", sheet), problem.plain, "bad");
  token.focus();
}

// Whatever view it was that asked: a token that holds no longer leads back to signing in.
document.addEventListener("trouble", ({ detail: problem }) => {
  if (!problem) put(trouble);
  else if (problem.code === "UNAUTHORIZED" && admin.token) {
    leave?.();
    admin.token = null;
    signIn(problem);
  } else if (!trouble.firstChild) say(trouble, problem.plain, "bad");
});

addEventListener("hashchange", () => {
  if (location.hash !== "#main") show(true);
});
show();
