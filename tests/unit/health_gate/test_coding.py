"""Undoing codings in bounds."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.health_gate.coding import Decoder
from cicd_actions.health_gate.observation import Trouble


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@given(st.binary(max_size=5000), st.integers(1, 700), st.sampled_from(["gzip", "deflate", "raw", "identity"]))
def test_what_was_packed_comes_out_in_any_pieces(data: bytes, piece: int, kind: str) -> None:
    packed = {"gzip": gzip.compress(data), "deflate": zlib.compress(data), "raw": raw_deflate(data), "identity": data}[kind]
    decoder = Decoder("deflate" if kind == "raw" else kind)
    out = b"".join(decoder.decode(packed[at : at + piece], 10**6) for at in range(0, len(packed), piece))
    decoder.end()
    assert out == data


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
    assert Decoder("").unknown == ""


def test_no_body_at_all_is_no_broken_coding() -> None:
    Decoder("gzip").end()
