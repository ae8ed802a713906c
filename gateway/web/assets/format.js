// Money, times and places as people write them.

import { city } from "./airports.js";
import { language, t } from "./words.js";

/** Money in minor units: `{amount: 99900, currency: "TWD"}`. */
export function money({ amount, currency }) {
  const format = new Intl.NumberFormat(language, { style: "currency", currency, currencyDisplay: "code" });
  const digits = minorDigits(currency);
  const whole = amount % 10 ** digits === 0;
  const options = { style: "currency", currency, currencyDisplay: "code", ...(whole && { minimumFractionDigits: 0, maximumFractionDigits: 0 }) };
  return (whole ? new Intl.NumberFormat(language, options) : format).format(amount / 10 ** digits);
}

/** Decimals of a currency's minor unit (ISO 4217). */
export const minorDigits = (currency) =>
  new Intl.NumberFormat("en", { style: "currency", currency }).resolvedOptions().maximumFractionDigits;

/** When a flight leaves, by the clocks of its origin: as the API gives it, whatever zones this browser knows. */
export function departure({ departs_at_local: local }, options = { dateStyle: "medium", timeStyle: "short" }) {
  const shown = new Date(local.replace(/([+-]\d\d:\d\d|Z)$/, "Z"));
  return new Intl.DateTimeFormat(language, { hourCycle: "h23", ...options, timeZone: "UTC" }).format(shown);
}

/** How far those clocks are from UTC: `UTC+8`, `UTC+5:45`, `UTC`. */
export function offset({ departs_at_local: local }) {
  const [, sign, hours, minutes] = /([+-])(\d\d):(\d\d)$/.exec(local);
  const size = `${Number(hours)}${minutes === "00" ? "" : `:${minutes}`}`;
  return size === "0" ? "UTC" : `UTC${sign}${size}`;
}

/** The same with the zone's name: `Asia/Taipei, UTC+8`. */
export const zone = (flight) => [...new Set([flight.origin_time_zone, offset(flight)])].join(", ");

/** When a flight's sale closes by itself, in ms since 1970: never after it leaves. */
export const closing = ({ departs_at: departs, sale }) =>
  Math.min(sale.closes_at ? Date.parse(sale.closes_at) : Infinity, Date.parse(departs) - sale.closes_before_minutes * 60_000);

/** A moment where the visitor is. */
export const here = (moment, options = { dateStyle: "medium", timeStyle: "medium" }) =>
  new Intl.DateTimeFormat(language, { hourCycle: "h23", ...options }).format(new Date(moment));

/** A number. */
export const number = (value, options) => new Intl.NumberFormat(language, options).format(value);

/** A time left, in ms: `1:02:03`, `02:03`; days are said. */
export function left(ms) {
  const all = Math.max(0, Math.ceil(ms / 1000));
  const [days, hours, minutes, seconds] = [Math.floor(all / 86400), Math.floor(all / 3600) % 24, Math.floor(all / 60) % 60, all % 60];
  const two = (value) => String(value).padStart(2, "0");
  const time = `${days || hours ? `${days ? two(hours) : hours}:` : ""}${two(minutes)}:${two(seconds)}`;
  return days ? `${t("days", { count: days, days })} ${time}` : time;
}

/** `Taipei → Tokyo Narita`. */
export const route = (flight) => `${city(flight.origin)} → ${city(flight.destination)}`;
