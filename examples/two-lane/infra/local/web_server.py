"""Serve the built page and its run-time configuration. Part of each web release.

Environment: API_URL, ENVIRONMENT, RELEASE_SHA, HOST, PORT.
"""

from __future__ import annotations

import json
import mimetypes
import os
import signal
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

_DIST = Path(__file__).resolve().parent / "dist"


class Page(BaseHTTPRequestHandler):
    """`/config.json`, the files of `dist`, and `index.html` for every other page's address."""

    server_version = "two-lane-web"
    sys_version = ""
    timeout = 10
    version: str
    config: bytes

    def version_string(self) -> str:
        return self.server_version

    def do_GET(self) -> None:
        try:
            path = unquote(urlsplit(self.path).path)
            if path == "/config.json":
                self._answer(self.config, "application/json", "no-store")
            else:
                self._file((_DIST / path.lstrip("/")).resolve())
        except ValueError:  # no URL, or a NUL in it
            self._missing()

    def _file(self, file: Path) -> None:
        if not file.is_relative_to(_DIST) or len(file.name) > 255:
            self._missing()
        elif file.is_file() and file.name != "index.html":
            # Vite adds a hash of the content to the names of what lies in assets/.
            hashed = file.parent == _DIST / "assets"
            cache = "public, max-age=31536000, immutable" if hashed else "no-cache"
            kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
            self._answer(file.read_bytes(), kind, cache)
        elif file.suffix and file.name != "index.html":
            self._missing()
        else:
            page = (_DIST / "index.html").read_bytes()
            self._answer(page, "text/html; charset=utf-8", "no-cache")

    do_HEAD = do_GET

    def _missing(self) -> None:
        self._answer(b"not found\n", "text/plain", "no-store", HTTPStatus.NOT_FOUND)

    def _answer(
        self, body: bytes, kind: str, cache: str, status: HTTPStatus = HTTPStatus.OK
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", cache)
        self.send_header("X-Version", self.version)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def main() -> None:
    version = os.environ["RELEASE_SHA"]
    config = {
        "apiUrl": os.environ["API_URL"],
        "version": version,
        "environment": os.environ["ENVIRONMENT"],
    }
    Page.version = version
    Page.config = json.dumps(config).encode()
    address = (os.environ.get("HOST", "127.0.0.1"), int(os.environ["PORT"]))
    server = ThreadingHTTPServer(address, Page)
    # Answers that are under way are finished before the process ends.
    server.daemon_threads = False
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"serving {_DIST} at http://{address[0]}:{address[1]}", file=sys.stderr)
    with server:
        server.serve_forever(poll_interval=0.05)


if __name__ == "__main__":
    main()
