"""Latencies of two releases from a server that answers as Prometheus does."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from cicd_actions.canary_analysis.judgement import Judged
from cicd_actions.engines.protocol import Image, Target
from cicd_actions.engines.staged_protocol import Stage
from cicd_actions.roll_out.latency import Latency, histograms
from cicd_actions.roll_out.prometheus import Unreadable, refuse, vector
from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict
from tests.fakes.prometheus import Prometheus, started

QUERY = 'request_seconds_bucket{service="{service}"}'
STAGE = Stage(Target("api", Image("r/api"), "b" * 40), "r/old", "a" * 40, 10.0, "", 0.0)


@pytest.fixture
def prometheus() -> Iterator[Prometheus]:
    with started() as server:
        yield server


def judged(prometheus: Prometheus, runtime: Runtime, new: tuple[int, int, int], old: tuple[int, int, int]) -> Judged:
    """The verdict after these numbers of requests of each release came within 0.1 s, 0.5 s, and at all."""
    prometheus.buckets = {"api": {"one": {"0.1": 7000, "0.5": 7000, "+Inf": 7000}}}
    watched = Latency(prometheus.url, QUERY, STAGE, runtime)
    prometheus.buckets["api"]["one"] = {"0.1": 7000 + old[0], "0.5": 7000 + old[1], "+Inf": 7000 + old[2]}
    prometheus.buckets["api-next"] = {"two": {"0.1": new[0], "0.5": new[1], "+Inf": new[2]}}
    watched.look()
    return watched.judged()


@pytest.fixture
def runtime(make_runtime: object) -> Runtime:
    assert callable(make_runtime)
    found = make_runtime()
    assert isinstance(found, Runtime)
    return found


@pytest.mark.parametrize(
    ("new", "old", "verdict"),
    [
        ((800, 990, 1000), (8000, 9900, 10000), Verdict.PASS),
        ((500, 900, 1000), (8000, 9900, 10000), Verdict.FAIL),
        ((100, 190, 200), (8000, 9900, 10000), Verdict.INCONCLUSIVE),
    ],
)
def test_latencies_since_the_step_began_are_compared(
    prometheus: Prometheus, runtime: Runtime, new: tuple[int, int, int], old: tuple[int, int, int], verdict: Verdict
) -> None:
    found = judged(prometheus, runtime, new, old)
    assert found.verdict is verdict, found.reason
    assert f"{new[2]} requests of the new release, {old[2]} of the old one" in found.reason


def test_latencies_that_cannot_be_read_are_inconclusive(prometheus: Prometheus, runtime: Runtime) -> None:
    prometheus.status = 503
    found = judged(prometheus, runtime, (800, 990, 1000), (8000, 9900, 10000))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "did not answer the query: status 503" in found.reason
    gone = Latency("http://127.0.0.1:1", QUERY, STAGE, runtime)
    assert gone.judged().verdict is Verdict.INCONCLUSIVE


def test_histograms_with_different_buckets_are_inconclusive(prometheus: Prometheus, runtime: Runtime) -> None:
    watched = Latency(prometheus.url, QUERY, STAGE, runtime)
    prometheus.buckets = {"api": {"one": {"0.1": 400, "+Inf": 400}}, "api-next": {"two": {"0.2": 400, "+Inf": 400}}}
    watched.look()
    assert "different buckets" in watched.judged().reason


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", '{"data": {"result": [{"metric": {}, "value": [1, "2"]}]}}', "NaN", "[" * 100_000),
        f'{{"data": {{"result": [{{"metric": {{"le": "1"}}, "value": [1, {"9" * 400}]}}]}}}}',
    ],
    ids=["nothing", "list", "object", "no bound", "NaN", "too deep", "too large"],
)
def test_series_of_another_answer_are_refused(text: str) -> None:
    with pytest.raises((ValueError, Unreadable), match=r"."):
        histograms(vector(text))


def test_answer_without_the_series_of_a_store_that_is_down_is_refused() -> None:
    answer = {"data": {"result": []}, "warnings": ["PromQL info: metric might not be a counter"]}
    assert vector(json.dumps(answer)) == []
    answer["warnings"] = ["receive series from store: rpc error: code = Unavailable"]
    with pytest.raises(ValueError, match="the answer is incomplete, Prometheus warns: receive series from store"):
        vector(json.dumps(answer))


@pytest.mark.parametrize(
    ("address", "query", "said"),
    [
        ("http://prometheus:9090", "", "`latency-query` is not set"),
        ("", QUERY, "`prometheus` is not set"),
        ("prometheus:9090", QUERY, "not an HTTP address"),
        ("http://prometheus:9090", "request_seconds_bucket", "the same series for both"),
    ],
)
def test_inputs_that_cannot_compare_are_refused(runtime: Runtime, address: str, query: str, said: str) -> None:
    with pytest.raises(UnusableInput, match=said):
        refuse(address, {"latency-query": query}, runtime)
    refuse("", {"latency-query": ""}, runtime)
    refuse("http://prometheus:9090", {"latency-query": QUERY}, runtime)
