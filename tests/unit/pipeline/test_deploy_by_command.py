from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.pipeline import deploy_by_command
from cicd_actions.pipeline.deploy_by_command import DeployError, pairs, release

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
SHA = "1" * 40
PROGRAM = """
import json, pathlib, sys
log = pathlib.Path({log!r})
log.open("a").write(json.dumps(sys.argv[1:]) + chr(10))
if sys.argv[1] == "running":
    print("progress")
    print(pathlib.Path({running!r}).read_text())
sys.exit(9 if " ".join(sys.argv[1:3]) in {refuse!r} else 0)
"""


def test_pairs_keep_their_order() -> None:
    assert list(pairs("\n web = x=y \napi=z\n", "images").items()) == [("web", "x=y"), ("api", "z")]


@pytest.mark.parametrize("lines", ["api", "api=", "=x", "api=x\napi=y", "-x=y", "a b=c"])
def test_pairs_of_another_form_are_told(lines: str) -> None:
    with pytest.raises(DeployError, match="images: "):
        pairs(lines, "images")


@given(st.text(max_size=40))
def test_pairs_never_end_otherwise(lines: str) -> None:
    try:
        found = pairs(lines, "x")
    except DeployError:
        return
    assert all(name and value == value.strip() for name, value in found.items())


def test_a_release_is_named_by_digest() -> None:
    images = "web=ghcr.io/org/web\napi=localhost:5000/api"
    assert release(images, f"api={A}\nweb={B}") == {"api": f"localhost:5000/api@{A}", "web": f"ghcr.io/org/web@{B}"}


@pytest.mark.parametrize(
    ("images", "digests", "said"),
    [
        ("api=x", "", "nothing to deploy"),
        ("api=x", f"web={A}", "must be the same"),
        ("api=x\nweb=y", f"api={A}", "must be the same"),
        ("api=x", "api=latest", "64 hexadecimal digits"),
        ("api=x", f"api={A[:-1]}", "64 hexadecimal digits"),
        ("api=x", f"api={A.upper()}", "64 hexadecimal digits"),
    ],
)
def test_what_is_no_release_is_told(images: str, digests: str, said: str) -> None:
    with pytest.raises(DeployError, match=said):
        release(images, digests)


class Phase:
    """Runs one phase with a recording program, as the action's step would."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.monkeypatch = monkeypatch
        self.refuse: list[str] = []
        self.running: object = {}
        monkeypatch.setenv("GITHUB_OUTPUT", str(folder / "output"))
        monkeypatch.chdir(folder)

    def __call__(self, phase: str, **inputs: str) -> int:
        (self.folder / "running.json").write_text(json.dumps(self.running))
        log, running = str(self.folder / "log"), str(self.folder / "running.json")
        (self.folder / "program.py").write_text(PROGRAM.format(log=log, running=running, refuse=self.refuse))
        program = f"{sys.executable} program.py"
        given = {
            "phase": phase,
            "engine": "command",
            "environment": "staging",
            "images": "api=local/api\nweb=local/web",
            "digests": f"api={A}\nweb={B}",
            "sha": SHA,
            "urls": "api=http://a\nweb=https://b",
            "previous": "",
            "allow-older": "false",
            "running-command": f"{program} running {{environment}}",
            "roll-out-command": f"{program} roll-out {{service}} {{image}} {{digest}} {{sha}} {{environment}}",
            "migrate-service": "api",
            **{name.replace("_", "-"): value for name, value in inputs.items()},
        }
        self.monkeypatch.setenv("INPUTS", json.dumps(given))
        try:
            deploy_by_command.main()
        except SystemExit as end:
            return int(end.code or 0)
        return 0

    def calls(self) -> list[list[str]]:
        file = self.folder / "log"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def outputs(self) -> dict[str, str]:
        file = self.folder / "output"
        return dict(line.split("=", 1) for line in file.read_text().splitlines()) if file.exists() else {}


@pytest.fixture
def phase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Phase:
    return Phase(tmp_path, monkeypatch)


OLD = "0" * 40
BEFORE = {service: {"image": f"local/{service}@{A}", "digest": A, "sha": OLD} for service in ("api", "web")}


def test_start_hands_on_what_runs(phase: Phase) -> None:
    phase.running = BEFORE
    assert phase("start") == 0
    assert json.loads(phase.outputs()["previous"]) == BEFORE
    assert phase.outputs()["migrate-image"] == f"local/api@{A}"


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"sha": "main"}, "'main' is not a full commit SHA"),
        ({"urls": "api=http://x\nweb="}, "set the variable WEB_URL of the environment staging"),
        ({"urls": "api=/health\nweb=http://x"}, "where the api answers"),
        ({"engine": "swarm"}, "write `engine: command`"),
        ({"digests": "api=latest"}, "must be the same"),
        ({"running_command": ""}, "running-command is empty"),
        ({"running_command": "echo nothing"}, "is no JSON"),
        ({"running_command": "false"}, "running-command ended with 1"),
        ({"running_command": "no-such-program-here"}, "could not be started"),
    ],
)
def test_start_tells_what_is_wrong_before_anything_moves(
    phase: Phase, capsys: pytest.CaptureFixture[str], inputs: dict[str, str], said: str
) -> None:
    assert phase("start", **inputs) == 1
    assert said in capsys.readouterr().out
    assert not [call for call in phase.calls() if call[0] != "running"]


def git(folder: Path, *words: str) -> str:
    command = ["git", "-c", "user.name=x", "-c", "user.email=x@example.com", *words]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def history(tmp_path: Path) -> dict[str, str]:
    """Three commits: older ← newer, and `aside`, which is beside `newer`."""
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    found = {}
    for name in ("older", "newer"):
        git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", name)
        found[name] = git(tmp_path, "rev-parse", "HEAD")
    git(tmp_path, "checkout", "--quiet", "-b", "aside", found["older"])
    git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "aside")
    return {**found, "aside": git(tmp_path, "rev-parse", "HEAD")}


@pytest.mark.parametrize(
    ("runs", "deploys", "code", "said"),
    [
        ("older", "newer", 0, ""),
        ("newer", "newer", 0, ""),
        ("newer", "older", 1, "which is newer than"),
        ("newer", "aside", 0, "it is no ancestor of"),
        ("dev", "newer", 0, "the commit that runs now is not known"),
    ],
)
def test_an_older_commit_is_refused(
    phase: Phase, history: dict[str, str], capsys: pytest.CaptureFixture[str], runs: str, deploys: str, code: int, said: str
) -> None:
    phase.running = {"api": {"image": "x", "sha": history.get(runs, runs)}}
    assert phase("start", sha=history[deploys]) == code
    assert said in capsys.readouterr().out
    assert phase("start", sha=history[deploys], allow_older="true") == 0


def test_a_migration_of_an_unknown_service_is_told(phase: Phase, capsys: pytest.CaptureFixture[str]) -> None:
    assert phase("start", migrate_service="worker") == 1
    assert "worker is not deployed here; there are api, web" in capsys.readouterr().out


def test_roll_out_in_order(phase: Phase) -> None:
    assert phase("roll-out", digests=f"web={B}\napi={A}") == 0
    assert phase.calls() == [
        ["roll-out", "web", f"local/web@{B}", B, SHA, "staging"],
        ["roll-out", "api", f"local/api@{A}", A, SHA, "staging"],
    ]


def test_all_or_none(phase: Phase, capsys: pytest.CaptureFixture[str]) -> None:
    phase.refuse = ["roll-out web"]
    assert phase("roll-out", previous=json.dumps(BEFORE)) == 1
    assert [call[1] for call in phase.calls()] == ["api", "web", "api"]
    assert phase.calls()[-1] == ["roll-out", "api", f"local/api@{A}", A, OLD, "staging"]
    assert f"web was not rolled out: roll-out-command ended with 9. api is back on {OLD}" in capsys.readouterr().out


def test_what_has_no_way_back_is_told(phase: Phase, capsys: pytest.CaptureFixture[str]) -> None:
    phase.refuse = ["roll-out web"]
    assert phase("roll-out") == 1
    assert "api stays on the new release, nothing ran before it" in capsys.readouterr().out


def test_a_revert_that_fails_is_told(phase: Phase, capsys: pytest.CaptureFixture[str]) -> None:
    previous = {**BEFORE, "web": {**BEFORE["web"]}}
    digests = f"web={B}\napi={A}"
    phase.refuse = ["roll-out api"]
    assert phase("roll-out", digests=digests, previous=json.dumps(previous)) == 1
    assert f"web is back on {OLD}" in capsys.readouterr().out


def test_roll_back(phase: Phase) -> None:
    assert phase("roll-back", previous=json.dumps(BEFORE)) == 0
    assert [call[1:] for call in phase.calls()] == [
        ["api", f"local/api@{A}", A, OLD, "staging"],
        ["web", f"local/web@{A}", A, OLD, "staging"],
    ]
    assert phase.outputs()["to-sha"] == OLD


def test_services_of_different_commits_have_no_common_one_to_gate(phase: Phase) -> None:
    mixed = {**BEFORE, "web": {**BEFORE["web"], "sha": "3" * 40}}
    assert phase("roll-back", previous=json.dumps(mixed)) == 0
    assert phase.outputs()["to-sha"] == ""


@pytest.mark.parametrize(
    "previous", ["", "{}", json.dumps({"api": BEFORE["api"]}), json.dumps({"api": {"image": ""}, "web": 1})]
)
def test_nothing_to_go_back_to(phase: Phase, capsys: pytest.CaptureFixture[str], previous: str) -> None:
    assert phase("roll-back", previous=previous) == 1
    assert "this was the first deployment there" in capsys.readouterr().out
    assert phase.calls() == []


def test_a_roll_back_that_fails_calls_a_person(phase: Phase, capsys: pytest.CaptureFixture[str]) -> None:
    phase.refuse = ["roll-out web"]
    assert phase("roll-back", previous=json.dumps(BEFORE)) == 1
    assert "A person has to look now" in capsys.readouterr().out
    assert "to-sha" not in phase.outputs()
