"""Runs a tool of which nothing is known: once, from the new image, with the release's environment, before the roll-out."""

from __future__ import annotations

from cicd_actions.engines.protocol import JobEnd
from cicd_actions.run_migrations_oneshot.backup import Backup
from cicd_actions.run_migrations_oneshot.inputs import Inputs
from cicd_actions.run_migrations_oneshot.journal import Journal
from cicd_actions.toolkit.findings import Finding, Severity
from cicd_actions.toolkit.report import Block, Bullets, CodeBlock, Details, OutputValue, Paragraph, Report
from cicd_actions.toolkit.verdict import Verdict

MISSING = (
    "what is pending, one head, and whether the database is ahead of the image (status `up-to-date` is never given)",
    "`deploy_phase`: expand and contract migrations are not told apart, `allow-contract` has no effect",
    "mutual exclusion: the tool's own lock, if it has one, is what keeps two runs apart",
    "`lock-timeout`, `lock-retries`, `statement-timeout`, `wait-for-lock` and `wait-for-database`",
    "the proof afterwards, `from-revision`, `to-revision`, `applied` and `sql`",
    "ending the statement in the database when the run is cancelled: only the tool itself is ended",
)


def report(
    end: JobEnd | None, inputs: Inputs, journal: Journal, image: str, *, backup: Backup | None = None, cancelled: str = ""
) -> Report:
    """The report of a command that is not Alembic's. `end` is `None` in a dry run, and when the run was cancelled."""
    command = " ".join(inputs.command)
    facts = [f"Image: {image}", *([f"Backup: {backup.place or 'made'}"] if backup else []), f"Log: {journal.path}"]
    known: list[Block] = [
        Bullets(facts),
        Details("What is not known of a tool that is not Alembic", [Bullets(list(MISSING))]),
    ]
    if cancelled:
        what = f"The run was {cancelled} while `{command}` ran. Where the database stands is not known: ask the tool."
        return Report(Verdict.INCONCLUSIVE, what, _outputs("failed", Verdict.INCONCLUSIVE, what, journal), blocks=known)
    if end is None:
        what = f"Dry run: `{command}` would run in {image}. Nothing was run, because only Alembic says what is pending."
        return Report(Verdict.PASS, what, _outputs("dry-run", Verdict.PASS, "", journal), blocks=known)
    if end.exit_code == 0 and not end.timed_out:
        what = f"`{command}` ended with 0 after {end.seconds:.1f} s."
        return Report(Verdict.PASS, what, _outputs("applied", Verdict.PASS, "", journal), blocks=known)
    detail = f" ({end.detail})" if end.detail else ""
    how = f"ended with exit code {end.exit_code}{detail}" if end.exit_code is not None else f"was lost{detail}"
    what = f"`{command}` was ended at its time limit of {inputs.timeout:g} s." if end.timed_out else f"`{command}` {how}."
    fix = "Ask the tool where the database stands before it runs again."
    verdict = Verdict.FAIL if end.exit_code is not None or end.timed_out else Verdict.INCONCLUSIVE
    finding = Finding("run-migrations-oneshot/failed", Severity.ERROR, what, fix=fix)
    last = "\n".join(journal.last) or "(it printed nothing)"
    blocks: list[Block] = [Paragraph(fix), Paragraph(f"The last {len(journal.last)} lines:"), CodeBlock(last), *known]
    return Report(verdict, what, _outputs("failed", verdict, what, journal), [finding], blocks, list_findings=False)


def _outputs(status: str, verdict: Verdict, reason: str, journal: Journal) -> dict[str, OutputValue]:
    return {"status": status, "verdict": verdict, "reason": reason, "log": str(journal.path), "applied": []}
