"""Raw answers for the differential suite: made of pieces that have names, alone and mixed."""

from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

BODY = b"all is ok, " + b"x" * 50

STATUS = {
    "200": b"HTTP/1.1 200 OK",
    "201": b"HTTP/1.1 201 Created",
    "203": b"HTTP/1.1 203 Other",
    "206": b"HTTP/1.1 206 Partial Content",
    "299": b"HTTP/1.1 299 X",
    "404": b"HTTP/1.1 404 Not Found",
    "418": b"HTTP/1.1 418 I'm a teapot",
    "500": b"HTTP/1.1 500 Internal Server Error",
    "503": b"HTTP/1.1 503 Service Unavailable",
    "599": b"HTTP/1.1 599 X",
    "600": b"HTTP/1.1 600 X",
    "999": b"HTTP/1.1 999 X",
    "no reason": b"HTTP/1.1 200",
    "empty reason": b"HTTP/1.1 200 ",
    "reason in UTF-8": "HTTP/1.1 200 Prêt".encode(),
    "reason in Latin-1": "HTTP/1.1 200 Prêt".encode("latin-1"),
    "reason with a tab": b"HTTP/1.1 200 O\tK",
    "reason with a control": b"HTTP/1.1 200 O\x01K",
    "reason with a NUL": b"HTTP/1.1 200 O\0K",
    "long reason": b"HTTP/1.1 200 " + b"r" * 2000,
    "1.0": b"HTTP/1.0 200 OK",
    "1.2": b"HTTP/1.2 200 OK",
    "1.9": b"HTTP/1.9 200 OK",
    "2.0": b"HTTP/2.0 200 OK",
    "2": b"HTTP/2 200 OK",
    "0.9 in the line": b"HTTP/0.9 200 OK",
    "1.10": b"HTTP/1.10 200 OK",
    "two spaces": b"HTTP/1.1  200 OK",
    "tab for a space": b"HTTP/1.1\t200 OK",
    "lower case": b"http/1.1 200 OK",
    "leading space": b" HTTP/1.1 200 OK",
    "leading line end": b"\r\nHTTP/1.1 200 OK",
    "status of two digits": b"HTTP/1.1 20 OK",
    "status of four digits": b"HTTP/1.1 2000 OK",
    "status 000": b"HTTP/1.1 000 OK",
    "status 099": b"HTTP/1.1 099 OK",
    "negative status": b"HTTP/1.1 -200 OK",
    "status in letters": b"HTTP/1.1 abc OK",
    "no space before the reason": b"HTTP/1.1 200OK",
    "no status": b"HTTP/1.1",
    "icecast": b"ICY 200 OK",
    "SSH": b"SSH-2.0-OpenSSH_9",
    "HTML": b"<html>ok</html>",
    "SMTP": b"220 mail ESMTP",
}

HEADERS = {
    "plain": b"X-A: b\r\n",
    "no space after the colon": b"X-A:b\r\n",
    "many spaces after the colon": b"X-A:    \t b  \t\r\n",
    "empty value": b"X-A:\r\n",
    "space before the colon": b"X-A : b\r\n",
    "tab before the colon": b"X-A\t: b\r\n",
    "space in the name": b"X A: b\r\n",
    "leading space in the first header": b" X-A: b\r\n",
    "parentheses in the name": b"X(A): b\r\n",
    "slash in the name": b"X/A: b\r\n",
    "name in UTF-8": "Größe: 1\r\n".encode(),
    "no name": b": b\r\n",
    "no colon": b"nothing here\r\n",
    "folded": b"X-A: b\r\n c\r\n",
    "folded with a tab": b"X-A: b\r\n\tc\r\n",
    "folded and empty": b"X-A: b\r\n \r\n",
    "line feed alone": b"X-A: b\n",
    "carriage return in a value": b"X-A: b\rX-B: c\r\n",
    "vertical tab in a value": b"X-A: b\x0bc\r\n",
    "form feed in a value": b"X-A: b\x0cc\r\n",
    "control in a value": b"X-A: b\x01c\r\n",
    "delete in a value": b"X-A: b\x7fc\r\n",
    "NUL in a value": b"X-A: b\0c\r\n",
    "NUL in a name": b"X\0A: b\r\n",
    "value in Latin-1": b"X-A: \xe9\r\n",
    "value in UTF-8": "X-A: é\r\n".encode(),
    "long value": b"X-A: " + b"v" * 30000 + b"\r\n",
    "many headers": b"".join(b"X-%d: y\r\n" % number for number in range(300)),
    "a hundred cookies": b"Set-Cookie: a=b; Path=/\r\n" * 100,
    "two types": b"Content-Type: text/plain\r\nContent-Type: text/html\r\n",
    "keep-alive": b"Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n",
    "close": b"Connection: close\r\n",
    "upgrade offered": b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
    "trailer announced": b"Trailer: X-T\r\n",
    "location on 200": b"Location: /elsewhere\r\n",
    "retry-after": b"Retry-After: soon\r\n",
}

INTERIM = {
    "100": b"HTTP/1.1 100 Continue\r\n\r\n",
    "102": b"HTTP/1.1 102 Processing\r\n\r\n",
    "103": b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n",
    "103 with a bad name": b"HTTP/1.1 103 Early Hints\r\nX A: b\r\n\r\n",
    "five of 103": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 5,
    "101": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
}


def _chunked(body: bytes, size: int = 7) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)


_CHUNKED = b"Transfer-Encoding: chunked\r\n"
_LENGTH = b"Content-Length: %d\r\n"

Framing = Callable[[bytes], tuple[bytes, bytes]]

FRAMING: dict[str, Framing] = {
    "length": lambda body: (_LENGTH % len(body), body),
    "until the end": lambda body: (b"", body),
    "chunked": lambda body: (_CHUNKED, _chunked(body) + b"0\r\n\r\n"),
    "chunks in upper case": lambda body: (_CHUNKED, _chunked(body, 11).upper()[:3] + _chunked(body, 11)[3:] + b"0\r\n\r\n"),
    "one chunk": lambda body: (_CHUNKED, _chunked(body, 10**6) + b"0\r\n\r\n"),
    "chunk extensions": lambda body: (_CHUNKED, b"%x;a=b;c\r\n%s\r\n0;d\r\n\r\n" % (len(body), body)),
    "quoted chunk extension": lambda body: (_CHUNKED, b'%x;a="b;c"\r\n%s\r\n0\r\n\r\n' % (len(body), body)),
    "zeros before the size": lambda body: (_CHUNKED, b"000%x\r\n%s\r\n000\r\n\r\n" % (len(body), body)),
    "space after the size": lambda body: (_CHUNKED, b"%x  \r\n%s\r\n0\r\n\r\n" % (len(body), body)),
    "space before the size": lambda body: (_CHUNKED, b" %x\r\n%s\r\n0\r\n\r\n" % (len(body), body)),
    "trailers": lambda body: (_CHUNKED, _chunked(body) + b"0\r\nX-T: u\r\nX-V: w\r\n\r\n"),
    "trailer with a space in the name": lambda body: (_CHUNKED, _chunked(body) + b"0\r\nX T: u\r\n\r\n"),
    "size with 0x": lambda body: (_CHUNKED, b"0x%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)),
    "size that is not a number": lambda body: (_CHUNKED, b"zz\r\n%s\r\n0\r\n\r\n" % body),
    "negative size": lambda body: (_CHUNKED, b"-5\r\n%s\r\n0\r\n\r\n" % body),
    "size beyond 64 bits": lambda body: (_CHUNKED, b"f" * 20 + b"\r\n%s" % body),
    "size that is too small": lambda body: (_CHUNKED, b"3\r\n%s\r\n0\r\n\r\n" % body),
    "chunk without its line end": lambda body: (_CHUNKED, b"%x\r\n%s0\r\n\r\n" % (len(body), body)),
    "line feeds in chunks": lambda body: (_CHUNKED, b"%x\n%s\n0\n\n" % (len(body), body)),
    "no last chunk": lambda body: (_CHUNKED, _chunked(body)),
    "last chunk without its end": lambda body: (_CHUNKED, _chunked(body) + b"0\r\n"),
    "chunk cut": lambda body: (_CHUNKED, _chunked(body)[:-10]),
    "more after the last chunk": lambda body: (_CHUNKED, _chunked(body) + b"0\r\n\r\nHTTP/1.1 500 No\r\n\r\n"),
    "not chunked at all": lambda body: (_CHUNKED, body),
    "Chunked": lambda body: (b"Transfer-Encoding: Chunked\r\n", _chunked(body) + b"0\r\n\r\n"),
    "space before the colon of chunked": lambda body: (b"Transfer-Encoding : chunked\r\n", _chunked(body) + b"0\r\n\r\n"),
    "length and chunked": lambda body: (_LENGTH % 3 + _CHUNKED, _chunked(body) + b"0\r\n\r\n"),
    "transfer identity": lambda body: (b"Transfer-Encoding: identity\r\n", body),
    "transfer identity and length": lambda body: (_LENGTH % len(body) + b"Transfer-Encoding: identity\r\n", body),
    "transfer identity and chunked": lambda body: (b"Transfer-Encoding: identity, chunked\r\n", _chunked(body) + b"0\r\n\r\n"),
    "transfer gzip and chunked": lambda body: (
        b"Transfer-Encoding: gzip, chunked\r\n",
        _chunked(gzip.compress(body, mtime=0)) + b"0\r\n\r\n",
    ),
    "transfer gzip": lambda body: (b"Transfer-Encoding: gzip\r\n", gzip.compress(body, mtime=0)),
    "transfer gzip and length": lambda body: (_LENGTH % 3 + b"Transfer-Encoding: gzip\r\n", gzip.compress(body, mtime=0)),
    "transfer unknown": lambda body: (b"Transfer-Encoding: zip\r\n", body),
    "chunked twice": lambda body: (_CHUNKED * 2, _chunked(body) + b"0\r\n\r\n"),
    "chunked before gzip": lambda body: (b"Transfer-Encoding: chunked, gzip\r\n", _chunked(body) + b"0\r\n\r\n"),
    "empty transfer coding": lambda body: (_LENGTH % len(body) + b"Transfer-Encoding:\r\n", body),
    "too long": lambda body: (_LENGTH % (len(body) + 5), body),
    "too short": lambda body: (_LENGTH % (len(body) - 5), body),
    "length 0": lambda _: (_LENGTH % 0, b""),
    "length 0 and a body": lambda body: (_LENGTH % 0, body),
    "equal lengths": lambda body: (_LENGTH % len(body) * 2, body),
    "equal lengths in one line": lambda body: (b"Content-Length: %d, %d\r\n" % (len(body), len(body)), body),
    "different lengths": lambda body: (_LENGTH % len(body) + _LENGTH % (len(body) - 3), body),
    "different lengths in one line": lambda body: (b"Content-Length: %d, 7\r\n" % len(body), body),
    "negative length": lambda body: (b"Content-Length: -1\r\n", body),
    "length with a plus": lambda body: (b"Content-Length: +%d\r\n" % len(body), body),
    "length in hexadecimal": lambda body: (b"Content-Length: 0x%x\r\n" % len(body), body),
    "length and letters": lambda body: (b"Content-Length: %dabc\r\n" % len(body), body),
    "length in letters": lambda body: (b"Content-Length: abc\r\n", body),
    "empty length": lambda body: (b"Content-Length:\r\n", body),
    "zeros before the length": lambda body: (b"Content-Length: 00%d\r\n" % len(body), body),
    "length of 30 digits": lambda body: (b"Content-Length: %s\r\n" % (b"9" * 30), body),
    "space before the colon of the length": lambda body: (b"Content-Length : %d\r\n" % len(body), body),
    "no body": lambda _: (b"", b""),
}

Coding = Callable[[bytes], tuple[bytes, bytes]]


def _gzip(body: bytes) -> bytes:
    return gzip.compress(body, mtime=0)


def _deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


def _named(name: bytes, pack: Callable[[bytes], bytes] = bytes) -> Coding:
    return lambda body: (b"Content-Encoding: %s\r\n" % name, pack(body))


CODINGS: dict[str, Coding] = {
    "none at all": lambda body: (b"", body),
    "identity": _named(b"identity"),
    "none": _named(b"none"),
    "UTF-8": _named(b"UTF-8"),
    "empty": _named(b""),
    "gzip": _named(b"gzip", _gzip),
    "GZIP": _named(b"GZIP", _gzip),
    "x-gzip": _named(b"x-gzip", _gzip),
    "deflate": _named(b"deflate", zlib.compress),
    "raw deflate": _named(b"deflate", _deflate),
    "gzip, identity": _named(b"gzip, identity", _gzip),
    "identity, gzip": _named(b"identity, gzip", _gzip),
    "none, gzip": _named(b"none, gzip", _gzip),
    "UTF-8, gzip": _named(b"UTF-8, gzip", _gzip),
    "gzip, gzip": _named(b"gzip, gzip", lambda body: _gzip(_gzip(body))),
    "deflate, gzip": _named(b"deflate, gzip", lambda body: _gzip(zlib.compress(body))),
    "gzip, deflate": _named(b"gzip, deflate", lambda body: zlib.compress(_gzip(body))),
    "six layers": _named(b"gzip, gzip, gzip, gzip, gzip, gzip", lambda body: _gzip(_gzip(_gzip(_gzip(_gzip(_gzip(body))))))),
    "two headers": lambda body: (b"Content-Encoding: deflate\r\nContent-Encoding: gzip\r\n", _gzip(zlib.compress(body))),
    "gzip and a comma": _named(b"gzip,", _gzip),
    "gzip of two members": _named(b"gzip", lambda body: _gzip(body[:9]) + _gzip(body[9:])),
    "gzip and zeros": _named(b"gzip", lambda body: _gzip(body) + bytes(4)),
    "gzip and garbage": _named(b"gzip", lambda body: _gzip(body) + b"garbage that follows"),
    "gzip cut": _named(b"gzip", lambda body: _gzip(body)[:-12]),
    "gzip without its checksum": _named(b"gzip", lambda body: _gzip(body)[:-8]),
    "gzip with a wrong checksum": _named(b"gzip", lambda body: _gzip(body)[:-8] + b"\1\2\3\4" + _gzip(body)[-4:]),
    "gzip of nothing": _named(b"gzip", lambda _: _gzip(b"")),
    "not gzip": _named(b"gzip"),
    "not deflate": _named(b"deflate"),
    "gzip with a file name": _named(
        b"gzip", lambda body: _gzip(body)[:3] + b"\x08" + _gzip(body)[4:10] + b"f\0" + _gzip(body)[10:]
    ),
    "unknown": _named(b"rot13"),
    "unknown and gzip": _named(b"rot13, gzip", _gzip),
}

LOCATIONS = [
    "/x", "x", "x/y?z", "../x", "../../x", "../../../x", "./x", ".", "..", "/a/./b/../c", "/a//b", "//127.0.0.2/x",
    "//127.0.0.2:81/x", "?x", "?", "#x", "/x#y", "", " /x ", "/x y", "/x%20y", "/x?y z", "/caf\u00e9", "/x?caf\u00e9",
    "/%zz", "/x%", "/x|y", "/x{y}", "/x[y]", "/x^y", "/x`y", '/x"y', "/x<y>", "/x'y", "/x\\y", "\\x",
    "\\\\127.0.0.2\\x", "/x;y=z", "/x:y", "x:y", "/x@y", "/x,y", "/~x", "/x*", "http://127.0.0.2/x",
    "HTTP://127.0.0.2/x", "http://127.0.0.2:80/x", "http://127.0.0.2:081/x", "http://127.0.0.2", "http://127.0.0.2?x",
    "http://127.0.0.2#x", "http:/x", "http:x", "http:///x", "http://", "https://127.0.0.2/x", "https://127.0.0.2:443/x",
    "http://EXAMPLE.com/X", "http://example.com./x", "http://example.com:/x", "http://example.com:0/x",
    "http://example.com:99999/x", "http://example.com:abc/x", "http://u:p@example.com/x", "http://u@example.com/x",
    "http://:p@example.com/x", "http://@example.com/x", "http://b\u00fccher.example/x", "http://stra\u00dfe.example/x",
    "http://\u2603.example/x", "http://xn--bcher-kva.example/x", "http://[::1]/x", "http://[::1]:81/x",
    "http://[0:0:0:0:0:0:0:1]/x", "http://[::1/x", "http://::1/x", "http://[fe80::1%25eth0]/x", "http://127.1/x",
    "http://2130706433/x", "http://0x7f.1/x", "http://0177.0.0.1/x", "http://1.2.3.256/x", "http://a_b.example/x",
    "http://-a.example/x", "http://a..example/x", "http://exa mple.com/x", "http://ex%61mple.com/x",
    "http://example.com\\x", "http://example.com\\@example.org/x", "ftp://127.0.0.2/x", "javascript:alert(1)",
    "data:text/plain,ok", "mailto:a@b.c", "file:///etc/passwd", "unix:/x", "://x", "x\ty", "\u00a0/x", "/x\u00a0y",
    "/" + "x" * 3000, "http://" + "a" * 64 + ".example/x", "http://" + "a." * 130 + "example/x",
]  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One raw answer, and the names of its pieces."""

    pieces: tuple[str, ...]
    raw: bytes

    def __str__(self) -> str:
        return " + ".join(self.pieces)


def answer(
    status: str = "200", headers: tuple[str, ...] = (), framing: str = "length", coding: str = "none at all", interim: str = ""
) -> bytes:
    coded, packed = CODINGS[coding](BODY)
    framed, sent = FRAMING[framing](packed)
    head = STATUS[status] + b"\r\n" + b"".join(HEADERS[name] for name in headers)
    return INTERIM.get(interim, b"") + head + framed + coded + b"\r\n" + sent


def _redirect(status: bytes, location: bytes) -> bytes:
    return b"HTTP/1.1 %s Found\r\nContent-Length: 0\r\nLocation: %s\r\n\r\n" % (status, location)


def alone() -> Iterator[Case]:
    """Every piece in an answer that is right otherwise."""
    yield from (Case((f"status: {name}",), answer(status=name)) for name in STATUS)
    yield from (Case((f"header: {name}",), answer(headers=(name,))) for name in HEADERS)
    yield from (Case((f"interim: {name}",), answer(interim=name)) for name in INTERIM)
    yield from (Case((f"framing: {name}",), answer(framing=name)) for name in FRAMING)
    yield from (Case((f"coding: {name}",), answer(coding=name)) for name in CODINGS)
    yield from (Case((f"location: {text}",), _redirect(b"302", text.encode())) for text in LOCATIONS)
    for status in (b"300", b"301", b"303", b"304", b"305", b"306", b"307", b"308", b"310", b"399", b"201"):
        yield Case((f"redirect {status.decode()}",), _redirect(status, b"/x"))
    yield Case(("location: in Latin-1",), _redirect(b"302", "/café".encode("latin-1")))
    yield Case(("location: two that differ",), _redirect(b"302", b"/x\r\nLocation: /y"))
    yield Case(("location: twice the same",), _redirect(b"302", b"/x\r\nLocation: /x"))
    yield Case(("location: space before the colon",), _redirect(b"302", b"").replace(b"Location: ", b"Location : /x"))
    yield Case(("location: none",), b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n")
    yield Case(("nothing",), b"")
    yield Case(("line ends",), b"\r\n\r\n\r\n")
    yield Case(("status line alone",), b"HTTP/1.1 200 OK\r\n")
    yield Case(("head cut",), b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-")
    yield Case(("line feeds alone",), b"HTTP/1.1 200 OK\nContent-Length: 5\n\nok ok")
    yield Case(("204 with a body",), b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nok ok")
    yield Case(("205 with a body",), b"HTTP/1.1 205 Reset\r\nContent-Length: 5\r\n\r\nok ok")
    yield Case(("304 with a body",), b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nok ok")
    yield Case(("204 chunked",), b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
    yield Case(("interim alone",), b"HTTP/1.1 103 Early Hints\r\n\r\n")
    yield Case(("thirty interim answers",), INTERIM["100"] * 30 + answer())
    yield Case(("head of 80 KiB",), answer(headers=("long value",) * 3)[:90000])
    yield Case(("body of 70 KiB",), b"HTTP/1.1 200 OK\r\nContent-Length: 71680\r\n\r\n" + b"ok" * 35840)


def mixed(count: int, seed: int) -> Iterator[Case]:
    """Answers of pieces drawn by chance, the same ones each time."""
    chance = random.Random(seed)  # noqa: S311 - nothing here is secret
    for _ in range(count):
        status, framing, coding = (chance.choice(list(pieces)) for pieces in (STATUS, FRAMING, CODINGS))
        status = status if chance.random() < 0.3 else "200"
        framing = framing if chance.random() < 0.6 else chance.choice(["length", "chunked", "until the end"])
        coding = coding if chance.random() < 0.6 else "none at all"
        if framing == "too short":  # it would cut the checksum of a gzip, which is another piece
            coding = "none at all"
        headers = tuple(chance.sample(list(HEADERS), chance.choice([0, 1, 1, 2, 3])))
        interim = chance.choice([*INTERIM]) if chance.random() < 0.1 else ""
        names = [f"status: {status}", *(f"header: {name}" for name in headers), f"framing: {framing}", f"coding: {coding}"]
        names += [f"interim: {interim}"] if interim else []
        yield Case(tuple(names), answer(status, headers, framing, coding, interim))
