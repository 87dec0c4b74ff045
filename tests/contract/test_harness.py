"""Holds what the tests stand on to ways that leave nothing behind."""

from __future__ import annotations

import ast
import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.harness.fixtures import shared_until_the_last

ROOT = Path(__file__).resolve().parents[2]


def unprotected(body: Sequence[ast.stmt]) -> Iterator[int]:
    """The lines of the yields after which statements stand that an error in the block would skip."""
    for at, statement in enumerate(body):
        if isinstance(statement, ast.FunctionDef) or not any(isinstance(node, ast.Yield) for node in ast.walk(statement)):
            continue
        if isinstance(statement, ast.Try) and statement.finalbody:
            continue
        if any("assert" not in ast.unparse(rest) for rest in body[at + 1 :]):
            yield statement.lineno
        yield from unprotected(getattr(statement, "body", []))


def test_context_managers_tidy_up_after_an_error_in_their_block() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for folder in ("tests", "demo", "rehearsal", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
        for text in [path.read_text("utf-8")]
        if "contextmanager\n" in text
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef)
        and any(ast.unparse(each).endswith("contextmanager") for each in node.decorator_list)
        for line in unprotected(node.body)
    ]
    assert found == []


@pytest.mark.parametrize("theirs", [False, True], ids=["begun", "found"])
def test_what_several_workers_share_is_ended_by_the_last_and_only_where_they_began_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, theirs: bool
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    there = ["of somebody"] if theirs else []

    def one() -> AbstractContextManager[None]:
        return shared_until_the_last(
            "thing", lambda: there.append("of the tests"), lambda: there[0] if there else "", there.clear
        )

    with one():
        began = list(there)
        with one():
            assert there == began
        assert there == began
    assert there == (["of somebody"] if theirs else [])


def test_what_several_workers_share_is_not_waited_for_by_the_one_that_began_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    there: list[str] = []
    first, second = (
        shared_until_the_last("thing", lambda: there.append("it"), lambda: "it" if there else "", there.clear) for _ in "ab"
    )
    with contextlib.ExitStack() as held:
        with first:
            held.enter_context(second)
        assert there == ["it"]
    assert there == []


def test_test_that_hangs_is_named_with_its_stack_and_ends_the_run(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("import threading\n\ndef test_hangs():\n    threading.Event().wait()\n")
    spread = re.findall(r"^SPREAD := (.+)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)[0].split()
    settings = ["-c", str(ROOT / "pyproject.toml"), f"--rootdir={tmp_path}", "-o", "faulthandler_timeout=0.5"]
    words = [sys.executable, "-m", "pytest", *settings, *spread, "--numprocesses=1", str(tmp_path)]
    ended = subprocess.run(words, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert ended.returncode != 0
    assert re.search(r'test_it\.py", line 4 in test_hangs', ended.stderr)
    assert ended.stdout.count("crashed while running 'test_it.py::test_hangs'") == 1
