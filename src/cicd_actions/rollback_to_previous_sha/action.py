"""Defines rollback-to-previous-sha, and runs one rollback from its inputs to its report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cicd_actions.rollback_to_previous_sha.inputs import Inputs
from cicd_actions.toolkit.definition import Action, Output

if TYPE_CHECKING:
    from cicd_actions.toolkit.report import Report
    from cicd_actions.toolkit.runtime import Runtime


def run(inputs: Inputs, runtime: Runtime) -> Report:
    """Runs one rollback. Raises `UnusableInput`, and `Cancelled` with a report of what stands."""
    from cicd_actions.engines.inputs import connected  # noqa: PLC0415 - `--help` needs none of it
    from cicd_actions.rollback_to_previous_sha import rollback  # noqa: PLC0415

    with connected(inputs, runtime) as engine:
        return rollback.run(inputs, runtime, engine)


ACTION = Action(
    name="rollback-to-previous-sha",
    summary="Rolls back to the last release that passed its health gate, pinned by digest, verifies it, and refuses unsafe"
    " rollbacks.",
    inputs=Inputs,
    outputs=(
        Output("rolled-back", "`true` when every service runs the release to roll back to, else `false`."),
        Output("verdict", "`pass` when that release passed its gate after it (also: a dry run), `fail` or `inconclusive`."),
        Output("from-sha", "The commit that was left; empty when it is not known."),
        Output("to-sha", "The commit that was rolled back to."),
        Output("plan", "Path of the plan as JSON."),
        Output("pull-request", "URL of the pull request that reverts the commits; empty without `revert`."),
        Output("elapsed-ms", "How long it took, the gate included, in milliseconds."),
        Output("reason", "One sentence: what happened."),
    ),
    run=run,
    icon="rotate-ccw",
    color="orange",
)
