"""What a quick demo leaves out of the example's pipeline file."""

from __future__ import annotations

from pathlib import Path

import yaml

from demo.workspace import with_first_checks

FILE = Path(__file__).resolve().parents[3] / "examples" / "two-lane" / ".github" / "cicd.yml"


def test_quick_demo_keeps_the_first_check_of_each_lane_and_all_else() -> None:
    whole = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    quick = yaml.safe_load(with_first_checks(FILE.read_text(encoding="utf-8")))
    assert {name: list(lane.pop("checks")) for name, lane in quick["lanes"].items()} == {"api": ["lint"], "web": ["lint"]}
    for lane in whole["lanes"].values():
        assert len(lane.pop("checks")) > 1
    assert quick == whole
