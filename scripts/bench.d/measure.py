"""What is measured, in which order, and what must be true of it; the figures go to `report.py`.

Called by `scripts/bench`, which has built what it needs. Never judges a figure: only whether it is of correct work.
"""

import argparse
import math
import os
import resource
import shutil
import signal
import sys
import time

import machine
import readers
import report
import tools
from servers import BenchError, Farerush, Http, MariaDb, MySql, Nginx, UsualDesign
from tools import CONNECTIONS, LivezProbe, Wrk

CASES = ["win", "sold", "map", "mixed"]
PARTS = [*CASES, "wide", "latency", "evalsha", "overload", "million", "stores", "readers"]
SERVERS = ["nginx", "embedded", "production", "usual"]
WIDE_FLIGHTS = 1000
PER_ROW, SELLING_LAYOUT, ROWS_MAX = 10, "ABC DEFG HJK", 999
MAP_ROWS, MAP_LAYOUT = 30, "ABC DEF"
# The crowds over 1,000 flights come for a part of the time, so that all of it stays under 20 minutes.
WIDE_SHARE = 0.6
OVERLOAD_CONNECTIONS = 20 * CONNECTIONS
# Of a mixed crowd's requests so many win, and so many are refused.
MIXED_SHARE, MIXED_TOLERANCE = 0.3, 0.02
MILLION_PATIENCE_SECONDS = 180
LOAD_TRIAL_SECONDS = 2
# Flights of 1,000 seats that are sold out on each store, each run.
STORES_FLIGHTS = 200
DISK_SYNCS = 200


class Bench:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.parts = options.only.split(",") if options.only else PARTS
        self.cases = [case for case in CASES if case in self.parts]
        self.template = os.path.join(folder, "mariadb-template")
        self.script = os.path.join(options.root, "gateway/benches/rush.lua")
        self.lua = os.path.join(options.root, "gateway/benches/take_seats.lua")
        self.has_load = tools.has_load(options.farerush)
        self.nginx, self.ceiling, self.customers = None, 0.0, 0
        self.checked, self.commands, self.notes = 0, {}, []

    def say(self, text):
        print(f"[{time.monotonic() - self.options.began:6.0f} s] {text}", flush=True)

    # -- the whole

    def all(self):
        data = {"machine": machine.describe(self.options, self.folder, DISK_SYNCS), "runs": []}
        try:
            self.calibrate(data)
            if self.cases or "evalsha" in self.parts:
                for number in range(self.options.runs):
                    data["runs"].append(self.one_run(number))
            if "million" in self.parts:
                data["million"] = {name: self.million(name) for name in ("embedded", "production")}
            if "stores" in self.parts:
                data["stores"] = self.stores()
            if "readers" in self.parts and self.has_load:
                data["readers"] = self.readers()
        finally:
            if self.nginx:
                self.nginx.stop()
        data.update(seconds=self.options.seconds, wide_seconds=self.wide_seconds, cases=self.cases, checked=self.checked,
                    commands=self.commands, notes=self.notes, latency=self.has_load and "latency" in self.parts,
                    took_seconds=time.monotonic() - self.options.began)
        return data

    @property
    def wide_seconds(self):
        return max(1, round(self.options.seconds * WIDE_SHARE))

    @property
    def overload_seconds(self):
        # Thousands of connections take a while to be made.
        return max(5, self.options.seconds)

    def calibrate(self, data):
        """Learns the bodies that nginx is to answer with, and how much nginx can do: nobody will sell more seats."""
        folder = os.path.join(self.folder, "calibrate")
        server = Farerush("embedded", self.options.farerush, folder)
        try:
            server.create([("HW1", 9, SELLING_LAYOUT), ("HS1", 1, "A"), ("HM1", MAP_ROWS, MAP_LAYOUT)])
            server.sell_out(["HS1"])
            http = Http(server.port)
            grab = {"customer_id": "u1234567", "quantity": 1}
            answers = {
                "win": http.ask("POST", "/v1/flights/HW1/orders", grab),
                "sold": http.ask("POST", "/v1/flights/HS1/orders", grab),
                "map": http.ask("GET", "/v1/flights/HM1/seats"),
            }
        finally:
            server.stop()
        for case, status in (("win", 201), ("sold", 409), ("map", 200)):
            if answers[case][0] != status:
                raise BenchError(f"Farerush answers {case} with {answers[case][0]}: {answers[case][1][:300]}")
        bodies = {case: body.decode() for case, (_, body) in answers.items()}
        data["body_bytes"] = {case: len(body) for case, body in bodies.items()}
        self.nginx = Nginx(os.path.join(self.folder, "nginx"), bodies)
        self.commands["nginx"] = "nginx -p DIR -c DIR/nginx.conf"
        trial = Wrk(self.nginx, self.script, ["win", "H", 1, PER_ROW, "hot", 0, 0], 2)
        self.ceiling = trial.figures()["rate"]
        self.say(f"nginx answers about {self.ceiling:,.0f} requests/s; an order takes {len(bodies['win'])} bytes")

    # -- one run over all servers

    def one_run(self, number):
        run_folder = os.path.join(self.folder, f"run{number + 1}")
        last = number + 1 == self.options.runs
        servers = {"nginx": self.nginx}
        run = {"throughput": [], "latency": [], "evalsha": None, "memory": {}, "overload": {}}
        try:
            self.set_up(servers, run_folder, overload=last and "overload" in self.parts)
            spreads = ["hot", "wide"] if "wide" in self.parts else ["hot"]
            turn = number
            for spread in spreads:
                for case in self.cases:
                    # Nobody is always the first, or always after the same one.
                    order = SERVERS[turn % 4:] + SERVERS[:turn % 4]
                    turn += 1
                    for name in order:
                        run["throughput"].append(self.throughput(servers[name], case, spread))
                    if case == "win" and spread == "hot" and "evalsha" in self.parts:
                        run["evalsha"] = self.bare(servers["usual"])
            if not self.cases:
                run["evalsha"] = self.bare(servers["usual"])
            if "latency" in self.parts:
                run["latency"] = self.latencies(servers, run)
            run["memory"] = {name: server.resident() for name, server in servers.items()}
            if last and "overload" in self.parts and "win" in self.cases:
                for name in ("embedded", "production"):
                    run["overload"][name] = self.overload(servers[name], run)
        finally:
            for server in list(servers.values())[:0:-1]:
                server.stop()
            shutil.rmtree(run_folder, ignore_errors=True)
        return run

    def set_up(self, servers, folder, overload):
        began = time.monotonic()
        binary, usual = self.options.farerush, self.options.usual
        servers["embedded"] = Farerush("embedded", binary, os.path.join(folder, "embedded"))
        servers["production"] = Farerush(
            "production", binary, os.path.join(folder, "production"), self.template, with_servers=True)
        servers["usual"] = UsualDesign(usual, os.path.join(folder, "usual"), self.template)
        self.plan(overload)
        for name in SERVERS[1:]:
            server = servers[name]
            for process in server.processes:
                self.commands.setdefault(f"{name}: {process.name}", process.line().replace(folder, "DIR"))
            server.taken = {"H": 0, "W": 0}
            server.create(self.flights)
            server.sell_out(["HS1"] + [f"WS{number}" for number in range(1, WIDE_FLIGHTS + 1)])
        for name in SERVERS[1:]:
            servers[name].settle()
            servers[name].sold_before = servers[name].sold()
        seats = sum(rows * PER_ROW for flight, rows, _ in self.flights if flight[1] in "WL")
        self.say(f"set up in {time.monotonic() - began:.0f} s: {len(self.flights):,} flights, {seats:,} seats to sell")

    def plan(self, overload):
        """Flights enough that nobody sells out who is not to; nginx sets how many requests there can be."""
        seconds = self.options.seconds
        # Winning and mixed crowds; the overload.
        hot = self.ceiling * (seconds * (1 + MIXED_SHARE) + (self.overload_seconds if overload else 0)) + 50_000
        wide = self.ceiling * self.wide_seconds * (1 + MIXED_SHARE) + 50_000
        # Flights are chosen by chance, so some get more than others; the mixed load needs some of them, too.
        at_rate = self.ceiling / 2 * (seconds + 1) * 1.6 if self.has_load and "latency" in self.parts else 0
        self.hot_flights = math.ceil(hot / (ROWS_MAX * PER_ROW)) if "win" in self.cases or "mixed" in self.cases else 1
        self.rate_flights = math.ceil(at_rate / (ROWS_MAX * PER_ROW)) + 1
        self.wide_rows = min(ROWS_MAX, math.ceil(wide / WIDE_FLIGHTS / PER_ROW) + 1) if "wide" in self.parts else 1
        numbers = range(1, WIDE_FLIGHTS + 1)
        self.flights = [("HS1", 1, "A"), ("HM1", MAP_ROWS, MAP_LAYOUT)]
        self.flights += [(f"HW{number}", ROWS_MAX, SELLING_LAYOUT) for number in range(1, self.hot_flights + 1)]
        self.flights += [(f"HL{number}", ROWS_MAX, SELLING_LAYOUT) for number in range(1, self.rate_flights + 1)]
        self.flights += [(f"WS{number}", 1, "A") for number in numbers]
        if "wide" in self.parts:
            self.flights += [(f"WW{number}", self.wide_rows, SELLING_LAYOUT) for number in numbers]
            self.flights += [(f"WM{number}", MAP_ROWS, MAP_LAYOUT) for number in numbers]

    # -- single measurements

    def ask(self, server, case, spread, seconds, connections=CONNECTIONS):
        """Starts wrk on the seats that nobody has asked for yet."""
        is_wide = spread == "wide"
        prefix, flights = ("W", WIDE_FLIGHTS) if is_wide else ("H", self.hot_flights)
        seats = (self.wide_rows if is_wide else ROWS_MAX) * PER_ROW
        taken = getattr(server, "taken", {}).get(prefix, 0)
        wrk = Wrk(server, self.script, [case, prefix, flights, seats, spread, self.customers, taken], seconds, connections)
        kind = "overload" if connections != CONNECTIONS else f"{case}, {spread}"
        self.commands.setdefault(f"wrk, {kind}", self.line(wrk))
        return wrk, prefix

    def line(self, wrk):
        return " ".join(wrk.command).replace(self.options.root + "/", "").replace(wrk.url, "URL")

    def book(self, server, case, prefix, figures, connections):
        """Notes which customers and seats have been asked for, those of requests without an answer too."""
        asked = figures["requests"] + connections + 2
        self.customers += asked
        if hasattr(server, "taken") and case in ("win", "mixed"):
            server.taken[prefix] += asked if case == "win" else math.ceil(asked * MIXED_SHARE) + 3

    def throughput(self, server, case, spread):
        seconds = self.wide_seconds if spread == "wide" else self.options.seconds
        before = server.processor_seconds()
        wrk, prefix = self.ask(server, case, spread, seconds)
        figures = wrk.figures()
        self.book(server, case, prefix, figures, CONNECTIONS)
        # What is left to be stored belongs to the price of these requests.
        server.settle()
        processor = server.processor_seconds() - before
        self.check(server, case, spread, figures)
        figures.update(server=server.name, case=case, spread=spread,
                       processor_s_per_1000=processor * 1000 / max(1, figures["requests"]))
        self.say(f"{spread:4} {case:5} {server.name:10} {figures['rate']:10,.0f} /s"
                 f"  {figures['processor_s_per_1000'] * 1000:8.1f} ms of processor time per 1,000")
        return figures

    def check(self, server, case, spread, figures):
        """A figure counts only if every answer was the one that was due, and every order is in the store."""
        what = f"{server.name}, {case}, {spread}"
        requests, refused = figures["requests"], figures["refused"]
        if figures["errors"] or not requests:
            raise BenchError(f"{what}: {figures['errors']} socket errors, {requests} requests")
        if server.name == "nginx":
            if refused:
                raise BenchError(f"{what}: nginx refused {refused} requests")
            return
        due = {"win": 0, "sold": requests, "map": 0, "mixed": requests * MIXED_SHARE}[case]
        slack = requests * MIXED_TOLERANCE + CONNECTIONS if case == "mixed" else 0
        if abs(refused - due) > slack:
            raise BenchError(f"{what}: {refused} of {requests} requests were refused, {due:.0f} should have been")
        sold = server.sold()
        now, server.sold_before = sold - server.sold_before, sold
        acknowledged = {"win": requests, "sold": 0, "map": 0, "mixed": requests * MIXED_SHARE}[case]
        # Those whose answer wrk no longer waited for may have won.
        unseen = CONNECTIONS + 1 if case in ("win", "mixed") else 0
        if not acknowledged - slack <= now <= acknowledged + slack + unseen:
            raise BenchError(f"{what}: {acknowledged:.0f} orders were acknowledged, the store has {now} more than before")
        figures["sold"] = now
        self.checked += 1

    def bare(self, usual):
        rates = tools.evalsha(usual.redis, self.lua, self.options.seconds)
        self.commands.setdefault("redis-benchmark", f"redis-benchmark -p PORT -c {CONNECTIONS} -P 1 -n REQUESTS --csv "
                                                    "EVALSHA SHA 1 flight:bare-win 1")
        self.say(f"bare EVALSHA {rates['win']:,.0f} /s, of a flight that is sold out {rates['sold']:,.0f} /s")
        return rates

    def latencies(self, servers, run):
        if not self.has_load:
            self.notes.append("`farerush load` is not in this binary: no latencies at a fixed rate.")
            return []
        measured = []
        for case in self.cases:
            scenario = {"win": "rush", "sold": "rush", "map": "browse", "mixed": "mixed"}[case]
            flights = {"sold": ["HS1"], "map": ["HM1"]}.get(case)
            for name in SERVERS[1:]:
                # Its lists, live readers, holds and cancels are more than the usual design has here.
                if name == "usual" and scenario != "rush":
                    continue
                seconds, server = self.options.seconds, servers[name]
                fresh = [f"HL{number}" for number in range(1, self.rate_flights + 1)]
                more = ["--live", "0"] if scenario == "browse" else []

                def load(rate, seconds):
                    return tools.load(self.options.farerush, server, scenario, rate, seconds, flights or fresh, self.folder,
                                      more)

                # The tool's own mixtures are others than wrk's, and so is what a server can do of them.
                most = self.rate_of(run, name, case) if scenario == "rush" else load(None, LOAD_TRIAL_SECONDS)["rate"]
                rate = most / 2
                figures = load(rate, seconds)
                figures.update(server=name, case=case)
                self.commands.setdefault(f"farerush load, {case}", figures.pop("command"))
                server.settle()
                server.sold_before = server.sold()
                measured.append(figures)
                self.say(f"at {rate:,.0f} /s {case:5} {name:10} p50 {figures['p50']:.2f}  p99 {figures['p99']:.2f}"
                         f"  p99.9 {figures['p999']:.2f} ms ({figures['rate']:,.0f} /s were answered)")
        return measured

    @staticmethod
    def rate_of(run, name, case, spread="hot"):
        return next(f["rate"] for f in run["throughput"]
                    if (f["server"], f["case"], f["spread"]) == (name, case, spread))

    def overload(self, server, run):
        probes = {"livez": LivezProbe(server.port)}
        if server.ops_port:
            probes["livez_ops"] = LivezProbe(server.ops_port)
        wrk, prefix = self.ask(server, "win", "hot", self.overload_seconds, OVERLOAD_CONNECTIONS)
        figures = wrk.figures()
        figures.update({name: probe.figures() for name, probe in probes.items()})
        self.book(server, "win", prefix, figures, OVERLOAD_CONNECTIONS)
        server.settle()
        won, share = figures["requests"] - figures["refused"], 1 - figures["refused"] / max(1, figures["requests"])
        sold = server.sold()
        if not won <= sold - server.sold_before <= won + OVERLOAD_CONNECTIONS + 1:
            raise BenchError(f"{server.name}, overload: {won} were acknowledged, {sold - server.sold_before} were stored")
        server.sold_before = sold
        figures.update(goodput=figures["rate"] * share, of_maximum=figures["rate"] * share / self.rate_of(run, server.name, "win"))
        self.say(f"overload {server.name}: {figures['goodput']:,.0f} won /s, {figures['of_maximum']:.2f} of the maximum;"
                 f" livez at most {figures['livez']['max_ms']:.0f} ms")
        return figures

    # -- the million

    def million(self, name):
        """A crowd over fresh flights until every seat is sold, and then until all of them are in the store."""
        flights, rows = (100 if self.options.quick else WIDE_FLIGHTS), 1000 // PER_ROW
        seats = flights * rows * PER_ROW
        folder = os.path.join(self.folder, f"million-{name}")
        server = Farerush(name, self.options.farerush, folder, self.template, with_servers=name == "production")
        wrk = None
        try:
            server.create([(f"WW{number}", rows, SELLING_LAYOUT) for number in range(1, flights + 1)])
            server.settle()
            start, _ = server.progress()
            before, began = server.processor_seconds(), time.monotonic()
            wrk = Wrk(server, self.script, ["win", "W", flights, rows * PER_ROW, "wide", 0, 0], MILLION_PATIENCE_SECONDS)
            self.commands.setdefault("wrk, the million", self.line(wrk))
            sold_after = self.await_progress(server, lambda durable, _: durable >= start + seats, began)
            wrk.stop()
            figures = wrk.figures()
            stored_after = self.await_progress(server, lambda _, stored: stored >= start + seats, began)
            processor, sold = server.processor_seconds() - before, server.sold()
            if sold != seats or figures["errors"]:
                raise BenchError(f"{name}, the million: {sold} of {seats} seats are sold, {figures['errors']} socket errors")
            # Checked like every figure: not one more answer of success than seats.
            if figures["requests"] - figures["refused"] > seats:
                raise BenchError(f"{name}, the million: {figures['requests'] - figures['refused']} orders of {seats} seats")
            self.checked += 1
            self.say(f"{seats:,} seats, {name}: sold in {sold_after:.1f} s, stored {stored_after - sold_after:.1f} s later")
            return {"seats": seats, "flights": flights, "sold_after": sold_after, "stored_after": stored_after,
                    "processor_s": processor, "memory": server.resident()}
        finally:
            if wrk:
                wrk.child.kill()
            server.stop()
            shutil.rmtree(folder, ignore_errors=True)

    # -- the stores

    def stores(self):
        """The same crowd on MariaDB and on MySQL, in turn: how fast it buys, and how fast its rows are written."""
        told = []
        for number in range(self.options.runs):
            order = [("MariaDB", MariaDb), ("MySQL", MySql)]
            # Nobody is always the first.
            for name, kind in order[number % 2:] + order[:number % 2]:
                told.append(self.store(name, kind, number))
        return told

    def store(self, name, kind, number):
        flights, rows = (STORES_FLIGHTS // 10 if self.options.quick else STORES_FLIGHTS), 1000 // PER_ROW
        seats = flights * rows * PER_ROW
        folder = os.path.join(self.folder, f"store-{name}-{number}")
        template = os.path.join(self.folder, f"{name}-template") if kind is MySql else self.template
        server = Farerush(name, self.options.farerush, folder, template, with_servers=True, store=kind)
        wrk = None
        try:
            version = server.mariadb.ask("SELECT VERSION()")
            server.create([(f"WW{number}", rows, SELLING_LAYOUT) for number in range(1, flights + 1)])
            server.settle()
            start, _ = server.progress()
            began = time.monotonic()
            wrk = Wrk(server, self.script, ["win", "W", flights, rows * PER_ROW, "wide", 0, 0], MILLION_PATIENCE_SECONDS)
            self.commands.setdefault("wrk, the stores", self.line(wrk))
            sold_after = self.await_progress(server, lambda durable, _: durable >= start + seats, began)
            wrk.stop()
            figures = wrk.figures()
            left = start + seats - server.progress()[1]
            left_from = time.monotonic()
            self.await_progress(server, lambda _, stored: stored >= start + seats, began)
            ended = time.monotonic()
            sold, orders = server.sold(), int(server.mariadb.ask("SELECT COUNT(*) FROM orders"))
            if (sold, orders) != (seats, seats) or figures["errors"]:
                raise BenchError(f"{name}: {sold} of {seats} seats and {orders} orders are stored, {figures['errors']} socket errors")
            if figures["requests"] - figures["refused"] > seats:
                raise BenchError(f"{name}: {figures['requests'] - figures['refused']} orders of {seats} seats")
            self.checked += 1
            # An order is two rows: its own, and its seat's.
            told = {"store": name, "version": version, "seats": seats, "grabs": seats / sold_after,
                    "rows": 2 * seats / (ended - began), "left": 2 * left,
                    "rows_alone": 2 * left / (ended - left_from) if left > seats / 20 else None}
            self.say(f"{name} {version}: {told['grabs']:,.0f} grabs/s, {told['rows']:,.0f} rows/s from the first request on; "
                     f"of {told['left']:,} rows that were left when all was sold, {told['rows_alone'] or 0:,.0f}/s")
            return told
        finally:
            if wrk:
                wrk.child.kill()
            server.stop()
            shutil.rmtree(folder, ignore_errors=True)

    # -- live readers

    def readers(self):
        """One flight with readers and without: at full load, and at a quarter of it; then what each of them takes."""
        count = 1000 if self.options.quick else readers.READERS
        folder = os.path.join(self.folder, "readers")
        server = Farerush("embedded", self.options.farerush, folder)
        try:
            # Each load has a flight of its own: the one before has sold most of its seats.
            server.create([(f"LIVE{number}", ROWS_MAX, SELLING_LAYOUT) for number in range(5)])
            server.settle()
            told = {"count": count, "bytes": readers.memory_per_reader(server, "LIVE0", count), "loads": []}
            self.say(f"{count:,} live readers: {told['bytes'] / 1000:.1f} kB each")
            rate = None
            for some in (0, count, 0, count):
                figures = readers.load(self.options.farerush, server, f"LIVE{len(told['loads']) + 1}", max(5, self.options.seconds), some, rate, folder)
                self.commands.setdefault(f"farerush load, {some} live readers", figures.pop("command"))
                told["loads"].append(figures)
                last = (figures["live"] or {}).get("last_reader") or {}
                self.say(f"{figures['grabs']:,.0f} grabs /s with {some:,} live readers, p99 {figures['p99']:.1f} ms;"
                         f" the last one knows after {last.get('p50_us', 0) / 1000:.0f} ms, at most {last.get('max_us', 0) / 1000:.0f}")
                if len(told["loads"]) == 2:
                    rate = max(1, round(told["loads"][0]["grabs"] / 4))
            told["skipped"] = server.metric("farerush_live_skipped_total")
            return told
        finally:
            server.stop()
            shutil.rmtree(folder, ignore_errors=True)

    def await_progress(self, server, is_there, began):
        while time.monotonic() - began < MILLION_PATIENCE_SECONDS:
            if is_there(*server.progress()):
                return time.monotonic() - began
            time.sleep(0.1)
        raise BenchError(f"{server.name}: the million was not done within {MILLION_PATIENCE_SECONDS} s")


def options():
    parser = argparse.ArgumentParser()
    for name in ("root", "folder", "farerush", "usual", "profile", "out"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--runs", type=int, required=True)
    parser.add_argument("--seconds", type=int, required=True)
    parser.add_argument("--only", default="")
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    given.began = time.monotonic()
    parts = set(given.only.split(","))
    if given.only and {"latency", "overload"} & parts and not set(CASES) & parts:
        parser.error("latency and overload are measured beside a case: name win, sold, map or mixed as well")
    return given


def main():
    given = options()
    # What was started is ended on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        data = Bench(given, given.folder).all()
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    report.write(data, given.out)
    print(f"written: {given.out} (in {data['took_seconds'] / 60:.1f} minutes)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
