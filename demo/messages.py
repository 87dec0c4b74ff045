"""A server on this machine that receives notifications, as a chat service would, and keeps them for the end of the demo."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Messages(list[dict[str, Any]]):
    """What was received, oldest first. `url` is what the secret NOTIFY_URLS holds."""

    url = ""

    def lines(self) -> list[str]:
        """What people would read."""
        found: list[str] = []
        for each in self:
            found += [
                str(each.get("title", "")),
                *(f"    {line}" for line in str(each.get("message", "")).splitlines() if line),
            ]
        return found


@contextmanager
def messages() -> Iterator[Messages]:
    """Receives on a port of this machine until the end of the block."""
    found = Messages()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_words: Any) -> None:
            """Says nothing."""

        def do_POST(self) -> None:
            found.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    found.url = f"json://127.0.0.1:{server.server_address[1]}"
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
