"""Turns a report into outputs, a job summary, annotations, a terminal's text, or one JSON object."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from actions_toolkit import file_command

from cicd_actions.toolkit import markdown, terminal
from cicd_actions.toolkit.definition import AnyAction
from cicd_actions.toolkit.findings import Finding, Severity, worst_first
from cicd_actions.toolkit.printable import defused, shortened, visible
from cicd_actions.toolkit.report import Block, Code, CodeBlock, Inline, OutputValue, Paragraph, Report, Strong, Table
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict

SUMMARY_LIMIT = 512 * 1024
"""Bytes. GitHub drops a step's summary whole when it is above 1 MiB:
https://docs.github.com/actions/reference/workflow-commands-for-github-actions#adding-a-job-summary"""

ANNOTATIONS = 10
"""GitHub shows ten annotations of a type per step: https://github.com/orgs/community/discussions/26680"""

OUTPUT_LIMIT = 256 * 1024
"""Characters of one output. A job's outputs hold at most 1 MB together; longer results belong in a file."""

_MARKS = {Verdict.PASS: "✅", Verdict.FAIL: "❌", Verdict.INCONCLUSIVE: "⚠️"}


def publish(
    report: Report, action: AnyAction, runtime: Runtime, *, as_json: TextIO | None = None, printed: TextIO | None = None
) -> None:
    """Writes the report everywhere it is read.

    `as_json` takes one JSON object, alone, when it was asked for. `printed` takes the report as text in a terminal; without
    it the text goes to the log.
    """
    undeclared = set(report.outputs) - {output.name for output in action.outputs}
    if undeclared:
        raise AssertionError(f"{action.name} does not declare the outputs {sorted(undeclared)}")
    outputs = {output.name: _text(report.outputs.get(output.name, ""), runtime) for output in action.outputs}

    def clean(text: str) -> str:
        return visible(runtime.redactor(text))

    _write_outputs(outputs, runtime)
    _write_summary(report, action, runtime)
    if runtime.on_github:
        _annotate(report.findings, runtime)
    if as_json is not None:
        as_json.write(_as_json(report, action, outputs, runtime) + "\n")
        as_json.flush()
    for line in terminal.render(_log_blocks(report, action, annotated=runtime.on_github), clean):
        if printed is None:
            runtime.log(line)
        else:
            print(defused(runtime.redactor(line)), file=printed)


def _text(value: OutputValue, runtime: Runtime) -> str:
    """An output as text. Verdicts, numbers and booleans are never masked: a secret `production` must not hide a verdict."""
    if isinstance(value, Verdict):
        return value.value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        # Callers echo outputs, and the runner reads what they print.
        return shortened(defused(runtime.redactor(value)), OUTPUT_LIMIT)
    return _without_commands(runtime.redactor(json.dumps(value, ensure_ascii=False, separators=(",", ":"))))


def _without_commands(document: str) -> str:
    """JSON in one line cannot begin like a command, but the old syntax (`##[`) acts anywhere in a line."""
    return document.replace("##[", r"##\u005b")


def _write_outputs(outputs: Mapping[str, str], runtime: Runtime) -> None:
    path = runtime.variables.get("GITHUB_OUTPUT")
    if not path:
        return

    # The delimiter is random and new for each output, so no value can end it.
    text = "".join(file_command.prepare_key_value_message(name, value) + "\n" for name, value in outputs.items())
    with Path(path).open("a", encoding="utf-8", errors="replace", newline="") as file:
        file.write(text)


def _write_summary(report: Report, action: AnyAction, runtime: Runtime) -> None:
    path = runtime.variables.get("GITHUB_STEP_SUMMARY")
    if not path:
        return

    def clean(text: str) -> str:
        return visible(runtime.redactor(text))

    title = f"## {_MARKS[report.verdict]} {action.name}: {report.title or report.verdict}\n\n"
    blocks: list[Block] = [Paragraph(report.headline), *report.blocks, *_table_of(report)]
    with Path(path).open("a", encoding="utf-8", errors="replace") as file:
        file.write(title + markdown.render(blocks, clean, SUMMARY_LIMIT))


def _table_of(report: Report) -> list[Block]:
    rows: list[Sequence[Inline]] = [
        (
            Strong(found.severity.value) if found.severity is Severity.ERROR else found.severity.value,
            Code(_place(found)),
            found.message,
            found.fix,
            Code(found.rule),
        )
        for found in worst_first(report.findings)
    ]
    return [Table(("severity", "where", "what", "what to do", "rule"), rows)] if rows and report.list_findings else []


def _list_of(report: Report) -> list[Block]:
    """The findings for a terminal: a table's cells would be too long for its lines."""
    blocks: list[Block] = []
    for found in worst_first(report.findings if report.list_findings else []):
        place = f"{_place(found)}: " if found.file else ""
        blocks.append(Paragraph(f"{place}{found.severity}: {found.message} [{found.rule}]"))
        if found.fix:
            blocks.append(CodeBlock(found.fix))
    return blocks


def _place(found: Finding) -> str:
    return f"{found.file}:{found.line}" if found.line else found.file


def _annotate(findings: Iterable[Finding], runtime: Runtime) -> None:
    ordered = worst_first(findings)
    for severity in Severity:
        of_type = [found for found in ordered if found.severity is severity]
        for found in of_type[:ANNOTATIONS]:
            properties: dict[str, str | int] = {"title": found.rule}
            if found.file:
                properties["file"] = visible(found.file)
            if found.line:
                properties["line"] = found.line
            if found.column:
                properties["col"] = found.column
            message = f"{found.message}\n{found.fix}" if found.fix else found.message
            runtime.command(severity.value, shortened(visible(runtime.redactor(message)), 4000), **properties)
        if len(of_type) > ANNOTATIONS:
            more = len(of_type) - ANNOTATIONS
            runtime.log(f"… and {more} more of level {severity}: GitHub shows {ANNOTATIONS}; all are in the job summary.")


def _log_blocks(report: Report, action: AnyAction, *, annotated: bool) -> list[Block]:
    ended = f"{action.name}: {report.title or report.verdict}."
    if annotated and report.title:
        return [Paragraph(ended)]
    blocks: list[Block] = [*report.blocks]
    # On GitHub each finding has just been printed as an annotation.
    blocks += [] if annotated else _list_of(report)
    return [*blocks, Paragraph(f"{ended} {report.headline}")]


def _as_json(report: Report, action: AnyAction, outputs: Mapping[str, str], runtime: Runtime) -> str:
    whole = {
        "action": action.name,
        "verdict": report.verdict.value,
        "headline": runtime.redactor(report.headline),
        "outputs": dict(outputs),
        "findings": [
            {key: runtime.redactor(value) if isinstance(value, str) else value for key, value in found.as_json().items()}
            for found in worst_first(report.findings)
        ],
    }
    # The object may be printed where the runner reads commands.
    return _without_commands(json.dumps(whole, ensure_ascii=True))
