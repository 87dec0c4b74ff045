"""deployment-record: refuses what must not be deployed, and keeps what passed and what failed."""

from __future__ import annotations

from cicd_actions.deployment_record.inputs import Inputs
from cicd_actions.toolkit.definition import Action, Output
from cicd_actions.toolkit.report import Report
from cicd_actions.toolkit.runtime import Runtime


def run(inputs: Inputs, runtime: Runtime) -> Report:
    """One phase. Raises `ActionError`."""
    from cicd_actions.deployment_record.desk import Desk  # noqa: PLC0415 - `--help` needs none of it

    desk = Desk.of(inputs, runtime)
    if inputs.phase == "start":
        from cicd_actions.deployment_record.start import start  # noqa: PLC0415 - one phase is one run

        return start(desk)
    if inputs.phase == "finish":
        from cicd_actions.deployment_record.finish import finish  # noqa: PLC0415

        return finish(desk)
    from cicd_actions.deployment_record.adopt import adopt  # noqa: PLC0415

    return adopt(desk)


ACTION = Action(
    name="deployment-record",
    summary="Records each release that passed or failed its gate, and refuses one that is older or did not pass where it must.",
    inputs=Inputs,
    outputs=(
        Output("verdict", "`pass` when the phase did what it is for, `fail` when the deploy is refused, else `inconclusive`."),
        Output("deployment-id", "`start`: the Deployment that shows this deploy to people; hand it to `finish`."),
        Output("record-id", "`finish`, `adopt`: the Deployment that is the record; empty when none was made."),
        Output("previous", "`start`: the last good release as JSON: service → digest. `{}` when nothing is recorded."),
        Output("previous-sha", "`start`: the commit of the last good release."),
        Output("reason", "One sentence: what happened."),
    ),
    run=run,
    icon="book-open",
    color="blue",
)
