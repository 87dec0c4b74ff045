"""act as the tests and the demo run it: what a failing step prints last is never lost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from demo import act
from demo.act import Act, Annotated, Event, Logged, Run, StartedAgain, StepStarted, without_terminal
from tests.e2e.workflows.conftest import act_program
from tests.harness.demo import left_running

WORKFLOW = """\
on: push
jobs:
  fail:
    runs-on: ubuntu-latest
    strategy:
      matrix:
        number: [1, 2, 3, 4, 5, 6]
    steps:
      - run: |
          test -t 1 || echo "no terminal"
          echo "::error::the last line of ${{ matrix.number }}"
          exit 1
"""


def started(folder: Path, workflow: str) -> Run:
    file = folder / "job" / ".github" / "workflows" / "on_push.yml"
    file.parent.mkdir(parents=True)
    file.write_text(workflow)
    program = Act(act_program(), folder / "cache", {})
    return program.start(folder / "job", ".github/workflows/on_push.yml", "push", {}, log=folder / "log")


def test_last_line_of_every_failing_step_is_read(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("namespaces are made by root only")
    assert without_terminal(), "this machine makes no mount namespace"
    with started(tmp_path, WORKFLOW) as run:
        said: list[Event] = []
        for event in run:
            said = [] if isinstance(event, StartedAgain) else [*said, event]
    errors = sorted(each.message for each in said if isinstance(each, Annotated))
    assert errors == [f"the last line of {number}" for number in range(1, 7)]
    assert sum(isinstance(each, Logged) and each.text == "no terminal" for each in said) == 6


def test_one_that_hangs_is_started_again_and_says_where_it_hung(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What hangs here is a step: act cannot be made to hang itself, and waits for this one as long."""
    monkeypatch.setattr(act, "SILENCE", 5.0)
    hangs = f"test -e {tmp_path}/once || {{ touch {tmp_path}/once; exec sleep 3600; }}"
    workflow = f"on: push\njobs:\n  one:\n    runs-on: ubuntu-latest\n    steps:\n      - run: {hangs}\n"
    with started(tmp_path, workflow) as run:
        said = [each for each in run if isinstance(each, (StartedAgain, StepStarted))]
        assert run.exit_code == 0
    assert [type(each) for each in said] == [StepStarted, StartedAgain, StepStarted]
    assert "goroutine 1 " in (tmp_path / "log").read_text()
    assert left_running(tmp_path) == []
