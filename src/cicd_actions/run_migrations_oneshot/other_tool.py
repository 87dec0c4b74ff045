"""Reports a tool that runs as it is: once, from the new image, with the release's environment, before the roll-out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cicd_actions.engines.protocol import JobEnd
from cicd_actions.run_migrations_oneshot.backup import Backup
from cicd_actions.run_migrations_oneshot.inputs import Inputs
from cicd_actions.run_migrations_oneshot.journal import Journal
from cicd_actions.run_migrations_oneshot.known_tools import State, Tool
from cicd_actions.run_migrations_oneshot.outcome import backup_facts
from cicd_actions.run_migrations_oneshot.schema import SchemaDiff
from cicd_actions.toolkit.findings import Finding, Severity
from cicd_actions.toolkit.grammar import is_whole
from cicd_actions.toolkit.report import Block, Bullets, Code, CodeBlock, Inline, OutputValue, Paragraph, Report, Table
from cicd_actions.toolkit.verdict import Verdict

UNWATCHED = "run-migrations-oneshot/unwatched"


def _unwatched(inputs: Inputs) -> Finding:
    """Warns in every run: a green step proves less than it seems to."""
    command = " ".join(inputs.command)
    alembic = "alembic" in command or "flask" in command
    return Finding(
        UNWATCHED,
        Severity.WARNING,
        f"`{command}` ran unwatched: only its exit code was judged. The action did not see what was pending, took no lock,"
        " set no timeouts, did not tell expand from contract migrations, and did not prove where the database is."
        " A cancellation ends the tool, but not its statement in the database.",
        fix="Name Alembic without a shell around it:\n\n    with:\n      command: alembic upgrade head\n"
        "      working-directory: /app"
        if alembic
        else "Watched are `alembic upgrade`, `flask db upgrade`, `manage.py migrate`, `prisma migrate deploy`, `migrate … up`"
        " (golang-migrate) and `sql FOLDER`:\n\n    with:\n      command: python manage.py migrate",
    )


@dataclass
class Outcome:
    """What is known of a run of another tool. `before` and `after` are `None` where the tool was not asked.

    `lock_held`: another run held the tool's lock until the end of `wait-for-lock`. `phases`: what verify-migrations proved, by
    the migration as the tool's table names it.
    """

    end: JobEnd | None = None
    tool: Tool | None = None
    before: State | None = None
    after: State | None = None
    lock_held: bool = False
    backup: Backup | None = None
    schema: SchemaDiff | None = None
    cancelled: str = ""
    phases: Mapping[str, str] = field(default_factory=dict)

    def phase(self, migration: str) -> str:
        """Returns the proven phase, empty for none. golang-migrate's table has only the number of `000042_add_name`."""
        number = migration.partition("_")[0]
        return self.phases.get(migration) or self.phases.get(str(int(number)) if is_whole(number) else "", "")

    @property
    def contract(self) -> tuple[str, ...]:
        """The pending migrations that the running release does not work with."""
        pending = (self.before and self.before.pending) or ()
        return tuple(name for name in pending if self.phase(name) == "contract")


def report(known: Outcome, inputs: Inputs, journal: Journal, image: str) -> Report:
    """Returns the report. `known.end` is `None` in a dry run, when nothing is pending, and when the run was cancelled."""
    status, verdict, what, fix = _judged(known, inputs, image)
    warnings = [_unwatched(inputs)] if known.tool is None else []
    before, after = known.before, known.after
    applied = _applied(before, after)
    outputs: dict[str, OutputValue] = {
        "status": status,
        "verdict": verdict,
        "from-revision": before.at if before else "",
        "to-revision": after.at if after else (before.at if before and known.end is None else ""),
        "reason": "" if verdict is Verdict.PASS else what,
        "log": str(journal.path or ""),
        "applied": [{"revision": name, "message": "", "phase": known.phase(name), "seconds": 0.0} for name in applied],
        "schema-diff": str(known.schema.path or "") if known.schema else "",
    }
    facts = [f"Image: {image}", *backup_facts(known.backup)]
    if known.tool:
        facts.append(f"{known.tool.name} was asked for its state before and after; it takes a separate lock while it migrates.")
    if known.schema and known.schema.path:
        facts.append(f"Schema difference: {known.schema.path}")
    blocks: list[Block] = [Paragraph(fix)] if fix else []
    pending = (before.pending if before else None) or ()
    if pending:
        state = dict.fromkeys(pending, "pending") | dict.fromkeys(applied, "applied")
        rows: list[tuple[Inline, ...]] = [(Code(name), known.phase(name) or "not proven", state[name]) for name in pending]
        blocks.append(Table(("migration", "phase", "state"), rows))
    if verdict is not Verdict.PASS and journal.last:
        blocks += [Paragraph(f"The last {len(journal.last)} lines:"), CodeBlock("\n".join(journal.last))]
    blocks.append(Bullets([*facts, *journal.facts()]))
    if verdict is Verdict.PASS:
        return Report(verdict, what, outputs, warnings, blocks)
    finding = Finding("run-migrations-oneshot/failed", Severity.ERROR, what, fix=fix)
    return Report(verdict, what, outputs, [finding, *warnings], blocks, list_findings=False)


def _applied(before: State | None, after: State | None) -> tuple[str, ...]:
    if before is None or after is None or before.pending is None or after.pending is None:
        return ()
    return tuple(name for name in before.pending if name not in after.pending)


def _judged(known: Outcome, inputs: Inputs, image: str) -> tuple[str, Verdict, str, str]:
    """Returns status, verdict, one sentence, and the fix."""
    command, end = " ".join(inputs.command), known.end
    ask = "Ask the tool where the database is before you run it again."
    if known.cancelled:
        what = f"The run was {known.cancelled} while `{command}` ran. Where the database is now is not known: ask the tool."
        return "failed", Verdict.INCONCLUSIVE, what, ""
    if end is None:
        return _not_run(known, inputs, image)
    if end.exit_code == 0 and not end.timed_out:
        return _succeeded(known, command, end)
    if known.tool and known.lock_held:
        what = f"Another run has held {known.tool.name}'s lock for the {inputs.wait_for_lock:g} s of `wait-for-lock`."
        fix = (
            "Wait for it, or allow more time:\n\n    with:\n      wait-for-lock: 30m\n\n"
            f"Behind a pooler no run gets the lock: give {inputs.database_url_env} the database's own address."
        )
        return "failed", Verdict.INCONCLUSIVE, what, fix
    detail = f" ({end.detail})" if end.detail else ""
    how = f"failed with exit code {end.exit_code}{detail}" if end.exit_code is not None else f"was lost{detail}"
    what = f"`{command}` was ended at its time limit of {inputs.timeout:g} s." if end.timed_out else f"`{command}` {how}."
    if known.after and known.after.at:
        what += f" The database is now: {known.after.at}."
    verdict = Verdict.FAIL if end.exit_code is not None or end.timed_out else Verdict.INCONCLUSIVE
    return "failed", verdict, what, ask


def _not_run(known: Outcome, inputs: Inputs, image: str) -> tuple[str, Verdict, str, str]:
    command, before = " ".join(inputs.command), known.before or State()
    if before.problem:
        fix = "Fix that first: the tool's documentation says how to resolve it (`prisma migrate resolve`, `migrate force`)."
        return "refused", Verdict.FAIL, f"`{command}` did not run: {before.problem}.", fix
    if known.contract and not inputs.dry_run:
        what = f"A contract migration is pending: {', '.join(known.contract)}. The release that runs now does not work with it."
        fix = "    with:\n      allow-contract: true\n      backup-command: ./infra/backup.sh {environment}"
        return "refused", Verdict.FAIL, what, fix
    if before.pending == ():
        return "dry-run" if inputs.dry_run else "up-to-date", Verdict.PASS, f"Nothing is pending: {before.at}.", ""
    if before.pending:
        return "dry-run", Verdict.PASS, f"Dry run: {len(before.pending)} migrations would be applied.", ""
    what = f"Dry run: `{command}` would run in {image}. Nothing ran, and what is pending is not known."
    return "dry-run", Verdict.PASS, what, ""


def _succeeded(known: Outcome, command: str, end: JobEnd) -> tuple[str, Verdict, str, str]:
    what = f"`{command}` succeeded after {end.seconds:.1f} s."
    if known.tool is None:
        return "applied", Verdict.PASS, what, ""
    after = known.after or State()
    if after.pending is None:
        fix = f"Run the question yourself: `{' '.join(known.tool.questions[0])}`."
        return "failed", Verdict.INCONCLUSIVE, f"{what} Could not read where the database is now.", fix
    if after.pending or after.problem:
        left = after.problem or f"{', '.join(after.pending)} did not stay"
        return "failed", Verdict.FAIL, f"`{command}` succeeded, but {left}.", "The log has the tool's own words."
    return "applied", Verdict.PASS, f"{what} Proven by {known.tool.name}: nothing is pending.", ""
