"""Holds what `.ci/run` runs: the tests that it leaves out are documented and run each night, and what it runs is measured."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def marked() -> list[str]:
    """Returns the names of the tests that carry the mark themselves; a whole file may not."""
    names = []
    for path in (ROOT / "tests").rglob("test_*.py"):
        text = path.read_text("utf-8")
        if path == Path(__file__) or "mark.nightly" not in text:
            continue
        found = [
            node.name
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.FunctionDef) and "pytest.mark.nightly" in map(ast.unparse, node.decorator_list)
        ]
        assert len(found) == text.count("mark.nightly"), f"{path}: mark single tests as nightly"
        names += found
    return sorted(names)


def test_contributing_names_each_nightly_test() -> None:
    (section,) = re.findall(r"### Nightly tests\n(.*?)\n## ", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.DOTALL)
    assert sorted(re.findall(r"^\| `(test_\w+)` \|", section, re.MULTILINE)) == marked()


def test_nightly_run_leaves_no_test_out() -> None:
    run = (ROOT / ".ci" / "run").read_text("utf-8")
    assert "if [ \"$what\" = nightly ]; then\n    selected=''\n    pythons=all\nfi\n" in run
    assert "run: sudo .ci/run nightly\n" in (ROOT / ".github" / "workflows" / "nightly.yml").read_text("utf-8")


def recipe(**variables: str) -> str:
    """Returns what `make test` would run."""
    words = ["make", "-n", "test", *(f"{name}={text}" for name, text in variables.items())]
    return subprocess.run(words, cwd=ROOT, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True).stdout


def test_each_run_is_measured_and_holds_the_floor() -> None:
    run = (ROOT / ".ci" / "run").read_text("utf-8")
    assert 'CICD_ACTIONS_NO_SKIP=1 make test MEASURE=yes PYTEST="' in run
    assert "\nfail_under = 95\n" in (ROOT / "pyproject.toml").read_text("utf-8")
    assert " report  >" in recipe(MEASURE="yes", PYTEST="-q", CICD_ACTIONS_NO_SKIP="1")
    assert "\nunset PYTHONDONTWRITEBYTECODE PYTEST_ADDOPTS MEASURE FLOOR\n" in run


def test_run_with_a_word_too_many_is_refused(tmp_path: Path) -> None:
    stand_in = tmp_path / "id"  # without root, a refusal that is missed installs nothing
    stand_in.write_text("#!/bin/sh\necho 1000\n")
    stand_in.chmod(0o755)
    words = [str(ROOT / ".ci" / "run"), "change", "nightly"]
    ended = subprocess.run(words, env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}, capture_output=True, text=True, check=False)
    assert "Cannot run `change nightly`" in ended.stdout
    assert ended.returncode == 2


def test_no_other_python_fails_the_tests_on_them() -> None:
    """`.ci/pythons` tests on those that it is told, and would pass where these are none."""
    nowhere = {"PATH": "", "HOME": "/nonexistent", "RUNNER_TOOL_CACHE": "/nonexistent"}
    words = [sys.executable, str(ROOT / "tools" / "pythons.py")]
    ended = subprocess.run(words, env=nowhere, capture_output=True, text=True, check=False)
    assert ended.stdout == ""
    assert "Cannot find a Python" in ended.stderr
    assert ended.returncode == 1


@pytest.mark.parametrize(("which", "versions"), [("oldest", ["3.10"]), ("all", ["3.10", "3.13"])])
def test_list_of_pythons_is_read_to_its_end(tmp_path: Path, which: str, versions: list[str]) -> None:
    """Who prints the next line to a reader that has gone fails, and with it the run."""
    stand_ins = {
        "python3": "echo 3.10 /oldest && sleep 0.3 && echo 3.13 /newest",
        "make": f'for word; do echo "$word"; done >>"{tmp_path}/made"',
    }
    for name, text in stand_ins.items():
        (tmp_path / name).write_text(f"#!/bin/sh\nset -e\n{text}\n")
        (tmp_path / name).chmod(0o755)
    script = tmp_path / ".ci" / "pythons"
    script.parent.mkdir()
    script.write_text((ROOT / ".ci" / "pythons").read_text("utf-8"))
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    ended = subprocess.run(["bash", script, which], env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    made = (tmp_path / "made").read_text()
    assert re.findall(r"^VENV=\.build/venv-(.+)$", made, re.MULTILINE) == versions


@pytest.mark.parametrize(
    ("variables", "measured"),
    [
        ({}, " report --fail-under 0 >"),
        ({"PYTEST": "-q"}, ""),
        ({"PYTEST": "-q", "MEASURE": "yes", "FLOOR": "60"}, "--fail-under 60"),
        ({"PYTEST": "-q", "FLOOR": "60"}, "--fail-under 60"),
        ({"MEASURE": "no"}, ""),
    ],
)
def test_where_tests_may_be_skipped_the_floor_is_what_is_asked(variables: dict[str, str], measured: str) -> None:
    made = recipe(**variables)
    assert measured in made
    assert ("coverage" in made) == bool(measured)


COVERAGE = """#!/bin/sh
echo "$1 $COVERAGE_FILE $COVERAGE_RCFILE" >>"$0.log"
case "$1" in
run) [ -z "$HANGS" ] || { echo started; exec sleep 60; } ;;
combine) : >"$COVERAGE_FILE" ;;
report) echo "TOTAL 8 1 87.5%"; exit "${REPORT:-0}" ;;
esac
"""


def measured_in(folder: Path, **variables: str) -> subprocess.Popen[str]:
    """Starts `make test` in a folder that has the Makefile, and a stand-in for coverage."""
    for name in ("requirements/dev.txt", "tools/bootstrap.py", ".build/venv/ready", ".build/venv/bin/coverage"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / "Makefile").write_text((ROOT / "Makefile").read_text("utf-8"), "utf-8")
    (folder / ".build/venv/bin/coverage").write_text(COVERAGE)
    (folder / ".build/venv/bin/coverage").chmod(0o755)
    environment = {"PATH": os.environ["PATH"], **variables}
    return subprocess.Popen(["make", "test"], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("floor", ["101", "-1", "6x", "60.5"])
def test_floor_that_is_no_percentage_is_refused_before_the_tests(tmp_path: Path, floor: str) -> None:
    said, _ = (run := measured_in(tmp_path, FLOOR=floor)).communicate(timeout=60)
    assert (run.returncode, "FLOOR=60" in said) == (2, True)
    assert not list(tmp_path.rglob("coverage.log"))


@pytest.mark.parametrize("code", [0, 2], ids=["passes", "below the floor"])
def test_each_measured_run_has_its_own_data_wherever_the_checkout_is(tmp_path: Path, code: int) -> None:
    folder = tmp_path / "with space"
    for _ in range(2):
        with measured_in(folder, REPORT=str(code), COVERAGE_RCFILE="/another") as made:
            said = made.communicate(timeout=60)[0]
        assert made.returncode == code
        assert "87.5%" in said
    log = (folder / ".build/venv/bin/coverage.log").read_text()
    found = re.findall(rf"^run ({re.escape(str(folder))}/\.build/coverage/venv/\d+/data) $", log, re.MULTILINE)
    assert len(set(found)) == 2
    assert sorted(path.name for path in (folder / ".build/coverage/venv").iterdir()) == ["data", "report.txt"]


def test_paths_of_the_checkout_are_quoted_in_recipes() -> None:
    recipes = [line for line in (ROOT / "Makefile").read_text("utf-8").splitlines() if line.startswith("\t")]
    before = [line[: found.start()] for line in recipes for found in re.finditer(r"\$\((CURDIR|abspath)\b", line)]
    assert before
    assert [text for text in before if text.count('"') % 2 == 0] == []


def test_run_that_is_terminated_leaves_no_tests_running(tmp_path: Path) -> None:
    with measured_in(tmp_path, HANGS="yes") as made:
        assert made.stdout is not None
        assert made.stdout.readline() == "started\n"
        made.terminate()
        made.communicate(timeout=20)  # until all that may write to it have ended
    assert made.returncode != 0
