"""A service for the self-test: `python3 server.py VERSION FILE` answers as that version, and writes its address to FILE.

`/ready` is healthy, `/unready` answers 503, `/slow` never answers. With `--detach` it goes on behind the program that started
it, which ends when the address is there.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Service(BaseHTTPRequestHandler):
    version = ""

    def do_GET(self) -> None:
        if self.path == "/slow":
            threading.Event().wait()
        self.send_response(200 if self.path == "/ready" else 503)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps({"version": self.version}).encode())


def main(version: str, file: Path) -> None:
    Service.version = version
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    file.write_text(f"url=http://127.0.0.1:{server.server_port}\n")
    server.serve_forever()


def detach(version: str, file: Path) -> None:
    nothing = subprocess.DEVNULL
    subprocess.Popen(
        [sys.executable, __file__, version, file], stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True
    )
    for _ in range(300):
        if file.exists() and file.read_text():
            return
        time.sleep(0.1)
    sys.exit("the service did not come up")


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--detach"]
    (detach if "--detach" in sys.argv else main)(words[0], Path(words[1]))
