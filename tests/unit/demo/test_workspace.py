"""What a quick demo leaves out of the example's pipeline file."""

from __future__ import annotations

from pathlib import Path

import yaml

from demo.workspace import without_checks

FILE = Path(__file__).resolve().parents[3] / "examples" / "two-lane" / ".github" / "cicd.yml"


def test_quick_demo_keeps_all_but_the_checks_of_the_lanes() -> None:
    whole = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    quick = yaml.safe_load(without_checks(FILE.read_text(encoding="utf-8")))
    assert {name: list(lane.pop("checks")) for name, lane in quick["lanes"].items()} == {"api": ["none"], "web": ["none"]}
    for lane in whole["lanes"].values():
        assert len(lane.pop("checks")) > 1
    assert quick == whole
