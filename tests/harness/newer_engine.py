"""A stand-in before the real Docker Engine that answers with a newer API version, and takes MAC addresses as that one does.

From API 1.44 on, a container's MAC address belongs to its endpoint. The stand-in takes it from there alone, and refuses a
container-wide one that differs. https://docs.docker.com/reference/api/engine/version-history/#v144-api-changes
A `POST /networks/{id}/connect` ignores it, as engines do before API 1.54.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

VERSION = "1.51"
BEHIND = "1.41"
"""The API version of the engine that does the work."""


class NewerEngine:
    """`with NewerEngine() as engine:` listens at `engine.host`; `created` are the bodies of the containers it was asked for."""

    def __init__(self, path: str = "/var/run/docker.sock") -> None:
        self.path = path
        self.created: list[dict[str, Any]] = []

    def __enter__(self) -> NewerEngine:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        self.host = f"tcp://127.0.0.1:{self._server.server_address[1]}"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def create(self, wanted: dict[str, Any]) -> str:
        """Turns a request for a container into what the engine behind understands; returns why it is refused, if it is."""
        self.created.append(json.loads(json.dumps(wanted)))
        main = str(wanted["HostConfig"].get("NetworkMode", "default")).replace("default", "bridge")
        endpoints = (wanted.get("NetworkingConfig") or {}).get("EndpointsConfig") or {}
        mac = (endpoints.get(main) or {}).get("MacAddress", "")
        wide = wanted.pop("MacAddress", "")
        if mac:
            wanted["MacAddress"] = mac
        if wide and wide != mac:
            return "the container-wide MAC address must match the endpoint's"
        return ""


def _handler(engine: NewerEngine) -> type[BaseHTTPRequestHandler]:
    class Requests(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.command == "POST" and "/containers/create?" in self.path:
                wanted = json.loads(content)
                if refusal := engine.create(wanted):
                    self._answer(400, json.dumps({"message": refusal}).encode(), "application/json")
                    return
                content = json.dumps(wanted).encode()
            behind = http.client.HTTPConnection("localhost")
            behind.sock = socket.socket(socket.AF_UNIX)
            behind.sock.connect(engine.path)
            kept = {name: text for name, text in self.headers.items() if name.lower() not in {"host", "content-length"}}
            behind.request(self.command, re.sub(r"^/v[0-9.]+/", f"/v{BEHIND}/", self.path), content or None, kept)
            answer = behind.getresponse()
            said = answer.read()
            behind.close()
            if self.path == "/version":
                said = json.dumps({**json.loads(said), "ApiVersion": VERSION}).encode()
            self._answer(answer.status, said, answer.headers.get("Content-Type", "application/json"))

        def _answer(self, status: int, said: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        do_GET = do_POST = do_DELETE = do_HEAD = _pass_on  # noqa: N815 - http.server's words

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's word
            """Nothing."""

    return Requests
