"""The number in a metric's answer."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.health_gate.metric_probe import read


def prometheus(kind: str, result: object, status: str = "success", **more: object) -> bytes:
    return json.dumps({"status": status, "data": {"resultType": kind, "result": result}, **more}).encode()


@pytest.mark.parametrize(
    ("body", "values"),
    [
        (b"0.01", [0.01]),
        (b" 5\n", [5.0]),
        (b"1e-3", [0.001]),
        (b"NaN", []),
        (b"+Inf", [float("inf")]),
        (prometheus("vector", [{"metric": {}, "value": [1732000000.1, "0.25"]}]), [0.25]),
        (prometheus("vector", [{"value": [1, "1"]}, {"value": [1, "3"]}]), [1.0, 3.0]),
        (prometheus("vector", [{"value": [1, "NaN"]}]), []),
        (prometheus("vector", []), []),
        (prometheus("scalar", [1, "7"]), [7.0]),
    ],
)
def test_numbers(body: bytes, values: list[float]) -> None:
    assert read(body) == values


@pytest.mark.parametrize(
    "body",
    [
        b"", b"ok", b"<html>", b"[1]", b"{}", b"[" * 100000,
        prometheus("matrix", []),
        prometheus("string", [1, "x"]),
        prometheus("vector", [{"value": [1, "x"]}]),
        prometheus("vector", [{"value": "1"}]),
        prometheus("vector", [7]),
        prometheus("vector", [], status="error", error="parse error"),
    ],
)  # fmt: skip
def test_what_is_no_number_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read(body)


@given(st.binary(max_size=200))
def test_no_body_breaks_it(body: bytes) -> None:
    try:
        read(body)
    except ValueError:
        return
