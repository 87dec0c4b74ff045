"""rehearsal.yml on a Swarm: a team's good release is broken, found out, and answers again."""

from __future__ import annotations

import dataclasses
import json

import pytest

from cicd_actions.pipeline import rehearse
from rehearsal import place as places
from rehearsal.faults import BY_NAME
from rehearsal.job import ROOT, Job
from rehearsal.trial import job_of
from rehearsal.world import World
from tests.fakes.github import deployments
from tests.harness.releases import KEY

pytestmark = [pytest.mark.docker, pytest.mark.swarm, pytest.mark.postgres, pytest.mark.network]
QUICK = dataclasses.replace(BY_NAME["none"], migration=None, release={"gate": {"timeout": "5s"}})


def rehearsed(place: places.Place, fault: str) -> Job:
    planned = rehearse.plan(place.pipeline(QUICK, place.old), places.ENVIRONMENT, place.event(place.old))
    outputs = {"settings": json.dumps(planned.outputs["environment"]), "rehearsal": json.dumps(planned.outputs["rehearsal"])}
    job = job_of(
        place,
        place.old,
        ROOT / ".github/workflows/rehearsal.yml",
        "rehearse",
        inputs={"environment": places.ENVIRONMENT},
        needs={"plan": {"result": "success", "outputs": outputs}},
        matrix={"fault": fault},
        secrets={"RECORD_KEY": KEY, "RELEASE_ENV": f"DATABASE_URL={place.database_url}"},
    )
    job.run()
    return job


def test_rehearsal_finds_a_wrong_version_and_the_good_release_answers_again(world: World) -> None:
    with places.made(world, world.old) as place:
        wrong = rehearsed(place, "wrong-version")
        assert wrong.status == "success", wrong.log
        assert wrong.steps["gate"].outputs["verdict"] == "fail"
        assert wrong.steps["roll-back"].outputs["rolled-back"] == "true"
        assert place.serving(place.old) == "old"
        assert place.left() == []
        tasks = [each["task"] for each in deployments.kept(place.github, "org/app").deployments]
        assert "cicd-actions:quarantined" not in tasks, "a rehearsal condemns no release"
