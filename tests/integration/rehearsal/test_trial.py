"""The rehearsal's runner, on two faults: what it reports is what happened."""

from __future__ import annotations

import pytest

from rehearsal import trial
from rehearsal.faults import BY_NAME
from rehearsal.world import World

pytestmark = [pytest.mark.docker, pytest.mark.swarm, pytest.mark.postgres, pytest.mark.network]


def test_deploy_of_a_release_that_crashes_is_red_and_the_old_one_answers(world: World) -> None:
    outcome = trial.run(world, BY_NAME["crash"], trial.OURS)
    assert (outcome.verdict, outcome.right, outcome.served, outcome.left) == ("fail", True, "old", []), outcome.log
    assert outcome.requests > 0 == outcome.failed
    assert outcome.back == 0.0
    assert outcome.detected is not None
    assert {"start", "roll-out", "finish"} <= set(outcome.steps)
    assert not {"gate", "roll-back"} & set(outcome.steps), "they were skipped"
    assert "cannot start: SEARCH_URL is not set" in outcome.log


def test_plain_pipeline_takes_a_wrong_body_for_a_pass(world: World) -> None:
    outcome = trial.run(world, BY_NAME["wrong-body"], trial.PLAIN)
    assert (outcome.verdict, outcome.right, outcome.served_right) == ("pass", False, False), outcome.log
    assert outcome.back is None, "the old release never answered again"
