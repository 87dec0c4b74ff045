"""The gate against httpx and curl: the same raw answers and URLs, and a reason for each difference."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx
import pytest

from cicd_actions.health_gate.proxies import proxy_for
from cicd_actions.health_gate.urls import parse
from cicd_actions.toolkit.errors import UnusableInput
from tests.harness.clients import SECONDS, Answers, Seen, by_curl, by_gate, by_httpx, curl, curl_version, prober
from tests.integration.health_gate.raw_answers import Case, alone, mixed

SAME_CURL = curl_version().startswith("7.88.")
"""The curl of Debian 12, of which the decisions speak. With another one the comparison with httpx stays exact."""

MIXED = 250
SEED = 20261128

# Whom the gate agrees with where httpx and curl differ, or neither; why; and the pieces of an answer that this is about.
DECISIONS = (
    (
        "httpx",
        "A server that writes another minor version still frames its answer as HTTP/1.1.",
        ("status: 1.2", "status: 1.9"),
    ),
    ("curl", "A proxy may leave the version of HTTP/2 in the line of an answer that is framed as HTTP/1.1.", ("status: 2",)),
    ("curl", "HTTP/0.9 has no status line, so one that names it is garbage.", ("status: 0.9 in the line",)),
    ("curl", "The status is plain in spite of a second space.", ("status: two spaces",)),
    (
        "httpx",
        "A status line must be one: an answer in another protocol may look similar.",
        ("status: lower case", "status: no space before the reason", "status line alone"),
    ),
    (
        "curl",
        "A space before the colon, or a header that nothing can ask for, misleads no reader.",
        (
            "header: space before the colon", "header: tab before the colon", "header: space in the name",
            "header: parentheses in the name", "header: slash in the name", "header: name in UTF-8", "header: no name",
            "interim: 103 with a bad name", "framing: space before the colon of the length",
        ),
    ),
    (
        "curl",
        "RFC 9110, section 5.5, lets a recipient replace these characters in a value by a space.",
        ("header: carriage return in a value", "header: vertical tab in a value", "header: form feed in a value"),
    ),
    ("httpx", "The gate asked for no other protocol.", ("interim: 101",)),
    ("neither", "A server that sends more interim answers than 20 floods.", ("thirty interim answers",)),
    ("httpx", "64 KiB of headers are enough.", ("head of 80 KiB",)),
    (
        "httpx",
        "h11 reads the framing of chunks strictly, and `chunked` comes once (RFC 9112, section 6.1).",
        ("framing: trailer with a space in the name", "framing: line feeds in chunks", "framing: chunked twice"),
    ),
    ("neither", "A space before the colon does not change what a header means (RFC 9112, section 5.1).", (
        "framing: space before the colon of chunked", "location: space before the colon",
    )),
    (
        "curl",
        "A transfer coding that can be undone is undone, and `identity` or none is not a coding.",
        (
            "framing: transfer identity", "framing: transfer identity and length", "framing: transfer identity and chunked",
            "framing: transfer gzip and chunked", "framing: transfer gzip", "framing: transfer gzip and length",
            "framing: empty transfer coding",
        ),
    ),
    (
        "httpx",
        "A length that can be read in two ways may hide a second answer (RFC 9112, section 6.3).",
        (
            "framing: different lengths", "framing: different lengths in one line", "framing: length with a plus",
            "framing: length in hexadecimal", "framing: length and letters", "framing: length of 30 digits",
        ),
    ),
    ("httpx", "A charset in Content-Encoding is a slip that changes nothing.", ("coding: UTF-8", "coding: UTF-8, gzip")),
    ("curl", "x-gzip is gzip (RFC 9110, section 8.4.1.3).", ("coding: x-gzip",)),
    (
        "neither",
        "The gate cannot read such a body, so it does not judge it; it undoes as many layers as curl.",
        ("coding: unknown", "coding: unknown and gzip", "coding: six layers"),
    ),
    (
        "neither",
        "A gzip may have several members (RFC 1952, section 2.2); both others lose the rest.",
        ("coding: gzip of two members",),
    ),
    ("httpx", "Padding after a gzip is ignored, as gzip does.", ("coding: gzip and zeros", "coding: gzip and garbage")),
    ("neither", "A compressed body that ends early is a broken answer, as one without coding is.", (
        "coding: gzip cut", "coding: gzip without its checksum",
    )),
    (
        "httpx",
        "URLs are encoded as WHATWG's standard says; curl leaves these characters alone.",
        ("location: /x{y}", "location: /x`y", 'location: /x"y', "location: /x<y>", "location: /x?y z"),
    ),
    (
        "httpx",
        "RFC 3986, section 5.2.2, keeps path and query for a bare fragment, and urllib for a bare `?` too.",
        ("location: ?", "location: #x"),
    ),
    ("curl", "A Location without a value leads nowhere.", ("location: ",)),
    (
        "httpx",
        "curl shows what it got and fails in the next step; the gate and httpx refuse it at once.",
        (
            "location: x:y", "location: http://example.com:abc/x", "location: http://☃.example/x", "location: http://[::1/x",
            "location: http://::1/x", "location: http://1.2.3.256/x", "location: javascript:alert(1)",
            "location: data:text/plain,ok", "location: mailto:a@b.c",
        ),
    ),
    ("httpx", "curl shows the name as it came and encodes it in the next step.", (
        "location: http://bücher.example/x", "location: http://straße.example/x",
    )),
    (
        "curl",
        "All spellings of an address are one address: NO_PROXY and the guard of metadata services see that one.",
        (
            "location: http://[0:0:0:0:0:0:0:1]/x", "location: http://127.1/x", "location: http://2130706433/x",
            "location: http://0x7f.1/x", "location: http://0177.0.0.1/x",
        ),
    ),
    (
        "neither",
        "No connection can go there, or not over HTTP; the gate says so before it tries.",
        (
            "location: http://example.com:0/x", "location: http://example.com:99999/x", "location: http://a..example/x",
            "location: http://exa mple.com/x", "location: http://ex%61mple.com/x", "location: http://example.com\\x",
            "location: ftp://127.0.0.2/x", "location: file:///etc/passwd", "location: unix:/x", "location: http:///x",
            "location: http://", f"location: http://{'a' * 64}.example/x", f"location: http://{'a.' * 130}example/x",
        ),
    ),
    (
        "neither",
        "References that RFC 3986 does not allow lead to what urllib makes of them; the others differ too.",
        ("location: http:/x", "location: http:x", "location: ://x", "location: x\ty"),
    ),
    (
        "httpx",
        "Only 301, 302, 303, 307 and 308 redirect (RFC 9110, section 15.4); curl names a place for any 3xx.",
        tuple(f"redirect {status}" for status in (300, 304, 305, 306, 310, 399)),
    ),
    ("curl", "Bytes that are not UTF-8 are encoded as they are.", ("location: in Latin-1",)),
    ("neither", "Two places are none; httpx joins them to a third.", ("location: two that differ",)),
    ("curl", "Twice the same place is that place.", ("location: twice the same",)),
)  # fmt: skip

BY_PIECE = {piece: (side, reason) for side, reason, pieces in DECISIONS for piece in pieces}


def ask(cases: Sequence[Case], folder: Path) -> list[tuple[Case, Seen, Seen, Seen]]:
    server = Answers([case.raw for case in cases])
    try:
        urls = [server.url(number) for number in range(len(cases))]
        return list(zip(cases, by_gate(urls), by_httpx(urls), by_curl(urls, folder), strict=True))
    finally:
        server.close()


def side(gate: object, by_the_first: object, by_the_second: object) -> str:
    """Whom the gate agrees with, of httpx and curl."""
    return {(True, True): "both", (True, False): "httpx", (False, True): "curl", (False, False): "neither"}[
        (gate == by_the_first, gate == by_the_second)
    ]


def as_decided(found: str, decided: str) -> bool:
    """Whether this is the listed difference. Another curl may have come to agree with one of the others, or with neither."""
    return found == decided or (not SAME_CURL and (found in {"both", "httpx"} or decided != "both"))


def told(case: Case, *three: Seen) -> str:
    return "\n    ".join([str(case), *(f"{name}: {one}" for name, one in zip(("gate", "httpx", "curl"), three, strict=True))])


def test_each_piece_of_an_answer_is_read_as_httpx_and_curl_do_or_as_decided(tmp_path: Path) -> None:
    wrong = []
    asked = ask(list(alone()), tmp_path)
    for case, *three in asked:
        decided, reason = BY_PIECE.get(case.pieces[0], ("both", "no decision"))
        if not as_decided(side(*three), decided):
            wrong.append(f"{told(case, *three)}\n    decided: {decided} ({reason})")
    assert not wrong, "\n".join(wrong)
    assert set(BY_PIECE) <= {case.pieces[0] for case, *_ in asked}, "a decision is about no answer"
    # The gate passes alone only what this says.
    right = {case.pieces[0] for case, *three in asked if [one.verdict == "right" for one in three] == [True, False, False]}
    assert right == set()


def test_mixed_answers_differ_only_where_one_of_their_pieces_does(tmp_path: Path) -> None:
    wrong = []
    for case, *three in ask(list(mixed(MIXED, SEED)), tmp_path):
        decided = {BY_PIECE[piece][0] for piece in case.pieces if piece in BY_PIECE}
        found = side(*three)
        # What one piece breaks for everybody, no other one repairs. Two decisions may take either side, or none.
        if found != "both" and not any(as_decided(found, each) for each in decided or {"both"}) and len(decided) < 2:
            wrong.append(f"{told(case, *three)}\n    decided: {decided}")
    assert not wrong, "\n".join(wrong)


# URLs as people write them into the input; the host is anywhere, the connection goes to the test's server.
URLS = (
    "http://h.example", "http://h.example/", "http://H.Example/X", "http://h.example?x", "http://h.example/?x#y",
    "http://h.example/#y", "http://h.example:8080/", "http://h.example:80/", "http://h.example:/",
    "http://h.example./", "http://h_h.example/", "http://bücher.example/", "http://straße.example/",
    "http://xn--bcher-kva.example/", "http://ＢÜＣＨＥＲ.example/", "http://日本語.example/", "http://[::1]/",
    "http://[::1]:8080/", "http://[0:0:0:0:0:0:0:1]/", "http://[2001:DB8::1]/", "http://[::ffff:1.2.3.4]/",
    "http://[fe80::1%25eth0]/", "http://127.1/", "http://2130706433/", "http://u:p@h.example/", "http://u@h.example/",
    "http://:p@h.example/", "http://u:@h.example/", "http://@h.example/", "http://u:p:q@h.example/",
    "http://u%40v:p%2Fq@h.example/", "http://ü:ö@h.example/", "http://u:p@q@h.example/", "http://h.example/a/../b",
    "http://h.example/a/./b/", "http://h.example/../../b", "http://h.example/a//b", "http://h.example/a/..",
    "http://h.example/ä", "http://h.example/?ä", "http://h.example/%zz", "http://h.example/%41",
    "http://h.example/a%2Fb", "http://h.example/a|b", "http://h.example/a{b}", "http://h.example/a^b`c",
    "http://h.example/a'b(c)", "http://h.example/a[b]", "http://h.example/a;b=c,d", "http://h.example/a:b@c",
    "http://h.example/~a*b", "http://h.example/?a=b&c=d+e", "http://h.example/?a[b]=c", "http://h.example/?a={b}|c",
    "http://h.example/?a='b'", "http://h.example/?a=?b", "http://h.example//", "http://h.example/a\\b",
)  # fmt: skip

URL_DECISIONS = {
    "http://ＢÜＣＨＥＲ.example/": ("curl", "UTS 46 maps full-width letters before IDNA is applied."),
    "http://[0:0:0:0:0:0:0:1]/": ("curl", "An address has one spelling."),
    "http://127.1/": ("curl", "An address has one spelling."),
    "http://2130706433/": ("curl", "An address has one spelling."),
    "http://[fe80::1%25eth0]/": ("curl", "A zone means something on this machine only (RFC 6874, section 4)."),
    "http://@h.example/": ("httpx", "Neither a user nor a password are no credentials."),
    "http://u:p@q@h.example/": ("httpx", "The last `@` ends the credentials, as in WHATWG's standard."),
    "http://h.example/?ä": ("httpx", "A request line is ASCII."),
    "http://h.example/a{b}": ("httpx", "WHATWG's standard encodes these characters in a path."),
    "http://h.example/a^b`c": ("httpx", "WHATWG's standard encodes the backtick in a path."),
}


def asked_by_gate(url: str, port: int) -> None:
    one = prober(url)
    one.request = replace(one.request, connect_to=("127.0.0.1", port))
    asyncio.run(one.probe(SECONDS))


class _Redirected(httpx.BaseTransport):
    """Sends what httpx made of a URL to the test's server."""

    def __init__(self, port: int) -> None:
        self._port = port

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        with socket.create_connection(("127.0.0.1", self._port)) as connection:
            head = b"GET %s HTTP/1.1\r\n" % request.url.raw_path
            head += b"".join(b"%s: %s\r\n" % each for each in request.headers.raw) + b"\r\n"
            connection.sendall(head)
            connection.recv(1)
        return httpx.Response(200)


def wanted(request: bytes | None) -> tuple[str, ...]:
    """The path, the host and the credentials that a request asks for."""
    if request is None:
        return ("refused",)
    lines = request.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:-2])
    path = re.sub("%[0-9a-f]{2}", lambda match: match[0].upper(), lines[0].split(" ")[1])
    return path, headers["Host"].lower().removesuffix(":80"), headers.get("Authorization", "")


def requests(server: Answers, ask_for: Sequence[Callable[[], object]]) -> list[bytes | None]:
    """What the server was asked for each time, `None` where the client refused."""
    found: list[bytes | None] = []
    for each in ask_for:
        before = len(server.requests)
        with contextlib.suppress(UnusableInput, httpx.InvalidURL, httpx.HTTPError):
            each()
        found.append(server.requests[-1] if len(server.requests) > before else None)
    return found


def requests_of_curl(server: Answers, blocks: Sequence[dict[str, str]], folder: Path) -> list[bytes | None]:
    before = len(server.requests)
    codes = [code for code, *_ in curl([{"output": "/dev/null", **block} for block in blocks], folder)]
    made = iter(server.requests[before:])
    return [next(made) if code == "0" else None for code in codes]


@pytest.fixture
def server() -> Iterator[Answers]:
    answers = Answers([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"])
    yield answers
    answers.close()


def test_urls_are_asked_for_as_httpx_and_curl_do_or_as_decided(server: Answers, tmp_path: Path) -> None:
    with httpx.Client(transport=_Redirected(server.port), trust_env=False) as client:
        by_gate_ = requests(server, [partial(asked_by_gate, url, server.port) for url in URLS])
        by_httpx_ = requests(server, [partial(client.get, url) for url in URLS])
    blocks = [{"url": url, "connect-to": f"::127.0.0.1:{server.port}"} for url in URLS]
    wrong = []
    for url, *three in zip(URLS, by_gate_, by_httpx_, requests_of_curl(server, blocks, tmp_path), strict=True):
        gate, by_the_first, by_the_second = (wanted(each) for each in three)
        decided, reason = URL_DECISIONS.get(url, ("both", "no decision"))
        if not as_decided(side(gate, by_the_first, by_the_second), decided):
            wrong.append(f"{url}: {gate}, httpx {by_the_first}, curl {by_the_second}; decided: {decided} ({reason})")
    assert not wrong, "\n".join(wrong)


# A host, an entry of NO_PROXY, and whether curl and the gate part there.
NO_PROXY = (
    ("h.example", "h.example", ""), ("h.example", "example", ""), ("h.example", ".example", ""),
    ("h.example", "xample", ""), ("h.example", "*", ""), ("h.example", "a,h.example", ""),
    ("h.example", "a, h.example", ""), ("h.example", "a h.example", ""), ("h.example", "a  ,  h.example", ""),
    ("h.example", "a\th.example", ""), ("h.example", "H.EXAMPLE", ""), ("h.example", "h.example.", ""),
    ("h.example.", "h.example", ""), ("h.example", "g.h.example", ""), ("g.h.example", "h.example", ""),
    ("127.0.0.5", "127.0.0.5", ""), ("127.0.0.5", "127.0.0.0/8", ""), ("127.0.0.5", "127.0.0.4/30", ""),
    ("127.0.0.5", "128.0.0.0/8", ""), ("127.0.0.5", "127.0.0.5/32", ""), ("127.5", "127.0.0.5", ""),
    ("127.0.0.5", "0.0.5", ""), ("[::1]", "::1", ""),
    ("[::1]", "fd00::/8", ""), ("[0:0:0:0:0:0:0:1]", "::1", ""), ("127.0.0.5", "h.example", ""),
    ("[::1]", "::/64", "the address is in that network"),
    ("[::1]", "[::1]", "the brackets are those of the URL"),
    ("h.example", "*.example", "httpx and Go take a `*` in front of a name, and so does the gate"),
    ("h.example", "a, *", "httpx and Go take `*` as one of several entries, and so does the gate"),
    ("h.example", "a\nh.example", "a list in YAML has line ends"),
    ("h.example", "h.example:{port}", "Go takes an entry with a port, and so does the gate"),
    ("[::1]", "[::1]:{port}", "Go takes an entry with a port, and so does the gate"),
    ("[::1]", "0:0:0:0:0:0:0:1", "an address is the same in each spelling"),
)  # fmt: skip


def test_no_proxy_is_read_as_curl_does_or_as_decided(server: Answers, tmp_path: Path) -> None:
    blocks, by_the_gate = [], []
    for host, entry, _ in NO_PROXY:
        url, proxy, names = f"http://{host}:{server.port}/", f"http://127.0.0.1:{server.port}", entry.format(port=server.port)
        direct = {} if host.startswith("[") else {"resolve": f"{host}:{server.port}:127.0.0.1"}
        blocks.append({"url": url, "proxy": proxy, "noproxy": names, "connect-timeout": "2", **direct})
        variables = {"http_proxy": proxy, "no_proxy": names}
        by_the_gate.append(proxy_for(parse(url), variables) is not None)
    asked = requests_of_curl(server, blocks, tmp_path)
    by_curl_ = [request is not None and request.startswith(b"GET http://") for request in asked]
    parted = [
        (host, entry) for (host, entry, _), one, other in zip(NO_PROXY, by_the_gate, by_curl_, strict=True) if one != other
    ]
    expected = [(host, entry) for host, entry, reason in NO_PROXY if reason]
    assert parted == expected if SAME_CURL else set(parted) <= set(expected)
