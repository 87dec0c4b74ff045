"""What a quick demo leaves out of the example's pipeline file."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from demo.described import FILE as PLACE
from demo.described import check_again
from demo.workspace import without_checks

FILE = Path(__file__).resolve().parents[3] / "examples" / "two-lane" / ".github" / "cicd.yml"


def test_quick_demo_keeps_all_but_the_checks_of_the_lanes() -> None:
    whole = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    quick = yaml.safe_load(without_checks(FILE.read_text(encoding="utf-8")))
    assert {name: list(lane.pop("checks")) for name, lane in quick["lanes"].items()} == {"api": ["none"], "web": ["none"]}
    for lane in whole["lanes"].values():
        assert len(lane.pop("checks")) > 1
    assert quick == whole


def test_second_release_of_a_demo_that_began_quickly_has_every_check(tmp_path: Path) -> None:
    quick = yaml.safe_load(without_checks(FILE.read_text(encoding="utf-8")))
    (tmp_path / PLACE).parent.mkdir()
    (tmp_path / PLACE).write_text(json.dumps(quick))
    check_again(tmp_path, FILE.parents[1])
    assert json.loads((tmp_path / PLACE).read_text()) == yaml.safe_load(FILE.read_text(encoding="utf-8"))
