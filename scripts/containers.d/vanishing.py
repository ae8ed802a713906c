"""Whether nginx, as it is shipped, loses a request because a gateway's address goes while it is under way there.

    vanishing.py --conf docker/nginx.conf --image nginx:1.28-bookworm --name CONTAINER

Three gateways that only say what they are told to, and the server of names that nginx asks, all on this machine. One gateway is
asked, keeps the request until its own name is gone and nginx knows that, and then fails it in one of the ways that a gateway
which is being stopped or has not got the flight may: another one has to be asked, and its answer has to come.
"""

import argparse
import http.client
import http.server
import json
import socket
import subprocess
import sys
import tempfile
import threading
import time

ADDRESS = "127.0.0.1"
WAIT_SECONDS_MAX = 60  # for anything: a container starts slowly on a busy machine
CUSTOMER_SECONDS_MAX = 40  # longer than nginx asks
nginx = None
WAYS = ("says 503", "breaks off")
ELSEWHERE = json.dumps({"type": "/docs/errors/ELSEWHERE", "status": 503, "code": "ELSEWHERE"}).encode()


class Names(threading.Thread):
    """A server of names on UDP: whoever is there is at 127.0.0.1. It counts how often each was asked for, and what it said."""

    def __init__(self, names):
        super().__init__(daemon=True)
        self.there, self.lock = set(names), threading.Lock()
        self.denied = dict.fromkeys(names, 0)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((ADDRESS, 0))
        self.port = self.socket.getsockname()[1]

    def run(self):
        while True:
            query, client = self.socket.recvfrom(512)
            labels, at = [], 12
            while query[at]:
                labels.append(query[at + 1 : at + 1 + query[at]].decode())
                at += 1 + query[at]
            name, question = labels[0], query[12 : at + 5]
            with self.lock:
                known = name in self.there
                if not known:
                    self.denied[name] = self.denied.get(name, 0) + 1
            answer = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x01\x00\x04" + socket.inet_aton(ADDRESS) if known else b""
            flags = b"\x81\x80" if known else b"\x81\x83"  # there is no such name
            head = query[:2] + flags + b"\x00\x01" + (b"\x00\x01" if known else b"\x00\x00") + b"\x00\x00\x00\x00"
            self.socket.sendto(head + question + answer, client)

    def set(self, name, there):
        with self.lock:
            (self.there.add if there else self.there.discard)(name)
            self.denied[name] = 0

    def forgotten(self, name):
        """Whether nginx was told, and again: what it was told before that has been acted upon."""
        with self.lock:
            return self.denied[name] >= 2


class Gateway:
    """Answers at once with its name, but for the requests that it is to fail when it has been told to go on."""

    def __init__(self, name):
        self.name, self.way = name, None
        self.asked, self.go_on = threading.Event(), threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                way = outer.way
                if way:
                    outer.asked.set()
                    outer.go_on.wait(WAIT_SECONDS_MAX)
                if way == "breaks off":
                    self.close_connection = True
                    return
                text = ELSEWHERE if way else json.dumps({"by": outer.name, "key": self.headers["Idempotency-Key"]}).encode()
                self.send_response(503 if way else 201)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                if way:
                    self.send_header("Retry-After", "1")
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer((ADDRESS, 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def await_that(what, holds):
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not holds():
        if nginx is not None and nginx.poll() is not None:
            sys.exit(f"error: nginx ended: {nginx.stdout.read().decode()[-600:]}")
        if time.monotonic() > deadline:
            sys.exit(f"error: not within {WAIT_SECONDS_MAX} s: {what}")
        time.sleep(0.05)


def grab(port, timeout=CUSTOMER_SECONDS_MAX):
    connection = http.client.HTTPConnection(ADDRESS, port, timeout=timeout)
    try:
        connection.request("POST", "/v1/flights/DEMO1/orders", b'{"customer_id":"C1","quantity":1}',
                           {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except (OSError, http.client.HTTPException) as error:
        return None, repr(error)
    finally:
        connection.close()


def free_port():
    with socket.socket() as one:
        one.bind((ADDRESS, 0))
        return one.getsockname()[1]


def fail_while_it_goes(port, names, gateways, goes, way):
    """One request, of which the gateway that goes makes nothing. None, or what the customer got instead of an order."""
    one = gateways[goes]
    one.way = way
    one.asked.clear()
    one.go_on.clear()
    got = []

    def ask():
        # Until it is the one that is asked; the others answer at once.
        while not one.asked.is_set():
            got[:] = [grab(port)]
            time.sleep(0.02)

    customer = threading.Thread(target=ask, daemon=True)
    customer.start()
    await_that(f"{goes} is asked", one.asked.is_set)
    names.set(goes, there=False)
    await_that(f"nginx asks for {goes}", lambda: names.forgotten(goes))
    one.go_on.set()
    customer.join(CUSTOMER_SECONDS_MAX * 2)
    one.way = None
    names.set(goes, there=True)
    status, text = got[0] if got else (None, "nothing")
    if status == 201 and json.loads(text)["by"] != goes and json.loads(text)["key"]:
        return None
    return f"{goes} {way} while its address goes, and the customer gets {status} {text[:160]}"


def all_answer(port, gateways):
    """Whether nginx knows all again."""
    seen = set()
    for _ in range(12):
        status, text = grab(port, 5)
        seen |= {json.loads(text)["by"]} if status == 201 else set()
    return seen == set(gateways)


def main():
    global nginx
    parser = argparse.ArgumentParser()
    for flag in ("conf", "image", "name"):
        parser.add_argument(f"--{flag}", required=True)
    options = parser.parse_args()
    gateways = {name: Gateway(name) for name in ("gateway1", "gateway2", "gateway3")}
    names, port = Names(gateways), free_port()
    names.start()
    with open(options.conf, encoding="utf-8") as file:
        conf = file.read()
    changes = [("listen 8080", f"listen {ADDRESS}:{port}"), ("resolver 127.0.0.11", f"resolver {ADDRESS}:{names.port}"),
               ("worker_processes auto", "worker_processes 1")]
    changes += [(f"server {name}:8080", f"server {name}:{one.port}") for name, one in gateways.items()]
    for old, new in changes:
        if conf.count(old) != 1:
            sys.exit(f"error: {options.conf} no longer has one `{old}`")
        conf = conf.replace(old, new)
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write(conf)
        file.flush()
        # Handed over by standard input, since the engine may see other files than this does.
        start = "cat >/tmp/nginx.conf && exec nginx -p /tmp -c /tmp/nginx.conf -e stderr -g 'daemon off; pid nginx.pid;'"
        nginx = subprocess.Popen(
            ["docker", "run", "--rm", "--interactive", "--name", options.name, "--network", "host", "--user", "nginx", "--read-only",
             "--tmpfs", "/tmp", "--ulimit", "nofile=4096", "--entrypoint", "sh", options.image, "-c", start],
            stdin=open(file.name, "rb"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        await_that("nginx passes requests on to all", lambda: all_answer(port, gateways))
        wrong = []
        for way in WAYS:
            for goes in list(gateways)[:2]:
                wrong.append(fail_while_it_goes(port, names, gateways, goes, way))
                await_that("nginx knows all again", lambda: all_answer(port, gateways))
        if any(wrong):
            sys.exit("error: " + "\n       ".join(one for one in wrong if one))
        print(f"{len(wrong)} requests whose gateway failed them while its address went: all were answered by another one")
    finally:
        subprocess.run(["docker", "rm", "--force", options.name], check=False, capture_output=True)
        nginx.wait(WAIT_SECONDS_MAX)


main()
