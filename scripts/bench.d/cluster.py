"""Several Farerush servers on one Redis and one MariaDB: what a grab costs where it is decided and where it is handed on, and
how much more two and four servers do, each held to a share of a core by a cgroup. Called by `scripts/bench --servers`.

Writes the costs as JSON, from which `scripts/sizing` reckons. Never reckons itself.
"""

import argparse
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from servers import TOKEN, BenchError, Http, MariaDb, Process, Redis, clock_ticks, free_port, is_live

FLIGHTS, ROWS, LAYOUT = 400, 999, "ABC DEFG HJK"
SOLD_FLIGHTS = 40  # more, of one seat, for grabs that are refused
COST_RATE, COST_CONNECTIONS = 4000, 128
SCALE_CONNECTIONS = 48  # of each server
PLACED_SECONDS, STORED_SECONDS = 60, 120
V1, V2 = "/sys/fs/cgroup/cpu", "/sys/fs/cgroup"


class Share:
    """A cgroup that may use so much of a core; version 1 or 2, whichever has the processor."""

    def __init__(self, name):
        self.is_v2 = os.path.exists(f"{V2}/cgroup.controllers") and "cpu" in open(f"{V2}/cgroup.controllers").read()
        self.folder = f"{V2 if self.is_v2 else V1}/farerush-bench-{os.getpid()}-{name}"
        try:
            if self.is_v2:
                with open(f"{V2}/cgroup.subtree_control", "w") as file:
                    file.write("+cpu")
            os.mkdir(self.folder)
        except OSError as error:
            raise BenchError(f"no cgroup can be made here (root is needed): {error}") from None

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w") as file:
            file.write(text)

    def take(self, pid):
        self.write("cgroup.procs", str(pid))

    def hold(self, share):
        """`None` sets it free. In short periods, so that what is held never stands still for longer than one."""
        period = 20_000
        quota = None if share is None else max(1000, int(period * share))
        if self.is_v2:
            self.write("cpu.max", f"{quota or 'max'} {period}")
        else:
            self.write("cpu.cfs_period_us", str(period))
            self.write("cpu.cfs_quota_us", str(quota or -1))

    def remove(self):
        try:
            os.rmdir(self.folder)
        except OSError:
            pass


class Cluster:
    """Servers that share their flights; a context, so that nothing outlives it."""

    def __init__(self, options, count, folder):
        self.options, self.folder = options, folder
        self.processes, self.ports, self.shares = [], [], []
        os.makedirs(folder)
        try:
            self.redis = Redis(os.path.join(folder, "redis"))
            self.processes.append(self.redis.process)
            self.store = MariaDb(os.path.join(folder, "store"), os.path.join(options.folder, "template"))
            self.processes.append(self.store.process)
            for number in range(1, count + 1):
                self.start(number)
            self.place()
        except BaseException:
            self.stop()
            raise

    def start(self, number):
        port, place = free_port(), os.path.join(self.folder, f"server{number}")
        process = Process(f"server{number}", [
            self.options.farerush, "serve", "--listen", f"127.0.0.1:{port}", "--data-dir", f"{place}/data", "--demo", "false",
            "--instance", f"server{number}", "--journal", f"redis://127.0.0.1:{self.redis.port}/0", "--store", self.store.url],
            place, {"FARERUSH_ADMIN_TOKEN": TOKEN, "FARERUSH_ID_SECRET": self.options.secret})
        self.processes.append(process)
        self.ports.append(port)
        process.await_(lambda: is_live(port))

    def place(self):
        """Makes the flights and waits until each is where it belongs."""
        def some(part):
            http = Http(self.ports[0])
            for name in part:
                status, told = http.ask("POST", "/v1/admin/flights", {
                    "flight_id": name, "flight_number": "FR999", "origin": "TPE", "destination": "OKA",
                    "departs_at": "2099-01-01T00:00:00Z", "sale": {"state": "open"},
                    "cabins": [{"cabin_class": "economy", "rows": [1, 1 if name[0] == "S" else ROWS],
                                "layout": "A" if name[0] == "S" else LAYOUT,
                                "fare": {"amount": 99900, "currency": "TWD"}}]}, TOKEN)
                if status != 201:
                    raise BenchError(f"flight {name} was not made: {status} {told[:300]}")
                if name[0] == "S":
                    http.ask("POST", f"/v1/flights/{name}/orders", {"customer_id": "first", "quantity": 1})
        names = [f"F{number}" for number in range(FLIGHTS)] + [f"S{number}" for number in range(SOLD_FLIGHTS)]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(some, [names[start::4] for start in range(4)]))
        seen, since, deadline = None, time.monotonic(), time.monotonic() + PLACED_SECONDS
        while seen is None or time.monotonic() < since + 3:
            if time.monotonic() > deadline:
                raise BenchError(f"the flights do not come to rest: {seen}")
            now = [len(self.flights_of(place)) for place in range(len(self.ports))]
            if now != seen or sum(now) != FLIGHTS + SOLD_FLIGHTS:
                seen, since = now, time.monotonic()
            time.sleep(0.3)

    def servers(self):
        return self.processes[2:]

    def status(self, place):
        return json.loads(Http(self.ports[place]).ask("GET", "/v1/admin/status", token=TOKEN)[1])

    def flights_of(self, place, kind=None):
        names = [flight["flight_id"] for flight in self.status(place)["flights"]]
        return [name for name in names if kind in (None, name[0])]

    def metric(self, place, name):
        text = Http(self.ports[place]).ask("GET", "/metrics")[1].decode()
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))

    def settle(self):
        deadline = time.monotonic() + STORED_SECONDS
        while any(flight["durable_seq"] != flight["stored_seq"]
                  for place in range(len(self.ports)) for flight in self.status(place)["flights"]):
            if time.monotonic() > deadline:
                raise BenchError("not everything is stored in time")
            time.sleep(0.3)

    def hold(self, share):
        for number, process in enumerate(self.servers()):
            one = Share(f"server{number + 1}")
            self.shares.append(one)
            one.take(process.pid)
            one.hold(share)

    def free(self):
        for one in self.shares:
            one.hold(None)

    def stop(self):
        self.free()
        for process in reversed(self.processes):
            process.stop()
        for one in self.shares:
            one.remove()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def load(options, port, flights, seconds, connections, rate=None, more=()):
    """Grabs of these flights, evenly; what `farerush load` reports."""
    out = os.path.join(options.folder, f"load-{port}.json")
    command = [options.farerush, "load", f"http://127.0.0.1:{port}", "--scenario", "rush", "--connections", str(connections),
               "--duration", f"{seconds}s", "--warmup", "1s", "--no-checks", "--replays", "0", "--customers", "4000000000",
               "--json", out, "--quiet"] + (["--rate", str(rate)] if rate else []) + list(more)
    for flight in flights:
        command += ["--flight", flight]
    environment = {key: text for key, text in os.environ.items() if not key.startswith("FARERUSH_")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 90, env=environment)
    if done.returncode:
        raise BenchError(f"farerush load failed: {(done.stdout + done.stderr)[-800:]}")
    with open(out) as file:
        told = json.load(file)
    return told


class Meter:
    """What is counted before and after: processor seconds, Redis' and the store's own figures, bytes over the loopback."""

    def __init__(self, cluster):
        self.cluster, self.before = cluster, self.read(cluster)

    @staticmethod
    def read(cluster):
        figures = {process.name: clock_ticks(process.pid) for process in cluster.processes}
        info = cluster.redis.ask("info", "all")
        for name in ("total_commands_processed", "total_net_input_bytes", "total_net_output_bytes", "used_memory", "aof_current_size"):
            figures[name] = float(re.search(rf"^{name}:(\d+)", info, re.M).group(1))
        figures["xadd_memory"] = figures.pop("used_memory")
        told = cluster.store.ask("SHOW GLOBAL STATUS WHERE Variable_name IN ('Handler_write','Handler_update',"
                                 "'Com_commit','Questions','Innodb_os_log_written','Bytes_received')")
        for line in told.splitlines():
            name, count = line.split("\t")
            figures[name.lower()] = float(count)
        with open("/proc/net/dev") as file:
            figures["loopback_bytes"] = float(re.search(r"lo:\s*\d+(?:\s+\d+){7}\s+(\d+)", file.read()).group(1))
        for place in range(len(cluster.ports)):
            figures[f"forwarded{place + 1}"] = cluster.metric(place, "farerush_forwarded_total")
            for outcome in ("won", "SOLD_OUT"):
                figures[f"{outcome}{place + 1}"] = cluster.metric(place, f'farerush_grabs_total{{outcome="{outcome}"}}')
        return figures

    def per(self):
        """Each figure for one grab, and how many grabs those were."""
        after = self.read(self.cluster)
        gone = {name: after[name] - self.before[name] for name in after}
        grabs = sum(count for name, count in gone.items() if name.startswith(("won", "SOLD_OUT")))
        return {name: count / max(grabs, 1) for name, count in gone.items()}, int(grabs)


def costs(options):
    """What a grab costs its server, Redis and the store; and what it costs more where it is handed on."""
    with Cluster(options, 2, os.path.join(options.folder, "costs")) as cluster:
        found = {}
        for case, asked, owner, kind in (("warm", 0, 0, "F"), ("local", 0, 0, "F"), ("forwarded", 0, 1, "F"),
                                         ("refused", 0, 0, "S"), ("refused and forwarded", 0, 1, "S")):
            flights, more = cluster.flights_of(owner, kind), ("--no-keys",) if kind == "S" else ()
            cluster.settle()
            meter = Meter(cluster)
            told = load(options, cluster.ports[asked], flights, options.seconds, COST_CONNECTIONS, options.rate, more)
            cluster.settle()
            per, grabs = meter.per()
            rate = told["requests_per_second"]
            share = per["forwarded1"]
            print(f"{case}: {grabs:,} grabs at {rate:,.0f} /s, {share:.2f} of them handed on; µs of processor each: "
                  + ", ".join(f"{name} {per[name] * 1e6:.1f}" for name in ("server1", "server2", "redis", "mariadb")), flush=True)
            found[case] = {"grabs": grabs, "rate": rate, "per": per, "outcomes": told["outcomes"], "p99_ms": told["latency_us"]["p99"] / 1000}
        found.pop("warm")
    local, forwarded = found["local"]["per"], found["forwarded"]["per"]
    refused, passed = found["refused"]["per"], found["refused and forwarded"]["per"]
    return {
        "rate": round(found["local"]["rate"]),
        "local_us": round(local["server1"] * 1e6, 1),
        # Both servers together.
        "forwarded_us": round((forwarded["server1"] + forwarded["server2"]) * 1e6, 1),
        "forwarding_us": round(forwarded["server1"] * 1e6, 1),
        "refused_us": round(refused["server1"] * 1e6, 1),
        "refused_forwarded_us": round((passed["server1"] + passed["server2"]) * 1e6, 1),
        "redis_us": round(local["redis"] * 1e6, 1),
        "store_us": round(local["mariadb"] * 1e6, 1),
        "redis_commands": round(local["total_commands_processed"], 3),
        "redis_bytes_in": round(local["total_net_input_bytes"]),
        "redis_bytes_out": round(local["total_net_output_bytes"]),
        "redis_memory_bytes": round(local["xadd_memory"]),
        "redis_file_bytes": round(local["aof_current_size"]),
        "store_rows": round(local["handler_write"] + local["handler_update"], 2),
        "store_log_bytes": round(local["innodb_os_log_written"]),
        "loopback_bytes": round(local["loopback_bytes"]),
        "peer_bytes": round(forwarded["loopback_bytes"] - local["loopback_bytes"]),
    }


def scale(options, count, straight):
    """Grabs a second of so many servers, each with its share; `straight`: each is asked for its own flights only."""
    with Cluster(options, count, os.path.join(options.folder, f"scale-{count}-{straight}")) as cluster:
        own = [cluster.flights_of(place, "F") for place in range(count)]
        asked = own if straight else [sum(own, [])] * count
        cluster.settle()
        cluster.hold(options.share)
        before, began, idle = Meter.read(cluster), time.monotonic(), idle_seconds()
        with ThreadPoolExecutor(count) as pool:
            told = list(pool.map(lambda place: load(options, cluster.ports[place], asked[place], options.seconds, SCALE_CONNECTIONS),
                                 range(count)))
        seconds = time.monotonic() - began
        idle = (idle_seconds() - idle) / seconds
        cluster.free()
        after = Meter.read(cluster)
        used = [(after[process.name] - before[process.name]) / seconds for process in cluster.servers()]
        outcomes = {}
        for one in told:
            for name, number in one["outcomes"].items():
                outcomes[name] = outcomes.get(name, 0) + number
        rate = sum(one["requests_per_second"] for one in told)
        handed = sum(after[f"forwarded{place + 1}"] - before[f"forwarded{place + 1}"] for place in range(count))
        grabs = sum(after[f"won{place + 1}"] - before[f"won{place + 1}"] for place in range(count))
        print(f"{count} servers of {options.share:g} cores, {'asked for their own flights' if straight else 'any asked for any flight'}: "
              f"{rate:,.0f} grabs /s, {handed / max(grabs, 1):.2f} handed on, p99 {max(one['latency_us']['p99'] for one in told) / 1000:.0f} ms, "
              f"servers used {' '.join(f'{one:.2f}' for one in used)} cores, {idle:.2f} cores idle, {outcomes}", flush=True)
        return rate


def idle_seconds():
    with open("/proc/stat") as file:
        return int(file.readline().split()[4]) / os.sysconf("SC_CLK_TCK")


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    parser = argparse.ArgumentParser()
    for name in ("folder", "farerush", "out"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--rate", type=int, default=COST_RATE)
    parser.add_argument("--servers", default="1,2,4")
    parser.add_argument("--only", choices=("costs", "scale"))
    options = parser.parse_args()
    options.secret = secrets.token_hex(32)
    try:
        data = {}
        if options.only != "scale":
            data["costs"] = costs(options)
        if options.only != "costs":
            for straight in (True, False):
                rates = {count: scale(options, count, straight) for count in map(int, options.servers.split(","))}
                least = min(rates)
                data["straight" if straight else "any"] = rates
                print("   so " + ", ".join(f"{count} servers do {rates[count] / rates[least]:.2f} times what {least} does, "
                                           f"{rates[count] / rates[least] * least / count:.2f} of {count // least} times"
                                           for count in rates if count != least), flush=True)
        os.makedirs(os.path.dirname(options.out) or ".", exist_ok=True)
        with open(options.out, "w") as file:
            json.dump(data, file, indent=1)
        print(f"written to {options.out}")
    except BenchError as error:
        sys.exit(f"error: {error}")


main()
