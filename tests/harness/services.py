"""Stands in for chat services (an HTTPS proxy that answers for every host) and a mail server; both keep what they get."""

from __future__ import annotations

import json
import socketserver
import threading
from dataclasses import dataclass
from email import message_from_string, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.harness.authority import Authority

HOSTS = (
    "hooks.slack.com",
    "slack.com",
    "discord.com",
    "prod-1.westus.logic.azure.com",
    "events.pagerduty.com",
    "chat.googleapis.com",
    "api.opsgenie.com",
)
_STATUS = {"discord.com": 204, "prod-1.westus.logic.azure.com": 202, "events.pagerduty.com": 202, "api.opsgenie.com": 202}


@dataclass(frozen=True)
class Request:
    """What a service got."""

    host: str
    path: str
    body: str

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Services:
    """The services while the `with` lasts; `environment` leads a client of them here."""

    def __init__(self, folder: Path) -> None:
        self.requests: list[Request] = []
        self.mails: list[EmailMessage] = []
        self.status: dict[str, int] = dict(_STATUS)
        authority = Authority(folder)
        self._wrap = authority.server(authority.issue(*HOSTS))
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _http(self))
        self._smtp = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _smtp(self))
        self._smtp.daemon_threads = True
        self.smtp_port = self._smtp.server_address[1]
        proxy = f"http://127.0.0.1:{self._http.server_address[1]}"
        self.environment = {"HTTPS_PROXY": proxy, "NO_PROXY": "127.0.0.1", "SSL_CERT_FILE": str(authority.file)}
        self._threads = [
            threading.Thread(target=each.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
            for each in (self._http, self._smtp)
        ]

    def __enter__(self) -> Services:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for server in (self._http, self._smtp):
            server.shutdown()
            server.server_close()

    def of(self, host: str) -> list[Any]:
        """The bodies that a service got, as JSON."""
        return [each.json for each in self.requests if each.host == host]


def _http(services: Services) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        host = ""

        def log_message(self, *_words: Any) -> None:
            """Says nothing."""

        def do_CONNECT(self) -> None:
            self.send_response(200)
            self.end_headers()
            named = type("Handler", (Handler,), {"host": self.path.partition(":")[0]})
            with services._wrap(self.connection) as connection:
                named(connection, self.client_address, self.server)
            self.close_connection = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"] or 0)).decode()
            services.requests.append(Request(self.host, self.path, body))
            status = services.status.get(self.host, 200)
            answer = (
                b""
                if status == 204
                else b"ok"
                if self.host == "hooks.slack.com"
                else b'{"ok": true, "status": "success", "requestId": "1"}'
            )
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    return Handler


def _smtp(services: Services) -> type[socketserver.BaseRequestHandler]:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self._say("220 tests ready")
            while line := self.rfile.readline().decode():
                word = line.split()[0].upper() if line.split() else ""
                if word == "DATA":
                    self._say("354 go on")
                    services.mails.append(message_from_string(self._data(), policy=policy.default))
                self._say(
                    {"EHLO": "250-tests\r\n250 AUTH PLAIN LOGIN", "AUTH": "235 known", "QUIT": "221 bye"}.get(word, "250 ok")
                )
                if word == "QUIT":
                    return

        def _data(self) -> str:
            lines = []
            while (line := self.rfile.readline().decode()) not in {".\r\n", ""}:
                lines.append(line.removeprefix(".") if line.startswith("..") else line)
            return "".join(lines).replace("\r\n", "\n")

        def _say(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

    return Handler
