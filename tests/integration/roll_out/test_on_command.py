"""roll-out with the user's own programs: the README's example, all or none, and what is not known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.harness.action import Ended, Step, run

PROGRAM = """#!/usr/bin/env python3
import hashlib, json, pathlib, sys, time
def digest(image):
    return "sha256:" + hashlib.sha256(image.encode()).hexdigest() if image.startswith("known") else ""
state = pathlib.Path("state.json")
now = json.loads(state.read_text())
what = pathlib.Path(sys.argv[0]).stem
if what == "running":
    print(json.dumps(now))
elif what == "exists":
    print(digest(sys.argv[1]))
    sys.exit(1 if sys.argv[1].startswith("none") else 0)
else:
    service, image, sha, environment = sys.argv[1:]
    assert environment == "staging"
    with open("calls", "a") as calls:
        calls.write(f"{service} {image}\\n")
    print("::warning::moving", service, flush=True)
    if image.startswith("slow"):
        time.sleep(60)
    if image.startswith("bad"):
        print("it crashed", file=sys.stderr)
        sys.exit(3)
    if image.startswith("nothing"):
        sys.exit(0)
    now[service] = {"image": image, "sha": sha, "digest": digest(image)}
    if image.endswith("beside-a-hotfix"):
        now["api"] = {"image": "known-hotfix", "digest": digest("known-hotfix")}
    state.write_text(json.dumps(now))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "infra").mkdir()
    for name in ("rollout.sh", "running.sh", "exists.sh"):
        (tmp_path / "infra" / name).write_text(PROGRAM)
        (tmp_path / "infra" / name).chmod(0o755)
    (tmp_path / "state.json").write_text(
        json.dumps({"api": {"image": "old-api", "sha": "1" * 40}, "web": {"image": "old-web"}})
    )
    return tmp_path


def inputs(services: str, **more: str) -> dict[str, str]:
    return {
        "engine": "command",
        "environment": "staging",
        "sha": "2" * 40,
        "services": services,
        "roll-out-command": "./infra/rollout.sh {service} {image} {sha} {environment}",
        "running-command": "./infra/running.sh {environment}",
        "image-command": "./infra/exists.sh {image}",
        **more,
    }


def state(folder: Path) -> dict[str, str]:
    return {name: entry["image"] for name, entry in json.loads((folder / "state.json").read_text()).items()}


def verdict(ended: Ended) -> tuple[int, str, str]:
    return ended.code, ended.outputs["verdict"], ended.outputs["rolled-out"]


def test_all_arrive_in_order(folder: Path) -> None:
    ended = run("roll-out", inputs("api=new-api\nweb=new-web", order="web\napi"), folder)
    assert verdict(ended) == (0, "pass", "true"), ended.log
    assert state(folder) == {"api": "new-api", "web": "new-web"}
    assert (folder / "calls").read_text() == "web new-web\napi new-api\n"
    assert json.loads(ended.outputs["previous"]) == {"api": "", "web": ""}, "no digest is known here"
    assert ended.outputs["digests"] == "web=new-web\napi=new-api"
    assert "::warning::" not in ended.log


def test_none_when_one_fails(folder: Path) -> None:
    ended = run("roll-out", inputs("api=new-api\nweb=bad-web"), folder)
    assert verdict(ended) == (1, "fail", "false"), ended.log
    assert state(folder) == {"api": "old-api", "web": "old-web"}
    assert (folder / "calls").read_text() == "api new-api\nweb bad-web\nweb old-web\napi old-api\n", (
        "each that was begun is taken back"
    )
    assert "it crashed" in ended.log


REPLICAS = """#!/usr/bin/env python3
import pathlib, sys, time
image = sys.argv[1]
pathlib.Path("replica-1").write_text(image)
if image == "half":
    sys.exit(1)
if image == "hangs":
    time.sleep(600)
pathlib.Path("replica-2").write_text(image)
pathlib.Path("marker").write_text(image)
"""


@pytest.mark.parametrize("image", ["half", "hangs"])
@pytest.mark.parametrize("garbage", [False, True])
def test_program_that_fails_halfway_is_called_with_the_old_release_whatever_is_reported(
    tmp_path: Path, image: str, garbage: bool
) -> None:
    for name in ("replica-1", "replica-2", "marker"):
        (tmp_path / name).write_text("shop-1")
    broken = "[ $(cat replica-1) = shop-1 ] || { echo garbage; exit 0; }\n" if garbage else ""
    running = "#!/bin/sh\n" + broken + 'printf \'{"shop": {"image": "%s"}}\' $(cat marker)\n'
    for name, text in (("rollout", REPLICAS), ("running", running)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    commands = {"roll-out-command": "./rollout {image}", "running-command": "./running", "image-command": ""}
    ended = run("roll-out", inputs(f"shop={image}", timeout="2s", **commands), tmp_path)
    assert verdict(ended) == (1, "fail", "false"), ended.log
    assert [(tmp_path / name).read_text() for name in ("replica-1", "replica-2", "marker")] == ["shop-1"] * 3
    assert "called with what ran before, and exited with code 0 (shop)" in ended.outputs["reason"]
    assert "exit code -15" not in ended.log
    assert "runs again" not in ended.outputs["reason"]


def test_a_service_that_is_changed_after_it_arrived_is_left_and_nothing_passes(folder: Path) -> None:
    ended = run("roll-out", inputs("api=known-api\nweb=known-web-beside-a-hotfix"), folder)
    assert verdict(ended) == (3, "inconclusive", "false"), ended.log
    assert "api was changed by something else during the roll-out: it runs known-hotfix now." in ended.outputs["reason"]
    assert state(folder) == {"api": "known-hotfix", "web": "old-web"}, "the rest of the release is taken back"


def test_a_program_that_changes_nothing_proves_nothing(folder: Path) -> None:
    ended = run("roll-out", inputs("web=new-web\napi=nothing-new"), folder)
    assert verdict(ended) == (3, "inconclusive", "false"), ended.log
    said = "Could not prove that api runs nothing-new: `running-command` reports old-api."
    assert ended.outputs["reason"].startswith(said)
    assert state(folder) == {"api": "old-api", "web": "old-web"}, "all or none"


def test_two_runs_at_once_of_which_the_later_wins_let_one_pass(folder: Path) -> None:
    """The first run's program ends well, after the second run's program replaced what it had set."""
    (folder / "infra" / "rollout.sh").write_text(RACING)
    first = Step("roll-out", inputs("api=first-api", sha="2" * 40), folder)
    first.await_log("moving api")
    second = run("roll-out", inputs("api=second-api", sha="3" * 40), folder)
    (folder / "go").touch()
    ended = first.end()
    assert verdict(second) == (0, "pass", "true"), second.log
    assert verdict(ended) == (3, "inconclusive", "false"), ended.log
    assert "api was changed by something else during the roll-out: it runs second-api now." in ended.outputs["reason"]
    assert state(folder)["api"] == "second-api"
    assert (folder / "calls").read_text() == "api first-api\napi second-api\n", "what the second run set is not reverted"


RACING = PROGRAM.replace(
    "    state.write_text(json.dumps(now))",
    """    state.write_text(json.dumps(now))
    while image.startswith("first") and not pathlib.Path("go").exists():
        time.sleep(0.02)""",
)


def test_nothing_moves_when_an_image_is_missing_or_the_order_is_wrong(folder: Path) -> None:
    ended = run("roll-out", inputs("api=new-api\nweb=none-web\nworker=none-web"), folder)
    assert verdict(ended) == (1, "fail", "")
    assert ended.outputs["reason"].count("The image none-web does not exist") == 1, "two services share it"
    assert run("roll-out", inputs("api=new-api", order="web"), folder).code == 2
    assert run("roll-out", inputs("api=new-api", sha="main"), folder).code == 2
    ended = run("roll-out", inputs("api=new-api\nweb=registry.example/web:latest"), folder)
    assert ended.code == 2
    assert "web: registry.example/web:latest is not one release" in ended.log
    assert not (folder / "calls").exists()


def test_without_a_way_back_it_says_so(folder: Path) -> None:
    ended = run("roll-out", inputs("api=new-api\nweb=bad-web", **{"running-command": ""}), folder)
    assert verdict(ended) == (1, "fail", "false"), ended.log
    assert "web, api could not be rolled back" in ended.outputs["reason"]
    assert "what ran before is not known" in ended.log
    assert state(folder)["api"] == "new-api"


def test_programs_that_are_not_there_move_nothing(folder: Path) -> None:
    ended = run("roll-out", inputs("api=new-api", **{"roll-out-command": "./none.sh {service}"}), folder)
    assert verdict(ended) == (2, "inconclusive", ""), ended.log
    assert "./none.sh`" in ended.outputs["reason"]


def test_cancelled_in_the_middle(folder: Path) -> None:
    step = Step("roll-out", inputs("api=new-api\nweb=slow-web"), folder, RUNNER_TEMP=str(folder))
    step.await_log("moving web")
    step.cancel()
    ended = step.end(20)
    assert verdict(ended) == (130, "inconclusive", "false"), ended.log
    assert "The engine is rolling web, api back to what ran before" in ended.outputs["reason"]
    assert len(list(folder.glob("take-back-*.log"))) == 2
