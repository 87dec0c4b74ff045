from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cicd_actions.pipeline_file.reading import load
from demo.described import FILE, change
from demo.engines import ENVIRONMENTS
from demo.story import BROKEN, GOOD, expected
from demo.tools import SetupError

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "two-lane"
URLS = {name: {"api": f"http://{name}/api", "web": f"http://{name}"} for name in ENVIRONMENTS}


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / FILE).parent.mkdir()
    shutil.copy(EXAMPLE / FILE, tmp_path / FILE)
    return tmp_path


def test_change_the_examples_file_needs_no_container_and_answers_here(app: Path) -> None:
    change(app, URLS)
    before, after = load(EXAMPLE / FILE), load(app / FILE)
    assert before.lanes["api"].backing
    assert not after.lanes["api"].backing
    assert after.release
    assert [each.urls for each in after.release.environments] == list(URLS.values())
    assert after.release.roll_out_command == (before.release and before.release.roll_out_command)
    assert (after.images, after.services) == (before.images, before.services)


def test_change_to_swarm_leaves_no_program_of_the_local_engine(app: Path) -> None:
    images = {name: {"repository": f"127.0.0.1:5000/{name}", "command": "build {name}"} for name in ("api", "web")}
    change(app, URLS, images, {"engine": "swarm", "stack": "it's-{environment}"})
    after = load(app / FILE)
    assert after.release
    assert (after.release.engine, after.release.stack) == ("swarm", "it's-{environment}")
    assert after.release.roll_out_command is after.release.running_command is None
    assert after.images["api"].repository == "127.0.0.1:5000/api"
    assert after.release.migrate == (load(EXAMPLE / FILE).release or after.release).migrate


def test_only_a_release_that_is_never_ready_ends_another_way_on_swarm() -> None:
    assert expected("swarm", "", None) is expected("command", "", None) is GOOD
    everywhere = [name for name in BROKEN if name != "errors"]
    assert [name for name in everywhere if expected("swarm", "", name) != expected("command", "", name)] == ["health"]
    assert expected("swarm", "", "health").refused == expected("command", "", "health").taken_back == ("staging",)


def test_a_strategy_says_what_becomes_of_each_stage() -> None:
    assert expected("swarm", "canary", None).stages == {"staging": "promoted", "production": "promoted"}
    assert expected("swarm", "canary", "errors").stages == {"staging": "abandoned"}
    assert expected("swarm", "blue-green", "health").stages == {"staging": "abandoned"}
    assert expected("swarm", "canary", "migration").stages == {}


@pytest.mark.parametrize(("engine", "strategy", "broken"), [("command", "canary", None), ("swarm", "", "errors")])
def test_what_cannot_be_shown_names_the_command_that_can(engine: str, strategy: str, broken: str | None) -> None:
    with pytest.raises(SetupError, match="make demo ENGINE=swarm STRATEGY=canary"):
        expected(engine, strategy, broken)
