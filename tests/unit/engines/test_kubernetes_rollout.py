"""What a Rollout says: whether it is done, whether Argo gave up, and what would wait for a person."""

from __future__ import annotations

from typing import Any

import pytest

from cicd_actions.engines import kubernetes_rollout as rollouts
from cicd_actions.engines import kubernetes_workload as workloads


def rollout(status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    template = {"spec": {"containers": [{"name": "api", "image": "a:1"}]}}
    metadata = {"name": "api", "generation": 3}
    return {"kind": "Rollout", "metadata": metadata, "spec": {"replicas": 2, "template": template, **spec}, "status": status}


DONE = {"observedGeneration": "3", "phase": "Healthy", "currentPodHash": "b", "stableRS": "b", "replicas": 4}


@pytest.mark.parametrize(
    ("status", "settled", "gave_up"),
    [
        (None, False, False),
        (DONE, True, False),
        ({**DONE, "observedGeneration": "2"}, False, False),
        ({**DONE, "observedGeneration": "6f8c9d"}, False, False),
        ({**DONE, "stableRS": "a"}, False, False),
        ({**DONE, "phase": "Progressing"}, False, False),
        ({**DONE, "phase": "Degraded", "message": "ProgressDeadlineExceeded"}, True, True),
        ({**DONE, "phase": "Degraded", "pauseConditions": [{"reason": "CanaryPauseStep"}]}, False, False),
        ({**DONE, "phase": "Degraded", "abort": True, "pauseConditions": [{"reason": "x"}]}, True, True),
    ],
)
def test_status_of_a_rollout_says_whether_it_is_over(status: dict[str, Any] | None, settled: bool, gave_up: bool) -> None:
    found = rollout(status)
    assert (workloads.settled(found), workloads.gave_up(found)) == (settled, gave_up)
    assert workloads.ready(rollout(DONE)) == 2, "Argo keeps the old pods for a while"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"strategy": {"canary": {"steps": [{"setWeight": 5}, {"pause": {}}]}}}, "its step 2 pauses until somebody promotes"),
        ({"strategy": {"canary": {"steps": [{"pause": None}]}}}, "its step 1 pauses until somebody promotes"),
        ({"strategy": {"blueGreen": {"autoPromotionEnabled": False}}}, "autoPromotionEnabled: false"),
        ({"workloadRef": {"kind": "Deployment", "name": "api-pods"}}, "Deployment api-pods"),
        ({"paused": True}, "it is paused"),
        ({"strategy": {"canary": {"steps": [{"pause": {"duration": "10m"}}, {"setWeight": 50}]}}}, ""),
        ({"strategy": {"blueGreen": {"autoPromotionEnabled": False, "autoPromotionSeconds": 60}}}, ""),
        ({"strategy": {}}, ""),
    ],
)
def test_rollout_that_would_wait_for_a_person_is_refused(spec: dict[str, Any], said: str) -> None:
    refused = workloads.unmovable(rollout(**spec))
    assert said in refused.what if refused is not None and said else (refused is None) == (not said)


def test_said_names_the_step_and_the_message() -> None:
    steps = {"canary": {"steps": [{"setWeight": 5}, {"pause": {"duration": 60}}]}}
    status = {"phase": "Paused", "currentStepIndex": 1, "message": "CanaryPauseStep"}
    assert rollouts.said(rollout(status, strategy=steps)) == "Paused, step 2 of 2. CanaryPauseStep"
    assert rollouts.said(rollout()) == "Progressing"
