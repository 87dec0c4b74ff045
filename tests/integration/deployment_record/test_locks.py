"""Locks: who forbids deploys, why and until when; and the phase `status`, which shows them."""

from __future__ import annotations

import json
import re
import shlex
import time
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from cicd_actions.deployment_record.inputs import until
from cicd_actions.github.release_record import Record, Task
from cicd_actions.toolkit.grammar import NotUnderstood
from tests.fakes.github import deployments
from tests.harness.releases import REPOSITORY, Ended, World, digest, sha

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "locks.md").read_text("utf-8")


def act(world: World, phase: str, **inputs: str) -> Ended:
    given = {"phase": phase, **{key.replace("_", "-"): text for key, text in inputs.items()}}
    return world.action("deployment-record", given, run="7", GITHUB_SHA=sha(1), GITHUB_TRIGGERING_ACTOR="alice")


RUN = "https://github.com/org/app/actions/runs/7/attempts/1"
LINK = f"](<{RUN}>)"


def test_lock_start_is_refused_until_it_is_unlocked(world: World) -> None:
    world.release(1)
    locked = act(world, "lock", reason="the database moves", until="4h")
    assert (locked.code, locked.verdict) == (0, "pass"), locked.log
    assert "staging is locked until 20" in locked.headline
    ended = world.start(2)
    assert (ended.code, ended.verdict) == (1, "fail")
    assert "Cannot deploy to staging: it is locked until 20" in ended.headline
    assert "alice locked it at 20" in ended.log
    assert "the database moves" in ended.log
    assert RUN in ended.log
    assert LINK in ended.summary
    assert "phase: unlock" in ended.log
    assert world.tasks()[-1] == ("lock", "1"), "nothing was begun"
    # What is under way ends with its record, and other environments are not locked.
    assert world.finish(1, "pass").code == 0
    assert world.start(2, environment="production").code == 0
    unlocked = act(world, "unlock")
    assert unlocked.code == 0
    assert "the database moves" in unlocked.headline
    assert LINK in unlocked.summary
    assert world.start(2).code == 0
    again = act(world, "unlock")
    assert (again.code, again.outputs.get("record-id", "")) == (0, "")
    assert "was not locked. Nothing was changed." in again.headline


ALWAYS = "* * * * * to 0 0 1 1 * in Europe/Berlin: the holidays"
"""A window that began this minute and ends with the year."""


def test_freeze_start_is_refused_and_an_override_lets_it_through_with_its_reason(world: World) -> None:
    world.release(1)
    freeze = f"0 0 1 1 * to 1 0 1 1 * in UTC: a minute a year\n{ALWAYS}"
    ended = world.start(2, freeze=freeze)
    assert (ended.code, ended.verdict) == (1, "fail")
    assert re.search(r"Cannot deploy to staging: it is frozen until 20\d\d-01-01 00:00 CET", ended.headline)
    assert "the holidays (* * * * * to 0 0 1 1 *, Europe/Berlin)." in ended.log
    suggested = re.search(r'freeze-override: "(until .*)"', ended.log)
    assert suggested is not None
    through = world.start(2, freeze=freeze, **{"freeze-override": suggested[1]})
    assert through.code == 0, through.log
    assert "It was overridden: a fix for the outage" in through.log
    record = deployments.kept(world.github, REPOSITORY).deployments[-1]["payload"]
    assert record["reason"] == "Freeze overridden: a fix for the outage"
    late = world.start(3, freeze=freeze, **{"freeze-override": "until 2026-01-01T00:00:00Z: an old fix"})
    assert late.code == 1
    assert "The override ended at 2026-01-01T00:00:00Z." in late.log


def test_freeze_that_is_not_open_changes_nothing(world: World) -> None:
    ended = world.start(1, freeze="0 0 1 1 * to 1 0 1 1 * in UTC: a minute a year")
    assert ended.code == 0
    record = deployments.kept(world.github, REPOSITORY).deployments[-1]["payload"]
    assert "reason" not in record


def test_lock_set_again_replaces_the_first_and_says_whose_it_was(world: World) -> None:
    act(world, "lock", reason="one", until="4h")
    assert "This replaces the lock that alice set." in act(world, "lock", reason="two").headline
    ended = world.start(1)
    assert "it is locked until it is unlocked" in ended.headline
    assert "two" in ended.log


def test_lock_whose_time_is_over_does_not_hold(world: World) -> None:
    before = time.time()
    act(world, "lock", reason="for a while", until="1m")
    kept = deployments.kept(world.github, REPOSITORY).deployments[-1]["payload"]
    record = Record(Task.LOCK, "", "", "", {}, kind="lock", until=kept["until"])
    end = datetime.fromisoformat(kept["until"].replace("Z", "+00:00")).timestamp()
    assert before + 60 <= end <= time.time() + 61
    assert (record.locks(end - 0.1), record.locks(end)) == (True, False)


def test_lock_older_than_a_hundred_deployments_still_holds(world: World) -> None:
    world.release(1)
    act(world, "lock", reason="long ago")
    for _ in range(101):
        deployments.other_tool(world.github, REPOSITORY, "staging", sha(1))
    world.github.calls.clear()
    assert world.start(2).code == 1
    asked = [call.query.get("task", "") for call in world.github.calls if call.path.endswith("/deployments")]
    assert "cicd-actions:lock" in asked


def test_lock_costs_start_no_request(world: World) -> None:
    world.release(1)
    act(world, "lock", reason="x")
    act(world, "unlock")
    world.github.calls.clear()
    assert world.start(2).code == 0
    assert [call.verb for call in world.github.calls if call.path.endswith("/deployments")] == ["GET", "POST"]


def test_lock_whose_answer_is_lost_is_written_again_and_one_unlock_is_enough(world: World) -> None:
    world.github.fail("POST", "/deployments$", drop=True, after=True)
    assert act(world, "lock", reason="x").code == 0
    assert [task for task, _ in world.tasks()] == ["lock", "lock"]
    assert world.start(1).code == 1
    assert act(world, "unlock").code == 0
    assert world.start(1).code == 0


def test_lock_that_is_not_proven_forbids_nothing(world: World) -> None:
    act(world, "lock", reason="mine")
    payload = dict(deployments.kept(world.github, REPOSITORY).deployments[-1]["payload"])
    act(world, "unlock")
    payload["reason"] = "somebody else's"
    deployments.other_tool(world.github, REPOSITORY, "staging", sha(1), task="cicd-actions:lock", payload=payload)
    started = world.start(1)
    assert started.code == 0, started.log
    assert "does not fit the key" in started.log


def test_lock_is_not_hidden_or_lifted_by_records_that_are_not_proven(world: World) -> None:
    act(world, "lock", reason="mine")
    act(world, "unlock")
    payloads = [each["payload"] for each in deployments.kept(world.github, REPOSITORY).deployments]
    lifted = {**payloads[1], "reason": "somebody else's"}
    act(world, "lock", reason="mine")
    for _ in range(100):
        deployments.other_tool(world.github, REPOSITORY, "staging", sha(1), task="cicd-actions:lock", payload=lifted)
    assert "it is locked" in world.start(1).headline
    (found,) = json.loads(act(world, "status").outputs["status"]).values()
    assert found["lock"]["reason"] == "mine"


def test_lock_of_two_people_at_once_is_lifted_by_one_unlock_of_a_third(world: World) -> None:
    for name in ("alice", "bob"):
        locked = world.action(
            "deployment-record",
            {"phase": "lock", "reason": f"{name}'s"},
            run="7",
            GITHUB_SHA=sha(1),
            GITHUB_TRIGGERING_ACTOR=name,
        )
        assert locked.code == 0
    unlocked = act(world, "unlock", reason="done")
    assert "staging is unlocked. bob locked it at 20" in unlocked.headline
    assert world.start(1).code == 0


def test_lock_without_a_key_is_proven_by_its_run(world: World) -> None:
    deployments.run(world.github, REPOSITORY, 7, sha(5))
    assert act(world, "lock", reason="x", record_key="").code == 0
    ended = world.start(1, record_key="")
    assert ended.code == 1
    assert "it is locked" in ended.headline


@pytest.mark.parametrize(
    ("login", "variables", "said"),
    [
        ("alice", {}, "will not count: alice created it, and not the App `github-actions`"),
        ("github-actions[bot]", {"GITHUB_RUN_ID": ""}, "will not count: it names no workflow run"),
        ("github-actions[bot]", {"GITHUB_EVENT_NAME": "pull_request"}, "was for a pull request"),
        ("github-actions[bot]", {"GITHUB_EVENT_NAME": "push"}, ""),
    ],
)
def test_lock_that_no_deploy_will_see_is_not_said_to_hold(
    world: World, login: str, variables: dict[str, str], said: str
) -> None:
    world.token = world.github.token(deployments="write", contents="read", actions="read", login=login)
    given = {"phase": "lock", "reason": "x", "record-key": ""}
    usual = {"GITHUB_SHA": sha(1), "GITHUB_WORKFLOW_REF": "org/app/.github/workflows/lock.yml@refs/heads/main"}
    ended = world.action("deployment-record", given, run="7", **{**usual, **variables})
    assert (ended.code, "staging is locked" in ended.log) == ((3, False) if said else (0, True)), ended.log
    assert said in ended.log


def test_lock_on_another_branch_warns_that_deploys_of_the_default_branch_do_not_see_it(world: World, tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"repository": {"default_branch": "main"}}))
    for branch, key, warned in (("hotfix", "", True), ("main", "", False), ("hotfix", "RECORD_KEY", False)):
        given = {"phase": "lock", "reason": "x", "record-key": key}
        variables = {"GITHUB_EVENT_PATH": str(event), "GITHUB_REF_NAME": branch, "GITHUB_SHA": sha(1)}
        ended = world.action("deployment-record", given, run="7", **variables)
        assert [each["rule"] for each in ended.findings] == (["deployment-record/unseen"] if warned else [])


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({}, "the input `reason` is empty"),
        ({"reason": "x", "until": "2020-01-01T00:00:00Z"}, "that time has passed"),
        ({"reason": "x", "until": "tomorrow"}, "neither a duration nor a time with a zone"),
        ({"reason": "x", "until": "2099-01-01T00:00:00"}, "neither a duration nor a time with a zone"),
        ({"reason": "x", "until": "9999-12-31T23:59:59-01:00"}, "neither a duration nor a time with a zone"),
    ],
)
def test_lock_input_that_cannot_be_used_is_told(world: World, inputs: dict[str, str], said: str) -> None:
    ended = act(world, "lock", **inputs)
    assert ended.code == 2
    assert said in ended.log
    assert world.tasks() == []


def test_until_takes_durations_and_times_with_a_zone() -> None:
    assert until("4h").seconds == 4 * 3600
    assert until("2026-12-24 18:00:00+01:00").moment == "2026-12-24T17:00:00Z"
    assert until("") == until("  ")
    for text in ("0s", "99999999h", "-1h"):
        with pytest.raises(NotUnderstood):
            until(text)


def test_rollback_passes_through_a_lock_and_says_so(world: World) -> None:
    world.release(1)
    world.release(2, "fail")
    act(world, "lock", reason="no deploys today")
    ended = world.roll_back()
    assert (ended.code, ended.verdict) == (0, "pass"), ended.log
    assert "rollback-to-previous-sha/locked" in [found["rule"] for found in ended.findings]
    assert "no deploys today" in ended.summary
    assert world.start(3).code == 1, "the lock stays"


class TestAnnouncedRollback:
    def test_deploy_whose_run_began_before_it_is_refused_and_one_that_began_later_is_not(self, world: World) -> None:
        world.release(1)
        waiting = deployments.run(world.github, REPOSITORY, 2, sha(2))
        waiting["run_started_at"] = "2026-01-01T00:00:00Z"
        world.github.calls.clear()
        ended = act(world, "announce-rollback")
        assert (ended.code, ended.verdict) == (0, "pass"), ended.log
        assert [call.verb for call in world.github.calls] == ["POST"], "an announcement waits for nothing"
        started = world.start(2)
        assert (started.code, started.verdict) == (1, "fail")
        assert "a rollback was started after this run began. Nothing was changed." in started.headline
        assert "alice started it at 20" in started.log
        assert RUN in started.log
        assert LINK in started.summary
        assert world.tasks()[-1] == ("lock", "1"), "nothing was begun"
        # Its failed jobs are run again.
        waiting["run_started_at"] = "2099-01-01T00:00:00Z"
        assert world.start(2).code == 0
        assert world.finish(2, "pass").code == 0

    def test_it_neither_locks_nor_unlocks_and_ends_deploys_of_its_environment_alone(self, world: World) -> None:
        deployments.run(world.github, REPOSITORY, 1, sha(1))["run_started_at"] = "2026-01-01T00:00:00Z"
        act(world, "lock", reason="a freeze")
        act(world, "announce-rollback")
        assert "it is locked" in world.start(1).headline
        act(world, "unlock")
        assert "a rollback was started" in world.start(1).headline
        assert world.start(1, environment="production").code == 0
        assert act(world, "unlock").headline == "staging was not locked. Nothing was changed."

    def test_an_unproven_one_ends_no_deploy(self, world: World) -> None:
        act(world, "announce-rollback", record_key="")
        deployments.run(world.github, REPOSITORY, 1, sha(1))["run_started_at"] = "2026-01-01T00:00:00Z"
        assert world.start(1).code == 0

    def test_without_the_permission_to_read_the_run_the_deploy_does_not_start(self, world: World) -> None:
        act(world, "announce-rollback")
        world.token = world.github.token(deployments="write", contents="read")
        ended = world.start(1)
        assert (ended.code, ended.verdict) == (3, "inconclusive")
        assert "actions: read" in ended.log

    def test_rollback_goes_on_whatever_is_announced(self, world: World) -> None:
        world.release(1)
        world.release(2, "fail")
        act(world, "announce-rollback")
        assert world.roll_back().code == 0
        assert world.running()["api"] == sha(1)


def test_command_of_the_page_finds_the_lock(world: World) -> None:
    act(world, "lock", reason="a freeze")
    (line,) = (line for line in PAGE.splitlines() if line.startswith("gh api"))
    path = line.split("'")[1].replace("ORG/APP", REPOSITORY).replace("production", "staging")
    assert re.findall(r"(\w+): \.([\w.]+)", line) == [
        ("kind", "payload.kind"),
        ("by", "payload.run.actor"),
        ("reason", "payload.reason"),
        ("until", "payload.until"),
    ]
    (found,) = httpx.get(f"{world.github.url}/{path}", headers={"Authorization": f"token {world.token}"}).json()
    said = found["payload"]
    assert (said["kind"], said["run"]["actor"], said["reason"]) == ("lock", "alice", "a freeze")


def test_refusals_of_the_page_are_those_that_are_tested_here() -> None:
    rows = [line.split("|")[1].strip() for line in PAGE.partition("| it says |")[2].splitlines()[2:] if line.startswith("|")]
    here = Path(__file__).read_text("utf-8")
    assert rows
    for row in rows:
        assert all(part.strip() in here for part in row.split("…")), row


class TestStatus:
    def test_status_shows_what_is_recorded_and_what_forbids_a_deploy(self, world: World) -> None:
        world.release(1)
        world.start(2)
        act(world, "lock", reason="a freeze", until="2099-01-01T00:00:00Z")
        ended = act(world, "status", environment="staging\nproduction")
        assert ended.code == 0, ended.log
        assert f"staging is at {sha(1)[:12]} since 20" in ended.headline
        assert "has no verdict yet, locked until 2099-01-01T00:00:00Z; production has no good release." in ended.headline
        found = json.loads(ended.outputs["status"])
        assert list(found) == ["staging", "production"]
        assert found["staging"]["services"]["api"]["digest"] == digest(1)
        assert found["staging"]["services"]["api"]["running"] is None
        assert (found["staging"]["lock"]["by"], found["staging"]["lock"]["reason"]) == ("alice", "a freeze")
        assert found["staging"]["unjudged"]["sha"] == sha(2)
        assert [each["verdict"] for each in found["staging"]["verdicts"]] == ["pass"]
        assert found["production"] == {"services": {}, "unjudged": None, "lock": None, "stages": {}, "verdicts": []}
        for said in ("a freeze", "alice", sha(1)[:12], "Without a verdict", LINK):
            assert said in ended.summary

    def test_status_with_an_engine_tells_what_runs_beside_what_is_recorded(self, world: World) -> None:
        world.release(1)
        world.runs(1, 2)
        ended = act(world, "status", **{key.replace("-", "_"): text for key, text in world.engine.items()})
        found = json.loads(ended.outputs["status"])["staging"]["services"]
        assert (found["api"]["running"], found["web"]["running"]) == (digest(1), digest(2))
        assert digest(2) in ended.summary

    def test_status_with_the_programs_of_a_stage_tells_which_release_stands_beside_the_other(self, world: World) -> None:
        world.release(1)
        stage = {
            "api": {"image": "r/api@2", "percent": 10, "until": 4070908800, "run": "https://github.com/org/app/actions/runs/7"}
        }
        engine = {key.replace("-", "_"): text for key, text in world.engine.items()}
        ended = act(world, "status", **engine, stage_command=f"echo {shlex.quote(json.dumps(stage))}")
        assert "a stage of api has 10 % of the traffic" in ended.headline, ended.log
        found = json.loads(ended.outputs["status"])["staging"]["stages"]["api"]
        assert (found["image"], found["percent"], found["until"]) == ("r/api@2", 10, "2099-01-01T00:00:00Z")
        assert "actions/runs/7" in ended.summary

    def test_status_says_when_the_engine_does_not_answer(self, world: World) -> None:
        world.release(1)
        ended = act(world, "status", engine="command", running_command="/no/such/program", roll_out_command="true")
        assert ended.code == 0
        assert any("Could not determine what runs in staging" in found["message"] for found in ended.findings)
