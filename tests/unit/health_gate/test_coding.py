"""Undoing codings in bounds."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.health_gate.coding import Decoder
from cicd_actions.health_gate.observation import Trouble


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress, "deflate": zlib.compress, "raw": raw_deflate, "identity": bytes, "none": bytes, "utf-8": bytes,
    "gzip, gzip": lambda data: gzip.compress(gzip.compress(data)),
    "deflate, identity, x-gzip": lambda data: gzip.compress(raw_deflate(data)),
    "members": lambda data: gzip.compress(data[:9]) + gzip.compress(data[9:]),
    "padded": lambda data: gzip.compress(data) + bytes(5),
}  # fmt: skip
NAMES = {"raw": "deflate", "members": "gzip", "padded": "gzip"}


@given(st.binary(max_size=3000), st.integers(1, 700), st.sampled_from(sorted(PACKED)))
def test_decode_in_any_pieces_gives_what_was_packed(data: bytes, piece: int, kind: str) -> None:
    packed = PACKED[kind](data)
    decoder = Decoder(NAMES.get(kind, kind))
    out = b"".join(decoder.decode(packed[at : at + piece], 10**6) for at in range(0, len(packed), piece))
    decoder.end()
    assert out == data
    assert not decoder.unknown


def test_decode_bomb_in_a_bomb_ends_early() -> None:
    # The outer layer unfolds to a gzip whose name of a file never ends: nothing comes out, however much goes in.
    inner = gzip.compress(b"")[:3] + b"\x08" + gzip.compress(b"")[4:10] + b"x" * 20_000_000
    with pytest.raises(Trouble, match="unfolds to more than 16 MiB"):
        Decoder("gzip, gzip").decode(gzip.compress(inner), 1000)


def test_a_bomb_gives_no_more_than_there_is_room_for() -> None:
    assert len(Decoder("gzip").decode(gzip.compress(b"\0" * 50_000_000), 1000)) == 1000


def test_a_coding_that_ends_in_the_middle_is_said() -> None:
    decoder = Decoder("gzip")
    decoder.decode(gzip.compress(b"x" * 1000)[:-4], 10**6)
    with pytest.raises(Trouble, match="ends in the middle"):
        decoder.end()


def test_what_is_not_what_it_says_is_said() -> None:
    with pytest.raises(Trouble, match="claims to be gzip"):
        Decoder("gzip").decode(b"<html>", 10**6)


def test_other_codings_are_named() -> None:
    assert Decoder("br").unknown == "br"
    assert Decoder("gzip, br").unknown == "gzip, br"
    assert Decoder("gzip, gzip, gzip, gzip, gzip, gzip").unknown
    assert Decoder("").unknown == ""


def test_no_body_at_all_is_no_broken_coding() -> None:
    Decoder("gzip").end()
