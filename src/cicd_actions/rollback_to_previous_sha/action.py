"""Defines rollback-to-previous-sha: rolls back to the last release that passed its gate, and verifies it."""

from __future__ import annotations

from cicd_actions.rollback_to_previous_sha.inputs import Inputs
from cicd_actions.toolkit.definition import Action, Output

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
    run="cicd_actions.rollback_to_previous_sha.rollback.run",
    icon="rotate-ccw",
    color="orange",
    groups={
        "Set first": "services environment engine current-sha url",
    },
)
