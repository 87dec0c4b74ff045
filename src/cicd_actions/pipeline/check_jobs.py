"""One verdict over several jobs, for a required check that must never be green by accident.

GitHub counts a skipped job as passed, and a job is skipped also because one before it failed or was cancelled. So each job
is held to what was decided about it: it had to run, then only `success` will do; or it had not, then only `skipped` will.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from cicd_actions.pipeline import step


class Row(NamedTuple):
    """One job: what happened, whether that is right, and the reason when it is not."""

    job: str
    result: str
    right: bool
    reason: str


def judge(job: str, expected: str, result: str) -> Row:
    """Hold one job's *result* (`success`, `failure`, `cancelled`, `skipped`) to *expected* (`true`, `false`)."""
    if expected not in {"true", "false"}:
        return Row(job, result, False, "it was never decided whether it has to run: an earlier job did not end well")
    if expected == "true":
        reasons = {
            "failure": "it failed",
            "cancelled": "it was cancelled",
            "skipped": "it had to run and was skipped: a job it needs did not succeed",
        }
        right = result == "success"
        return Row(job, result, right, "" if right else reasons.get(result, "its result is not known"))
    right = result == "skipped"
    return Row(job, result, right, "not needed by this change" if right else "it was not needed, and ran nevertheless")


def judge_all(needs: Mapping[str, Any], expected: str) -> list[Row]:
    """A row for each line `job=true|false` of *expected*, and for each job of *needs* that no line names (always wrong)."""
    rows = []
    lines = [line.strip() for line in expected.splitlines() if line.strip()]
    for line in lines:
        job, _, value = line.partition("=")
        known = needs.get(job)
        result = str(known.get("result", "")) if isinstance(known, dict) else ""
        rows.append(judge(job, value.strip(), result))
    named = {row.job for row in rows}
    rows += [Row(job, "", False, "nothing is expected of it: the workflow is wrong") for job in needs if job not in named]
    return rows


def dropped(needs: Mapping[str, Any], outputs: str) -> list[Row]:
    """A row for each line `job=output` that a job which succeeded left empty: what needs it would be skipped silently."""
    rows = []
    for line in filter(None, map(str.strip, outputs.splitlines())):
        job, _, name = line.partition("=")
        known = needs.get(job, {})
        if known.get("result") == "success" and not known.get("outputs", {}).get(name):
            reason = (
                f"GitHub dropped its output `{name}`, because the value of a secret stands in it: rename what has that value"
            )
            rows.append(Row(job, "success", False, reason))
    return rows


def main() -> None:
    inputs = step.inputs()
    needs: dict[str, Any] = json.loads(inputs["needs"])
    rows = judge_all(needs, inputs["expected"]) + dropped(needs, inputs.get("outputs", ""))
    wrong = [row for row in rows if not row.right]
    for row in rows:
        step.log(f"{'ok   ' if row.right else 'WRONG'} {row.job}: {row.result or 'no result'}. {row.reason}".rstrip(". "))
    for row in wrong:
        step.command("error", f"{row.job}: {row.reason}", title=row.job)
    step.output("complete", bool(rows) and all(row.right and row.result == "success" for row in rows))
    table = ["| job | result | |", "|---|---|---|"]
    table += [
        f"| {row.job} | {'✅' if row.right else '❌'} {row.result or 'no result'} | {row.reason} |"
        for row in sorted(rows, key=lambda row: row.right)
    ]
    name = inputs.get("required-check", "")
    told = ["", f"Require the check `{name}` in the branch's rules: it reports always."] if name else []
    step.summary("\n".join([*table, *told]) + "\n")
    sys.exit(1 if wrong or not rows else 0)
