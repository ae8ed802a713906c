"""Measures what live readers of one flight cost: memory, grabs that win beside them, and how late the last one hears.

Never reads what the events say.
"""

import json
import os
import select
import socket
import subprocess
import time

from servers import BenchError, TOKEN

READERS = 10_000
READY_SECONDS = 60
CONNECTIONS = 64


def memory_per_reader(server, flight, count):
    """Resident memory that readers take once each has read the whole flight, in bytes each."""
    before = server.resident()["farerush"]
    request = f"GET /v1/flights/{flight}/live HTTP/1.1\r\nhost: bench\r\n\r\n".encode()
    readers, waiting = [], {}
    poll = select.epoll()
    try:
        for _ in range(count):
            reader = socket.create_connection(("127.0.0.1", server.port), timeout=10)
            reader.sendall(request)
            reader.setblocking(False)
            readers.append(reader)
            waiting[reader.fileno()] = reader
            poll.register(reader.fileno(), select.EPOLLIN)
        deadline = time.monotonic() + READY_SECONDS
        while waiting:
            if time.monotonic() > deadline:
                raise BenchError(f"{len(waiting)} of {count} live readers were told nothing within {READY_SECONDS} s")
            for descriptor, _ in poll.poll(1):
                reader = waiting.pop(descriptor, None)
                heard = reader.recv(65536) if reader else None
                if heard is not None and not heard.startswith(b"HTTP/1.1 200"):
                    raise BenchError(f"a live reader was answered {heard[:60]}")
        return (server.resident()["farerush"] - before) * 1e6 / count
    finally:
        poll.close()
        for reader in readers:
            reader.close()


def load(binary, server, flight, seconds, readers, rate, folder):
    """`farerush load --scenario steady`: one flight, grabs and cancels in turn; its report."""
    report = os.path.join(folder, "readers.json")
    command = [binary, "load", server.url, "--scenario", "steady", "--connections", str(CONNECTIONS), "--flight", flight,
               "--duration", f"{seconds}s", "--warmup", f"{max(10, readers // 1000)}s", "--no-checks", "--no-keys", "--replays", "0",
               "--live", str(readers), "--json", report, "--quiet"]
    command += ["--rate", str(rate)] if rate else []
    said = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 180, cwd=folder,
                          env={**{k: v for k, v in os.environ.items() if not k.startswith("FARERUSH_")}, "FARERUSH_ADMIN_TOKEN": TOKEN})
    if said.returncode:
        raise BenchError(f"farerush load failed: {said.stdout[-400:]}{said.stderr[-400:]}")
    with open(report) as file:
        told = json.load(file)
    shown = [("URL" if word == server.url else word) for word in command[1:command.index("--json")]]
    grabs = told["operations"]["grab"]
    return {
        "command": " ".join(["farerush", *shown, *(["--rate", str(rate)] if rate else [])]), "readers": readers, "rate": rate,
        "grabs": grabs["requests_per_second"], "p50": grabs["latency_us"]["p50"] / 1000, "p99": grabs["latency_us"]["p99"] / 1000,
        "outcomes": told["outcomes"], "live": told["live"],
    }
