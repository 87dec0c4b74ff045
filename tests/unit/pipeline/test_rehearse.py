from __future__ import annotations

import json

import pytest

from cicd_actions.pipeline import rehearse
from cicd_actions.pipeline.event import Event
from cicd_actions.pipeline_file import reading
from cicd_actions.pipeline_file.model import Pipeline
from cicd_actions.toolkit.errors import Failed, UnusableInput
from cicd_actions.toolkit.report import Report

SHA = "a" * 40


def pipeline(*environments: dict[str, object], engine: str = "swarm") -> Pipeline:
    described = {
        "version": 1,
        "lanes": {"api": {"checks": {"test": "true"}}},
        "build": {"registry": "registry.example"},
        "images": {"api": {"repository": "registry.example/api"}},
        "services": {"api": {"image": "api", "health": {"path": "/health"}}},
        "release": {"engine": engine, "stack": "shop", "roll-out-command": "true", "environments": list(environments)},
    }
    return reading.parse(json.dumps(described))


def planned(name: str, *environments: dict[str, object], engine: str = "swarm") -> Report:
    return rehearse.plan(
        pipeline(*environments, engine=engine), name, Event("schedule", "refs/heads/main", SHA, "org/app", "main")
    )


STAGING: dict[str, object] = {"name": "staging", "rehearse": True}
LAST: dict[str, object] = {"name": "production"}


def test_rehearsal_breaks_the_release_that_passed_in_the_environment_itself() -> None:
    outputs = planned("staging", STAGING, LAST).outputs
    found = outputs["rehearsal"]
    assert isinstance(found, dict)
    assert (found["promote-from"], found["sha"], found["services"]) == ("staging", SHA, {"api": "api"})
    assert found["registry"] == "registry.example"
    assert found["faults"] == ["missing-image", "crash", "never-ready", "wrong-version"]
    settings = outputs["environment"]
    assert isinstance(settings, dict)
    assert settings["name"] == "staging"


@pytest.mark.parametrize(
    ("engine", "faults"),
    [
        ("docker", ["missing-image", "crash", "never-ready", "wrong-version"]),
        ("kubernetes", ["missing-image", "crash", "wrong-version"]),  # which reads no health check of an image
        ("command", ["crash", "wrong-version"]),
    ],
)
def test_rehearsal_has_the_faults_that_the_engine_notices(engine: str, faults: list[str]) -> None:
    found = planned("staging", STAGING, LAST, engine=engine).outputs["rehearsal"]
    assert isinstance(found, dict)
    assert found["faults"] == faults


@pytest.mark.parametrize(
    ("name", "environments", "why"),
    [
        ("production", [STAGING, {**LAST, "rehearse": True}], "it is the last one of the pipeline"),
        ("staging", [STAGING], "it is the last one of the pipeline"),
        ("eu-prod", [{"name": "eu-prod", "rehearse": True}, LAST], "its name says that it is production"),
        ("Live", [{"name": "Live", "rehearse": True}, LAST], "its name says that it is production"),
        ("staging", [{**STAGING, "approval-environment": "gate"}, LAST], "it has an `approval-environment`"),
        ("staging", [{**STAGING, "start": "manual"}, LAST], "commits reach production without it"),
        ("staging", [{"name": "staging"}, LAST], "its entry does not allow it"),
    ],
)
def test_rehearsal_is_refused(name: str, environments: list[dict[str, object]], why: str) -> None:
    with pytest.raises(Failed) as refused:
        planned(name, *environments)
    assert why in refused.value.what


def test_rehearsal_in_products_is_not_taken_for_production() -> None:
    assert planned("products", {"name": "products", "rehearse": True}, LAST).outputs


def test_rehearsal_in_an_unknown_environment_names_those_there_are() -> None:
    with pytest.raises(UnusableInput) as refused:
        planned("stagin", STAGING, LAST)
    assert "staging, production" in refused.value.fix
