"""Turns what a run has said into the report: worst first, and enough that nobody has to open another page."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from cicd_actions.run_migrations_oneshot.backup import Backup
from cicd_actions.run_migrations_oneshot.explanations import Explanation, ended, explained
from cicd_actions.run_migrations_oneshot.heard import Heard, Migration
from cicd_actions.run_migrations_oneshot.inputs import Inputs
from cicd_actions.run_migrations_oneshot.job import Ran
from cicd_actions.run_migrations_oneshot.journal import Journal
from cicd_actions.run_migrations_oneshot.narration import at, described
from cicd_actions.toolkit.findings import Finding, Severity
from cicd_actions.toolkit.report import Block, Bullets, Code, CodeBlock, Details, OutputValue, Paragraph, Report, Table
from cicd_actions.toolkit.verdict import Verdict

NAME = "run-migrations-oneshot"
UNHARMED = "Nothing was rolled out: what ran before still runs."


@dataclass
class Outcome:
    """What the report is made of. `heard` is the last run's; `seconds` the whole action's."""

    inputs: Inputs
    journal: Journal
    ran: Ran
    image: str
    backup: Backup | None = None
    sql_file: Path | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def heard(self) -> Heard:
        return self.ran.heard

    def report(self) -> Report:
        """The report of a run that was not cancelled."""
        heard = self.heard
        if heard.state in {"applied", "up-to-date", "planned"}:
            return self._passed()
        if heard.state:
            return self._not_passed("refused" if heard.state == "refused" else "failed", explained(heard, self.inputs))
        return self._not_passed("failed", self._died())

    def cancelled(self, why: str) -> Report:
        """What stands when the run was cancelled."""
        heard = self.heard
        stands = self._stands() or "It had not reached the database."
        step = f"Migration {heard.step} was running." if heard.step else ""
        words = [f"The run was {why}.", step, ended(heard), stands]
        explanation = Explanation(" ".join(word for word in words if word), verdict=Verdict.INCONCLUSIVE)
        return self._not_passed("failed", explanation)

    def _passed(self) -> Report:
        heard = self.heard
        applied = self._applied()
        words = {
            "applied": f"Applied {_count(len(applied))}: {at(heard.before)} → {at(heard.now)}.",
            "up-to-date": f"Nothing is pending: the database is at {at(heard.now)}.",
            "planned": f"Dry run: {_count(len(heard.pending))} would be applied to {at(heard.before)}."
            if heard.pending
            else f"Dry run: nothing is pending; the database is at {at(heard.now)}.",
        }
        findings = [*self._contract_findings(), *self._fallback_findings(), *self._index_findings()]
        blocks: list[Block] = [*self._table(), *self._facts()]
        status = "dry-run" if self.inputs.dry_run else heard.state
        return Report(Verdict.PASS, words[heard.state], self._outputs(status, Verdict.PASS, ""), findings, blocks)

    def _not_passed(self, status: str, explanation: Explanation) -> Report:
        heard = self.heard
        blocks: list[Block] = []
        if explanation.cause:
            blocks.append(Paragraph(explanation.cause))
        found = heard.problem
        if found.statement and found.statement.strip():
            blocks += [Paragraph("The statement:"), CodeBlock(found.statement.strip(), "sql")]
        said = [found.text, found.detail and f"DETAIL: {found.detail}", found.hint and f"HINT: {found.hint}"]
        code = f" (SQLSTATE {found.sqlstate})" if found.sqlstate else ""
        if found.sqlstate or "\n" in found.text:
            who = "The database" if found.sqlstate else "It"
            blocks += [Paragraph(f"{who} said{code}:"), CodeBlock("\n".join(part for part in said if part))]
        if heard.blockers and heard.state in {"failed", "timeout", "cancelled"}:
            blocks += [Paragraph("Waited for:"), Bullets([described(one) for one in heard.blockers])]
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
            rule=f"{NAME}/{heard.rule or status}",
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
        heard = self.heard
        detail = f" ({end.detail})" if end and end.detail else ""
        code = end.exit_code if end else None
        how = f"with exit code {code}{detail}" if code is not None else f"and nobody saw its exit code{detail}"
        if end and end.timed_out:
            return Explanation("The job was ended at its time limit, before it could say where it stands.")
        if not heard.versions and code in {126, 127}:
            return Explanation(
                f"The image could not run the migration: the job ended {how}.",
                "It has no `python3`, or the launcher in `command` is not there; the log has the engine's own words.",
                "If another tool migrates, name it as `command`.",
            )
        cause = "It was killed from outside (out of memory, a lost node), or a driver crashed." if code != 0 else ""
        return Explanation(
            f"The job ended {how}, without saying where it stands.",
            cause,
            "Look where the database is before anything else: run this action again with `dry-run: true`.",
            Verdict.INCONCLUSIVE if code in {0, None} else Verdict.FAIL,
        )

    def _stands(self) -> str:
        """From → now, and whether something is half done."""
        heard = self.heard
        if heard.before is None:
            return "Nothing was applied." if heard.state else ""
        if heard.now is None:
            why = f" ({heard.unread})" if heard.unread else ""
            return f"It was at {at(heard.before)}; where it is now could not be read{why}: ask with `dry-run: true`."
        if heard.now == heard.before and not heard.step:
            return f"Nothing was applied: the database is at {at(heard.now)}, as before."
        moved = f"{at(heard.before)} → {at(heard.now)}"
        undone = [revision for revision in heard.ran if revision not in heard.applied]
        words = [f"The database is at {at(heard.now)}" + (f" ({moved})." if heard.now != heard.before else ", as before.")]
        if undone:
            words.append(
                f"{', '.join(undone[:5])} ran in the same transaction, and {'was' if len(undone) == 1 else 'were'} undone."
            )
        if heard.step and heard.partial:
            words.append(
                f"It is BETWEEN two revisions: {heard.step} does not run in one transaction, so a part of it may be there. "
                "Look at what it does, and mend it by hand or make it safe to repeat, before it runs again."
            )
        elif heard.step:
            words.append(f"Nothing of {heard.step} stays.")
        return " ".join(words)

    def _applied(self) -> list[tuple[Migration, float]]:
        heard = self.heard
        return [
            (heard.pending.get(revision, Migration(revision)), heard.ran.get(revision, 0.0))
            for revision in heard.applied
            if revision in heard.ran
        ]

    def _table(self) -> list[Block]:
        heard = self.heard
        if not heard.pending and not heard.ran:
            return []
        applied = {found.revision: seconds for found, seconds in self._applied()}
        shown = list(heard.pending.values()) or [Migration(revision) for revision in heard.ran]
        # What failed comes first: where the table is too long, its end is cut.
        shown.sort(key=lambda found: found.revision != heard.step)
        rows = [
            (
                Code(found.revision),
                found.message.splitlines()[0] if found.message else "",
                found.phase,
                self._state_of(found.revision, applied),
            )
            for found in shown
        ]
        return [Table(("revision", "message", "phase", "state"), rows)]

    def _state_of(self, revision: str, applied: dict[str, float]) -> str:
        heard = self.heard
        if revision in applied:
            return f"applied in {applied[revision]:.2f} s"
        if revision == heard.step:
            return "failed" if heard.state == "failed" else "ended"
        return "undone" if revision in heard.ran else "pending"

    def _facts(self) -> list[Block]:
        heard = self.heard
        facts = [f"Image: {self.image}"]
        if heard.dialect:
            server = f" {heard.server // 10000}" if heard.server else ""
            facts.append(f"Database: {heard.dialect}{server} by {heard.driver}{'' if heard.url else self._no_url()}")
        if self.ran.end and self.ran.end.exit_code is not None:
            facts.append(f"Exit code of the job: {self.ran.end.exit_code}")
        if self.backup:
            place = f": {self.backup.place}" if self.backup.place else "; the command did not print where"
            facts.append(f"Backup made before anything was applied, in {self.backup.seconds:.1f} s{place}")
        if self.sql_file:
            facts.append(f"SQL: {self.sql_file}")
        elif self.inputs.sql and heard.pending:
            facts.append(f"SQL: Alembic could not render it offline ({heard.no_sql or 'no reason given'})")
        if heard.retries:
            facts.append(f"Tried again after lock-timeout: {heard.retries} times")
        if heard.external and heard.state == "applied":
            facts.append("env.py begins a transaction before `context.configure`, so all migrations share it.")
        if heard.moved:
            facts.append("While it waited for the lock, another run applied migrations; what was left was read again.")
        facts += self.notes
        facts.append(f"Log: {self.journal.path}")
        return [Bullets(facts)]

    def _no_url(self) -> str:
        return f"; the job has no variable {self.inputs.database_url_env}, so the application took its address from elsewhere"

    def _fallback_findings(self) -> list[Finding]:
        """A development default, a file in the container, would be migrated with success, and go with the container."""
        if self.heard.url or self.heard.dialect != "sqlite":
            return []
        name = self.inputs.database_url_env
        message = f"This was a SQLite file{self._no_url()}. It may not be the database you mean."
        fix = f"    env:\n      {name}: ${{{{ secrets.{name} }}}}"
        return [Finding(f"{NAME}/no-database-url", Severity.WARNING, message, fix=fix)]

    def _contract_findings(self) -> list[Finding]:
        heard = self.heard
        contract = [found for found in heard.pending.values() if found.phase == "contract"]
        if not contract:
            return []
        listed = ", ".join(found.revision for found in contract)
        if self.inputs.dry_run:
            return [
                Finding(
                    f"{NAME}/contract",
                    Severity.WARNING,
                    f"A CONTRACT migration is pending: {listed}. The release that runs now cannot live with it.",
                    fix="    with:\n      allow-contract: true\n      backup-command: ./infra/backup.sh {environment}",
                )
            ]
        return [
            Finding(
                f"{NAME}/contract",
                Severity.WARNING,
                f"CONTRACT: {listed} took away what older releases use. Do not roll back to a release from before it.",
            )
        ]

    def _index_findings(self) -> list[Finding]:
        heard = self.heard
        found = [(name, "This run left") for name in heard.invalid]
        found += [(name, "An earlier run left") for name in heard.invalid_before]
        return [
            Finding(
                f"{NAME}/invalid-index",
                Severity.WARNING,
                f"{when} an INVALID index: {name}. It costs every write, no query uses it, and `IF NOT EXISTS` takes it for a"
                " good one.",
                fix=f"    DROP INDEX CONCURRENTLY {name};",
            )
            for name, when in found
        ]

    def _outputs(self, status: str, verdict: Verdict, reason: str) -> dict[str, OutputValue]:
        heard = self.heard
        applied: list[object] = [
            {"revision": found.revision, "message": found.message, "phase": found.phase, "seconds": seconds}
            for found, seconds in self._applied()
        ]
        return {
            "status": status,
            "verdict": verdict,
            "from-revision": ",".join(heard.before or ()),
            "to-revision": ",".join(heard.now or ()),
            "applied": applied,
            "sql": str(self.sql_file or ""),
            "log": str(self.journal.path),
            "reason": reason,
        }


def _count(number: int) -> str:
    return f"{number} migration" + ("" if number == 1 else "s")
