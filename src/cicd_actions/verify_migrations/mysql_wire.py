"""Speaks MySQL's protocol to the scratch server, as `wire` speaks PostgreSQL's.

https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html (protocol 4.1, text results).
"""

from __future__ import annotations

import hashlib
import re
import socket
import ssl
import struct
from collections.abc import Iterator

from cicd_actions.toolkit.errors import Inconclusive
from cicd_actions.verify_migrations.wire import Address, Connection, Row, ServerError, unreachable

_WANTED = 0x1 | 0x8 | 0x200 | 0x2000 | 0x8000 | 0x10000 | 0x20000 | 0x80000
"""Capabilities: a database at the start, protocol 4.1, several statements at once, authentication by plugins."""

_TLS = 0x800
_MORE = 0x8
_UTF8MB4 = 45
_LARGEST = 0xFFFFFF

_STATES = {
    "42P01": (1146,),
    "3F000": (1049,),
    "42703": (1054,),
    "23502": (1048, 1364),
    "23503": (1451, 1452),
    "23505": (1062,),
    "23514": (3819, 4025),
    "42501": (1142, 1143, 1370),
    "42883": (1305,),
    "22001": (1406,),
    "22003": (1264,),
    "22007": (1292,),
    "22P02": (1265, 1366),
}
"""MySQL's numbers by PostgreSQL's SQLSTATE: https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html"""

CODES = {number: state for state, numbers in _STATES.items() for number in numbers}
_COLUMN = re.compile(r"Column '(?P<column>[^']+)' cannot be null|Field '(?P<field>[^']+)' doesn't have a default value")
_CONSTRAINT = re.compile(
    r"CONSTRAINT `(?:[^`]*`?\.`?)?(?P<one>[^`.]+)` failed|[Cc]heck constraint '(?P<two>[^']+)' is violated"
)


class Wire(Connection):
    """One session. `query` sends a statement as it is."""

    def __init__(self, address: Address, *, timeout: float = 120.0) -> None:
        self._buffer = bytearray()
        self._count = 0
        try:
            self._socket: socket.socket = socket.create_connection((address.host, address.port), timeout)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._log_in(address)
        except (OSError, struct.error, ServerError) as error:
            raise unreachable(address, error) from None

    def close(self) -> None:
        """Ends the session."""
        try:
            self._command(b"\x01")
        except OSError:
            pass
        finally:
            self._socket.close()

    def query(self, statement: str) -> list[Row]:
        """Returns the rows of the last result. Raises `ServerError`, and `Inconclusive` when the server is gone."""
        try:
            self._command(b"\x03" + statement.encode("utf-8", "replace"))
            found, more = self._result()
            while more:
                found, more = self._result()
        except (OSError, struct.error) as error:
            raise Inconclusive(f"The scratch server did not answer: {error}.") from None
        return found

    def _result(self) -> tuple[list[Row], bool]:
        head = self._packet()
        if head[0] == 0:
            _, at = _whole(head, 1)
            _, at = _whole(head, at)
            return [], bool(head[at] & _MORE)
        for _ in range(_whole(head, 0)[0] + 1):
            self._packet()
        found: list[Row] = []
        while True:
            packet = self._packet()
            if packet[0] == 0xFE and len(packet) < 9:
                return found, bool(packet[3] & _MORE)
            found.append(tuple(_values(packet)))

    def _log_in(self, address: Address) -> None:
        greeting = self._packet()
        at = greeting.index(b"\0", 1) + 5
        salt = greeting[at : at + 8] + greeting[at + 27 : at + 39]
        offered = struct.unpack("<H", greeting[at + 9 : at + 11])[0]
        plugin = greeting[at + 27 :].partition(b"\0")[2].strip(b"\0") or b"mysql_native_password"
        wanted = _WANTED | (offered & _TLS)
        start = struct.pack("<IIB23x", wanted, _LARGEST, _UTF8MB4)
        if wanted & _TLS:
            self._put(start)
            context = ssl.create_default_context()
            # A server of tests signs its certificate itself.
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self._socket = context.wrap_socket(self._socket, server_hostname=address.host)
        proven = proof(plugin, address.password, salt)
        names = address.user.encode() + b"\0" + bytes([len(proven)]) + proven + address.database.encode() + b"\0"
        self._put(start + names + plugin + b"\0")
        while (answer := self._packet())[0] != 0:
            if answer[0] == 0xFE:
                plugin, _, rest = answer[1:].partition(b"\0")
                self._put(proof(plugin, address.password, rest.rstrip(b"\0")))
            elif answer[:2] == b"\x01\x04":  # the server has not seen this password before
                if not wanted & _TLS:
                    raise OSError("the server wants the password itself, and does not offer TLS")
                self._put(address.password.encode() + b"\0")

    def _command(self, body: bytes) -> None:
        self._count = 0
        self._put(body)

    def _put(self, body: bytes) -> None:
        while True:
            piece, body = body[:_LARGEST], body[_LARGEST:]
            self._socket.sendall(struct.pack("<I", len(piece))[:3] + bytes([self._count % 256]) + piece)
            self._count += 1
            if len(piece) < _LARGEST:
                return

    def _packet(self) -> bytes:
        body, size = b"", _LARGEST
        while size == _LARGEST:
            head = self._read(4)
            size, self._count = int.from_bytes(head[:3], "little"), head[3] + 1
            body += self._read(size)
        if body[:1] == b"\xff":
            raise refused(int.from_bytes(body[1:3], "little"), body[3:].decode("utf-8", "replace"))
        return body


def _sha1(text: bytes) -> bytes:
    return hashlib.sha1(
        text, usedforsecurity=False
    ).digest()  # the protocol's: a build of OpenSSL for FIPS refuses it otherwise


def proof(plugin: bytes, password: str, salt: bytes) -> bytes:
    """Returns what proves the password to an authentication plugin. Raises `OSError` for one that is not supported."""
    if not password:
        return b""
    if plugin == b"mysql_native_password":
        inner = _sha1(password.encode())
        outer = _sha1(salt + _sha1(inner))
    elif plugin == b"caching_sha2_password":
        inner = hashlib.sha256(password.encode()).digest()
        outer = hashlib.sha256(hashlib.sha256(inner).digest() + salt).digest()
    else:
        raise OSError(f"the server asks for an authentication method that is not supported ({plugin.decode('latin-1')})")
    return bytes(one ^ two for one, two in zip(inner, outer, strict=True))


def _whole(packet: bytes, at: int) -> tuple[int, int]:
    """Returns the number at a place, and the place behind it."""
    size = {0xFC: 2, 0xFD: 3, 0xFE: 8}.get(packet[at], 0)
    return (int.from_bytes(packet[at + 1 : at + 1 + size], "little") if size else packet[at]), at + 1 + size


def _values(packet: bytes) -> Iterator[str | None]:
    at = 0
    while at < len(packet):
        if packet[at] == 0xFB:
            at += 1
            yield None
            continue
        size, at = _whole(packet, at)
        yield packet[at : at + size].decode("utf-8", "replace")
        at += size


def refused(number: int, words: str) -> ServerError:
    """Returns the error of an ERR packet: its number, and the words behind it."""
    state, message = (words[1:6], words[6:]) if words.startswith("#") else ("", words)
    column, constraint = _COLUMN.search(message), _CONSTRAINT.search(message)
    return ServerError(
        {
            "M": message,
            "C": CODES.get(number, state),
            "c": (column["column"] or column["field"]) if column else "",
            "n": (constraint["one"] or constraint["two"]) if constraint else "",
        }
    )
