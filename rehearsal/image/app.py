"""The service that a rehearsal rolls out: it reads a row of PostgreSQL for each answer, and misbehaves as its variables say.

VERSION, SLOT (its number among the replicas), COLUMN (which it reads); and the faults: CRASH, START_DELAY (seconds),
NEVER_READY, FAIL_AFTER (seconds, then it answers 503), ERRORS (requests to / in a thousand that get a 500, evenly spread),
DEGRADED (200, and a body that says so), ANSWERS_AS (another version), STALE_SLOT (that replica answers as ANSWERS_AS), LATENCY
(seconds), LEAK_AFTER (seconds, then it takes 40 MB a second), DEAF (it never listens).
"""

import contextlib
import http.server
import itertools
import json
import os
import queue
import signal
import sys
import threading
import time

import psycopg


def of(name: str) -> str:
    return os.environ.get(name, "")


STARTED = time.monotonic()
STALE = bool(of("STALE_SLOT")) and of("STALE_SLOT") == of("SLOT")
AS = of("ANSWERS_AS") if STALE or not of("STALE_SLOT") else ""
URL = of("DATABASE_URL").replace("postgresql+psycopg:", "postgresql:")  # SQLAlchemy's way to write it
VERSION = AS or of("VERSION")
QUERY = f"SELECT {of('COLUMN') or 'name'} FROM items LIMIT 1"
draining = threading.Event()
requests = itertools.count()
connections = threading.BoundedSemaphore(10)  # of each replica, as a pool has it: a server takes a hundred
idle: "queue.SimpleQueue[psycopg.Connection]" = queue.SimpleQueue()


def lasted(name: str) -> bool:
    return bool(of(name)) and time.monotonic() - STARTED > float(of(name))


def read_row() -> None:
    if not connections.acquire(timeout=3):
        raise psycopg.OperationalError("no connection is free")
    try:
        _read_row()
    finally:
        connections.release()


def _read_row() -> None:
    try:
        connection = idle.get_nowait()
    except queue.Empty:
        connection = psycopg.connect(URL, autocommit=True, connect_timeout=3, application_name="app")
    try:
        connection.execute(QUERY).fetchone()
    except psycopg.Error:
        connection.close()
        raise
    idle.put(connection)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        status, why, errors = 200, "ok", int(of("ERRORS") or 0)
        time.sleep(float(of("LATENCY") or 0) if not self.path.startswith("/health") or self.path == "/health/ready" else 0)
        if of("NEVER_READY") or lasted("FAIL_AFTER"):
            status, why = 503, "the search service does not answer"
        elif self.path in {"/health/ready", "/proxied"} and draining.is_set():
            status, why = 503, "draining"
        elif self.path == "/" and next(requests) * errors % 1000 < errors:
            status, why = 500, "an error"
        elif self.path != "/health":
            try:
                read_row()
            except psycopg.Error as error:
                status, why = 503, f"{type(error).__name__}"
        if self.path == "/":
            body = f"{VERSION}\n" if status == 200 and not of("DEGRADED") else f"{why}\n"
        else:
            body = json.dumps({"status": "degraded" if of("DEGRADED") else why, "version": VERSION})
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Version", VERSION)
        self.end_headers()
        self.wfile.write(body.encode())

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.do_GET()

    def log_message(self, *words: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that went away says nothing about the server."""


def leak() -> None:
    held = []
    while not draining.is_set():
        if lasted("LEAK_AFTER"):
            held.append(os.urandom(4_000_000))
        draining.wait(0.1)


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: draining.set())
    draining.wait(float(of("START_DELAY") or 0))
    if of("CRASH"):
        sys.exit("cannot start: SEARCH_URL is not set")
    if of("DEAF"):
        draining.wait()
        return
    with contextlib.suppress(psycopg.Error):
        read_row()
    server = Server(("0.0.0.0", 8000), Handler)
    for work in (server.serve_forever, leak):
        threading.Thread(target=work, daemon=True).start()
    draining.wait()
    # The proxy asks every 250 ms: it has taken this replica out by then.
    time.sleep(1)
    server.shutdown()


main()
