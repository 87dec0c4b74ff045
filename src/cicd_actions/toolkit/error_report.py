"""Reports runs that ended early: unusable inputs, cancellations, defects of the action."""

from __future__ import annotations

import traceback

from cicd_actions.toolkit.definition import AnyAction
from cicd_actions.toolkit.errors import ActionError, Cancelled, Inconclusive, UnusableInput
from cicd_actions.toolkit.findings import Finding, Severity
from cicd_actions.toolkit.report import Block, CodeBlock, Link, OutputValue, Paragraph, Report
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict


def report(error: Exception | Cancelled, chosen: AnyAction, runtime: Runtime) -> Report:
    """Returns the report of an error that ended the run. Logs where a defect happened, masked."""
    if isinstance(error, ActionError):
        return _failed(error, chosen)
    if isinstance(error, Cancelled):
        return error.report or _cancelled(error, chosen)
    return _broken(error, chosen, runtime)


def _failed(error: ActionError, chosen: AnyAction) -> Report:
    blocks: list[Block] = []
    if error.cause:
        blocks.append(Paragraph(error.cause))
    if error.see:
        blocks.append(Paragraph(Link(error.see, error.see)))
    if error.fix:
        blocks.append(CodeBlock(error.fix))
    # An unusable input judged nothing. Its verdict is that of a gate that could not judge: only the title differs.
    title = error.title.lower() if isinstance(error, UnusableInput) else ""
    headline = error.what if title or "\n" not in error.what else f"{error.title}: {error.what}"
    finding = Finding(
        rule=f"{chosen.name}/{error.title.lower().replace(' ', '-')}",
        severity=Severity.ERROR,
        message="\n".join(part for part in (error.what, error.cause, error.see) if part),
        fix=error.fix,
    )
    outputs = _outputs(chosen, error.verdict, error.what)
    return Report(error.verdict, headline, outputs, [finding], blocks, list_findings=False, title=title)


def _cancelled(cancelled: Cancelled, chosen: AnyAction) -> Report:
    headline = f"The run was {cancelled}. Nothing was judged."
    return Report(Verdict.INCONCLUSIVE, headline, _outputs(chosen, Verdict.INCONCLUSIVE, headline))


def _broken(error: Exception, chosen: AnyAction, runtime: Runtime) -> Report:
    with runtime.group("Where it happened"):
        runtime.log("".join(traceback.format_exception(type(error), error, error.__traceback__)))
    defect = Inconclusive(
        f"{chosen.name} stopped at an unexpected error: {type(error).__name__}: {error}",
        cause="This is a defect of the action. It judged nothing, so nothing is rolled back.",
        fix="Report it with the lines above; the secrets that the action knows are masked there.",
    )
    return _failed(defect, chosen)


def _outputs(chosen: AnyAction, verdict: Verdict, reason: str) -> dict[str, OutputValue]:
    """Returns the verdict and the reason: later steps read them, also of an action that failed early."""
    declared = {output.name for output in chosen.outputs}
    outputs: dict[str, OutputValue] = {"verdict": verdict, "reason": reason}
    return {name: value for name, value in outputs.items() if name in declared}
