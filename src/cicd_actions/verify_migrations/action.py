"""Defines verify-migrations."""

from __future__ import annotations

from cicd_actions.toolkit.definition import Action, Output
from cicd_actions.verify_migrations.inputs import Inputs

ACTION = Action(
    name="verify-migrations",
    summary="Proves on a real PostgreSQL that the running release works with the new schema, and that migrations"
    " do not stop the traffic.",
    inputs=Inputs,
    outputs=(
        Output("verdict", "`pass`, `fail` or `inconclusive` (the check itself could not work)."),
        Output("reason", "One sentence that says why."),
        Output("new", "The new revisions in the order of the run, as a JSON array."),
        Output("phases", "What each new revision proved to be, as a JSON object: `expand`, `contract` or `unknown`."),
        Output("findings", "The number of findings that are not accepted."),
        Output("locks", "The strongest lock on each table that exists now, by revision, as a JSON object."),
        Output("report", "A JSON file with everything: findings with rule, revision, place and fingerprint, phases, locks."),
        Output("sarif", "The findings as a SARIF 2.1.0 file, for github/codeql-action/upload-sarif."),
        Output("comment-body", "A Markdown file with the report, for a comment that another step writes."),
    ),
    run="cicd_actions.verify_migrations.run.run",
    icon="database",
    color="blue",
    groups={
        "Set first": "command working-directory base-install-command database-url-variable fail-on",
        "The base": "base-ref base-command",
        "The rows": "rows seed-command seed-sql table-sizes",
        "What is accepted": "rules acknowledge allow-other-data",
    },
)
