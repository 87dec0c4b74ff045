"""run-migrations-oneshot: migrations as one gated job of the image that is about to be rolled out."""

from __future__ import annotations

import secrets

from cicd_actions.engines.inputs import connected
from cicd_actions.engines.protocol import Engine, Image
from cicd_actions.run_migrations_oneshot import backup, other_tool, proven
from cicd_actions.run_migrations_oneshot.command_line import MigrationCommand, migration_in
from cicd_actions.run_migrations_oneshot.inputs import Inputs
from cicd_actions.run_migrations_oneshot.job import Jobs, Ran
from cicd_actions.run_migrations_oneshot.journal import Journal
from cicd_actions.run_migrations_oneshot.known_tools import tool_in
from cicd_actions.run_migrations_oneshot.outcome import NAME, Outcome
from cicd_actions.run_migrations_oneshot.progress import Progress
from cicd_actions.run_migrations_oneshot.schema import SchemaDumps
from cicd_actions.toolkit.errors import ActionError, Cancelled, UnusableInput
from cicd_actions.toolkit.findings import Finding, Severity
from cicd_actions.toolkit.report import Block, CodeBlock, Details, Paragraph, Report
from cicd_actions.toolkit.runtime import Runtime

RESOLVING = 60.0
"""Seconds to ask which digest the image is."""

LOCK_PAUSE = 1.0
"""Seconds between two runs of a tool whose lock another run holds. The tool itself waits for 10 s or more in each of them."""


def run(inputs: Inputs, runtime: Runtime) -> Report:
    """Migrate once. Raises `UnusableInput`; everything else, an engine that does not answer included, is in the report."""
    alembic = migration_in(inputs.command)
    folder = runtime.scratch
    log = (folder or runtime.workspace) / f"{NAME}-{secrets.token_hex(4)}.log"
    journal = Journal(runtime, log, kept=folder is not None)
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
        self, inputs: Inputs, runtime: Runtime, engine: Engine, image: Image, journal: Journal, command: MigrationCommand
    ) -> None:
        self._inputs = inputs
        self._runtime = runtime
        self._image = image
        self._journal = journal
        self._command = command
        self._jobs = Jobs(inputs, runtime, engine, image, journal)
        self._outcome = Outcome(inputs, journal, Ran(Progress()), image.pinned)

    def run(self) -> Report:
        inputs = self._inputs
        words = inputs.backup_command
        try:
            with self._runtime.group(f"{' '.join(inputs.command)} in {self._image.pinned}"):
                # A backup is made between the plan and the migrations: not before it is known that something is pending.
                first = "plan" if inputs.dry_run or words or inputs.schema_command else "apply"
                contract = inputs.dry_run or (inputs.allow_contract and words is not None)
                ran = self._jobs.alembic(self._command, mode=first, contract=contract)
                self._keep_sql(ran.progress)
                pending = ran.progress.state == "planned"
                # Where nothing is pending, Django's migrate still calls the receivers of its signals.
                signals = first == "plan" and ran.progress.state == "up-to-date" and self._command.tool == "django"
                if (pending or signals) and not inputs.dry_run:
                    self._outcome.ran = ran
                    ran = self._prepared_apply(words if pending else None)
                self._outcome.ran = ran
                if not ran.progress.state and ran.progress.before is not None:
                    self._look()
        except Cancelled as cancelled:
            self._outcome.ran = self._jobs.last
            cancelled.report = self._outcome.cancelled(str(cancelled))
            raise
        return self._outcome.report()

    def _prepared_apply(self, words: tuple[str, ...] | None) -> Ran:
        """Applies what the plan found, after the backup and between two dumps of the schema."""
        inputs, tools = self._inputs, (self._inputs, self._runtime, self._image, self._journal)
        if words:
            self._outcome.backup = backup.make(words, *tools)
        dumps = SchemaDumps(inputs.schema_command, *tools) if inputs.schema_command else None
        ran = self._jobs.alembic(self._command, mode="apply", contract=inputs.allow_contract and words is not None)
        if dumps:
            self._outcome.schema = dumps.compared()
        return ran

    def _look(self) -> None:
        """The job was killed before it could say where the database is: ask with another one."""
        killed = self._outcome.ran
        self._journal.line("The job ended without a last word: looking where the database is", own=True)
        seen = self._jobs.alembic(self._command, mode="plan", contract=True).progress
        if seen.before is not None:
            killed.progress.now = seen.before
            if killed.progress.running is not None:
                killed.progress.database, killed.progress.step = killed.progress.running
            pending = set(seen.pending)
            killed.progress.applied = [step for step in killed.progress.ran if step not in pending]
            killed.progress.invalid = tuple(name for name in seen.invalid_before if name not in killed.progress.invalid_before)

    def _keep_sql(self, progress: Progress) -> None:
        if progress.sql:
            self._outcome.sql_file = self._journal.keep(".sql", progress.sql, asked=True)


def _other(inputs: Inputs, runtime: Runtime, engine: Engine, image: Image, journal: Journal) -> Report:
    """Runs a tool as it is; one that reports its state is asked before and after."""
    jobs = Jobs(inputs, runtime, engine, image, journal)
    phases = proven.load(inputs.proven_phases) if inputs.proven_phases else {}
    known = other_tool.Outcome(tool=tool_in(inputs.command), phases=phases)
    allowed = inputs.allow_contract and inputs.backup_command is not None
    tools = (inputs, runtime, image, journal)
    try:
        with runtime.group(f"{' '.join(inputs.command)} in {image.pinned}"):
            if known.tool:
                known.before = known.tool.state([jobs.answer(words) for words in known.tool.questions])
            before = known.before
            refused = known.contract and not allowed
            if inputs.dry_run or refused or (before and (before.problem or before.pending == ())):
                return other_tool.report(known, inputs, journal, image.pinned)
            if known.tool is None:
                journal.line("The action does not know this tool: it runs unwatched.", own=True)
            if inputs.backup_command:
                known.backup = backup.make(inputs.backup_command, *tools)
            dumps = SchemaDumps(inputs.schema_command, *tools) if inputs.schema_command else None
            _run_tool(known, inputs, runtime, jobs, journal)
            if known.tool:
                known.after = known.tool.state([jobs.answer(words) for words in known.tool.questions])
            if dumps:
                known.schema = dumps.compared()
    except Cancelled as cancelled:
        known.cancelled = str(cancelled)
        cancelled.report = other_tool.report(known, inputs, journal, image.pinned)
        raise
    return other_tool.report(known, inputs, journal, image.pinned)


def _run_tool(known: other_tool.Outcome, inputs: Inputs, runtime: Runtime, jobs: Jobs, journal: Journal) -> None:
    """Runs the tool, and again while another run holds its lock, for `wait-for-lock`."""
    waiting = runtime.deadline(inputs.wait_for_lock)
    while True:
        known.end, said = jobs.other(inputs.command)
        known.lock_held = bool(known.tool and known.end.exit_code and known.tool.locked in said)
        if not known.tool or not known.lock_held or waiting.expired:
            return
        journal.line(f"Another run holds {known.tool.name}'s lock. Waiting.", own=True)
        runtime.sleep(waiting.timeout(LOCK_PAUSE))


def _stopped(error: ActionError, journal: Journal) -> Report:
    """Reports the error that stopped the run. `refused`: after a failed backup it is certain that nothing was applied."""
    blocks: list[Block] = [Paragraph(error.cause)] if error.cause else []
    if error.fix:
        blocks.append(CodeBlock(error.fix))
    if journal.last:
        blocks.append(Details(f"The last {len(journal.last)} lines", [CodeBlock("\n".join(journal.last))]))
    rule = f"{NAME}/{error.title.lower().replace(' ', '-')}"
    message = "\n".join(part for part in (error.what, error.cause) if part)
    finding = Finding(rule, Severity.ERROR, message, fix=error.fix)
    status = "refused" if isinstance(error, backup.BackupFailed) else "failed"
    outputs = {
        "status": status,
        "verdict": error.verdict,
        "reason": error.what,
        "log": str(journal.path or ""),
        "applied": [],
    }
    return Report(error.verdict, error.what.splitlines()[0], dict(outputs), [finding], blocks, list_findings=False)
