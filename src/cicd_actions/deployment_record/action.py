"""Defines deployment-record: it refuses what must not be deployed, and keeps what passed and what failed."""

from __future__ import annotations

from cicd_actions.deployment_record.inputs import Inputs
from cicd_actions.toolkit.definition import Action, Output
from cicd_actions.toolkit.report import Report
from cicd_actions.toolkit.runtime import Runtime


def run(inputs: Inputs, runtime: Runtime) -> Report:
    """Runs one phase. Raises `ActionError`."""
    from cicd_actions.deployment_record.phase import Phase  # noqa: PLC0415 - `--help` needs none of it

    phase = Phase.of(inputs, runtime)
    if inputs.phase == "start":
        from cicd_actions.deployment_record.start import start  # noqa: PLC0415 - one phase is one run

        return start(phase)
    if inputs.phase == "finish":
        from cicd_actions.deployment_record.finish import finish  # noqa: PLC0415

        return finish(phase)
    if inputs.phase == "verify-record":
        from cicd_actions.deployment_record.verify import verify  # noqa: PLC0415

        return verify(phase)
    from cicd_actions.deployment_record.adopt import adopt  # noqa: PLC0415

    return adopt(phase)


ACTION = Action(
    name="deployment-record",
    summary="Records releases that passed or failed their gate. Refuses older ones, and ones that could not be rolled back.",
    inputs=Inputs,
    outputs=(
        Output("verdict", "`pass` when the phase did what it is for, `fail` when the deploy is refused, else `inconclusive`."),
        Output("deployment-id", "`start`: the Deployment that shows this deploy to people; hand it to `finish`."),
        Output("record-id", "`finish`, `adopt`, `verify-record`: the Deployment that is the record; empty when there is none."),
        Output("previous", "`start`: the last good release as JSON: service → digest. `{}` when nothing is recorded."),
        Output("previous-sha", "`start`: the commit of the last good release."),
        Output(
            "rollback",
            "`start`: `possible`, `impossible`, `unknown`, `none` (nothing is recorded) or `unchecked` (no `engine` is named).",
        ),
        Output("reason", "One sentence: what happened."),
    ),
    run=run,
    icon="book-open",
    color="blue",
)
