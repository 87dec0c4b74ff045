"""The pipeline files of the guides are files that the product takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cicd_actions.pipeline_file.reading import load, parse

ROOT = Path(__file__).resolve().parents[3]
RECIPES = sorted((ROOT / "recipes").glob("*/cicd*.yml"))


def blocks(guide: str) -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / guide).read_text("utf-8"), re.DOTALL)


def test_adopting_file_of_the_lanes_and_what_the_release_adds_are_one_file() -> None:
    (lanes,) = (text for text in blocks("adopting.md") if text.startswith("version: 1\n"))
    (release,) = (text for text in blocks("adopting.md") if text.startswith("images:\n"))
    assert list(parse(lanes).lanes) == ["api", "web"]
    whole = parse(lanes + release)
    assert list(whole.services) == ["api", "worker", "web"]
    assert whole.release


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_recipe_is_a_whole_file_whose_programs_are_there(path: Path) -> None:
    release = load(path).release
    assert release
    commands = (release.roll_out_command, release.running_command, release.image_command, release.job_command)
    assert all(commands[:3])
    for command in filter(None, commands):
        assert (path.parent / command.split()[0]).is_file(), command
