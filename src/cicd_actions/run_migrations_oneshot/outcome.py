"""Turns a run's progress into the report: worst first, and enough that the reader needs no other page."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from cicd_actions.run_migrations_oneshot.backup import Backup
from cicd_actions.run_migrations_oneshot.explanations import explained
from cicd_actions.run_migrations_oneshot.inputs import Inputs
from cicd_actions.run_migrations_oneshot.job import Ran
from cicd_actions.run_migrations_oneshot.journal import Journal
from cicd_actions.run_migrations_oneshot.log_lines import at, described, way
from cicd_actions.run_migrations_oneshot.progress import Migration, Progress, Step
from cicd_actions.run_migrations_oneshot.schema import MOST_LINES, SchemaDiff
from cicd_actions.run_migrations_oneshot.sentences import Explanation, ended
from cicd_actions.toolkit.findings import Finding, Severity
from cicd_actions.toolkit.report import Block, Bullets, Code, CodeBlock, Details, Inline, OutputValue, Paragraph, Report, Table
from cicd_actions.toolkit.verdict import Verdict

NAME = "run-migrations-oneshot"
UNHARMED = "Nothing was rolled out: the previous release still runs."


@dataclass
class Outcome:
    """What the report is made of. `progress` is the last run's; `seconds` the whole action's."""

    inputs: Inputs
    journal: Journal
    ran: Ran
    image: str
    backup: Backup | None = None
    schema: SchemaDiff | None = None
    sql_file: Path | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def progress(self) -> Progress:
        return self.ran.progress

    def report(self) -> Report:
        """The report of a run that was not cancelled."""
        progress = self.progress
        if progress.state in {"applied", "up-to-date", "planned"}:
            return self._passed()
        if progress.state:
            return self._not_passed("refused" if progress.state == "refused" else "failed", explained(progress, self.inputs))
        return self._not_passed("failed", self._died())

    def cancelled(self, why: str) -> Report:
        """What stands when the run was cancelled."""
        progress = self.progress
        stands = self._stands() or "It had not reached the database."
        step = f"Migration {progress.step} was running." if progress.step else ""
        words = [f"The run was {why}.", step, ended(progress), stands]
        explanation = Explanation(" ".join(word for word in words if word), verdict=Verdict.INCONCLUSIVE)
        return self._not_passed("failed", explanation)

    def _passed(self) -> Report:
        progress = self.progress
        applied = self._applied()
        words = {
            "applied": f"Applied {self._count(len(applied))}: {way(progress.before or (), progress.now or ())}.",
            "up-to-date": f"Nothing is pending: the database is at {at(progress.now)}.",
            "planned": f"Dry run: {self._count(len(progress.pending))} would be applied to {at(progress.before)}."
            if progress.pending
            else f"Dry run: nothing is pending; the database is at {at(progress.now)}.",
        }
        findings = [
            *self._contract_findings(),
            *self._fallback_findings(),
            *self._index_findings(),
            *self._advice(),
        ]
        blocks: list[Block] = [*self._table(), *self._facts()]
        status = "dry-run" if self.inputs.dry_run else progress.state
        return Report(Verdict.PASS, words[progress.state], self._outputs(status, Verdict.PASS, ""), findings, blocks)

    def _not_passed(self, status: str, explanation: Explanation) -> Report:
        progress = self.progress
        blocks: list[Block] = []
        if explanation.cause:
            blocks.append(Paragraph(explanation.cause))
        found = progress.problem
        if found.statement and found.statement.strip():
            blocks += [Paragraph("The statement:"), CodeBlock(found.statement.strip(), "sql")]
        said = [found.text, found.detail and f"DETAIL: {found.detail}", found.hint and f"HINT: {found.hint}"]
        code = f" (SQLSTATE {found.sqlstate})" if found.sqlstate else ""
        if found.sqlstate or "\n" in found.text:
            who = "The database" if found.sqlstate else "It"
            blocks += [Paragraph(f"{who} said{code}:"), CodeBlock("\n".join(part for part in said if part))]
        if progress.blockers and progress.state in {"failed", "timeout", "cancelled"}:
            blocks += [Paragraph("It waited for:"), Bullets([described(one) for one in progress.blockers])]
        stands = self._stands()
        told = " ".join(part for part in (stands, UNHARMED) if part and part not in explanation.what)
        blocks.append(Paragraph(told))
        if explanation.fix:
            blocks += [Paragraph("What to do:"), CodeBlock(explanation.fix)]
        left = self._index_findings()
        for other in left:
            blocks += [Paragraph(other.message), CodeBlock(other.fix)]
        blocks += [*self._table(), *self._facts()]
        if self.journal.last:
            blocks.append(Details(f"The last {len(self.journal.last)} lines", [CodeBlock("\n".join(self.journal.last))]))
        finding = Finding(
            rule=f"{NAME}/{progress.rule or status}",
            severity=Severity.ERROR,
            message="\n".join(part for part in (explanation.what, explanation.cause, told) if part),
            file=found.file,
            line=found.line or None,
            fix=explanation.fix,
        )
        findings = [finding, *left]
        outputs = self._outputs(status, explanation.verdict, explanation.what)
        return Report(explanation.verdict, explanation.what, outputs, findings, blocks, list_findings=False)

    def _died(self) -> Explanation:
        end = self.ran.end
        progress = self.progress
        detail = f" ({end.detail})" if end and end.detail else ""
        code = end.exit_code if end else None
        how = f"with exit code {code}{detail}" if code is not None else f"and the engine did not report its exit code{detail}"
        if end and end.timed_out:
            return Explanation(f"The job was ended at its time limit, before it could report where the database is{detail}.")
        if not progress.versions and code in {126, 127}:
            return Explanation(
                f"The image could not run the migration: the job ended {how}.",
                "It has no `python3`, or the launcher in `command` does not exist; the log has the engine's own words.",
                "If another tool migrates, name it as `command`.",
            )
        cause = "It was killed from outside (out of memory, a lost node), or a driver crashed." if code != 0 else ""
        return Explanation(
            f"The job ended {how}, without reporting where the database is.",
            cause,
            "First find out where the database is: run this action again with `dry-run: true`.",
            Verdict.INCONCLUSIVE if code in {0, None} else Verdict.FAIL,
        )

    def _stands(self) -> str:
        """From → now, and whether something is half done."""
        progress = self.progress
        if progress.before is None:
            return "Nothing was applied." if progress.state else ""
        if progress.now is None:
            why = f" ({progress.unread})" if progress.unread else ""
            return f"It was at {at(progress.before)}. Could not read where it is now{why}: ask with `dry-run: true`."
        if progress.now == progress.before and not progress.step:
            return f"Nothing was applied: the database is at {at(progress.now)}, as before."
        moved = way(progress.before, progress.now)
        undone = list(dict.fromkeys(step[1] for step in progress.ran if step not in progress.applied))
        words = [
            f"The database is at {at(progress.now)}" + (f" ({moved})." if progress.now != progress.before else ", as before.")
        ]
        if undone:
            words.append(
                f"{', '.join(undone[:5])} ran in the same transaction, and {'was' if len(undone) == 1 else 'were'} undone."
            )
        if progress.step and progress.partial:
            words.append(
                f"It is BETWEEN two revisions: {progress.step} does not run in one transaction, so a part of it may be there. "
                "Look at what it does, and fix it by hand or make it safe to repeat, before it runs again."
            )
        elif progress.step:
            words.append(f"Nothing of {progress.step} stays.")
        return " ".join(words)

    def _applied(self) -> list[tuple[Migration, float]]:
        progress = self.progress
        return [
            (progress.pending.get(step, Migration(step[1], database=step[0])), progress.ran.get(step, 0.0))
            for step in progress.applied
            if step in progress.ran
        ]

    def _count(self, number: int) -> str:
        tables = self.progress.tables
        return (
            f"{number} migration" + ("" if number == 1 else "s") + (f" in {tables} databases or schemas" if tables > 1 else "")
        )

    def _table(self) -> list[Block]:
        progress = self.progress
        if not progress.pending and not progress.ran:
            return []
        applied = {found.step: seconds for found, seconds in self._applied()}
        shown = list(progress.pending.values()) or [Migration(step[1], database=step[0]) for step in progress.ran]
        # What failed comes first: where the table is too long, its end is cut.
        shown.sort(key=lambda found: found.step != (progress.database, progress.step))
        several = any(found.database for found in shown)
        rows: list[tuple[Inline, ...]] = [
            (
                Code(found.revision),
                *([found.database] if several else []),
                found.message.splitlines()[0] if found.message else "",
                found.declared,
                self._state_of(found, applied),
            )
            for found in shown
        ]
        return [Table(("revision", *(["database"] if several else []), "message", "phase", "state"), rows)]

    def _state_of(self, found: Migration, applied: dict[Step, float]) -> str:
        progress = self.progress
        if found.step in applied:
            return f"applied in {applied[found.step]:.2f} s"
        if found.step == (progress.database, progress.step):
            return "failed" if progress.state == "failed" else "ended"
        return "undone" if found.step in progress.ran else "pending"

    def _facts(self) -> list[Block]:
        progress = self.progress
        facts = [f"Image: {self.image}"]
        if progress.dialect:
            server = f" {progress.server // 10000}" if progress.server else ""
            facts.append(f"Database: {progress.dialect}{server} by {progress.driver}{'' if progress.url else self._no_url()}")
        if self.ran.end and self.ran.end.exit_code is not None:
            facts.append(f"Exit code of the job: {self.ran.end.exit_code}")
        facts += backup_facts(self.backup)
        if self.schema and self.schema.path:
            facts.append(f"Schema difference: {self.schema.path}")
        elif self.schema and self.schema.problem:
            facts.append(f"Schema difference: not known; {self.schema.problem}")
        if self.sql_file:
            facts.append(f"SQL: {self.sql_file}")
        elif self.inputs.sql and progress.pending:
            facts.append(f"SQL: could not render it offline ({progress.no_sql or 'no reason given'})")
        if progress.retries:
            facts.append(f"Retries after lock-timeout: {progress.retries}")
        facts += self._tables_and_load()
        if progress.moved:
            facts.append("While it waited for the lock, another run applied migrations; what was left was read again.")
        facts += self.notes
        facts += self.journal.facts()
        return [Bullets(facts), *self._schema_block()]

    def _schema_block(self) -> list[Block]:
        if self.schema is None or self.schema.problem:
            return []
        lines = self.schema.lines
        if not lines:
            return [Paragraph("The schema did not change.")]
        shown = "\n".join(lines[:MOST_LINES]) + ("\n…" if len(lines) > MOST_LINES else "")
        return [Details("What changed in the schema", [CodeBlock(shown, "diff")])]

    def _tables_and_load(self) -> list[str]:
        progress = self.progress
        facts = []
        if progress.touched:
            listed = ", ".join(f"{one.table} ({_size(one.bytes)}, about {one.rows:,} rows)" for one in progress.touched)
            facts.append(f"Tables that it touches: {listed}")
        load = progress.load
        if load is not None:
            if load.wal is not None:
                facts.append(f"WAL that the server wrote meanwhile: {_size(load.wal)}")
            facts.append(
                f"Sessions that queued behind it: at most {load.queued}, the longest for {load.longest:.1f} s"
                if load.queued
                else "Sessions that queued behind it: none seen"
            )
            facts.append("Replicas: none seen" if load.lag is None else f"Largest replay lag of a replica: {load.lag:.1f} s")
        return facts

    def _advice(self) -> list[Finding]:
        """Returns what did not stop this run, and may stop the next one."""
        progress = self.progress
        found = [
            Finding(f"{NAME}/in-the-way", Severity.WARNING, f"Blocks the tables of this migration: {one}.")
            for one in progress.in_the_way
        ]
        if progress.shared and len(progress.pending) > 1:
            found.append(
                Finding(
                    f"{NAME}/one-transaction",
                    Severity.WARNING,
                    f"{len(progress.pending)} migrations share one transaction: locks that the first one takes are held until"
                    " the last one ends, and one failure undoes them all.",
                    fix="    context.configure(connection=connection, transaction_per_migration=True, …)",
                )
            )
        if progress.writes:
            listed = "; ".join(progress.writes)
            found.append(
                Finding(
                    f"{NAME}/env-writes",
                    Severity.WARNING,
                    f"env.py writes to the database before the migrations; the dry run skipped it: {listed}",
                    fix="Move it into a revision, where it runs once and under the lock.",
                )
            )
        return found

    def _no_url(self) -> str:
        return f"; the job has no variable {self.inputs.database_url_env}, so the application took its address from elsewhere"

    def _fallback_findings(self) -> list[Finding]:
        """A development default, a file in the container, would be migrated with success, and go with the container."""
        if self.progress.url or self.progress.dialect != "sqlite":
            return []
        name = self.inputs.database_url_env
        message = f"This was a SQLite file{self._no_url()}. It may not be the database you mean."
        fix = f"    env:\n      {name}: ${{{{ secrets.{name} }}}}"
        return [Finding(f"{NAME}/no-database-url", Severity.WARNING, message, fix=fix)]

    def _contract_findings(self) -> list[Finding]:
        progress = self.progress
        contract = [found for found in progress.pending.values() if found.phase == "contract"]
        if not contract:
            return []
        listed = ", ".join(dict.fromkeys(found.revision for found in contract))
        if self.inputs.dry_run:
            return [
                Finding(
                    f"{NAME}/contract",
                    Severity.WARNING,
                    f"A CONTRACT migration is pending: {listed}. The release that runs now does not work with the new schema.",
                    fix="    with:\n      allow-contract: true\n      backup-command: ./infra/backup.sh {environment}",
                )
            ]
        return [
            Finding(
                f"{NAME}/contract",
                Severity.WARNING,
                f"CONTRACT: {listed} removed what older releases use. Do not roll back to a release from before it.",
            )
        ]

    def _index_findings(self) -> list[Finding]:
        progress = self.progress
        found = [(name, "This run left") for name in progress.invalid]
        found += [(name, "An earlier run left") for name in progress.invalid_before]
        return [
            Finding(
                f"{NAME}/invalid-index",
                Severity.WARNING,
                f"{when} an INVALID index: {name}. It costs every write, no query uses it, and `IF NOT EXISTS` takes it for a"
                " valid one.",
                fix=f"    DROP INDEX CONCURRENTLY {name};",
            )
            for name, when in found
        ]

    def _outputs(self, status: str, verdict: Verdict, reason: str) -> dict[str, OutputValue]:
        progress = self.progress
        # A revision that ran in several databases is one migration for the output's reader.
        seconds: dict[str, float] = {}
        for found, each in self._applied():
            seconds[found.revision] = seconds.get(found.revision, 0.0) + each
        by_revision = {found.revision: found for found, _ in self._applied()}
        applied: list[object] = [
            {"revision": revision, "message": found.message, "phase": found.phase, "seconds": round(seconds[revision], 3)}
            for revision, found in by_revision.items()
        ]
        return {
            "status": status,
            "verdict": verdict,
            "from-revision": ",".join(progress.before or ()),
            "to-revision": ",".join(progress.now or ()),
            "applied": applied,
            "sql": str(self.sql_file or ""),
            "schema-diff": str(self.schema.path or "") if self.schema else "",
            "log": str(self.journal.path or ""),
            "reason": reason,
        }


def backup_facts(backup: Backup | None) -> list[str]:
    """Returns what is known of the backup, for people."""
    if backup is None:
        return []
    place = f": {backup.place}" if backup.place else "; the command did not print where"
    size = f", {_size(backup.size)}" if backup.size is not None else ""
    age = ""
    if backup.age is not None and backup.age > backup.seconds + 60:
        age = f", written {backup.age / 60:.0f} minutes ago: older than this run"
    checked = "not checked: set `restore-check-command`"
    if backup.checked is not None:
        checked = f"restore check passed{': ' + backup.checked if backup.checked else ''}"
    return [f"Backup made before anything was applied, in {backup.seconds:.1f} s{place}{size}{age} ({checked})"]


def _size(number: int) -> str:
    """Returns bytes for people."""
    size = float(number)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TB"
