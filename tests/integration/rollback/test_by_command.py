from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.github import deployments
from tests.harness.measuring import MEASURED
from tests.harness.releases import KEY, REPOSITORY, World, digest, sha


def test_rollback_after_a_failed_release_deploys_the_last_good_one(world: World) -> None:
    world.release(1)
    world.release(2, "fail")
    ended = world.roll_back(current_sha=sha(2))
    assert (ended.code, ended.verdict, ended.outputs["rolled-back"]) == (0, "pass", "true"), ended.log
    assert (ended.outputs["from-sha"], ended.outputs["to-sha"]) == (sha(2), sha(1))
    assert int(ended.outputs["elapsed-ms"]) > 0
    assert world.running() == {"api": sha(1), "web": sha(1)}
    # The failed one was quarantined by `finish` already; the one that runs again is last good once more.
    assert world.tasks() == [
        ("deploy", "1"),
        ("passed", "1"),
        ("deploy", "2"),
        ("quarantined", "2"),
        ("deploy", "1"),
        ("passed", "1"),
    ]
    assert world.states()[-1] == ["success"]
    again = world.roll_back(current_sha=sha(1))
    assert again.code == 1
    assert "every other release recorded in staging is quarantined" in again.headline


def test_rollback_abandons_the_stage_that_a_killed_run_left(world: World) -> None:
    world.release(1)
    world.release(2, "fail")
    stage = world.folder / "stage.json"
    stage.write_text(json.dumps({"api": {"image": world.image("api", 2), "percent": 100}}))
    given = {"stage-command": f"cat {stage}", "abandon-command": f"sh -c 'echo {{}} > {stage}'"}
    planned = world.roll_back(current_sha=sha(2), dry_run="true", **given)
    assert "percent" in stage.read_text(), planned.log
    ended = world.roll_back(current_sha=sha(2), **given)
    assert (ended.code, ended.outputs["to-sha"]) == (0, sha(1)), ended.log
    assert f"api: abandoned the stage of {world.image('api', 2)} that an earlier run left." in ended.log
    assert json.loads(stage.read_text()) == {}


def test_rollback_leaves_the_staged_release_that_nothing_recorded(world: World) -> None:
    """The release that runs is the good one, not the one before it."""
    world.release(1)
    world.release(2)
    world.build(3)
    stage = world.folder / "stage.json"
    stage.write_text(json.dumps({"api": {"image": world.image("api", 3), "sha": sha(3), "percent": 50}}))
    given = {"stage-command": f"cat {stage}", "abandon-command": f"sh -c 'echo {{}} > {stage}'"}
    ended = world.roll_back(**given)
    assert (ended.code, ended.outputs["from-sha"], ended.outputs["to-sha"]) == (0, sha(3), sha(2)), ended.log
    assert world.running() == {"api": sha(2), "web": sha(2)}
    assert json.loads(stage.read_text()) == {}


def test_rollback_looks_again_where_abandoning_moved_the_service_itself(world: World) -> None:
    """A promotion was interrupted: the service has the new image, and the abandonment gives it the old one."""
    world.release(1)
    world.release(2, "fail")
    stage, state = world.folder / "stage.json", world.folder / "state.json"
    stage.write_text(json.dumps({"api": {"image": world.image("api", 2), "sha": sha(2), "percent": 100}}))
    moved = {**world.read("state"), "api": {"image": world.image("api", 1), "digest": digest(1), "sha": sha(1)}}
    (world.folder / "moved").write_text(json.dumps(moved))
    abandon = f"sh -c 'echo {{}} > {stage}; cp {world.folder / 'moved'} {state}'"
    ended = world.roll_back(current_sha=sha(2), **{"stage-command": f"cat {stage}", "abandon-command": abandon})
    assert (ended.code, ended.outputs["to-sha"]) == (0, sha(1)), ended.log
    assert world.running() == {"api": sha(1), "web": sha(1)}
    assert [call.split()[1] for call in world.calls() if call.startswith("roll-out")] == ["web"], world.calls()


def test_the_plan_says_everything_and_is_a_file(world: World) -> None:
    world.release(1)
    world.release(3, "fail", revisions='[{"revision": "0002", "phase": "expand", "message": "add"}]', database_revision="0002")
    ended = world.roll_back(plan_file=str(world.folder / "deep" / "plan.json"))
    plan = json.loads(Path(ended.outputs["plan"]).read_text())
    assert plan["from"] == {"sha": sha(3), "services": {"api": digest(3), "web": digest(3)}}
    assert plan["to"]["sha"] == sha(1)
    assert plan["to"]["services"] == {"api": world.image("api", 1), "web": world.image("web", 1)}
    assert [each["sha"] for each in plan["commits-taken-back"]] == [sha(2), sha(3)]
    assert plan["migrations-that-stay"] == [{"revision": "0002", "phase": "expand", "message": "add"}]
    assert plan["unverified"] == []
    for said in ("The plan", "Change 0200", "Migrations that stay applied", "A rollback does not undo", "0002"):
        assert said in ended.summary


def test_plan_without_the_runners_folder_leaves_no_file(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world.release(1)
    world.release(2)
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    monkeypatch.chdir(workspace)
    given = {**world.engine, "services": world.release_lines, "url": f"api={world.url}/api", "dry-run": "true"}
    ended = world.action("rollback-to-previous-sha", given, run="900", RUNNER_TEMP="")
    assert (ended.code, ended.outputs["plan"]) == (0, "")
    assert list(workspace.iterdir()) == []


def test_a_dry_run_changes_nothing(world: World) -> None:
    world.release(1)
    world.release(2)
    before = len(deployments.kept(world.github, REPOSITORY).deployments)
    ended = world.roll_back(dry_run="true")
    assert (ended.code, ended.verdict, ended.outputs["rolled-back"]) == (0, "pass", "false"), ended.log
    assert ended.outputs["to-sha"] == sha(1)
    assert world.running() == {"api": sha(2), "web": sha(2)}
    assert len(deployments.kept(world.github, REPOSITORY).deployments) == before
    assert not [line for line in world.calls() if line.startswith("roll-out")]


def test_rollback_of_a_passed_release_quarantines_it(world: World) -> None:
    for number in (1, 2, 3):
        world.release(number)
    assert world.roll_back().outputs["to-sha"] == sha(2)
    assert world.tasks()[-3:] == [("deploy", "2"), ("quarantined", "3"), ("passed", "2")]
    assert world.roll_back(current_sha=sha(2)).outputs["to-sha"] == sha(1)


def test_rollback_of_a_first_deployment_is_refused(world: World) -> None:
    world.release(1, "fail")
    ended = world.roll_back(current_sha=sha(1))
    assert (ended.code, ended.verdict, ended.outputs["rolled-back"]) == (1, "fail", "false")
    assert "this is the first deployment to staging" in ended.headline
    assert world.running() == {"api": sha(1), "web": sha(1)}


def test_rollback_where_nothing_runs_and_nothing_is_recorded_is_of_a_first_deployment(world: World) -> None:
    ended = world.roll_back()
    assert (ended.code, ended.verdict) == (1, "fail")
    assert "this is the first deployment to staging" in ended.headline


def test_rollback_of_a_first_deployment_names_the_other_apps_of_the_environment(world: World) -> None:
    world.start(1, app="shop")
    world.finish(1, "pass", app="shop")
    world.start(2, app="Shop")
    world.runs(2)
    world.finish(2, "fail", app="Shop")
    ended = world.roll_back(app="Shop")
    assert "this is the first deployment to staging" in ended.headline
    assert "The app shop has records here too. Check the input `app`." in ended.log


def test_rollback_with_to_sha_deploys_that_release(world: World) -> None:
    for number in (1, 2, 3):
        world.release(number)
    assert world.roll_back(to_sha=sha(1)).outputs["to-sha"] == sha(1)
    assert world.running()["api"] == sha(1)


@pytest.mark.parametrize(
    ("to", "said"),
    [(2, "it is quarantined in staging, because it failed its gate there."), (7, "never passed its gate in staging")],
)
def test_a_named_release_that_did_not_pass_is_refused(world: World, to: int, said: str) -> None:
    world.release(1)
    world.release(2, "fail")
    world.release(3)
    ended = world.roll_back(to_sha=sha(to))
    assert (ended.code, ended.verdict) == (1, "fail")
    assert said in ended.headline
    assert f"to-sha: {sha(3)}" in ended.log
    assert world.running()["api"] == sha(3)


def test_an_image_that_is_gone_is_found_before_anything_moves(world: World) -> None:
    world.release(1)
    world.release(2, "fail")
    world.lose("web", 1)
    ended = world.roll_back()
    assert (ended.code, ended.verdict) == (1, "fail")
    assert f"registry.test/web@{digest(1)}" in ended.headline
    assert world.running() == {"api": sha(2), "web": sha(2)}


def test_what_cannot_be_checked_stops_it_unless_allowed(world: World) -> None:
    world.release(1)
    world.release(2, "fail")
    ended = world.roll_back(image_command="")
    assert (ended.code, ended.verdict) == (3, "inconclusive")
    assert "Could not check everything that a rollback needs: whether the image" in ended.headline
    assert "By hand" in ended.summary
    assert world.image("api", 1) in ended.log
    assert "image-command: ./infra/exists.sh {image}" in ended.log
    assert world.roll_back(image_command="", dry_run="true").code == 0
    assert world.running()["api"] == sha(2)
    assert world.roll_back(image_command="", allow_unverified="true").code == 0
    assert world.running()["api"] == sha(1)


def test_a_rollback_that_fails_says_what_stands_and_what_to_type(world: World) -> None:
    world.release(1)
    world.release(2, "fail")
    (world.folder / "broken-web").touch()
    ended = world.roll_back()
    assert (ended.code, ended.verdict, ended.outputs["rolled-back"]) == (1, "fail", "false")
    assert world.running() == {"api": sha(1), "web": sha(2)}
    assert ended.headline.endswith(" Rolled back, and left so: api. Begun, and not undone: web."), ended.headline
    assert "/data is full" in ended.summary
    hand = ended.summary.split("By hand")[1].split("The plan")[0]
    assert f"roll-out web {world.image('web', 1)} {sha(1)}" in hand
    assert "roll-out api" not in hand
    assert [line for line in world.calls() if line.startswith("roll-out")] == [
        f"roll-out api {world.image('api', 1)} {sha(1)}",
        f"roll-out web {world.image('web', 1)} {sha(1)}",
    ]


def test_rollback_refused_at_its_second_service_says_what_moved_and_what_did_not(world: World) -> None:
    world.release(1)
    world.release(2, "fail")
    program = world.folder / "once.sh"
    rest = shlex.join(json.loads(world.program("roll-out")))
    program.write_text(f'#!/bin/sh\nrm "$0"\nexec {rest} "$@"\n')
    program.chmod(0o755)
    ended = world.roll_back(roll_out_command=f"{program} {{service}} {{image}} {{sha}}")
    assert (ended.code, ended.outputs["rolled-back"]) == (3, "false"), ended.log
    assert world.running() == {"api": sha(1), "web": sha(2)}
    assert ended.headline.endswith(" Rolled back, and left so: api. Not rolled back: web."), ended.headline
    assert "roll-out api" not in ended.summary.split("By hand")[1].split("The plan")[0]


def test_a_release_that_fails_its_gate_again_is_quarantined(world: World) -> None:
    world.release(1)
    world.release(2, "fail")
    world.healthy = False
    ended = world.roll_back()
    assert (ended.code, ended.verdict, ended.outputs["rolled-back"]) == (1, "fail", "true")
    assert "it failed its gate too" in ended.headline
    assert world.tasks()[-1] == ("quarantined", "1")
    assert world.states()[-1] == ["failure"]


def test_marker_that_names_the_target_already_is_not_believed_against_the_gate(world: World) -> None:
    world.release(1)
    world.release(2, "fail")
    old = {name: {"image": world.image(name, 1), "digest": digest(1), "sha": sha(1)} for name in world.services}
    world.write("marker", old)
    ended = world.roll_back(current_sha=sha(2), running_command=f"cat {world.folder}/marker.json")
    assert (ended.code, ended.verdict, ended.outputs["rolled-back"]) == (0, "pass", "true"), ended.log
    assert world.running() == {"api": sha(1), "web": sha(1)}
    assert world.tasks()[-1] == ("passed", "1")


def test_gate_that_sees_another_version_does_not_quarantine_the_target(world: World) -> None:
    world.release(1)
    world.release(2, "fail")
    ended = world.roll_back(current_sha=sha(2), roll_out_command="true")
    assert (ended.code, ended.verdict, ended.outputs["rolled-back"]) == (1, "fail", "false"), ended.log
    assert "the gate saw another version in staging" in ended.headline
    assert world.tasks()[-1] == ("deploy", "1"), "shown as failed, and no verdict on the release"
    assert world.states()[-1] == ["failure"]
    ended = world.roll_back(current_sha=sha(2), version_from="header:X-Elsewhere")
    assert (ended.code, ended.verdict) == (1, "fail"), ended.log
    assert "its gate failed, which proves nothing against it" in ended.headline
    assert ("quarantined", "1") not in world.tasks()
    assert world.roll_back(current_sha=sha(2)).code == 0


def test_rollback_that_running_command_contradicts_moves_everything_and_is_inconclusive(world: World) -> None:
    world.release(1)
    world.release(2, "fail")
    world.write("marker", world.read("state"))
    ended = world.roll_back(current_sha=sha(2), running_command=f"cat {world.folder}/marker.json")
    assert (ended.code, ended.verdict, ended.outputs["rolled-back"]) == (3, "inconclusive", "true"), ended.log
    for name in world.services:
        assert f"{name}: `running-command` reports {world.image(name, 2)}" in ended.headline
    assert world.running() == {"api": sha(1), "web": sha(1)}, "the second service is not left behind"
    assert ("passed", "1") not in world.tasks()[4:]


def test_rollback_from_a_deploy_without_a_verdict_quarantines_it_once(world: World) -> None:
    world.release(1)
    world.build(2)
    assert world.start(2).code == 0
    world.runs(2)
    for _ in range(2):
        assert world.roll_back(current_sha=sha(2)).code == 0
    assert world.tasks().count(("quarantined", "2")) == 1


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("/no/such/program {service}", "there is no such executable file"),
        ("true {servic} {image}", "`{servic}` is not a placeholder"),
    ],
)
def test_program_that_cannot_work_is_found_before_anything(world: World, command: str, said: str) -> None:
    world.release(1)
    world.release(2, "fail")
    ended = world.roll_back(roll_out_command=command, dry_run="true")
    assert ended.code == 2
    assert said in ended.headline
    assert "{servic}" not in command or "Did you mean `{service}`?" in ended.log
    world.build(3)
    started = world.start(3, **{**world.engine, "roll-out-command": command, "require-rollback": "true"})
    assert started.code == 2
    assert said in started.headline
    assert ("deploy", "3") not in world.tasks()


def test_release_that_fails_its_gate_again_names_the_next_good_one(world: World) -> None:
    world.release(1)
    world.release(2)
    world.release(3, "fail")
    world.healthy = False
    ended = world.roll_back()
    assert ended.code == 1
    assert f"to-sha: {sha(1)}" in ended.summary.split("What comes next")[1]


def test_environment_without_records_is_told_which_ones_have_some(world: World) -> None:
    world.release(1)
    world.release(2, "fail")
    ended = world.roll_back(environment="stagin")
    assert ended.code == 1
    assert ended.headline.startswith("Cannot roll back: stagin has no record.")
    assert "environment: staging" in ended.log


def test_signed_records_without_a_key_are_told_to_need_it(world: World) -> None:
    world.release(1)
    world.release(2, "fail")
    ended = world.roll_back(record_key="", current_sha=sha(2))
    assert ended.code == 1
    assert "It is signed: set `record-key`" in ended.log
    assert "record-key: RECORD_KEY" in ended.log
    assert "RECORD_KEY: ${{ secrets.RECORD_KEY }}" in ended.log


def test_ids_of_own_programs_are_placeholders_in_the_steps_by_hand(world: World) -> None:
    world.release(1)
    world.github.fail("GET", "/deployments$", status=503, times=1000)
    ended = world.roll_back(timeout="3s", services="api=api\nweb=web")
    assert ended.code == 3
    assert "roll-out api IMAGE COMMIT" in ended.log


def test_a_gate_that_cannot_judge_records_nothing(world: World) -> None:
    world.release(1)
    world.release(2, "fail")
    ended = world.roll_back(url="http://nowhere.invalid/", gate_timeout="1s")
    assert (ended.code, ended.verdict, ended.outputs["rolled-back"]) == (3, "inconclusive", "true")
    assert world.tasks()[-1] == ("deploy", "1")
    assert world.states()[-1] == ["error"]


def test_what_is_there_already_is_only_gated(world: World) -> None:
    world.release(1)
    world.release(2, "fail")
    world.runs(2, 1)
    assert world.roll_back(current_sha=sha(2)).code == 0
    assert world.running() == {"api": sha(1), "web": sha(1)}


def test_without_labels_the_records_say_what_runs(world: World) -> None:
    world.release(1)
    world.release(2)
    world.write("state", {name: {**each, "sha": ""} for name, each in world.read("state").items()})
    ended = world.roll_back()
    assert (ended.outputs["from-sha"], ended.outputs["to-sha"]) == (sha(2), sha(1))


def test_when_nobody_knows_what_runs_it_has_to_be_said(world: World) -> None:
    world.release(1)
    world.release(2)
    ended = world.roll_back(running_command="")
    assert ended.code == 2
    assert "current-sha:" in ended.log
    assert world.roll_back(running_command="", current_sha=sha(2)).outputs["to-sha"] == sha(1)


def test_a_service_that_came_later_stays_and_is_said(world: World) -> None:
    world.services = ("api",)
    world.release(1)
    world.services = ("api", "web")
    world.release(2, "fail")
    ended = world.roll_back(url=f"{world.url}/api")
    assert ended.code == 0, ended.log
    assert world.running() == {"api": sha(1), "web": sha(2)}
    assert "the service web: the release to roll back to has none" in ended.summary


def test_bare_digests_are_deployed_from_the_repository_of_the_input(world: World) -> None:
    world.build(1)
    world.build(2)
    bare = "\n".join(f"{name}={digest(1)}" for name in world.services)
    world.start(1, services=bare)
    world.finish(1, "pass", services=bare)
    world.runs(2)
    assert world.roll_back(current_sha=sha(2)).code == 0
    assert world.running() == {"api": sha(1), "web": sha(1)}


@pytest.mark.parametrize("missing", ["url", "github_token"])
def test_what_it_cannot_do_without(world: World, missing: str) -> None:
    ended = world.roll_back(**{missing: "", "targets": ""})
    assert ended.code == 2


@pytest.mark.parametrize(
    "inputs",
    [
        {"url": "", "targets": "- url: http://x\n  expect-nothing: 1"},
        {"url": "https://example.com/$NOT_SET"},
        {"url": "no url"},
        {"plan_file": "/proc/no/such/folder/plan.json"},
        {"schema_service": "worker"},
    ],
)
def test_an_input_that_only_the_gate_reads_is_told_before_anything_moves(world: World, inputs: dict[str, str]) -> None:
    world.release(1)
    world.release(2, "fail")
    assert world.roll_back(**inputs).code == 2
    assert world.running()["api"] == sha(2)


def test_rollback_program_that_cannot_be_started_is_an_unusable_input(world: World) -> None:
    world.release(1)
    world.release(2, "fail")
    ended = world.roll_back(roll_out_command="/no/such/program {service}")
    assert ended.code == 2
    assert "Could not start the program" in ended.headline
    assert world.running() == {"api": sha(2), "web": sha(2)}


class TestGitHub:
    @pytest.fixture(autouse=True)
    def two(self, world: World) -> None:
        world.release(1)
        world.release(2, "fail")

    def test_an_error_that_passes_is_tried_again(self, world: World) -> None:
        world.github.fail("GET", "/deployments$", status=502, times=2)
        assert world.roll_back().code == 0

    def test_a_lost_answer_while_recording_is_written_again(self, world: World) -> None:
        world.github.fail("POST", "/deployments$", drop=True, after=True)
        assert world.roll_back().code == 0
        assert world.tasks()[-1] == ("passed", "1")

    def test_down_for_good_ends_with_the_steps_for_a_person(self, world: World) -> None:
        world.github.fail("GET", "/deployments$", status=503, times=1000)
        ended = world.roll_back(timeout="3s")
        assert (ended.code, ended.verdict, ended.outputs["rolled-back"]) == (3, "inconclusive", "false")
        assert "gh api 'repos/org/app/deployments?environment=staging&task=cicd-actions%3Apassed&per_page=10'" in ended.log
        assert "roll-out api registry.test/api@sha256:DIGEST" in ended.log
        assert world.running()["api"] == sha(2)

    def test_an_answer_that_does_not_come_ends_with_the_deadline(self, world: World) -> None:
        world.github.fail("GET", "/deployments$", hang=threading.Event(), times=1000)
        ended = world.roll_back(timeout="1s")
        assert (ended.code, ended.verdict, ended.outputs["rolled-back"]) == (3, "inconclusive", "false")
        assert "roll-out api registry.test/api@sha256:DIGEST" in ended.log
        assert world.running()["api"] == sha(2)

    def test_an_error_that_comes_late_is_waited_for_and_asked_again(self, world: World) -> None:
        late = threading.Event()
        world.github.fail("GET", "/deployments$", hang=late, status=504)
        let_go = threading.Timer(1, late.set)
        let_go.start()
        assert world.roll_back().code == 0
        let_go.join()

    def test_a_token_without_the_permission_is_told_so(self, world: World) -> None:
        ended = world.roll_back(github_token=world.github.token(contents="read"))
        assert (ended.code, ended.verdict) == (3, "inconclusive")
        assert "Deployments: read" in ended.headline
        assert "By hand" in ended.summary

    def test_a_token_that_is_not_accepted(self, world: World) -> None:
        ended = world.roll_back(github_token="ghs_expired0000000000000000000000")
        assert ended.code == 3
        assert "does not accept the token" in ended.headline

    def test_a_rate_limit_that_lasts_too_long(self, world: World) -> None:
        world.github.remaining = 0
        ended = world.roll_back()
        assert ended.code == 3
        assert "rate limit" in ended.headline

    def test_a_record_that_cannot_be_written_is_said_and_is_not_green(self, world: World) -> None:
        ended = world.roll_back(github_token=world.github.token(deployments="read", contents="read"))
        assert (ended.code, ended.verdict, ended.outputs["rolled-back"]) == (3, "inconclusive", "true")
        assert "It is not recorded" in ended.headline
        assert f"run this action again with `to-sha: {sha(1)}`" in ended.log
        assert world.running()["api"] == sha(1)

    def test_commits_that_cannot_be_listed_do_not_hold_it_up(self, world: World) -> None:
        world.github.fail("GET", "/compare/", status=500, times=10)
        ended = world.roll_back()
        assert ended.code == 0
        assert "GitHub could not say which commits are taken back" in ended.summary

    def test_hundreds_of_other_deployments_in_between(self, world: World) -> None:
        for _ in range(250):
            deployments.other_tool(world.github, REPOSITORY, "staging", sha(5))
        assert world.roll_back().code == 0
        assert world.running()["api"] == sha(1)


def chain(*phases: str) -> dict[str, object]:
    """An image's migrations: 0001, 0002, … with these phases; one without a phase says none."""
    return {
        "history": [
            {"revision": f"{at:04}", "message": f"change {at}", "phase": "" if phase == "-" else phase}
            for at, phase in enumerate(phases, 1)
        ]
    }


class TestSchema:
    """The schema guard; `database` is what the database is at."""

    @staticmethod
    def at(world: World, revision: str) -> None:
        (world.folder / "database").write_text(revision)

    @staticmethod
    def jobs(world: World) -> list[str]:
        return [line.split(" ", 3)[3] for line in world.calls() if line.startswith("job")]

    def two(self, world: World, first: tuple[str, ...], second: tuple[str, ...], *, recorded: bool) -> None:
        """Two releases; the second one failed after its migrations were applied."""
        world.build(1, **chain(*first))
        world.build(2, **chain(*second))
        names = [f"{at:04}" for at in range(len(first) + 1, len(second) + 1)]
        phases = [phase if phase != "-" else "expand" for phase in second[len(first) :]]
        applied = [{"revision": name, "phase": phase, "message": "m"} for name, phase in zip(names, phases, strict=True)]
        told = {"revisions": json.dumps(applied), "database_revision": f"{len(second):04}"} if recorded else {}
        world.release(1, **({"database_revision": f"{len(first):04}"} if recorded else {}))
        world.release(2, "fail", **told)
        self.at(world, f"{len(second):04}")

    @pytest.mark.parametrize("recorded", [True, False])
    def test_expand_migrations_stay_applied(self, world: World, recorded: bool) -> None:
        self.two(world, ("-",), ("-", "expand", "-"), recorded=recorded)
        ended = world.roll_back(schema_service="api")
        assert (ended.code, ended.outputs["to-sha"]) == (0, sha(1)), ended.log
        plan = json.loads(Path(ended.outputs["plan"]).read_text())
        assert [(each["revision"], each["phase"]) for each in plan["migrations-that-stay"]] == [
            ("0002", "expand"),
            ("0003", "expand"),
        ]
        assert (world.folder / "database").read_text() == "0003"
        if recorded:
            assert self.jobs(world) == ["alembic show 0003"]

    @pytest.mark.parametrize("recorded", [True, False])
    def test_a_contract_migration_is_refused(self, world: World, recorded: bool) -> None:
        self.two(world, ("-",), ("-", "contract", "expand"), recorded=recorded)
        ended = world.roll_back(schema_service="api")
        assert (ended.code, ended.verdict) == (1, "fail")
        assert "0002" in ended.headline
        assert "contract migration" in ended.headline
        assert "No recorded release is safe to roll back to" in ended.log
        assert world.running()["api"] == sha(2)

    def test_the_newest_safe_release_is_named(self, world: World) -> None:
        world.build(1, **chain("-"))
        world.release(1, database_revision="0001")
        applied = '[{"revision": "0002", "phase": "contract", "message": "drop a column"}]'
        world.build(2, **chain("-", "contract"))
        world.release(2, revisions=applied, database_revision="0002")
        for number in (3, 4):
            world.build(number, **chain("-", "contract"))
            world.release(number, database_revision="0002")
        self.at(world, "0002")
        ended = world.roll_back(to_sha=sha(1), schema_service="api")
        assert ended.code == 1
        assert "0002 (drop a column)" in ended.headline
        assert f"to-sha: {sha(3)}" in ended.log
        # The floor itself is safe: its code was made for what the contract migration left.
        assert world.roll_back(to_sha=sha(2), schema_service="api").code == 0

    def test_no_job_is_needed_where_the_database_stands_as_the_target_left_it(self, world: World) -> None:
        self.two(world, ("-", "-"), ("-", "-"), recorded=True)
        assert world.roll_back(schema_service="api").code == 0
        assert self.jobs(world) == []

    def test_after_a_deploy_without_a_verdict_the_database_is_asked(self, world: World) -> None:
        self.two(world, ("-",), ("-", "contract"), recorded=True)
        world.build(3, **chain("-", "contract", "expand"))
        world.start(3)
        world.runs(3)
        world.finish(3, "cancelled")
        self.at(world, "0003")
        ended = world.roll_back(schema_service="api")
        assert ended.code == 1
        assert "0002" in ended.headline
        assert self.jobs(world)[0] == "alembic current"

    def test_guard_after_a_deploy_whose_run_was_lost_asks_the_images(self, world: World) -> None:
        """No record says what the lost deploy migrated, so the records since then do not name every migration."""
        world.build(1, **chain("-"))
        world.release(1, database_revision="0001")
        world.build(2, **chain("-", "contract"))
        assert world.start(2).code == 0
        world.build(3, **chain("-", "contract", "expand"))
        applied = json.dumps([{"revision": "0003", "phase": "expand", "message": "m"}])
        world.release(3, "fail", revisions=applied, database_revision="0003")
        self.at(world, "0003")
        ended = world.roll_back(schema_service="api")
        assert (ended.code, ended.verdict) == (1, "fail")
        assert "0002" in ended.headline

    def test_guard_names_no_release_from_before_the_last_contract_migration_as_safe(self, world: World) -> None:
        phases = ("-", "contract", "contract")
        for number in (1, 2, 3):
            world.build(number, **chain(*phases[:number]))
        world.release(1, database_revision="0001")
        for number in (2, 3):
            applied = json.dumps([{"revision": f"000{number}", "phase": "contract", "message": "m"}])
            verdict = ("fail",) if number == 3 else ()
            world.release(number, *verdict, revisions=applied, database_revision=f"000{number}")
        self.at(world, "0003")
        ended = world.roll_back(to_sha=sha(1), schema_service="api")
        assert ended.code == 1
        assert "No recorded release is safe to roll back to" in ended.log

    def test_without_a_service_the_records_alone_decide(self, world: World) -> None:
        self.two(world, ("-",), ("-", "contract"), recorded=True)
        ended = world.roll_back()
        assert ended.code == 1
        assert "contract migration" in ended.headline
        assert self.jobs(world) == []

    @pytest.mark.parametrize("broken", [1, 2])
    def test_an_image_that_cannot_be_asked_stops_it_unless_allowed(self, world: World, broken: int) -> None:
        self.two(world, ("-",), ("-", "expand"), recorded=False)
        images = world.read("images")
        images[world.image("api", broken)]["broken"] = "ModuleNotFoundError: No module named 'alembic'"
        world.write("images", images)
        ended = world.roll_back(schema_service="api")
        assert (ended.code, ended.verdict) == (3, "inconclusive")
        assert "No module named 'alembic'" in ended.log
        assert world.running()["api"] == sha(2)
        assert world.roll_back(schema_service="api", allow_unverified="true").code == 0

    def test_a_database_that_nobody_knows_stops_it(self, world: World) -> None:
        self.two(world, ("-",), ("-", "expand"), recorded=False)
        self.at(world, "beef")
        ended = world.roll_back(schema_service="api")
        assert ended.code == 3
        assert "does not know the database's revision either" in ended.headline

    def test_a_revision_that_only_begins_like_the_database_s_is_not_it(self, world: World) -> None:
        self.two(world, ("-",), ("-", "expand"), recorded=True)
        images = world.read("images")
        images[world.image("api", 1)]["history"].append({"revision": "0002f", "message": "another"})
        world.write("images", images)
        ended = world.roll_back(schema_service="api")
        assert json.loads(Path(ended.outputs["plan"]).read_text())["migrations-that-stay"]

    def test_a_phase_that_is_no_plain_text_is_not_trusted(self, world: World) -> None:
        self.two(world, ("-",), ("-", 'expand" if LATE else "contract'), recorded=False)
        ended = world.roll_back(schema_service="api")
        assert ended.code == 3
        assert "nothing says whether 0002" in ended.headline


def test_cancelled_in_the_middle_it_says_what_stands(world: World) -> None:
    world.release(1)
    world.release(2, "fail")
    (world.folder / "hanging-web").touch()
    given = {
        **world.engine,
        "environment": "staging",
        "record-key": "RECORD_KEY",
        "github-token": world.token,
        "services": world.release_lines,
        "url": f"{world.url}/api",
        "current-sha": sha(2),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "cicd_actions", "rollback-to-previous-sha", "--json"],
        env={
            **MEASURED,
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(__file__).parents[3] / "src"),
            "INPUTS": json.dumps(given),
            "GITHUB_API_URL": world.github.url,
            "GITHUB_REPOSITORY": REPOSITORY,
            "GITHUB_REPOSITORY_ID": "1",
            "RECORD_KEY": KEY,
            "RUNNER_TEMP": str(world.folder),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until((world.folder / "hangs").exists)
    process.send_signal(signal.SIGINT)
    said, log = process.communicate(timeout=60)
    ended = json.loads(said)
    assert process.returncode == 130
    assert ended["verdict"] == "inconclusive"
    assert ended["outputs"]["rolled-back"] == "false"
    assert "The program that rolled web back was ended, so how far it came is not known." in ended["headline"]
    assert world.running() == {"api": sha(1), "web": sha(2)}
    assert f"roll-out web {world.image('web', 1)} {sha(1)}" in log
    # Nothing is recorded: the result is not known yet.
    assert world.tasks()[-1] == ("quarantined", "2")


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
