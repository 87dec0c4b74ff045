"""Defines run-migrations-oneshot: migrations run once, from the image to be rolled out."""

from __future__ import annotations

from cicd_actions.run_migrations_oneshot.inputs import Inputs
from cicd_actions.toolkit.definition import Action, Output

ACTION = Action(
    name="run-migrations-oneshot",
    summary="Runs database migrations exactly once, from the image to be rolled out, and proves that they arrived.",
    inputs=Inputs,
    outputs=(
        Output("status", "`applied`, `up-to-date`, `dry-run`, `failed` or `refused`."),
        Output("verdict", "`pass`, `fail` or `inconclusive`; continue with the roll-out after `pass` only."),
        Output("from-revision", "The database's revision before, comma-separated where there are several; empty is none."),
        Output("to-revision", "The database's revision afterwards, as read on a fresh connection."),
        Output(
            "applied",
            "A JSON list of the migrations that stayed: `revision`, `message`, `phase` (empty: not declared), `seconds`.",
        ),
        Output("sql", "The file with the migrations' SQL, where `sql` asked for it and Alembic could render it."),
        Output("schema-diff", "The file with the schema's difference, where `schema-command` is set."),
        Output("log", "The file with the job's log, redacted."),
        Output("reason", "One sentence on what went wrong; empty when it passed."),
    ),
    run="cicd_actions.run_migrations_oneshot.run.run",
    icon="database",
    color="blue",
    groups={
        "Set first": "image command engine environment service",
        "The job": "sha env database-url-env network working-directory",
        "Locks and limits": "timeout lock-timeout lock-retries statement-timeout wait-for-lock wait-for-database",
        "Before anything is applied": "dry-run sql backup-command restore-check-command schema-command"
        " allow-contract proven-phases expect-single-head",
    },
)
