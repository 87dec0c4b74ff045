"""A secret at every offset of every channel: whatever is read, cut, kept or shown in pieces shows no part of it."""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from urllib.parse import quote

import pytest

from cicd_actions.health_gate import http_probe
from cicd_actions.health_gate.answer import Answer
from cicd_actions.run_migrations_oneshot import journal
from cicd_actions.toolkit import error_report, lines, process, reporting
from cicd_actions.toolkit.definition import Action, Output
from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.findings import Finding, Severity
from cicd_actions.toolkit.redaction import Redactor
from cicd_actions.toolkit.report import Block, CodeBlock, Details, Paragraph, Report, Table
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict

SECRET = 'k9Qw/7Zt"4Lm+2Xc'
LIMIT = 48
"""Characters of each channel in these tests: the real bounds are the same code with larger numbers."""

TELLING = 6
"""Characters of the secret that are a leak. A cut may show fewer: to mask those would mask every text."""

RAW = SECRET.encode()
ACTION = Action("a", "A.", object, (Output("verdict", "x"), Output("reason", "x"), Output("list", "x")), "", "x", "blue")


def in_lines(width: int, before: int) -> str:
    """Base64 of a longer text with the secret in it, in lines of a width, of which one ends within the secret."""
    filled = b"u" * (width * 3 // 4 - 6 + before)
    letters = base64.b64encode(filled + RAW + b"z" * 30).decode()
    return "\n".join(letters[at : at + width] for at in range(0, len(letters), width))


SPELLINGS: dict[str, str] = {
    "raw": SECRET,
    "JSON": json.dumps({"e": SECRET}),
    "JSON in JSON": json.dumps(json.dumps({"e": SECRET})),
    **{f"base64 at offset {n}": base64.b64encode(b"u" * n + RAW + b"zz").decode() for n in range(3)},
    **{f"base64 in lines of {width} at offset {n}": in_lines(width, n) for width in (64, 76) for n in range(3)},
    "URL": quote(SECRET, safe=""),
    "URL twice": quote(quote(SECRET, safe=""), safe=""),
    "hex": RAW.hex(),
    "upper hex": RAW.hex().upper(),
    "userinfo": f"postgres://app:{quote(SECRET, safe='')}@db/prod",
}


@cache
def parts() -> frozenset[str]:
    """What would tell a part of the secret, in each spelling."""
    found: set[str] = set()
    for at in range(len(SECRET) - TELLING + 1):
        part = SECRET[at : at + TELLING]
        quoted, hexed = quote(part, safe=""), part.encode().hex()
        found |= {part, quoted, quote(quoted, safe=""), hexed, hexed.upper()}
        found |= {json.dumps(part)[1:-1], json.dumps(json.dumps(part))[3:-3]}
    for shift in range(3):
        # The letters that are the same whatever stands around the secret.
        one, other = (base64.b64encode(fill * shift + RAW + fill * 3).decode() for fill in (b"\0", b"\xff"))
        for own in "".join(a if a == b else " " for a, b in zip(one, other, strict=True)).split():
            found |= {own[at : at + 8] for at in range(len(own) - 7)}
    return frozenset(found)


def program_output(text: str, runtime: Runtime, _: Path) -> list[str]:
    """Read in pieces of seven characters, handed over in lines that are cut."""
    shown: list[str] = []
    passed = lines.Lines("stdout", lambda _, line: shown.append(runtime.redactor(line)), runtime.redactor)
    for at in range(0, len(text), 7):
        passed.feed(text[at : at + 7])
    passed.close()
    return ["".join(shown)]


def kept_output(text: str, runtime: Runtime, _: Path) -> list[str]:
    """A stream of which only the first characters are kept."""
    with Path(os.devnull).open("rb") as pipe:
        stream = process._Stream(pipe, LIMIT)
        for at in range(0, len(text), 7):
            stream._take(text[at : at + 7], None)
    return [runtime.redactor(stream.text)]


def log(text: str, runtime: Runtime, _: Path) -> list[str]:
    runtime.log(text)
    return []


def kept_file(text: str, runtime: Runtime, folder: Path) -> list[str]:
    kept = journal.Journal(runtime, folder / "log")
    for line in text.splitlines():
        kept.line(line)
    kept.close()
    return [(folder / "log").read_text(), *kept.last]


def published(report: Report, runtime: Runtime, folder: Path) -> list[str]:
    document = io.StringIO()
    for name in ("outputs", "summary"):
        (folder / name).write_text("")
    reporting.publish(report, ACTION, runtime, as_json=document)
    return [document.getvalue(), *((folder / name).read_text() for name in ("outputs", "summary"))]


def whole_report(text: str, runtime: Runtime, folder: Path) -> list[str]:
    """Outputs, summary, annotations, the report in the log and as JSON."""
    finding = Finding("a/b", Severity.ERROR, text, fix=text)
    blocks: list[Block] = [Paragraph(text), Details(text, [CodeBlock(text)]), Table(["a"], [[text]])]
    return published(Report(Verdict.FAIL, text, {"reason": text, "list": [text]}, [finding], blocks), runtime, folder)


def error(text: str, runtime: Runtime, folder: Path) -> list[str]:
    return published(error_report.report(UnusableInput(text, cause=text, fix=text), ACTION, runtime), runtime, folder)


def defect(text: str, runtime: Runtime, folder: Path) -> list[str]:
    try:
        raise ValueError(text)
    except ValueError as raised:
        return published(error_report.report(raised, ACTION, runtime), runtime, folder)


def excerpt(text: str, runtime: Runtime, _: Path) -> list[str]:
    """The beginning of an answer that the gate shows."""
    return [runtime.redactor(http_probe._excerpt(Answer(500, (), text.encode())))]


CHANNELS: list[Callable[[str, Runtime, Path], list[str]]] = [
    program_output, kept_output, log, kept_file, whole_report, error, defect, excerpt,
]  # fmt: skip


@pytest.mark.parametrize("channel", CHANNELS, ids=lambda each: each.__name__)
def test_channel_secret_at_every_offset_in_every_spelling_is_masked(
    channel: Callable[[str, Runtime, Path], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "LONGEST_LINE", LIMIT)
    monkeypatch.setattr(journal, "LONGEST_LINE", LIMIT)
    monkeypatch.setattr(reporting, "OUTPUT_LIMIT", LIMIT)
    monkeypatch.setattr(reporting, "SUMMARY_LIMIT", 600)
    monkeypatch.setattr(http_probe, "SHOWN", LIMIT)
    redactor = Redactor()
    redactor.add(SECRET)
    names = {"GITHUB_OUTPUT": "outputs", "GITHUB_STEP_SUMMARY": "summary"}
    variables = {name: str(tmp_path / file) for name, file in names.items()} | {"GITHUB_ACTIONS": "true"}
    for name, spelling in SPELLINGS.items():
        for offset in range(LIMIT + 4):
            written = io.StringIO()
            runtime = Runtime(variables, written, redactor)
            shown = "\n".join([*channel("~" * offset + spelling + "~" * 20, runtime, tmp_path), written.getvalue()])
            assert not [part for part in parts() if part in shown], (name, offset, shown)


def test_spelling_each_has_a_part_that_would_tell() -> None:
    assert all(any(part in spelling.replace("\n", "") for part in parts()) for spelling in SPELLINGS.values())
