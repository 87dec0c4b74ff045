"""A service for the self-test: `python3 server.py VERSION FILE` answers as that version, and writes its address to FILE.

`/ready` is healthy, `/unready` answers 503, `/slow` never answers.
"""

from __future__ import annotations

import json
import sys
import threading
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


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
