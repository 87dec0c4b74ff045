"""roll-out by `canary` with the user's own programs, whose clients are as many as the program says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.action import Ended, run
from tests.harness.golden import Golden

PROGRAM = """#!/usr/bin/env python3
import json, pathlib, sys
state = pathlib.Path("state.json")
now = json.loads(state.read_text())
what, service, image, number = pathlib.Path(sys.argv[0]).stem, *sys.argv[1:]
with open("calls", "a") as calls:
    calls.write(f"{what} {service} {number}\\n" if what not in ("stage", "running") else "")
stage = now["stages"].get(service)
if what == "prepare":
    if image.startswith("sick"):
        sys.exit("it is not healthy")
    now["stages"][service] = {"image": image, "percent": 0, "new": {"requests": 0, "errors": 0},
                              "old": {"requests": 10, "errors": 0}, "until": int(number)}
elif what == "weigh":
    stage["percent"] = float(number)
elif what == "promote":
    now["running"][service] = {"image": image}
    now["stages"].pop(service, None)
elif what == "abandon":
    now["stages"].pop(service, None)
elif what == "rollout":
    now["running"][service] = {"image": image}
else:
    for each in now["stages"].values():
        each.setdefault("new", {"requests": 0, "errors": 0}), each.setdefault("old", {"requests": 0, "errors": 0})
        each["new"]["requests"] += int(each["percent"]) * (0 if each["image"].startswith("idle") else 100)
        each["new"]["errors"] += int(each["percent"]) * (10 if each["image"].startswith("bad") else 0)
        each["old"]["requests"] += (100 - int(each["percent"])) * 100
    print(json.dumps(now["stages" if what == "stage" else "running"]))
state.write_text(json.dumps(now))
"""

NAMES = ("stage", "running", "prepare", "weigh", "promote", "abandon", "rollout")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text(PROGRAM)
        (tmp_path / f"{name}.py").chmod(0o755)
    (tmp_path / "state.json").write_text(json.dumps({"running": {"api": {"image": "old-api"}}, "stages": {}}))
    return tmp_path


def inputs(image: str, **more: str) -> dict[str, str]:
    numbers = {"prepare": "{until}", "weigh": "{percent}"}
    return {
        "engine": "command",
        "services": f"api={image}",
        "strategy": "canary",
        "steps": "10% 1000 requests within 20s\n50% 1000 requests within 20s",
        "bake": "1s",
        "roll-out-command": "./rollout.py {service} {image} -",
        "running-command": "./running.py - - -",
        "stage-command": "./stage.py - - -",
        **{f"{name}-command": f"./{name}.py {{service}} {{image}} {numbers.get(name, '-')}" for name in NAMES[2:6]},
        **more,
    }


def state(folder: Path) -> tuple[str, dict[str, object]]:
    found = json.loads((folder / "state.json").read_text())
    return found["running"]["api"]["image"], found["stages"]


def verdict(ended: Ended) -> tuple[int, str, str]:
    return ended.code, ended.outputs["verdict"], ended.outputs["stage"]


Kept = Callable[[str, dict[str, str]], Ended]


@pytest.fixture
def kept(folder: Path, golden: Golden) -> Kept:
    """Runs roll-out and compares its summary with the kept one; how many requests there were depends on the looks."""

    def ran(case: str, given: dict[str, str]) -> Ended:
        summary = folder / "summary.md"
        ended = run("roll-out", given, folder, GITHUB_STEP_SUMMARY=str(summary))
        text = re.sub(r"\d+ of \d+ \(|[+-]\d+\.\d+", lambda found: re.sub(r"\d+", "0", found[0]), summary.read_text())
        golden.hold(f"roll-out/canary-{case}", text, folder=str(folder))
        return ended

    return ran


def test_canary_by_programs_is_promoted_step_by_step(folder: Path, kept: Kept) -> None:
    ended = kept("pass", inputs("new-api"))
    assert verdict(ended) == (0, "pass", "promoted"), ended.log
    assert state(folder) == ("new-api", {})
    calls = [line.split() for line in (folder / "calls").read_text().splitlines()]
    assert [(name, number) for name, _, number in calls if name == "weigh"] == [
        ("weigh", share) for share in ("10", "50", "100")
    ]
    assert [name for name, *_ in calls] == ["prepare", "weigh", "weigh", "weigh", "promote"]


def test_canary_by_programs_with_errors_is_abandoned(folder: Path, kept: Kept) -> None:
    ended = kept("fail", inputs("bad-api"))
    assert verdict(ended) == (1, "fail", "abandoned"), ended.log
    assert "Errors: " in ended.outputs["reason"]
    assert state(folder) == ("old-api", {})


def test_blue_green_by_programs_with_errors_is_abandoned_while_it_bakes(folder: Path) -> None:
    ended = run("roll-out", inputs("bad-api", strategy="blue-green", bake="60s"), folder)
    assert verdict(ended) == (1, "fail", "abandoned"), ended.log
    assert "The new release of api failed at 100 %. Errors: " in ended.outputs["reason"]
    assert state(folder) == ("old-api", {})


def test_stage_by_a_program_that_fails_or_is_missing_moves_nothing(folder: Path) -> None:
    ended = run("roll-out", inputs("sick-api"), folder)
    assert verdict(ended) == (1, "fail", "abandoned"), ended.log
    assert "The `prepare-command` of api exited with code 1." in ended.outputs["reason"]
    assert "it is not healthy" in ended.log
    ended = run("roll-out", {**inputs("new-api"), "weigh-command": "", "abandon-command": ""}, folder)
    assert ended.code == 2
    assert "`weigh-command`, `abandon-command` is not set" in ended.log
    ended = run("roll-out", {**inputs("new-api"), "weigh-command": "./weigh.py {service} {image} {percentage}"}, folder)
    assert ended.code == 2
    assert "Did you mean `{percent}`?" in ended.log
    (folder / "stage.py").write_text('#!/bin/sh\necho \'{"api": {"image": 1}}\'\n')
    ended = run("roll-out", inputs("new-api"), folder)
    assert ended.code == 3
    assert "reports no `image`" in ended.log
    assert state(folder) == ("old-api", {})


def test_stage_that_waits_is_abandoned_by_name_and_by_then_nothing_stands(folder: Path) -> None:
    waits = {**inputs("new-api"), "promote": "manual"}
    ended = run("roll-out", waits, folder)
    assert verdict(ended) == (0, "pass", "staged"), ended.log
    assert state(folder)[1] != {}
    abandoned = {**waits, "promote": "abandon", "services": "api=registry/api"}
    ended = run("roll-out", abandoned, folder)
    assert verdict(ended) == (0, "pass", "abandoned"), ended.log
    assert "abandoned the stage of new-api" in ended.outputs["reason"]
    assert state(folder) == ("old-api", {})
    ended = run("roll-out", abandoned, folder)
    assert (verdict(ended), ended.outputs["reason"]) == ((0, "pass", ""), "No stage stands.")
    assert run("roll-out", {**waits, "strategy": "rolling", "promote": "staged"}, folder).code == 2


def test_promotion_that_was_killed_between_two_services_goes_on_with_the_second(folder: Path) -> None:
    now = json.loads((folder / "state.json").read_text())
    now["running"] = {"api": {"image": "new-api"}, "web": {"image": "old-web"}}
    now["stages"] = {"web": {"image": "new-web", "percent": 100, "until": 9999999999}}
    (folder / "state.json").write_text(json.dumps(now))
    both = {**inputs("new-api", strategy="blue-green", bake="0s"), "services": "api=new-api\nweb=new-web", "promote": "staged"}
    ended = run("roll-out", both, folder)
    assert verdict(ended) == (0, "pass", "promoted"), ended.log
    assert json.loads((folder / "state.json").read_text()) == {
        "running": {"api": {"image": "new-api"}, "web": {"image": "new-web"}},
        "stages": {},
    }


def test_canary_without_traffic_is_inconclusive_and_abandoned(folder: Path, kept: Kept) -> None:
    ended = kept("inconclusive", inputs("idle-api", steps="10% 1000 requests within 1s"))
    assert verdict(ended) == (3, "inconclusive", "abandoned"), ended.log
    assert "the new release answered no request." in ended.outputs["reason"]
    assert state(folder) == ("old-api", {})
