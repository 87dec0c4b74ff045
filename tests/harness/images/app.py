"""The service that the tests roll out: it answers with its version, and misbehaves as its variables say.

VERSION; PORT (8000; 0 is one of the kernel's choice, written to /port); START_DELAY (seconds before it listens); CRASH
(exit with 1 after START_DELAY); HEALTH (`ok`, `bad`); ERRORS (the percentage of requests to / that get a 500); DRAIN (seconds
that it goes on answering after SIGTERM).

An engine starts a process in the container for each of its checks, which costs more than all else here. Once one has passed,
`/checked` keeps the next one waiting, until something changes.
"""

import http.server
import itertools
import os
import pathlib
import signal
import sys
import threading
import time

VERSION = os.environ.get("VERSION", "none")
CALM = 10.0
"""Seconds between two checks of a replica that is well."""

checked = threading.Event()
draining = threading.Event()
requests = itertools.count()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body go out together: the process may end between the two, and the answer would be cut.
    wbufsize = -1

    def do_GET(self) -> None:
        bad = self.path in {"/health", "/checked"} and os.environ.get("HEALTH") == "bad"
        if self.path == "/checked" and not bad:
            if checked.is_set():
                draining.wait(CALM)
            checked.set()
        # A proxy's own checks ask /proxied: they take this replica out as soon as it drains, before it stops listening.
        bad = bad or (self.path == "/proxied" and draining.is_set())
        body = f"{VERSION}\n".encode() if not bad else b"database: refused (password=hunter2-hunter2)\n"
        error = self.path == "/" and next(requests) % 100 < int(os.environ.get("ERRORS", "0"))
        self.send_response(503 if bad else 500 if error else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Version", VERSION)
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.do_GET()

    def log_message(self, *words: object) -> None:
        pass


def stop(*_: object) -> None:
    print("stopping", flush=True)
    draining.set()


signal.signal(signal.SIGTERM, stop)
print(f"::error::starting {VERSION}", flush=True)
time.sleep(float(os.environ.get("START_DELAY", "0")))
if os.environ.get("CRASH"):
    print("cannot start: no such table: items", file=sys.stderr, flush=True)
    sys.exit(1)


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A client that went away says nothing about the server, and its traceback would push the log's lines out."""


server = Server(("0.0.0.0", int(os.environ.get("PORT", "8000"))), Handler)
pathlib.Path("/port").write_text(str(server.server_address[1]))
threading.Thread(target=server.serve_forever, daemon=True).start()
print("listening", flush=True)
draining.wait()
time.sleep(float(os.environ.get("DRAIN", "1")))
server.shutdown()
