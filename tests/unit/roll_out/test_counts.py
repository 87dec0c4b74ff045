"""What both releases answered, by Prometheus."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cicd_actions.engines.protocol import EngineUnreachable, Image, Target
from cicd_actions.engines.staged_protocol import Answers, Stage
from cicd_actions.roll_out.counts import ByPrometheus
from cicd_actions.roll_out.prometheus import refuse
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.runtime import Runtime
from tests.fakes.prometheus import started

STAGE = Stage(Target("shop/api", Image("r/api"), "b" * 40), "r/old", "a" * 40, 10.0, "", 0.0)
REQUESTS, ERRORS = 'requests_total{service="{service}"}', 'errors_total{service="{service}"}'


def test_answers_are_counted_by_pod_and_a_pod_without_errors_has_none(make_runtime: Callable[..., Runtime]) -> None:
    with started() as prometheus:
        counting = ByPrometheus(prometheus.url, REQUESTS, ERRORS, make_runtime())
        prometheus.counters = {
            "requests_total": {"shop": {"one": 900, "two": 90}, "shop-next": {"three": 100}},
            "errors_total": {"shop": {"one": 9}, "shop-gone": {"four": 7}},
        }
        found = counting.answers(STAGE, Deadline(9))
        assert sorted(found.values(), key=str) == sorted(
            [
                (Answers(100, 0), Answers(0, 0)),
                (Answers(0, 0), Answers(900, 9)),
                (Answers(0, 0), Answers(90, 0)),
            ],
            key=str,
        )
        prometheus.counters = {}
        assert counting.answers(STAGE, Deadline(9)) == {}, "what was not measured has no errors and no requests"
        prometheus.status = 503
        with pytest.raises(EngineUnreachable, match="status 503"):
            counting.answers(STAGE, Deadline(9))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"requests-query": REQUESTS}, "`errors-query` is not set"),
        ({"errors-query": ERRORS}, "`requests-query` is not set"),
        ({"requests-query": REQUESTS, "errors-query": "errors_total"}, "`errors-query` selects the same series"),
    ],
)
def test_queries_that_cannot_count_are_refused(make_runtime: Callable[..., Runtime], given: dict[str, str], said: str) -> None:
    queries = {"latency-query": "", "requests-query": "", "errors-query": "", **given}
    with pytest.raises(UnusableInput, match=said):
        refuse("http://prometheus:9090", queries, make_runtime())
