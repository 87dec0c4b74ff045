"""run-migrations-oneshot: migrations as one gated job of the image that is about to be rolled out."""

from __future__ import annotations

import secrets
from pathlib import Path

from cicd_actions.engines.inputs import connected
from cicd_actions.engines.protocol import Engine, Image
from cicd_actions.run_migrations_oneshot import backup, other_tool
from cicd_actions.run_migrations_oneshot.command_line import AlembicCommand, alembic_in
from cicd_actions.run_migrations_oneshot.heard import Heard
from cicd_actions.run_migrations_oneshot.inputs import Inputs
from cicd_actions.run_migrations_oneshot.job import Jobs, Ran
from cicd_actions.run_migrations_oneshot.journal import Journal
from cicd_actions.run_migrations_oneshot.outcome import NAME, Outcome
from cicd_actions.toolkit import private
from cicd_actions.toolkit.definition import Action, Output
from cicd_actions.toolkit.errors import ActionError, Cancelled, UnusableInput
from cicd_actions.toolkit.findings import Finding, Severity
from cicd_actions.toolkit.report import Block, CodeBlock, Details, Paragraph, Report
from cicd_actions.toolkit.runtime import Runtime

RESOLVING = 60.0
"""Seconds to ask which digest the image is."""


def run(inputs: Inputs, runtime: Runtime) -> Report:
    """Migrate once. Raises `UnusableInput`; everything else, an engine that does not answer included, is in the report."""
    alembic = alembic_in(inputs.command)
    journal = Journal(runtime, runtime.scratch / f"{NAME}-{secrets.token_hex(4)}.log")
    try:
        with connected(inputs, runtime) as engine:
            image = engine.resolve(inputs.image, runtime.deadline(RESOLVING))
            if alembic is None:
                return _other(inputs, runtime, engine, image, journal)
            return _Alembic(inputs, runtime, engine, image, journal, alembic).run()
    except UnusableInput:
        raise
    except ActionError as error:
        return _stopped(error, journal)
    finally:
        journal.close()


class _Alembic:
    def __init__(
        self, inputs: Inputs, runtime: Runtime, engine: Engine, image: Image, journal: Journal, command: AlembicCommand
    ) -> None:
        self._inputs = inputs
        self._runtime = runtime
        self._image = image
        self._journal = journal
        self._command = command
        self._jobs = Jobs(inputs, runtime, engine, image, journal)
        self._outcome = Outcome(inputs, journal, Ran(Heard()), image.pinned)

    def run(self) -> Report:
        inputs = self._inputs
        words = inputs.backup_command
        try:
            with self._runtime.group(f"{' '.join(inputs.command)} in {self._image.pinned}"):
                # A backup is made between the plan and the migrations: not before it is known that something is pending.
                first = "plan" if inputs.dry_run or words else "apply"
                contract = inputs.dry_run or (inputs.allow_contract and words is not None)
                ran = self._jobs.alembic(self._command, mode=first, contract=contract)
                self._keep_sql(ran.heard)
                if ran.heard.state == "planned" and not inputs.dry_run and words:
                    self._outcome.ran = ran
                    self._outcome.backup = backup.make(words, inputs, self._runtime, self._image, self._journal)
                    ran = self._jobs.alembic(self._command, mode="apply", contract=inputs.allow_contract)
                self._outcome.ran = ran
                if not ran.heard.state and ran.heard.before is not None:
                    self._look()
        except Cancelled as cancelled:
            self._outcome.ran = self._jobs.last
            cancelled.report = self._outcome.cancelled(str(cancelled))
            raise
        return self._outcome.report()

    def _look(self) -> None:
        """The job was killed before it could say where the database is: ask with another one."""
        killed = self._outcome.ran
        self._journal.line("The job is gone without a last word: looking where the database is", own=True)
        seen = self._jobs.alembic(self._command, mode="plan", contract=True).heard
        if seen.before is not None:
            killed.heard.now = seen.before
            killed.heard.step = killed.heard.running
            pending = set(seen.pending)
            killed.heard.applied = [revision for revision in killed.heard.ran if revision not in pending]
            killed.heard.invalid = tuple(name for name in seen.invalid_before if name not in killed.heard.invalid_before)

    def _keep_sql(self, heard: Heard) -> None:
        if heard.sql:
            path = Path(self._journal.path).with_suffix(".sql")
            with private.opened(path) as file:
                file.write(self._runtime.redactor(heard.sql))
            self._outcome.sql_file = path


def _other(inputs: Inputs, runtime: Runtime, engine: Engine, image: Image, journal: Journal) -> Report:
    jobs = Jobs(inputs, runtime, engine, image, journal)
    made = None
    try:
        with runtime.group(f"{' '.join(inputs.command)} in {image.pinned}"):
            if inputs.dry_run:
                return other_tool.report(None, inputs, journal, image.pinned)
            journal.line("This is not Alembic: it is run as it is, and only its exit code is judged.", own=True)
            if inputs.backup_command:
                made = backup.make(inputs.backup_command, inputs, runtime, image, journal)
            end = jobs.other(inputs.command)
    except Cancelled as cancelled:
        cancelled.report = other_tool.report(None, inputs, journal, image.pinned, backup=made, cancelled=str(cancelled))
        raise
    return other_tool.report(end, inputs, journal, image.pinned, backup=made)


def _stopped(error: ActionError, journal: Journal) -> Report:
    """The image is missing, the engine does not answer, the backup failed: nothing was applied by this run."""
    blocks: list[Block] = [Paragraph(error.cause)] if error.cause else []
    if error.fix:
        blocks.append(CodeBlock(error.fix))
    if journal.last:
        blocks.append(Details(f"The last {len(journal.last)} lines", [CodeBlock("\n".join(journal.last))]))
    rule = f"{NAME}/{error.title.lower().replace(' ', '-')}"
    message = "\n".join(part for part in (error.what, error.cause) if part)
    finding = Finding(rule, Severity.ERROR, message, fix=error.fix)
    outputs = {"status": "failed", "verdict": error.verdict, "reason": error.what, "log": str(journal.path), "applied": []}
    return Report(error.verdict, error.what.splitlines()[0], dict(outputs), [finding], blocks, list_findings=False)


ACTION = Action(
    name=NAME,
    summary="Runs database migrations exactly once, from the image about to be rolled out, and proves that they arrived.",
    inputs=Inputs,
    outputs=(
        Output("status", "`applied`, `up-to-date`, `dry-run`, `failed` or `refused`."),
        Output("verdict", "`pass`, `fail` or `inconclusive`; the roll-out goes on after `pass` only."),
        Output("from-revision", "The database's revision before, comma-separated where there are several; empty is none."),
        Output("to-revision", "The database's revision afterwards, as read on a fresh connection."),
        Output("applied", "A JSON list of the migrations that stayed: `revision`, `message`, `phase`, `seconds`."),
        Output("sql", "The file with the migrations' SQL, where `sql` asked for it and Alembic could render it."),
        Output("log", "The file with the job's log, redacted."),
        Output("reason", "One sentence on what went wrong; empty when it passed."),
    ),
    run=run,
    icon="database",
    color="blue",
)
