// The API as the pages use it: errors in plain words, retries under one Idempotency-Key, the server's clock.

import { has, t } from "./words.js";

const CUSTOMER = "farerush.customer";
const CUSTOMER_TOKEN = "farerush.customer_token";
const ADMIN_TOKEN = "farerush.admin_token";
/** How long a change is tried again until we say that we do not know its outcome, in ms. */
const TRIED_FOR = 45_000;
/** How long one try may take, in ms. */
const TRY_FOR = 12_000;

/** What something on the way answers when it cannot reach the server, or not hear it. */
const BROKEN_WAY = [502, 503, 504];

/** An error of the API (RFC 9457), or of the way there (`code` is then `OFFLINE`). */
export class Problem extends Error {
  constructor(body, status) {
    super(body.detail ?? body.title ?? body.code);
    Object.assign(this, body);
    this.status = status;
  }
  /** What happened, for customers. */
  get plain() {
    const key = `problem.${this.code}`;
    return has(key) ? t(key, { ...this, count: this.available ?? this.limit }) : this.message;
  }
}

/** Who is buying. In `open` mode the browser makes up a name; a token says it better. */
export const customer = {
  get id() {
    let id = localStorage.getItem(CUSTOMER);
    if (!id) {
      id = `guest-${crypto.getRandomValues(new Uint32Array(2)).reduce((text, part) => text + part.toString(36), "")}`;
      localStorage.setItem(CUSTOMER, id);
    }
    return id;
  },
  set id(id) { localStorage.setItem(CUSTOMER, id); },
  get token() { return sessionStorage.getItem(CUSTOMER_TOKEN); },
  set token(token) { keep(CUSTOMER_TOKEN, token); },
};

/** The admin's token, kept as long as the tab is open. */
export const admin = {
  get token() { return sessionStorage.getItem(ADMIN_TOKEN); },
  set token(token) { keep(ADMIN_TOKEN, token); },
};

function keep(key, value) {
  if (value) sessionStorage.setItem(key, value);
  else sessionStorage.removeItem(key);
}

/** A new Idempotency-Key. Keep it with what it is for; every retry of that uses it. */
export const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

async function once(method, path, { body, key, type, accept, signal, timeout = TRY_FOR } = {}) {
  const headers = {};
  const token = path.startsWith("/v1/admin") ? admin.token : customer.token;
  if (token) headers.authorization = `Bearer ${token}`;
  if (key) headers["idempotency-key"] = key;
  if (accept) headers.accept = accept;
  if (body !== undefined) headers["content-type"] = type ?? "application/json";
  const late = AbortSignal.timeout(timeout);
  const response = await fetch(path, {
    method,
    headers,
    body: body === undefined || type ? body : JSON.stringify(body),
    signal: signal ? AbortSignal.any([signal, late]) : late,
    cache: "no-store",
  });
  const text = await response.text();
  const isJson = /[/+]json/.test(response.headers.get("content-type") ?? "");
  const answer = isJson && text ? JSON.parse(text) : text;
  if (response.ok) return answer;
  const problem = new Problem(isJson ? answer : { code: BROKEN_WAY.includes(response.status) ? "OUTCOME_UNKNOWN" : "INTERNAL", detail: text.slice(0, 200) }, response.status);
  problem.retryAfter = Number(response.headers.get("retry-after")) || 0;
  throw problem;
}

function offline(error, signal) {
  if (error instanceof Problem || signal?.aborted) return error;
  return new Problem({ code: "OFFLINE", detail: t("problem.OFFLINE") }, 0);
}

/** Reads something. */
export async function get(path, options = {}) {
  try {
    return await once("GET", path, options);
  } catch (error) {
    throw offline(error, options.signal);
  }
}

/**
 * Changes something, and tries again while nobody knows whether it was done: the connection broke, the server is busy or
 * does not know itself. All tries carry one key, so it is done once at most. `onRetry(problem, tries)` is told of each
 * try that failed.
 */
export async function change(method, path, body, { key = newKey(), onRetry, signal, timeout, tryFor = TRIED_FOR, type } = {}) {
  const began = performance.now();
  for (let tries = 1; ; tries += 1) {
    try {
      return await once(method, path, { body, key, signal, timeout, type });
    } catch (error) {
      const problem = offline(error, signal);
      const again = problem instanceof Problem && ["OFFLINE", "OVERLOADED", "ELSEWHERE", "OUTCOME_UNKNOWN", "REQUEST_TIMEOUT"].includes(problem.code);
      if (!again || performance.now() - began > tryFor) throw problem;
      onRetry?.(problem, tries);
      const pause = Math.max(200 * 2 ** Math.min(tries, 4), 1000 * Math.min(problem.retryAfter ?? 0, 10));
      await new Promise((resolve) => setTimeout(resolve, pause * (0.75 + Math.random() / 2)));
    }
  }
}

let clock = { offset: 0, error: Infinity };

/** The server's time, in ms since 1970: what openings and deadlines are counted down to. */
export const serverNow = () => Date.now() + clock.offset;

/** Whether payments here are only a test, as the server says with its time. */
export const payments = { areTests: false };

/** Asks the server for its time, a few times, and believes the quickest answer. */
export async function setClock(times = 3) {
  for (let time = 0; time < times; time += 1) {
    const sent = Date.now();
    try {
      const { now, test_payment: isTest } = await get("/v1/time");
      payments.areTests = isTest;
      const error = (Date.now() - sent) / 2;
      if (error < clock.error) clock = { offset: Date.parse(now) - sent - error, error };
    } catch {
      return;
    }
  }
}

// A laptop that slept has another idea of the time.
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) {
    clock.error = Infinity;
    setClock();
  }
});
