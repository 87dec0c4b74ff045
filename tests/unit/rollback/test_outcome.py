"""What a rollback that did not end says to the person who goes on by hand."""

from __future__ import annotations

import io

import pytest

from cicd_actions.engines.inputs import connected
from cicd_actions.engines.protocol import ChangedMeanwhile, EngineUnreachable
from cicd_actions.rollback_to_previous_sha.inputs import Inputs
from cicd_actions.rollback_to_previous_sha.outcome import Known, stopped
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import ActionError
from cicd_actions.toolkit.inputs import load
from cicd_actions.toolkit.runtime import Runtime


@pytest.mark.parametrize(
    ("error", "warned"),
    [(ChangedMeanwhile("api", "api was changed by something else."), True), (EngineUnreachable("No answer."), False)],
)
def test_stopped_warns_before_commands_that_would_replace_somebody_elses_change(error: ActionError, warned: bool) -> None:
    given = {
        "environment": "production",
        "services": "api=ghcr.io/org/api",
        "engine": "command",
        "roll-out-command": "./roll-out.sh {service} {image}",
        "running-command": "./running.sh",
        "url": "https://api.example.com/health/ready",
        "check-version": "false",
    }
    runtime = Runtime({"GITHUB_REPOSITORY": "org/app"}, io.StringIO())
    inputs = load(Inputs, given, runtime.redactor)
    with connected(inputs, runtime) as engine:
        report = stopped(Known(inputs, runtime, engine, Deadline(60), "org/app"), error)
    assert "roll-out.sh" in repr(report.blocks)
    assert ("Find out first who set it" in report.findings[0].fix) == warned
    assert ("Find out first who set it" in repr(report.blocks)) == warned
