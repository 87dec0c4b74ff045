"""What the summary says of a gate that ended."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cicd_actions.health_gate import reading, report
from cicd_actions.health_gate.gate import Gate, Watched
from cicd_actions.health_gate.inputs import Inputs
from cicd_actions.health_gate.judge import Judge
from cicd_actions.health_gate.observation import Observation, Outcome
from cicd_actions.health_gate.schedule import Schedule
from cicd_actions.toolkit import markdown
from cicd_actions.toolkit.inputs import load
from cicd_actions.toolkit.report import Report
from cicd_actions.toolkit.runtime import Runtime

API = "- {name: api, url: 'http://api.example/'}"
OTHER = "- {name: other, url: 'http://other.example/'}"
OPTIONAL = "- {name: other, url: 'http://other.example/', critical: false}"


def ended(targets: str, *observed: Sequence[Observation], file: Path | None = None, **inputs: str) -> Report:
    """Returns the report of a gate whose targets saw these, in their order."""
    runtime = Runtime({}, io.StringIO())
    values = {name.replace("_", "-"): text for name, text in inputs.items()}
    read = load(Inputs, {"targets": targets, **values}, runtime.redactor)
    made = reading.targets(read, runtime.environment, Path())
    gate = Gate(made, read.timeout, {}, runtime.log)
    for target, observations in zip(made, observed, strict=True):
        watched = Watched(target, Judge(target.rules), Schedule(target.interval, read.timeout), finished=True)
        for each in observations:
            watched.history.add(watched.judge.see(each))
        gate.watched.append(watched)
    return report.report(gate, runtime, str(file or ""), file)


def shown(made: Report) -> str:
    return markdown.render(list(made.blocks), str, 10_000)


def summary(*observations: Observation) -> str:
    """Returns the summary of a gate with one target, which saw these."""
    return shown(ended(API, observations))


def right(at: float, address: str = "127.0.0.2", version: str | None = None, **more: Any) -> Observation:
    return Observation(
        at, at, Outcome.RIGHT, "right", "200", "status 200", "status 200", version=version, peers=(address,),
        addresses=more.pop("addresses", (address,)), **more,
    )  # fmt: skip


def dead(at: float, address: str = "127.0.0.9") -> Observation:
    return Observation(
        at, at, Outcome.BROKEN, "refused", "refused", "status 200", "connection refused", peers=(address,), addresses=(address,)
    )


def test_report_claims_every_address_only_of_a_gate_that_passed_and_of_the_targets_that_passed() -> None:
    whole = "Every address that DNS named answered right."
    assert whole in summary(right(0))
    assert "Every address" not in shown(ended(f"{API}\n{OTHER}", [right(0)], [dead(0)]))
    partly = shown(ended(f"{API}\n{OPTIONAL}", [right(0)], [dead(0)]))
    assert whole not in partly
    assert "Every address that DNS named for api answered right." in partly
    assert "very address that DNS named" not in summary(right(0, unreached=("::1",)))


def test_report_of_a_probe_cut_by_the_deadline_shows_the_answer_before_it_as_the_last() -> None:
    wrong = Observation(0.0, 0.1, Outcome.WRONG, "status", "503", "status 200", "status 503")
    cut = Observation(4.0, 5.0, Outcome.UNFINISHED, "timeout", "timeout", came="no answer within 1 s")
    (row,) = [line for line in summary(wrong, cut).splitlines() if "❌" in line]
    assert "status 503" in row
    assert "no answer" not in row
