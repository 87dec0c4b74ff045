"""`cicd-actions NAME`: reads the inputs, runs the action, reports, and exits. The only place that does."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from cicd_actions.toolkit.definition import AnyAction
from cicd_actions.toolkit.errors import ActionError, Cancelled, Inconclusive, UnusableInput
from cicd_actions.toolkit.findings import Finding, Severity
from cicd_actions.toolkit.inputs import from_flags, from_json, load
from cicd_actions.toolkit.report import Block, CodeBlock, OutputValue, Paragraph, Report
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict


def names() -> list[str]:
    """The actions that are here: each package with a module `action`."""
    return sorted(path.parent.name.replace("_", "-") for path in Path(__file__).parent.glob("*/action.py"))


def action(name: str) -> AnyAction:
    """The action of that name. Raises `UnusableInput` when there is none."""
    if name not in names():
        raise UnusableInput(f"There is no action `{name}`.", fix=f"There are: {', '.join(names())}.")
    module = importlib.import_module(f"cicd_actions.{name.replace('-', '_')}.action")
    found: AnyAction = module.ACTION
    return found


def main(argv: list[str] | None = None) -> None:
    """The console script."""
    # The reader of a log may be anything (a locale of `C`, a Windows code page): what it cannot show is spelled out.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    sys.exit(run(sys.argv[1:] if argv is None else argv, os.environ, sys.stdout, sys.stderr))


def run(argv: list[str], variables: Mapping[str, str], stdout: TextIO, stderr: TextIO) -> int:
    """One run, from words to exit code (DESIGN: 0 pass, 1 fail, 2 unusable input, 3 inconclusive, 130 and 143 signals)."""
    wants_json = "--json" in argv
    words = [word for word in argv if word != "--json"]
    on_github = variables.get("GITHUB_ACTIONS") == "true"
    runtime = Runtime(variables, stdout if on_github and not wants_json else stderr)
    if not words or words[0] in {"--help", "-h", "help"}:
        print(_overview(), file=stdout)
        return 0
    try:
        chosen = action(words[0])
    except UnusableInput as error:
        runtime.log(str(error))
        return error.exit_code
    if {"--help", "-h"} & set(words[1:]):
        from cicd_actions.toolkit.manual import usage  # noqa: PLC0415 - only --help needs it

        print(usage(chosen), file=stdout)
        return 0
    _raise_on_signals()
    code = 0
    try:
        report = _judge(chosen, words[1:], runtime)
        code = report.verdict.exit_code
    except ActionError as error:
        report, code = _failed(error, chosen), error.exit_code
    except Cancelled as cancelled:
        report, code = cancelled.report or _cancelled(cancelled, chosen), cancelled.exit_code
    except Exception as error:  # noqa: BLE001 - a defect of ours must say so, masked, and must not look like a proven fail
        report, code = _broken(error, chosen, runtime), Verdict.INCONCLUSIVE.exit_code
    from cicd_actions.toolkit.reporting import publish  # noqa: PLC0415 - the first request must not wait for it

    try:
        publish(report, chosen, runtime, as_json=stdout if wants_json else None)
    except OSError as error:
        runtime.log(f"The outputs or the job summary could not be written: {error}. The verdict was: {report.verdict}.")
        return code or 1
    return code


def _judge(chosen: AnyAction, words: list[str], runtime: Runtime) -> Report:
    values = from_json(runtime.variables["INPUTS"]) if runtime.variables.get("INPUTS") else {}
    values |= from_flags(words, chosen.inputs)
    return chosen.run(load(chosen.inputs, values, runtime.redactor), runtime)


def _failed(error: ActionError, chosen: AnyAction) -> Report:
    blocks: list[Block] = []
    if error.cause:
        blocks.append(Paragraph(error.cause))
    if error.fix:
        blocks.append(CodeBlock(error.fix))
    headline = error.what.splitlines()[0] if "\n" not in error.what else f"{error.title}: {error.what}"
    finding = Finding(
        rule=f"{chosen.name}/{error.title.lower().replace(' ', '-')}",
        severity=Severity.ERROR,
        message="\n".join(part for part in (error.what, error.cause) if part),
        fix=error.fix,
    )
    return Report(error.verdict, headline, _outputs(chosen, error.verdict, error.what), [finding], blocks, list_findings=False)


def _cancelled(cancelled: Cancelled, chosen: AnyAction) -> Report:
    headline = f"The run was {cancelled}. Nothing was judged."
    return Report(Verdict.INCONCLUSIVE, headline, _outputs(chosen, Verdict.INCONCLUSIVE, headline))


def _broken(error: Exception, chosen: AnyAction, runtime: Runtime) -> Report:
    import traceback  # noqa: PLC0415 - only a defect needs it

    with runtime.group("Where it happened"):
        runtime.log("".join(traceback.format_exception(type(error), error, error.__traceback__)))
    defect = Inconclusive(
        f"{chosen.name} met an error it does not know: {type(error).__name__}: {error}",
        cause="This is a defect of the action. Nothing was judged, so nothing is rolled back.",
        fix="Please report it with the lines above, which hold no secret that the action was told of.",
    )
    return _failed(defect, chosen)


def _outputs(chosen: AnyAction, verdict: Verdict, reason: str) -> dict[str, OutputValue]:
    """Every action's verdict and reason are written also when it failed early: a gate is read by its outputs."""
    declared = {output.name for output in chosen.outputs}
    outputs: dict[str, OutputValue] = {"verdict": verdict, "reason": reason}
    return {name: value for name, value in outputs.items() if name in declared}


def _raise_on_signals() -> None:
    def on_signal(signum: int, _frame: object) -> None:
        # Once is enough: GitHub's runner follows SIGINT with SIGTERM while the action is still tidying up.
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_IGN)
        raise Cancelled(signum)

    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, on_signal)


def _overview() -> str:
    width = max(map(len, names()), default=0)
    rows = [f"  {name.ljust(width)}  {action(name).summary}" for name in names()]
    return "\n".join(["usage: cicd-actions NAME [--input VALUE …] [--json]", "", *rows, "", "cicd-actions NAME --help"])


if __name__ == "__main__":
    main()
