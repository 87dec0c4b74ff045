"""The number in a metric's answer."""

from __future__ import annotations

import asyncio
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.health_gate.answer import Answer
from cicd_actions.health_gate.metric_probe import EMPTY, MetricProber, error_of, read
from cicd_actions.health_gate.network import Network
from cicd_actions.health_gate.targets import HttpRequest, Metric, Target
from cicd_actions.health_gate.urls import parse


def prometheus(kind: str, result: object, status: str = "success", **more: object) -> bytes:
    return json.dumps({"status": status, "data": {"resultType": kind, "result": result}, **more}).encode()


@pytest.mark.parametrize(
    ("body", "values"),
    [
        (b"0.01", [0.01]),
        (b" 5\n", [5.0]),
        (b"1e-3", [0.001]),
        (b"NaN", [math.nan]),
        (b"+Inf", [float("inf")]),
        (prometheus("vector", [{"metric": {}, "value": [1732000000.1, "0.25"]}]), [0.25]),
        (prometheus("vector", [{"value": [1, "1"]}, {"value": [1, "3"]}]), [1.0, 3.0]),
        (prometheus("vector", [{"value": [1, "NaN"]}]), [math.nan]),
        (prometheus("vector", []), []),
        (prometheus("scalar", [1, "7"]), [7.0]),
        (prometheus("scalar", [1, "7"], warnings=["PromQL warning: ratio value should be between -1 and 1"]), [7.0]),
        (prometheus("scalar", [1, "7"], warnings=[], infos=["PromQL info: metric might not be a counter"]), [7.0]),
    ],
)
def test_numbers(body: bytes, values: list[float]) -> None:
    assert read(Answer(200, (), body)) == pytest.approx(values, nan_ok=True)


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
        prometheus("vector", [{"value": [1, "0"]}], warnings=["receive series from store: rpc error: code = Unavailable"]),
    ],
)  # fmt: skip
def test_read_anything_else_raises(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read(Answer(200, (), body))


@given(st.binary(max_size=200))
def test_no_body_breaks_it(body: bytes) -> None:
    try:
        read(Answer(200, (), body))
    except ValueError:
        return


def test_error_of_prometheus_is_its_own_text() -> None:
    refused = {"status": "error", "errorType": "bad_data", "error": "invalid parameter"}
    assert error_of(Answer(400, (), json.dumps(refused).encode())) == "bad_data: invalid parameter"
    assert error_of(Answer(502, (), b"<html>")) == ""


@pytest.mark.parametrize(
    ("metric", "value", "healthy"),
    [
        (Metric(most=0.01), 0.01, True),
        (Metric(most=0.01), 0.02, False),
        (Metric(least=0.99), 0.99, True),
        (Metric(least=0.99), 0.5, False),
        (Metric(least=1, most=3), 2, True),
        (Metric(most=5), float("inf"), False),
        (Metric(least=5), float("-inf"), False),
    ],
)
def test_metric_bounds_are_inclusive(metric: Metric, value: float, healthy: bool) -> None:
    assert (value in metric) is healthy


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"0.004", "value 0.004"),
        (prometheus("vector", [{"value": [1, "1"]}, {"value": [1, "3"]}]), "value 1 to 3 (2 values)"),
        (prometheus("vector", []), EMPTY),
    ],
)
def test_metric_prober_of_a_passing_metric_tells_its_value(body: bytes, said: str) -> None:
    target = Target("errors", metric=Metric(most=5.0, no_data="pass"))
    request = HttpRequest(parse("http://prometheus.example/"))
    prober = MetricProber(target, request, Network({}), float, asyncio.Lock(), addresses=None)
    answer = Answer(200, (), body)
    assert prober._check(answer, 0.0) == ([], None)
    assert prober._came(answer) == said
