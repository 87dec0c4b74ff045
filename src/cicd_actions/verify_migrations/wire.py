"""Speaks PostgreSQL's protocol to the scratch server: one statement at a time, every value as text, no driver to install.

https://www.postgresql.org/docs/current/protocol.html (version 3.0, the simple query flow).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import socket
import ssl
import struct
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit, urlunsplit

from cicd_actions.toolkit.errors import Inconclusive, UnusableInput

_TLS_REQUEST = 80877103
_VERSION = 196608

Row = tuple["str | None", ...]


class ServerError(Exception):
    """The server refused a statement. `fields` are those of its ErrorResponse, by their letter."""

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__(fields.get("M", "unknown error"))
        self.fields = fields

    @property
    def code(self) -> str:
        """The SQLSTATE."""
        return self.fields.get("C", "")

    @property
    def constraint(self) -> str:
        return self.fields.get("n", "")

    @property
    def column(self) -> str:
        return self.fields.get("c", "")


@dataclass(frozen=True)
class Address:
    """A database's URL in parts. `url` keeps its scheme, so that the project's driver stays what it is."""

    url: str
    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str
    tls: str

    @classmethod
    def of(cls, url: str, name: str) -> Address:
        """Reads the URL in the variable `name`. Raises `UnusableInput` for anything but PostgreSQL."""
        try:
            parts = urlsplit(url)
            port = parts.port or 5432
        except ValueError:
            parts, port = urlsplit(""), 0
        if not parts.scheme.startswith("postgres"):
            raise UnusableInput(
                f"The variable {name} does not hold the URL of a PostgreSQL, MySQL or SQLite database.",
                cause="The check runs on PostgreSQL, and without locks on MySQL, MariaDB and SQLite.",
                fix=f"    env:\n      {name}: postgresql://postgres:postgres@localhost:5432/app",
            )
        query = parse_qs(parts.query)
        return cls(
            url,
            unquote(parts.hostname or query.get("host", ["localhost"])[0]),
            port,
            unquote(parts.username or "postgres"),
            unquote(parts.password or ""),
            unquote(parts.path.lstrip("/")) or "postgres",
            query.get("sslmode", query.get("ssl", ["prefer"]))[0],
        )

    @property
    def libpq(self) -> str:
        """Returns the URL as libpq reads it; empty where the database is not PostgreSQL."""
        return f"postgresql:{self.url.partition(':')[2]}" if self.host else ""

    def at(self, database: str) -> Address:
        """Returns the address of another database of the same server. `database` needs no quoting in a URL."""
        url = urlunsplit(urlsplit(self.url)._replace(path=f"/{database}"))
        return Address(url, self.host, self.port, self.user, self.password, database, self.tls)


def unreachable(address: Address, error: Exception) -> Inconclusive:
    """Returns the error for a server that does not let the action in."""
    return Inconclusive(
        f"Could not connect to the scratch server at {address.host}:{address.port}: {error}.",
        fix="Start the lane's database before this step, and give its address in the variable.",
    )


class Connection:
    """One session. `timeout` in seconds is for each read of the socket, not for a whole statement."""

    def __init__(self, address: Address, *, timeout: float = 120.0, settings: dict[str, str] | None = None) -> None:
        self._buffer = bytearray()
        try:
            self._socket = self._opened(address, timeout)
            self._start(address, settings or {})
        except (OSError, struct.error) as error:
            raise unreachable(address, error) from None

    def close(self) -> None:
        try:
            self._socket.sendall(b"X\0\0\0\4")
        except OSError:
            pass
        finally:
            self._socket.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def rows(self, statement: str) -> list[Row]:
        """Returns the rows of the statement's last result. Raises `ServerError`, and `Inconclusive` when the server is gone."""
        try:
            self._send(b"Q", statement.replace("\0", "").encode("utf-8", "replace") + b"\0")
            return self._results()
        except (OSError, struct.error) as error:
            raise Inconclusive(f"The scratch server did not answer: {error}.") from None

    def script(self, text: str) -> None:
        """Runs the user's own SQL. Raises `ServerError`."""
        self.rows(text)

    def value(self, statement: str) -> str | None:
        """Returns the first column of the first row."""
        found = self.rows(statement)
        return found[0][0] if found else None

    def document(self, statement: str) -> Any:
        """Returns the first column of the first row, a JSON document."""
        return json.loads(self.value(statement) or "null")

    def _opened(self, address: Address, timeout: float) -> socket.socket:
        if address.host.startswith("/"):
            unix = socket.socket(socket.AF_UNIX)
            unix.settimeout(timeout)
            unix.connect(f"{address.host}/.s.PGSQL.{address.port}")
            return unix
        plain = socket.create_connection((address.host, address.port), timeout)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if address.tls not in {"require", "verify-ca", "verify-full", "true"}:
            return plain
        plain.sendall(struct.pack("!ii", 8, _TLS_REQUEST))
        if plain.recv(1) != b"S":
            raise OSError("the server does not support TLS")
        context = ssl.create_default_context()
        if address.tls in {"require", "true"}:  # libpq's meaning: encrypted, not verified
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context.wrap_socket(plain, server_hostname=address.host)

    def _start(self, address: Address, settings: dict[str, str]) -> None:
        wanted = {"user": address.user, "database": address.database, "application_name": "verify-migrations", **settings}
        wanted |= {"client_encoding": "UTF8", "DateStyle": "ISO"}
        body = b"".join(part.encode() + b"\0" for pair in wanted.items() for part in pair) + b"\0"
        self._socket.sendall(struct.pack("!ii", len(body) + 8, _VERSION) + body)
        try:
            self._authenticate(address)
            self._results()
        except ServerError as error:
            raise Inconclusive(f"The scratch server refused the connection: {error}.") from None

    def _authenticate(self, address: Address) -> None:
        scram: _Scram | None = None
        while True:
            kind, body = self._message()
            if kind == b"E":
                raise ServerError(_fields(body))
            if kind != b"R":
                continue
            (method,) = struct.unpack("!i", body[:4])
            if method == 0:
                return
            if method == 3:
                self._send(b"p", address.password.encode() + b"\0")
            elif method == 5:
                inner = _md5(f"{address.password}{address.user}".encode())
                outer = _md5(inner.encode() + body[4:8])
                self._send(b"p", f"md5{outer}".encode() + b"\0")
            elif method == 10:
                scram = _Scram(address.password)
                first = scram.first()
                self._send(b"p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(first)) + first)
            elif method == 11 and scram is not None:
                self._send(b"p", scram.final(body[4:]))
            elif method != 12:
                raise OSError(f"the server asks for an authentication method that is not supported ({method})")

    def _results(self) -> list[Row]:
        found: list[Row] = []
        failed: ServerError | None = None
        while True:
            kind, body = self._message()
            if kind == b"T":
                found = []
            elif kind == b"D":
                found.append(_row(body))
            elif kind == b"E":
                failed = ServerError(_fields(body))
                if failed.fields.get("S") in {"FATAL", "PANIC"}:
                    raise failed
            elif kind == b"Z":
                if failed:
                    raise failed
                return found

    def _send(self, kind: bytes, body: bytes) -> None:
        self._socket.sendall(kind + struct.pack("!i", len(body) + 4) + body)

    def _message(self) -> tuple[bytes, bytes]:
        head = self._read(5)
        return head[:1], self._read(struct.unpack("!i", head[1:])[0] - 4)

    def _read(self, count: int) -> bytes:
        while len(self._buffer) < count:
            piece = self._socket.recv(65536)
            if not piece:
                raise OSError("the server closed the connection")
            self._buffer += piece
        found = bytes(self._buffer[:count])
        del self._buffer[:count]
        return found


class _Scram:
    """SCRAM-SHA-256 without channel binding: RFC 5802, RFC 7677."""

    def __init__(self, password: str) -> None:
        self._password = password.encode()
        self._bare = "n=,r=" + base64.b64encode(os.urandom(18)).decode()

    def first(self) -> bytes:
        return b"n,," + self._bare.encode()

    def final(self, challenge: bytes) -> bytes:
        text = challenge.decode()
        told = dict(part.split("=", 1) for part in text.split(","))
        salted = hashlib.pbkdf2_hmac("sha256", self._password, base64.b64decode(told["s"]), int(told["i"]))
        key = hmac.digest(salted, b"Client Key", "sha256")
        proven = f"c=biws,r={told['r']}"
        message = f"{self._bare},{text},{proven}".encode()
        signature = hmac.digest(hashlib.sha256(key).digest(), message, "sha256")
        proof = bytes(one ^ two for one, two in zip(key, signature, strict=True))
        return f"{proven},p={base64.b64encode(proof).decode()}".encode()


def _row(body: bytes) -> Row:
    (count,) = struct.unpack("!h", body[:2])
    at = 2
    values: list[str | None] = []
    for _ in range(count):
        (size,) = struct.unpack("!i", body[at : at + 4])
        at += 4
        if size < 0:
            values.append(None)
            continue
        values.append(body[at : at + size].decode("utf-8", "replace"))
        at += size
    return tuple(values)


def _md5(text: bytes) -> str:
    return hashlib.md5(
        text, usedforsecurity=False
    ).hexdigest()  # the protocol's: a build of OpenSSL for FIPS refuses it otherwise


def _fields(body: bytes) -> dict[str, str]:
    parts = [part.decode("utf-8", "replace") for part in body.split(b"\0") if part]
    return {part[0]: part[1:] for part in parts}


def name(text: str) -> str:
    """Returns an identifier, quoted."""
    return '"' + text.replace('"', '""') + '"'


def literal(text: str | None) -> str:
    """Returns a string constant, or NULL."""
    return "NULL" if text is None else "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
