"""Customers of scripts/containers, and what it asks of gateways besides. Python's own library is all it needs.

    customers.py flight --admin URL --token FILE ID SEATS      makes a flight that is on sale
    customers.py sell   --base URL --orders FILE ID            buys until it is sold out, or until there is the file that
                                                               --until names; keeps each order as it was answered
    customers.py check  --base URL --orders FILE               asks for each kept order again

Nobody sends a grab again without its first key, and at most `--workers` requests are under way at once.
"""

import argparse
import http.client
import json
import os
import sys
import threading
import time
import urllib.parse
import uuid
from concurrent.futures import ThreadPoolExecutor

REQUEST_SECONDS = 15  # longer than nginx' own limit
PATIENCE_SECONDS = 90  # how long a customer tries to learn what became of one order
PAUSE_SECONDS = 0.2  # before the next try, unless the server asks for longer
PAUSE_SECONDS_MAX = 1.0
WIDTH = 6  # seats a row


class Caller:
    """One connection, made again when it breaks."""

    def __init__(self, base):
        self.host = urllib.parse.urlsplit(base).netloc
        self.connection = None

    def ask(self, method, path, body=None, headers=None):
        """Status, headers and body; raises OSError or HTTPException where there is no answer."""
        if self.connection is None:
            self.connection = http.client.HTTPConnection(self.host, timeout=REQUEST_SECONDS)
        data = None if body is None else json.dumps(body).encode()
        try:
            self.connection.request(method, path, data, {"Content-Type": "application/json", **(headers or {})})
            answer = self.connection.getresponse()
            text = answer.read()
            if answer.will_close:
                self.close()
            return answer.status, answer.headers, text
        except (OSError, http.client.HTTPException):
            self.close()
            raise

    def close(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None


class Tally:
    """What customers met, of all workers."""

    def __init__(self):
        self.lock = threading.Lock()
        self.kept, self.asked_back, self.failed = 0, 0, {}
        self.slowest, self.last, self.gap = 0.0, time.monotonic(), 0.0
        self.sold_out, self.lost_patience = threading.Event(), 0

    def keep(self, file, text, started):
        with self.lock:
            now = time.monotonic()
            file.write(text.decode().strip() + "\n")
            self.kept += 1
            self.gap, self.last = max(self.gap, now - self.last), now
            self.slowest = max(self.slowest, now - started)

    def fail(self, what):
        with self.lock:
            self.failed[what] = self.failed.get(what, 0) + 1


def persist(caller, tally, method, path, body=None, headers=None):
    """Asks until there is a definite answer: what is told to come back comes back, what failed is tried again."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        pause = PAUSE_SECONDS
        try:
            status, found, text = caller.ask(method, path, body, headers)
            if status < 500 and status != 429:
                return status, text
            if status in (429, 503) and found.get("Retry-After"):
                pause = min(max(pause, float(found["Retry-After"])), PAUSE_SECONDS_MAX)
                with tally.lock:
                    tally.asked_back += 1
            else:
                # What is not told to come back says why: a gateway's code, or nginx' own page.
                tally.fail(f"{status} {text.decode(errors='replace')[:160]}" if status == 500 else str(status))
        except (OSError, http.client.HTTPException) as error:
            tally.fail(type(error).__name__)
        time.sleep(pause)
    with tally.lock:
        tally.lost_patience += 1
    return None, b""


def admin(options):
    with open(options.token, encoding="ascii") as file:
        return {"Authorization": f"Bearer {file.read().strip()}"}


def flight(options):
    body = {
        "flight_id": options.id, "flight_number": "FR999", "origin": "TPE", "destination": "OKA",
        "departs_at": "2099-01-01T00:00:00Z",
        "cabins": [{"cabin_class": "economy", "rows": [1, options.seats // WIDTH], "layout": "ABC DEF",
                    "fare": {"amount": 99900, "currency": "TWD"}}],
        "sale": {"state": "open"},
    }
    status, text = persist(Caller(options.admin), Tally(), "POST", "/v1/admin/flights", body, admin(options))
    if status != 201:
        sys.exit(f"error: flight {options.id} was not made: {status} {text.decode()[:300]}")


def sell(options):
    tally, numbers = Tally(), iter(range(10**9))
    begun = time.monotonic()
    end = begun + options.seconds

    def customer(file):
        caller = Caller(options.base)
        while not tally.sold_out.is_set() and time.monotonic() < end and not (options.until and os.path.exists(options.until)):
            with tally.lock:
                number = next(numbers)
            if options.rate:
                time.sleep(max(0, begun + number / options.rate - time.monotonic()))
            started = time.monotonic()
            body = {"customer_id": f"{options.id}-{number}", "quantity": 1}
            headers = {"Idempotency-Key": str(uuid.uuid4())}
            status, text = persist(caller, tally, "POST", f"/v1/flights/{options.id}/orders", body, headers)
            if status in (200, 201):
                tally.keep(file, text, started)
                order = json.loads(text)["order_id"]
                status, text = persist(caller, tally, "GET", f"/v1/orders/{order}")
                if status != 200:
                    tally.fail(f"{status} for an order {text.decode()[:80]}")
            elif status == 409 and b'"SOLD_OUT"' in text:
                tally.sold_out.set()
            elif status is not None:
                tally.fail(f"{status} {text.decode()[:80]}")
        caller.close()

    with open(options.orders, "a", encoding="utf-8") as file, ThreadPoolExecutor(options.workers) as pool:
        list(pool.map(customer, [file] * options.workers))
    seconds = time.monotonic() - begun
    failed = ", ".join(f"{count} x {what}" for what, count in sorted(tally.failed.items())) or "none"
    print(f"{tally.kept} orders in {seconds:.1f} s; failed requests: {failed}; asked to come back: {tally.asked_back}; "
          f"longest wait for an order {tally.slowest:.1f} s, longest time without one {tally.gap:.1f} s")
    if tally.sold_out.is_set() == bool(options.until):
        sys.exit(f"error: {options.id} was {'' if options.until else 'not '}sold out")
    if tally.lost_patience:
        sys.exit(f"error: {tally.lost_patience} customers never got an answer")
    if options.seats and tally.kept != options.seats:
        sys.exit(f"error: {options.seats} seats, and {tally.kept} orders were acknowledged")
    if options.none_fails and (tally.failed or tally.asked_back):
        sys.exit("error: requests failed")


def check(options):
    with open(options.orders, encoding="utf-8") as file:
        orders = [json.loads(line) for line in file]
    seats = [(order["flight_id"], json.dumps(seat, sort_keys=True)) for order in orders for seat in order["seats"]]
    if len(set(seats)) != len(seats):
        sys.exit("error: a seat was sold twice")
    tally = Tally()

    def look(part):
        caller = Caller(options.base)
        wrong = []
        for order in part:
            status, text = persist(caller, tally, "GET", f"/v1/orders/{order['order_id']}")
            found = json.loads(text) if status == 200 else {}
            if any(found.get(name) != order[name] for name in ("order_id", "flight_id", "seats", "status", "customer_id")):
                wrong.append(f"{order['order_id']}: {status} {text.decode()[:200]}")
        caller.close()
        return wrong

    with ThreadPoolExecutor(options.workers) as pool:
        wrong = sum(pool.map(look, [orders[start::options.workers] for start in range(options.workers)]), [])
    if wrong:
        sys.exit(f"error: {len(wrong)} of {len(orders)} acknowledged orders are not there:\n" + "\n".join(wrong[:5]))
    print(f"all {len(orders)} acknowledged orders are there, no seat is sold twice")


def main():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(required=True)
    for name, run, flags in (("flight", flight, ("admin", "token")),
                             ("sell", sell, ("base", "orders")), ("check", check, ("base", "orders"))):
        command = commands.add_parser(name)
        command.set_defaults(run=run)
        for flag in flags:
            command.add_argument(f"--{flag}", required=True)
        command.add_argument("--workers", type=int, default=16)
        if name in ("flight", "sell"):
            command.add_argument("id")
        if name == "flight":
            command.add_argument("seats", type=int)
        if name == "sell":
            command.add_argument("--seats", type=int, default=0)
            command.add_argument("--until")
            command.add_argument("--rate", type=float, default=0)
            command.add_argument("--seconds", type=float, default=300)
            command.add_argument("--none-fails", action="store_true")
    options = parser.parse_args()
    options.run(options)


main()
