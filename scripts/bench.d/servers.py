"""The servers that are measured: starts them on free ports of the loopback, in a folder of their own, and ends them by id.

Never measures anything.
"""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

START_SECONDS = 60
SETTLE_SECONDS = 180
TOKEN = "bench-0123456789abcdef"
CREATORS = 4
# The database and user of every SQL server here.
INIT_SQL = """CREATE DATABASE farerush CHARACTER SET utf8mb4;
CREATE USER 'farerush'@'%' IDENTIFIED BY 'farerush';
GRANT ALL PRIVILEGES ON *.* TO 'farerush'@'%';
"""
MYSQL_SETTINGS = [
    "--bind-address=127.0.0.1",
    "--skip-name-resolve",
    "--character-set-server=utf8mb4",
    "--innodb-buffer-pool-size=1G",
    "--innodb-log-file-size=512M",
    "--innodb-flush-log-at-trx-commit=1",
]
REDIS_SETTINGS = {
    "appendonly": "yes",
    "appendfsync": "always",
    "no-appendfsync-on-rewrite": "no",
    "maxmemory-policy": "noeviction",
    "save": "",
}
# nginx takes no longer text than this as one word of its configuration.
NGINX_WORD_MAX = 2000


class BenchError(Exception):
    """Something that makes the figures worthless; its text says what."""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def clock_ticks(pid):
    """Processor time of a process and of those of its children that have ended, in seconds."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid):
    with open(f"/proc/{pid}/status") as file:
        return int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1)) / 1024


class Process:
    """A child process; `stop` ends it, by its id."""

    def __init__(self, name, command, folder, environment=None):
        os.makedirs(folder, exist_ok=True)
        self.name, self.command, self.environment = name, command, environment or {}
        self.log = os.path.join(folder, f"{name}.log")
        # A FARERUSH_ variable that was meant for this script would be refused by the server as an unknown setting.
        inherited = {key: text for key, text in os.environ.items() if not key.startswith("FARERUSH_")}
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(
                command, cwd=folder, env={**inherited, **self.environment},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def line(self):
        """As one would type it; ports are called PORT."""
        words = [f"{key}={text}" for key, text in self.environment.items()]
        words += [os.path.basename(self.command[0]), *[word or "''" for word in self.command[1:]]]
        return re.sub(r"(127\.0\.0\.1:|--port[= ])\d+", r"\1PORT", " ".join(words))

    @property
    def pid(self):
        return self.child.pid

    def await_(self, is_up, seconds=START_SECONDS):
        deadline = time.monotonic() + seconds
        while True:
            if self.child.poll() is not None:
                raise BenchError(f"{self.name} has ended with {self.child.returncode}; {self.log}:\n{self.log_end()}")
            try:
                if is_up():
                    return
            except (OSError, http.client.HTTPException, subprocess.CalledProcessError):
                pass
            if time.monotonic() > deadline:
                raise BenchError(f"{self.name} did not come up within {seconds} s; {self.log}:\n{self.log_end()}")
            time.sleep(0.05)

    def log_end(self):
        with open(self.log, errors="replace") as log:
            return log.read()[-1500:]

    def stop(self, seconds=15):
        if self.child.poll() is not None:
            return
        self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


class Http:
    """One kept connection to a server."""

    def __init__(self, port, seconds=30):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)

    def ask(self, method, path, body=None, token=None):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if body is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(body, separators=(",", ":"))
        self.connection.request(method, path, body=body, headers=headers)
        response = self.connection.getresponse()
        return response.status, response.read()


def is_live(port, path="/readyz"):
    return Http(port, 1).ask("GET", path)[0] == 200


class Target:
    """Something that is asked over HTTP, with every process that works for its answers."""

    def __init__(self, name):
        self.name, self.port, self.processes = name, free_port(), []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def pids(self):
        return [process.pid for process in self.processes]

    def processor_seconds(self):
        return sum(clock_ticks(pid) for pid in self.pids())

    def resident(self):
        """Resident megabytes by process."""
        return {process.name: round(resident_mb(process.pid), 1) for process in self.processes}

    def settle(self):
        """Waits until what the last measurement left behind is done."""

    def sold(self):
        """Seats that the store says are sold; None where nothing is kept."""
        return None

    def create(self, flights):
        """Makes flights, given as (id, rows, layout)."""
        def some(part):
            http_ = Http(self.port)
            for flight_id, rows, layout in part:
                body = {
                    "flight_id": flight_id, "flight_number": "FR999", "origin": "TPE", "destination": "OKA",
                    "departs_at": "2099-01-01T00:00:00Z",
                    "cabins": [{"cabin_class": "economy", "rows": [1, rows], "layout": layout,
                                "fare": {"amount": 99900, "currency": "TWD"}}],
                    "sale": {"state": "open"},
                }
                status, answer = http_.ask("POST", "/v1/admin/flights", body, TOKEN)
                if status != 201:
                    raise BenchError(f"{self.name} does not make flight {flight_id}: {status} {answer[:300]}")
        with ThreadPoolExecutor(CREATORS) as pool:
            list(pool.map(some, [flights[start::CREATORS] for start in range(CREATORS)]))

    def sell_out(self, flight_ids):
        """Sells the one seat of each of these flights."""
        def some(part):
            http_ = Http(self.port)
            for flight_id in part:
                body = {"customer_id": "first", "quantity": 1}
                status, answer = http_.ask("POST", f"/v1/flights/{flight_id}/orders", body)
                if status != 201:
                    raise BenchError(f"{self.name} does not sell the only seat of {flight_id}: {status} {answer[:300]}")
        with ThreadPoolExecutor(CREATORS) as pool:
            list(pool.map(some, [flight_ids[start::CREATORS] for start in range(CREATORS)]))

    def stop(self):
        for process in reversed(self.processes):
            process.stop()


class Nginx(Target):
    """Answers with constant bodies: the very ones that Farerush gave to the same requests."""

    def __init__(self, folder, bodies):
        super().__init__("nginx")
        os.makedirs(folder)
        config = os.path.join(folder, "nginx.conf")
        built = subprocess.run(["nginx", "-V"], capture_output=True, text=True, check=True).stderr
        temporary = "".join(f"  {kind.replace('-', '_')}_temp_path {folder}/{kind};\n"
                            for kind in re.findall(r"--http-([\w-]+)-temp-path=", built))
        places = {"/v1/flights/HS": "sold", "/v1/flights/WS": "sold", "/v1/flights/HM": "map", "/v1/flights/WM": "map",
                  "/": "win"}
        locations = "".join(f"    location {place} {{\n{self.answer(bodies[kind])}    }}\n" for place, kind in places.items())
        with open(config, "w") as file:
            file.write(
                f"worker_processes 2;\nworker_rlimit_nofile 65536;\ndaemon off;\npid {folder}/pid;\n"
                f"error_log {folder}/error.log;\n"
                "events {\n  worker_connections 8192;\n}\nhttp {\n  access_log off;\n  keepalive_requests 1000000000;\n"
                f"  default_type application/json;\n{temporary}"
                f"  server {{\n    listen 127.0.0.1:{self.port} reuseport;\n{locations}  }}\n}}\n")
        self.processes = [Process("nginx", ["nginx", "-p", folder, "-c", config, "-e", f"{folder}/error.log"], folder)]
        self.processes[0].await_(lambda: is_live(self.port, "/"))

    @staticmethod
    def answer(body):
        pieces = [body[start:start + NGINX_WORD_MAX] for start in range(0, len(body), NGINX_WORD_MAX)]
        quoted = ["'" + piece.replace("\\", "\\\\").replace("'", "\\'") + "'" for piece in pieces]
        if len(quoted) == 1:
            return f"      return 200 {quoted[0]};\n"
        lines = [f"      set $piece{number} {text};\n" for number, text in enumerate(quoted)]
        names = "".join(f"${{piece{number}}}" for number in range(len(quoted)))
        return "".join(lines) + f'      return 200 "{names}";\n'

    def pids(self):
        master = self.processes[0].pid
        with open(f"/proc/{master}/task/{master}/children") as file:
            return [master] + [int(pid) for pid in file.read().split()]

    def resident(self):
        return {"nginx": round(sum(resident_mb(pid) for pid in self.pids()), 1)}


class Redis:
    """A Redis that syncs every write before it answers."""

    def __init__(self, folder):
        self.port = free_port()
        settings = [word for key, text in REDIS_SETTINGS.items() for word in (f"--{key}", text)]
        self.process = Process("redis", ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1",
                                         "--dir", folder, *settings], folder)
        self.process.await_(lambda: self.ask("ping") == "PONG")

    def ask(self, *words):
        return subprocess.run(["redis-cli", "-p", str(self.port), *words], capture_output=True, text=True,
                              check=True).stdout.strip()

    def settle(self):
        deadline = time.monotonic() + SETTLE_SECONDS
        while "aof_rewrite_in_progress:1" in self.ask("info", "persistence") and time.monotonic() < deadline:
            time.sleep(0.2)


class MariaDb:
    """A MariaDB with a database and a user, both called farerush, that syncs at every commit."""

    def __init__(self, folder, template):
        self.port, self.socket = free_port(), os.path.join(folder, "m.sock")
        data = os.path.join(folder, "data")
        os.makedirs(folder)
        as_user = ["--user=root"] if os.geteuid() == 0 else []
        if not os.path.isdir(template):
            made = subprocess.run(
                ["mariadb-install-db", "--no-defaults", f"--datadir={template}", "--skip-test-db",
                 "--auth-root-authentication-method=normal", *as_user], capture_output=True, text=True)
            if made.returncode:
                raise BenchError(f"mariadb-install-db failed: {made.stderr[-800:]}")
        shutil.copytree(template, data)
        with open(os.path.join(folder, "init.sql"), "w") as file:
            file.write(INIT_SQL)
        self.process = Process("mariadb", [
            "mariadbd", "--no-defaults", f"--datadir={data}", f"--socket={self.socket}", f"--port={self.port}",
            f"--pid-file={folder}/pid", f"--init-file={folder}/init.sql", *MYSQL_SETTINGS, *as_user], folder)
        self.process.await_(lambda: self.ask("SELECT 1") == "1")

    @property
    def url(self):
        return f"mysql://farerush:farerush@127.0.0.1:{self.port}/farerush"

    def ask(self, statement):
        return subprocess.run(
            ["mariadb", "--no-defaults", f"--socket={self.socket}", "-u", "farerush", "-pfarerush", "-N", "-B", "farerush",
             "-e", statement], capture_output=True, text=True, check=True).stdout.strip()


class MySql:
    """The MySQL that `scripts/servers` gets, with the settings, database and user of the MariaDB here."""

    TREE = os.environ.get("FARERUSH_SERVERS_DIR") or "/var/cache/farerush/servers"

    def __init__(self, folder, template):
        self.port, self.socket = free_port(), os.path.join(folder, "m.sock")
        data = os.path.join(folder, "data")
        os.makedirs(folder)
        places = [f"--{name}={self.TREE}/usr{place}" for name, place in (
            ("basedir", ""), ("lc-messages-dir", "/share/mysql"), ("character-sets-dir", "/share/mysql/charsets"),
            ("plugin-dir", "/lib/mysql/plugin"))]
        server = [*self.program("usr/sbin/mysqld"), "--no-defaults", *places, "--secure-file-priv=NULL", "--mysqlx=OFF"]
        server += ["--user=root"] if os.geteuid() == 0 else []
        # What MariaDB calls a log file's size; a binary log is what it does not have by default.
        settings = [word.replace("innodb-log-file-size", "innodb-redo-log-capacity") for word in MYSQL_SETTINGS]
        settings += ["--skip-log-bin"]
        if not os.path.isdir(template):
            made = subprocess.run([*server, "--initialize-insecure", f"--datadir={template}"], capture_output=True, text=True)
            if made.returncode:
                raise BenchError(f"mysqld cannot make its data: {made.stderr[-800:]}")
        shutil.copytree(template, data)
        with open(os.path.join(folder, "init.sql"), "w") as file:
            file.write(INIT_SQL)
        self.process = Process("mysql", [
            *server, f"--datadir={data}", f"--socket={self.socket}", f"--port={self.port}", f"--pid-file={folder}/pid",
            f"--init-file={folder}/init.sql", *settings], folder)
        self.process.await_(lambda: self.ask("SELECT 1") == "1")

    def program(self, path):
        """By the loader and with the libraries that it was built for."""
        return [f"{self.TREE}/lib64/ld-linux-x86-64.so.2", "--library-path", f"{self.TREE}/usr/lib/x86_64-linux-gnu",
                f"{self.TREE}/{path}"]

    @property
    def url(self):
        return f"mysql://farerush:farerush@127.0.0.1:{self.port}/farerush"

    def ask(self, statement):
        return subprocess.run(
            [*self.program("usr/bin/mysql"), "--no-defaults", f"--socket={self.socket}", "-u", "farerush", "-pfarerush", "-N",
             "-B", "farerush", "-e", statement], capture_output=True, text=True, check=True).stdout.strip()


class Farerush(Target):
    """Farerush, with what is embedded or with Redis and MariaDB, or another store in its place."""

    def __init__(self, name, binary, folder, template=None, with_servers=False, store=MariaDb):
        super().__init__(name)
        self.data, self.mariadb, self.redis, self.ops_port = os.path.join(folder, "data"), None, None, None
        command = [binary, "serve", "--listen", f"127.0.0.1:{self.port}", "--data-dir", self.data, "--demo", "false"]
        if "--ops-listen" in subprocess.run([binary, "serve", "--help"], capture_output=True, text=True).stdout:
            self.ops_port = free_port()
            command += ["--ops-listen", f"127.0.0.1:{self.ops_port}"]
        try:
            if with_servers:
                self.redis = Redis(os.path.join(folder, "redis"))
                self.processes.append(self.redis.process)
                self.mariadb = store(os.path.join(folder, "store"), template)
                self.processes.append(self.mariadb.process)
                command += ["--journal", f"redis://127.0.0.1:{self.redis.port}/0", "--store", self.mariadb.url]
            self.processes.append(Process("farerush", command, folder, {"FARERUSH_ADMIN_TOKEN": TOKEN}))
            self.processes[-1].await_(lambda: is_live(self.port))
        except BaseException:
            self.stop()
            raise

    def progress(self):
        """How many events are durable, and how many of them are stored."""
        status, body = Http(self.port).ask("GET", "/v1/admin/status", token=TOKEN)
        if status != 200:
            raise BenchError(f"{self.name} does not tell its status: {status} {body[:300]}")
        told = json.loads(body)
        if told["stopped_flights"] or told["write_behind"]["stuck"]:
            raise BenchError(f"{self.name} has stopped flights: {body[:500]}")
        flights = told["flights"]
        return sum(f["durable_seq"] for f in flights), sum(f["stored_seq"] for f in flights)

    def metric(self, name):
        """A figure of /metrics; 0 if it is not there."""
        text = Http(self.port).ask("GET", "/metrics")[1].decode()
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))

    def settle(self):
        deadline = time.monotonic() + SETTLE_SECONDS
        while True:
            durable, stored = self.progress()
            if durable == stored:
                break
            if time.monotonic() > deadline:
                raise BenchError(f"{self.name} has not stored everything within {SETTLE_SECONDS} s")
            time.sleep(0.2)
        if self.redis:
            self.redis.settle()

    def sold(self):
        statement = "SELECT COUNT(*) FROM tickets WHERE status = 'sold'"
        if self.mariadb:
            return int(self.mariadb.ask(statement))
        import sqlite3
        with sqlite3.connect(f"file:{self.data}/farerush.db?mode=ro", uri=True) as store:
            return store.execute(statement).fetchone()[0]


class UsualDesign(Target):
    """Redis takes the seats, MySQL gets the order, and then there is an answer."""

    def __init__(self, binary, folder, template):
        super().__init__("usual")
        self.redis = self.mariadb = None
        try:
            self.redis = Redis(os.path.join(folder, "redis"))
            self.processes.append(self.redis.process)
            self.mariadb = MariaDb(os.path.join(folder, "mariadb"), template)
            self.processes.append(self.mariadb.process)
            self.processes.append(Process("usual", [binary], folder, {
                "USUAL_LISTEN": f"127.0.0.1:{self.port}", "USUAL_REDIS": f"redis://127.0.0.1:{self.redis.port}/0",
                "USUAL_MYSQL": self.mariadb.url}))
            self.processes[-1].await_(lambda: is_live(self.port, "/livez"))
        except BaseException:
            self.stop()
            raise

    def settle(self):
        self.redis.settle()

    def sold(self):
        return int(self.mariadb.ask("SELECT COUNT(*) FROM tickets"))
