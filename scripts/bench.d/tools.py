"""The tools that ask: wrk, redis-benchmark and `farerush load`; what they say is read here and nowhere else.

Never starts a server.
"""

import csv
import io
import json
import os
import re
import subprocess
import threading
import time

from servers import BenchError, Http

CONNECTIONS = 256
# Answers that take longer are counted as errors.
WRK_PATIENCE_SECONDS = 20
LIVEZ_EVERY_SECONDS = 0.02
EVALSHA_TRIAL = 20_000


def milliseconds(text):
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000, "m": 60_000}[unit]


class Wrk:
    """One run of wrk with `rush.lua`."""

    def __init__(self, target, script, arguments, seconds, connections=CONNECTIONS):
        self.command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", f"--timeout={WRK_PATIENCE_SECONDS}s",
                        "--latency", "-s", script, target.url, "--", *[str(word) for word in arguments]]
        self.seconds, self.url = seconds, target.url
        self.child = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def stop(self):
        """Ends it early; it still says what it saw."""
        self.child.send_signal(2)

    def figures(self):
        try:
            said, _ = self.child.communicate(timeout=self.seconds + WRK_PATIENCE_SECONDS + 30)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            raise BenchError(f"wrk does not end: {' '.join(self.command)}") from None
        except BaseException:
            self.child.kill()
            raise
        found = re.search(r"(\d+) requests in ([\d.]+\w+)", said)
        if self.child.returncode or not found:
            raise BenchError(f"wrk failed: {' '.join(self.command)}\n{said[-800:]}")
        refused = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
        errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
        return {
            "requests": int(found.group(1)),
            "rate": float(re.search(r"Requests/sec:\s+([\d.]+)", said).group(1)),
            "refused": int(refused.group(1)) if refused else 0,
            "errors": sum(int(count) for count in errors.groups()) if errors else 0,
            "closed_loop_p99_ms": milliseconds(re.search(r"^\s+99%\s+(\S+)", said, re.M).group(1)),
        }


def evalsha(redis, script_file, seconds):
    """Requests a second of the script alone, for seats that are there and for a flight without any."""
    sha = redis.ask("SCRIPT", "LOAD", open(script_file).read())
    rates = {}
    for case, capacity in (("win", 10**15), ("sold", 0)):
        key = f"flight:bare-{case}"
        redis.ask("HSET", key, "capacity", str(capacity), "taken", "0")

        def run(requests, key=key):
            command = ["redis-benchmark", "-h", "127.0.0.1", "-p", str(redis.port), "-c", str(CONNECTIONS), "-P", "1", "-n",
                       str(requests), "--csv", "EVALSHA", sha, "1", key, "1"]
            said = subprocess.run(command, capture_output=True, text=True, timeout=seconds * 20 + 120)
            rows = [row for row in csv.reader(io.StringIO(said.stdout)) if len(row) > 1 and row[0] != "test"]
            if said.returncode or not rows:
                raise BenchError(f"redis-benchmark failed: {' '.join(command)}\n{said.stdout[-400:]}{said.stderr[-400:]}")
            return float(rows[-1][1])

        rates[case] = run(max(EVALSHA_TRIAL, int(run(EVALSHA_TRIAL) * seconds)))
        taken = int(redis.ask("HGET", key, "taken"))
        if (taken > 0) != (case == "win"):
            raise BenchError(f"the bare script took {taken} seats of {capacity}")
        redis.ask("DEL", key)
    return rates


def has_load(binary):
    return subprocess.run([binary, "load", "--help"], capture_output=True).returncode == 0


def load(binary, target, scenario, rate, seconds, flights, folder, more=()):
    """Quantiles of the latency in milliseconds; at a fixed rate, counted from when each request was due. Without a rate the
    tool asks as fast as it is answered."""
    report = os.path.join(folder, f"load-{target.name}.json")
    if os.path.exists(report):
        os.remove(report)
    command = [binary, "load", target.url, "--scenario", scenario, "--connections", str(CONNECTIONS),
               "--duration", f"{int(seconds * 1000)}ms", "--warmup", "500ms", "--no-checks", "--no-keys",
               "--replays", "0", "--customers", "4000000000", *more, "--json", report, "--quiet"]
    command += ["--rate", str(max(1, int(rate)))] if rate else []
    for flight in flights:
        command += ["--flight", flight]
    environment = {key: text for key, text in os.environ.items() if not key.startswith("FARERUSH_")}
    said = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 120, cwd=folder, env=environment)
    if said.returncode or not os.path.exists(report):
        raise BenchError(f"farerush load failed: {' '.join(command[:14])} ...\n{(said.stdout + said.stderr)[-800:]}")
    with open(report) as file:
        told = json.load(file)
    # Of a mixture, the operation that is meant.
    meant = told["operations"].get({"rush": "grab", "browse": "read_seats"}.get(scenario), told)
    shown = ["farerush", "load", "URL", *command[3:command.index("--json")], *(["--rate", str(int(rate))] if rate else []), "--flight", flights[0]]
    return {
        "command": " ".join(shown) + (" --flight ..." if len(flights) > 1 else ""),
        "asked_rate": rate, "rate": told["requests_per_second"], "not_sent": told["not_sent"], "outcomes": told["outcomes"],
        **{name: meant["latency_us"][name] / 1000 for name in ("p50", "p99", "p999")},
    }


class LivezProbe:
    """Asks /livez again and again beside a load; each time over a new connection, as a balancer would."""

    def __init__(self, port):
        self.port, self.times_ms, self.failures, self.over = port, [], 0, threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            # What is asked for is how long the server takes, not how long this process waits for its turn.
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), -15)
        except OSError:
            pass
        while not self.over.wait(LIVEZ_EVERY_SECONDS):
            began = time.perf_counter()
            try:
                http = Http(self.port, 5)
                alive = http.ask("GET", "/livez")[0] == 200
                http.connection.close()
            except OSError:
                alive = False
            self.times_ms.append((time.perf_counter() - began) * 1000)
            self.failures += not alive

    def figures(self):
        self.over.set()
        self.thread.join()
        times = sorted(self.times_ms) or [0.0]
        return {"probes": len(self.times_ms), "failures": self.failures, "p50_ms": times[len(times) // 2],
                "p99_ms": times[len(times) * 99 // 100], "max_ms": times[-1]}
