"""What the summary says of a gate that ended."""

from __future__ import annotations

import io
from pathlib import Path

from cicd_actions.health_gate import reading, report
from cicd_actions.health_gate.gate import Gate, Watched
from cicd_actions.health_gate.inputs import Inputs
from cicd_actions.health_gate.judge import Judge
from cicd_actions.health_gate.observation import Observation, Outcome
from cicd_actions.health_gate.schedule import Schedule
from cicd_actions.toolkit import markdown
from cicd_actions.toolkit.inputs import load
from cicd_actions.toolkit.runtime import Runtime


def summary(*observations: Observation) -> str:
    """Returns the summary of a gate with one target, which saw these."""
    runtime = Runtime({}, io.StringIO())
    inputs = load(Inputs, {"url": "http://api.example/"}, runtime.redactor)
    (target,) = reading.targets(inputs, runtime.environment, Path())
    gate = Gate([target], inputs.timeout, {}, runtime.log)
    watched = Watched(target, Judge(target.rules), Schedule(target.interval, inputs.timeout), finished=True)
    for each in observations:
        watched.history.add(watched.judge.see(each))
    gate.watched = [watched]
    return markdown.render(list(report.report(gate, runtime).blocks), str, 10_000)


def test_report_of_a_probe_cut_by_the_deadline_shows_the_answer_before_it_as_the_last() -> None:
    wrong = Observation(0.0, 0.1, Outcome.WRONG, "status", "503", "status 200", "status 503")
    cut = Observation(4.0, 5.0, Outcome.UNFINISHED, "timeout", "timeout", came="no answer within 1 s")
    (row,) = [line for line in summary(wrong, cut).splitlines() if "❌" in line]
    assert "status 503" in row
    assert "no answer" not in row
