from __future__ import annotations

from pathlib import Path

import pytest

from cicd_actions.toolkit.yaml12 import plain, read
from demo.story import BROKEN, GOOD, ending
from demo.swarm.workflow import LOCAL, on_swarm
from demo.workspace import WORKFLOW

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "two-lane"
INPUTS = {"builder": "command", "engine": "swarm", "stack": "it's-{environment}", "api-image": "127.0.0.1:5000/api"}


def test_the_example_s_pipeline_gets_other_inputs_and_is_else_what_it_was() -> None:
    before = (EXAMPLE / WORKFLOW).read_text(encoding="utf-8")
    after = on_swarm(before, INPUTS)
    old, new = (plain(read(text).root)["jobs"]["pipeline"].pop("with") for text in (before, after))
    assert {name: new.pop(name) for name in INPUTS} == INPUTS
    assert new == {name: value for name, value in old.items() if name not in {*LOCAL, *INPUTS}}
    assert set(old) >= LOCAL, "the example deploys to its own engine"
    lines = before.splitlines()
    assert [line for line in after.splitlines() if line in lines] == [line for line in lines if line in after.splitlines()]


def test_a_workflow_without_an_engine_cannot_be_moved() -> None:
    with pytest.raises(LookupError):
        on_swarm("jobs:\n  pipeline:\n    with:\n      builder: docker\n", INPUTS)


def test_only_a_release_that_is_never_ready_ends_another_way_on_swarm() -> None:
    assert ending("swarm", None) is ending("command", None) is GOOD
    assert [name for name in BROKEN if ending("swarm", name) != ending("command", name)] == ["health"]
    assert ending("swarm", "health").refused == ending("command", "health").taken_back == ("staging",)
