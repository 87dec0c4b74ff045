"""The summaries of a roll-out, as a person reads them: tests/golden/roll-out/."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.action import run
from tests.harness.golden import Golden
from tests.integration.roll_out.test_on_command import folder, inputs

__all__ = ["folder"]


@pytest.mark.parametrize(
    ("case", "services"),
    [("pass", "api=new-api\nweb=new-web"), ("fail", "api=new-api\nweb=bad-web"), ("inconclusive", "api=new-api")],
)
def test_summary_of_a_roll_out_is_the_kept_one(case: str, services: str, folder: Path, golden: Golden) -> None:
    summary = folder / "summary.md"
    if case == "inconclusive":
        (folder / "state.json").write_text("[]")
    ended = run("roll-out", inputs(services), folder, GITHUB_STEP_SUMMARY=str(summary))
    golden.hold(f"roll-out/{case}", summary.read_text(), folder=str(folder))
    assert ended.outputs["verdict"] == case, ended.log
