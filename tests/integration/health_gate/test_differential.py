"""The gate against httpx and curl: the same raw answers and URLs, and a reason for each difference."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.harness.clients import Answers, Seen, by_curl, by_gate, by_httpx
from tests.integration.health_gate.raw_answers import Case, alone, mixed

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
        "A transfer coding that can be undone is undone, and `identity` or none is no coding.",
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


def side(gate: Seen, httpx: Seen, curl: Seen) -> str:
    """Whom the gate agrees with."""
    return {(True, True): "both", (True, False): "httpx", (False, True): "curl", (False, False): "neither"}[
        (gate == httpx, gate == curl)
    ]


def told(case: Case, gate: Seen, httpx: Seen, curl: Seen) -> str:
    return f"{case}\n    gate:  {gate}\n    httpx: {httpx}\n    curl:  {curl}"


def test_each_piece_of_an_answer_is_read_as_httpx_and_curl_do_or_as_decided(tmp_path: Path) -> None:
    wrong = []
    asked = ask(list(alone()), tmp_path)
    for case, *three in asked:
        decided, reason = BY_PIECE.get(case.pieces[0], ("both", "no decision"))
        if side(*three) != decided:
            wrong.append(f"{told(case, *three)}\n    decided: {decided} ({reason})")
    assert not wrong, "\n".join(wrong)
    assert set(BY_PIECE) <= {case.pieces[0] for case, *_ in asked}, "a decision is about no answer"
    # The gate passes alone only what this says.
    right = {case.pieces[0] for case, *three in asked if [one.verdict == "right" for one in three] == [True, False, False]}
    assert right == set()


def test_mixed_answers_differ_only_where_one_of_their_pieces_does(tmp_path: Path) -> None:
    wrong = []
    for case, gate, httpx, curl in ask(list(mixed(MIXED, SEED)), tmp_path):
        decided = {BY_PIECE[piece][0] for piece in case.pieces if piece in BY_PIECE}
        found = side(gate, httpx, curl)
        # What one piece breaks for everybody, no other one repairs. Two decisions may take either side, or none.
        if found != "both" and (not decided or (len(decided) == 1 and found not in decided)):
            wrong.append(f"{told(case, gate, httpx, curl)}\n    decided: {decided}")
    assert not wrong, "\n".join(wrong)
