"""Writes what was measured as Markdown: ratios first, then the figures, then how to do it again.

Never measures, and leaves no figure out because it disappoints.
"""

import statistics

NAMES = {
    "nginx": "nginx, constant answer",
    "embedded": "Farerush embedded",
    "production": "Farerush, Redis and MariaDB",
    "usual": "the usual design",
}
CASE_NAMES = {
    "win": "grabs that win",
    "sold": "grabs that are refused, sold out",
    "map": "reads of the seat map",
    "mixed": "mixed: 3 win, 3 are refused, 4 read the seat map",
}
SPREAD_NAMES = {"hot": "one hot flight", "wide": "1,000 flights"}


def median(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def number(value, digits=0):
    return "-" if value is None else f"{value:,.{digits}f}"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]) + "\n"


class Figures:
    """What the runs say together."""

    def __init__(self, data):
        self.data, self.runs = data, data["runs"]

    def each(self, server, case, spread="hot", key="rate"):
        return [next((f[key] for f in run["throughput"] if (f["server"], f["case"], f["spread"]) == (server, case, spread)),
                     None) for run in self.runs]

    def ratios(self, server, other, case, spread="hot"):
        """In each run, how many times as much as another server did in the same run."""
        pairs = zip(self.each(server, case, spread), self.each(other, case, spread))
        return [a / b for a, b in pairs if a and b]

    def of_bare(self, server, case):
        pairs = zip(self.each(server, case), [(run["evalsha"] or {}).get(case) for run in self.runs])
        return [a / b for a, b in pairs if a and b]

    def latency(self, server, case, key):
        return [next((f[key] for f in run["latency"] if (f["server"], f["case"]) == (server, case)), None)
                for run in self.runs]


def wanted(figures):
    """What was asked for, beside what came out."""
    data, rows = figures.data, []

    def row(what, least, values, digits=2, is_most=False):
        value = median(values)
        if value is not None:
            fine = value <= least if is_most else value >= least
            sign, each = "at most" if is_most else "at least", ", ".join(number(v, digits) for v in values)
            rows.append([what, f"{sign} {least:g}", f"**{number(value, digits)}**", each, "yes" if fine else "no"])

    row("grabs that win, embedded, of nginx", 0.75, figures.ratios("embedded", "nginx", "win"))
    row("the same, times the usual design", 15, figures.ratios("embedded", "usual", "win"), 1)
    row("grabs that win, Redis and MariaDB, of nginx", 0.6, figures.ratios("production", "nginx", "win"))
    row("the same, of bare EVALSHA", 1.0, figures.of_bare("production", "win"))
    row("sold out, embedded, of nginx", 0.9, figures.ratios("embedded", "nginx", "sold"))
    row("sold out, Redis and MariaDB, of nginx", 0.9, figures.ratios("production", "nginx", "sold"))
    row("p99 at half the maximum, embedded, ms", 5, [v for v in figures.latency("embedded", "win", "p99") if v], 2, True)
    for name, what in (("embedded", "embedded"), ("production", "Redis and MariaDB")):
        million = data.get("million", {}).get(name)
        if million and million["seats"] >= 1_000_000:
            row(f"{million['seats']:,} reservations over {million['flights']:,} flights, {what}, s", 30,
                [million["sold_after"]], 1, True)
            row("all of them in the store, counted from the first request, s", 60, [million["stored_after"]], 1, True)
        overload = [run["overload"].get(name) for run in figures.runs if run["overload"].get(name)]
        row(f"overload, {what}: won, of the maximum", 0.9, [f["of_maximum"] for f in overload])
        probes = [f.get("livez_ops") or f["livez"] for f in overload]
        row(f"overload, {what}: slowest `/livez`, ms", 50, [f["max_ms"] for f in probes], 1, True)
    return table(["", "wanted", "median", "each run", "reached"], rows)


def throughput(figures):
    parts = []
    for spread in ("hot", "wide"):
        for case in figures.data["cases"]:
            rows = []
            for server, name in NAMES.items():
                rate = median(figures.each(server, case, spread))
                if rate is None:
                    continue
                rows.append([
                    name, number(rate), number(median(figures.ratios(server, "nginx", case, spread)), 2),
                    number(median(figures.ratios(server, "usual", case, spread)), 1),
                    number(median(figures.each(server, case, spread, "processor_s_per_1000")), 4)])
                if server == "usual" and spread == "hot":
                    bare = median([(run["evalsha"] or {}).get(case) for run in figures.runs])
                    if bare:
                        rows.append(["bare EVALSHA of its script, `redis-benchmark`", number(bare), "", "", ""])
            if rows:
                parts.append(f"### {CASE_NAMES[case].capitalize()}, {SPREAD_NAMES[spread]}\n\n" + table(
                    ["", "requests/s", "of nginx", "times the usual design", "CPU s per 1,000"], rows))
    return "\n".join(parts)


def latency(figures):
    rows = []
    for case in figures.data["cases"]:
        for server in list(NAMES)[1:]:
            if median(figures.latency(server, case, "p50")) is None:
                continue
            asked, came = (median(figures.latency(server, case, key)) for key in ("asked_rate", "rate"))
            rows.append([CASE_NAMES[case].split(":")[0], NAMES[server], number(asked), number(came)] + [
                number(median(figures.latency(server, case, key)), 2) for key in ("p50", "p99", "p999")])
    return table(["", "", "asked for /s", "answered /s", "p50 ms", "p99 ms", "p99.9 ms"], rows) if rows else ""


def memory(figures):
    rows = []
    for server, name in NAMES.items():
        seen = [run["memory"].get(server, {}) for run in figures.runs]
        for process in seen[0] if seen else []:
            rows.append([name, process, number(median([one.get(process) for one in seen]))])
    return table(["", "process", "resident MB"], rows)


def overload(figures):
    rows = []
    for run in figures.runs:
        for server, told in run["overload"].items():
            for probe in ("livez", "livez_ops"):
                if probe in told:
                    livez = told[probe]
                    where = "its own port" if probe == "livez_ops" else "the port of the crowd"
                    rows.append([NAMES[server], number(told["goodput"]), number(told["of_maximum"], 2), number(told["refused"]),
                                 number(told["errors"]), f"{where}: {livez['p50_ms']:.1f} / {livez['p99_ms']:.1f} / "
                                 f"{livez['max_ms']:.1f}, {livez['failures']} of {livez['probes']} failed"])
    return table(["", "won /s", "of the maximum", "refused", "socket errors", "`/livez` p50 / p99 / max ms"], rows) if rows else ""


def million(data):
    rows = []
    for server, told in data.get("million", {}).items():
        seats = told["seats"]
        rows.append([NAMES[server], f"{seats:,}", f"{told['flights']:,}", number(told["sold_after"], 1),
                     number(seats / told["sold_after"]), number(told["stored_after"], 1),
                     number(told["processor_s"] * 1000 / seats, 4),
                     ", ".join(f"{process} {megabytes:,.0f}" for process, megabytes in told["memory"].items())])
    return table(["", "seats", "flights", "sold after s", "seats/s", "stored after s", "CPU s per 1,000", "resident MB"], rows)


def stores(data):
    rows = []
    for store in dict.fromkeys(told["store"] for told in data["stores"]):
        runs = [told for told in data["stores"] if told["store"] == store]
        of = lambda key: median([told[key] for told in runs])
        rows.append([f"{store} {runs[0]['version']}", f"{runs[0]['seats']:,}", number(of("grabs")), number(of("rows")),
                     number(of("rows_alone")), "; ".join(f"{told['grabs']:,.0f}, {told['rows']:,.0f}" for told in runs)])
    return table(["store", "orders", "grabs /s", "rows written /s, from the first request on", "once all was sold",
                  "each run: grabs /s, rows /s"], rows)


def readers(data):
    told, rows = data["readers"], []
    for load in told["loads"]:
        last = (load["live"] or {}).get("last_reader") or {}
        ms = lambda key: number(last[key] / 1000) if last else "-"
        rows.append(["as many as it does" if not load["rate"] else f"{load['rate']:,} requests/s", f"{load['readers']:,}",
                     number(load["grabs"]), number(load["p50"], 1), number(load["p99"], 1), ms("p50_us"), ms("p99_us"), ms("max_us"),
                     number(load["live"]["events"]) if load["live"] else "-"])
    head = ["asked for", "live readers", "grabs /s", "p50 ms", "p99 ms", "last reader p50 ms", "p99 ms", "longest ms", "events read"]
    return f"A live reader takes {told['bytes'] / 1000:.1f} kB of resident memory.\n\n" + table(head, rows)


def each_run(figures):
    parts = []
    for place, run in enumerate(figures.runs, 1):
        rows = [[f["spread"], f["case"], f["server"], number(f["rate"]), number(f["requests"]), number(f["refused"]),
                 number(f.get("sold")), number(f["closed_loop_p99_ms"], 1), number(f["processor_s_per_1000"], 4)]
                for f in run["throughput"]]
        text = table(["", "case", "server", "requests/s", "requests", "not 2xx", "new in the store", "p99 ms, full load",
                      "CPU s per 1,000"], rows)
        if run["evalsha"]:
            text += "\nBare EVALSHA: " + ", ".join(f"{case} {rate:,.0f}/s" for case, rate in run["evalsha"].items()) + ".\n"
        if run["latency"]:
            head = ["case", "server", "asked for /s", "answered /s", "p50 ms", "p99 ms", "p99.9 ms", "never sent", "outcomes"]
            text += "\n" + table(head, [
                [f["case"], f["server"], number(f["asked_rate"]), number(f["rate"])] + [
                    number(f[key], 2) for key in ("p50", "p99", "p999")] + [
                    number(f["not_sent"]), ", ".join(f"{what} {count:,}" for what, count in f["outcomes"].items())]
                for f in run["latency"]])
        parts.append(f"<details><summary>Run {place}, in the order it was measured</summary>\n\n{text}\n</details>\n")
    return "\n".join(parts)


HOW = """\
Everything is measured in turn on one machine, one server at a time, the load tool beside it on the same cores; each run
begins another one first. A ratio compares figures of one run that were measured one after the other, and the ratio shown
is the median of the runs' ratios: read ratios rather than figures. All servers get the same requests from the same script
(`gateway/benches/rush.lua`): a new customer each time, `{{"customer_id":"u1","quantity":1}}`, `wrk` with one thread and 256
connections for {seconds} s ({wide} s where the crowd is spread over 1,000 flights).

- **nginx** `return 200` with the very body that Farerush gave to the same request ({sizes}), two workers: the ceiling.
- **Farerush embedded**: its own journal, fsynced before every reply, and SQLite behind it.
- **Farerush, Redis and MariaDB**: `appendfsync always`, `no-appendfsync-on-rewrite no`, `maxmemory-policy noeviction`;
  MariaDB syncs at every commit.
- **The usual design** (`gateway/benches/usual_design.rs`): a script in Redis takes the seat, then the request writes order
  and ticket to MySQL, then it answers; 32 connections to MySQL, and a Redis and a MariaDB of its own with the same settings.
- **Bare EVALSHA**: that script alone, by `redis-benchmark -c 256 -P 1` against the usual design's Redis.

*One hot flight*: the whole crowd is at one flight of 9,990 seats, and at the next one when that is sold. CPU seconds are user
and system time of all processes of a server, until everything is in its store, without the load tool. The latencies are
those of an open loop (`farerush load --rate`, counted from when a request was due) at half of what the same server did in
the same run at full load. For the seat map it is that of the map reads in the tool's `--scenario browse`, for mixed its own
`--scenario mixed` with holds, cancels and lists, each at half of what the server did of just that, and without the usual
design, which has no such requests.
A run counts only if every answer was as it should be and the store afterwards has exactly the orders that were
acknowledged (and at most those besides whose answers `wrk` no longer waited for): {checked} such checks passed.
"""


def write(data, path):
    figures, machine = Figures(data), data["machine"]
    count = "1 run" if len(data["runs"]) == 1 else f"{len(data['runs'])} runs"
    sizes = ", ".join(f"{case} {size:,} bytes" for case, size in data["body_bytes"].items())
    parts = [
        "# What it does, beside what others do\n",
        f"Written by `scripts/bench` on {machine['Date']}; do not edit. Medians of {count}; it took "
        f"{data['took_seconds'] / 60:.0f} minutes. What was tried to get there is in [performance.md](performance.md).\n",
        "## What was wanted\n", wanted(figures),
        "## Where and with what\n", table(["", ""], list(machine.items())),
        "## How\n", HOW.format(seconds=data["seconds"], wide=data["wide_seconds"], sizes=sizes, checked=data["checked"]),
    ]
    if data["notes"]:
        parts += ["".join(f"- {note}\n" for note in dict.fromkeys(data["notes"]))]
    sections = [
        ("Full load", throughput(figures) if figures.runs else ""),
        ("Latency at half the maximum", latency(figures)),
        ("A million reservations", million(data) if data.get("million") else ""),
        ("MySQL beside MariaDB", stores(data) if data.get("stores") else ""),
        ("Live readers", readers(data) if data.get("readers") else ""),
        ("Overload", overload(figures)),
        ("Memory", memory(figures)),
    ]
    remarks = {
        "A million reservations": "Fresh flights of 1,000 seats, sold out by `wrk` with 256 connections; once, not a median. "
                                  "Both times count from the first request. The store has exactly the seats, each sold once.\n",
        "MySQL beside MariaDB": "Redis as the journal; both stores with 1 GiB for pages, 512 MiB of log, a sync at every commit, and no "
                                "binary log. Fresh flights of 1,000 seats, sold out by `wrk` with 256 connections. An order is two "
                                "rows, its own and its seat's; during a rush the store stands back for the grabs.\n",
        "Live readers": "All of them read one flight of 9,990 seats, and the load tool, which is every reader as well, runs on the same "
                        "cores; `--scenario steady`, once. The last reader's time counts from the answer to the oldest "
                        "grab that a text tells of until the last of all readers has read that text.\n",
        "Overload": "`wrk` with 5,120 connections, twenty times those of the maximum; once. Beside it `/livez` is asked every 20 ms "
                    "over a new connection, by a thread of higher priority on the same cores.\n",
        "Memory": "At the end of a run, with all its flights and orders.\n",
    }
    for title, text in sections:
        if text:
            parts += [f"## {title}\n"] + ([remarks[title]] if title in remarks else []) + [text]
    parts += ["## Each run\n", each_run(figures), "## Commands\n",
              "`DIR` is a new folder on the disk, ports are free ones of the loopback.\n",
              "```text\n" + "\n".join(f"# {what}\n{command}" for what, command in data["commands"].items()) + "\n```\n",
              "To do it again: `scripts/bench`.\n"]
    with open(path, "w") as file:
        file.write("\n".join(parts))
