"""What the figures were measured on and with.

Never changes anything, but for a file that it syncs and removes.
"""

import os
import re
import statistics
import subprocess
import time


def said(*command, cwd=None):
    try:
        result = subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (result.stdout + result.stderr).strip()


def first(pattern, text, otherwise="unknown"):
    found = re.search(pattern, text, re.MULTILINE)
    return found.group(1).strip() if found else otherwise


def sync_us(folder, times):
    """Median time of writing 4 KiB and syncing them, in microseconds."""
    path, taken = os.path.join(folder, "sync"), []
    handle = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        os.pwrite(handle, b"0" * 4096, 0)
        os.fsync(handle)
        for number in range(times):
            began = time.perf_counter()
            os.pwrite(handle, bytes([number % 256]) * 4096, 0)
            os.fdatasync(handle)
            taken.append(time.perf_counter() - began)
    finally:
        os.close(handle)
        os.remove(path)
    return statistics.median(taken) * 1e6


def describe(options, folder, syncs):
    with open("/proc/cpuinfo") as file:
        processor = first(r"^model name\s*:\s*(.+)$", file.read())
    with open("/proc/meminfo") as file:
        memory_gb = int(first(r"^MemTotal:\s+(\d+)", file.read(), "0")) / 1024 / 1024
    with open("/etc/os-release") as file:
        system = first(r'^PRETTY_NAME="?([^"\n]+)', file.read())
    commit = said("git", "rev-parse", "--short=12", "HEAD", cwd=options.root).split("\n")[0]
    is_changed = bool(said("git", "status", "--porcelain", "--untracked-files=no", cwd=options.root))
    return {
        "Date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "Processor": f"{processor}, {os.cpu_count()} cores, shared with the load tool",
        "Load before": "%.2f processes over the last minute" % os.getloadavg()[0],
        "Memory": f"{memory_gb:.0f} GB",
        "System": f"{system}, Linux {os.uname().release}",
        "Disk": f"{said('stat', '-f', '-c', '%T', folder)}; 4 KiB written and synced in {sync_us(folder, syncs):.0f} µs (median)",
        "Farerush": f"{said(options.farerush, '--version')}, commit {commit}{' with changes' if is_changed else ''}, "
                    f"profile `{options.profile}`",
        "Compiler": first(r"(rustc \S+)", said("rustc", "--version")),
        "nginx": first(r"nginx/(\S+)", said("nginx", "-v")),
        "Redis": first(r"v=(\S+)", said("redis-server", "--version")),
        "MariaDB": first(r"Ver (\S+)", said("mariadbd", "--version")),
        "wrk": first(r"wrk (\S+)", said("wrk", "-v")),
    }
