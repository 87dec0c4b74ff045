"""Defines deployment-record: it refuses what must not be deployed, and keeps what passed and what failed."""

from __future__ import annotations

from cicd_actions.deployment_record.inputs import Inputs
from cicd_actions.toolkit.definition import Action, Output

ACTION = Action(
    name="deployment-record",
    summary="Records what passed or failed its gate. Refuses releases that are older, locked out, or cannot be rolled back.",
    inputs=Inputs,
    outputs=(
        Output("verdict", "`pass` when the phase did what it is for, `fail` when the deploy is refused, else `inconclusive`."),
        Output("deployment-id", "`start`: the Deployment that shows this deploy to people; hand it to `finish`."),
        Output(
            "record-id",
            "`finish`, `adopt`, `verify-record`, `lock`, `unlock`, `announce-rollback`: the Deployment that is the record;"
            " empty without one.",
        ),
        Output(
            "ended",
            "`finish` with the verdict `pass`: says which service does not stay up, and the release is quarantined. Empty"
            " otherwise, and where the engine cannot tell (`command`). Replicas that failed at one moment are inconclusive.",
        ),
        Output("previous", "`start`: the last good release as JSON: service → digest. `{}` when nothing is recorded."),
        Output("previous-sha", "`start`: the commit of the last good release."),
        Output(
            "rollback",
            "`start`: `possible`, `impossible`, `unknown`, `none` (nothing is recorded) or `unchecked` (no `engine` is named).",
        ),
        Output("status", "`status`: environment → its services, lock, deploy without a verdict, and last verdicts, as JSON."),
        Output("reason", "One sentence: what happened."),
    ),
    run="cicd_actions.deployment_record.run.run",
    icon="book-open",
    color="blue",
    groups={
        "Set first": "phase environment services sha record-key",
        "What is recorded": "verdict reason revisions database-revision attestations deployment-id environment-url",
        "What `start` refuses": "require-rollback require-passed-in allow-older freeze freeze-override",
        "Locks": "until",
        "An audit log": "audit-url audit-headers audit-required",
    },
)
