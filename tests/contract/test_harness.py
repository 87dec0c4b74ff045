"""Holds what the tests stand on to ways that leave nothing behind."""

from __future__ import annotations

import ast
import contextlib
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from coverage import CoverageData

from tests.harness.accepting import Accepting
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


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX], ids=["tcp", "unix"])
def test_listener_that_is_closed_takes_no_connection_of_the_next_one(tmp_path: Path, family: socket.AddressFamily) -> None:
    """The next one gets the number of its descriptor."""
    taken, before = list[str](), threading.active_count()
    for name in ("first", "second"):
        listener = socket.socket(family)
        listener.bind(("127.0.0.1", 0) if family == socket.AF_INET else str(tmp_path / name))
        listener.listen()
        come = threading.Event()

        def take(connection: socket.socket, name: str = name, come: threading.Event = come) -> None:
            connection.close()
            taken.append(name)
            come.set()

        accepting = Accepting(listener, take)
        with socket.socket(family) as client:
            client.connect(listener.getsockname())
            assert come.wait(20)
        accepting.close()
        accepting.close()
        assert threading.active_count() == before
    assert taken == ["first", "second"]


def test_tests_accept_connections_in_one_place() -> None:
    """A separate process, or a listener that outlives its thread, needs no more."""
    alone = {"harness/aws_server.py", "harness/warm_python.py", "integration/health_gate/rotating_names.py"}
    alone |= {"harness/accepting.py", "integration/health_gate/test_verdicts.py"}
    texts = {path.relative_to(ROOT / "tests").as_posix(): path.read_text("utf-8") for path in (ROOT / "tests").rglob("*.py")}
    assert {name for name, text in texts.items() if re.search(r"\.accept\(\)\n", text)} == alone


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


def spread(
    folder: Path, test: str, *words: str, plugin: str = "", before: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Runs a test as `make test` does: on one worker, with this project's settings and plugins, and one more."""
    workers = re.findall(r"^SPREAD := (.+)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)[0].split()
    (folder / "tests").mkdir()
    (folder / "tests" / "test_it.py").write_text(test)
    (folder / "one_more.py").write_text(plugin)
    settings = ["-c", str(ROOT / "pyproject.toml"), f"--rootdir={folder}", "-p", "tests.conftest", "-p", "one_more"]
    return subprocess.run(
        [sys.executable, *before, "-m", "pytest", *settings, *workers, "--numprocesses=1", *words, str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{folder}", "COVERAGE_FILE": str(folder / "data")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_tests_have_nothing_of_the_workflow_that_runs_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = (
        "GITHUB_OUTPUT",
        "GITHUB_TOKEN",
        "GH_TOKEN",
        "RUNNER_TEMP",
        "ACTIONS_ID_TOKEN_REQUEST_URL",
        "INPUTS",
        "CI",
        "COLUMNS",
    )
    for name in given:
        monkeypatch.setenv(name, str(tmp_path / "300"))
    monkeypatch.setenv("STAYS", "here")
    test = f"import os\n\ndef test_environment():\n    assert os.environ.keys() & {{*{given}, 'STAYS'}} == {{'STAYS'}}\n"
    ended = spread(tmp_path, test)
    assert ended.returncode == 0, ended.stdout


def test_test_that_hangs_is_named_with_its_stack_and_ends_the_run(tmp_path: Path) -> None:
    hangs = "import threading\n\ndef test_hangs():\n    threading.Event().wait()\n"
    ended = spread(tmp_path, hangs, "-o", "faulthandler_timeout=0.5")
    assert ended.returncode != 0
    assert re.search(r'test_it\.py", line 4 in test_hangs', ended.stderr)
    # The summary says it once more where the line is long enough.
    assert set(re.findall(r"worker '(\w+)' crashed while running 'tests/test_it\.py::test_hangs", ended.stdout)) == {"gw0"}


@pytest.mark.parametrize(
    ("hook", "said"),
    [
        ("pytest_sessionfinish(): os._exit(1)", "worker gw0 crashed"),
        ("pytest_collection_modifyitems(): raise RuntimeError('broken')", "RuntimeError: broken"),
    ],
    ids=["crash", "internal error"],
)
def test_worker_that_ends_outside_of_a_test_fails_the_run(tmp_path: Path, hook: str, said: str) -> None:
    plugin = f"import os\n\nif 'PYTEST_XDIST_WORKER' in os.environ:\n    def {hook}\n"
    ended = spread(tmp_path, "def test_passes(): pass\n", plugin=plugin)
    assert said in ended.stdout
    assert " failed" not in ended.stdout
    assert ended.returncode != 0


def test_worker_that_is_killed_because_it_does_not_exit_has_saved_what_it_measured(tmp_path: Path) -> None:
    test = (
        "import threading\n\ndef test_passes():\n    import cicd_actions.toolkit.sarif\n"
        "    threading.Thread(target=threading.Event().wait).start()\n"
    )
    plugin = "from xdist.workermanage import NodeManager\n\nNodeManager.EXIT_TIMEOUT = 0.5\n"
    measured = ["-m", "coverage", "run", f"--rcfile={ROOT / 'pyproject.toml'}"]
    ended = spread(tmp_path, test, plugin=plugin, before=measured)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = [CoverageData(str(path)) for path in tmp_path.glob("data.*")]
    for each in found:
        each.read()
    assert any(each.lines(str(ROOT / "src/cicd_actions/toolkit/sarif.py")) for each in found)
