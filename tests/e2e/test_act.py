"""act as the tests and the demo run it: what a failing step prints last is never lost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from demo.act import Act, Annotated, Logged, without_terminal
from tests.e2e.workflows.conftest import act_program

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


def test_last_line_of_every_failing_step_is_read(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("namespaces are made by root only")
    assert without_terminal(), "this machine makes no mount namespace"
    file = tmp_path / "job" / ".github" / "workflows" / "fail.yml"
    file.parent.mkdir(parents=True)
    file.write_text(WORKFLOW)
    act = Act(act_program(), tmp_path / "cache", {})
    with act.start(tmp_path / "job", ".github/workflows/fail.yml", "push", {}, log=tmp_path / "log") as run:
        said = list(run)
    errors = sorted(each.message for each in said if isinstance(each, Annotated))
    assert errors == [f"the last line of {number}" for number in range(1, 7)]
    assert sum(isinstance(each, Logged) and each.text == "no terminal" for each in said) == 6
