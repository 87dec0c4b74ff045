"""Shares by counts of replicas, and what a stage on a Swarm is then: pure functions."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.engines import replica_share
from cicd_actions.engines.stage_labels import STAGE, UNTIL
from cicd_actions.engines.staged_replicas import emptied, has_names, sharing


@given(wanted=st.floats(0.01, 99.99), old=st.integers(1, 500))
def test_replicas_give_at_most_the_share_and_one_more_would_exceed_it(wanted: float, old: int) -> None:
    new = replica_share.replicas(wanted, old)
    assert new >= 1
    if wanted >= replica_share.smallest(old):
        assert replica_share.percent(new, old) <= wanted + 1e-6
    assert replica_share.percent(new + 1, old) > wanted - 1e-6


@given(old=st.integers(1, 200), new=st.integers(1, 200))
def test_share_that_replicas_give_becomes_the_same_replicas(old: int, new: int) -> None:
    assert replica_share.replicas(replica_share.percent(new, old), old) == new


def test_share_of_no_replica_is_nothing() -> None:
    assert replica_share.percent(0, 0) == 0
    assert replica_share.percent(1, 3) == replica_share.smallest(3) == 25
    assert replica_share.percent(2, 0) == 100


def spec(name: str, *aliases: str, replicas: int = 3) -> dict[str, Any]:
    return {
        "Name": name,
        "Labels": {STAGE: "api", UNTIL: "99"},
        "Mode": {"Replicated": {"Replicas": replicas}},
        "TaskTemplate": {"Networks": [{"Target": "n1", "Aliases": list(aliases)}, {"Target": "n2"}], "ContainerSpec": {}},
    }


def test_stage_gets_the_names_of_the_service_with_its_first_share_and_loses_them_without_one() -> None:
    first, stage = spec("shop_api", "api"), spec("shop_api-next", "api-next")
    assert not has_names(stage["TaskTemplate"], first)
    shared = sharing(stage, first, "api", 50, 1)
    assert shared["Mode"]["Replicated"]["Replicas"] == 3
    assert shared["TaskTemplate"]["Networks"] == [
        {"Target": "n1", "Aliases": ["api-next", "api", "shop_api"]},
        {"Target": "n2", "Aliases": ["api-next", "shop_api"]},
    ]
    assert has_names(shared["TaskTemplate"], first)
    assert shared["UpdateConfig"]["Order"] == "start-first", "a replica without the names goes once its successor is healthy"
    assert sharing(shared, first, "api", 50, 1) == shared, "run again, it replaces no replica"
    alone = sharing(shared, first, "api", 0, 1)
    assert not has_names(alone["TaskTemplate"], first)
    assert alone["Mode"] == shared["Mode"]
    assert stage == spec("shop_api-next", "api-next"), "the specification that was read stays"


def test_share_follows_what_the_service_wants_now() -> None:
    stage = spec("shop_api-next", "api-next")
    wanted = [sharing(stage, spec("shop_api", replicas=old), "api", 25, 1)["Mode"]["Replicated"]["Replicas"] for old in (3, 6)]
    assert wanted == [1, 2]


def test_stage_without_replicas_counts_as_expired() -> None:
    empty = emptied(spec("shop_api-next"))
    assert empty["Mode"]["Replicated"]["Replicas"] == 0
    assert empty["Labels"] == {STAGE: "api"}
