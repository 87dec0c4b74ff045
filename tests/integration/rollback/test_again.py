"""A rollback that is run again finds itself done, whatever ended it before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fakes.github import deployments
from tests.harness.releases import REPOSITORY, Ended, World, digest, sha


@pytest.fixture
def three(world: World) -> World:
    """Releases 1 and 2 passed, 3 failed and runs."""
    world.release(1)
    world.release(2)
    world.release(3, "fail")
    return world


def moved(world: World) -> list[str]:
    return [line.split()[1] + "=" + str(int(line.split()[3][:2], 16)) for line in world.calls() if line.startswith("roll-out")]


def assert_done(world: World, ended: Ended) -> None:
    """It moved nothing, verified release 2, and recorded it; release 2 is not worse off."""
    assert (ended.code, ended.verdict, ended.outputs["rolled-back"]) == (0, "pass", "true"), ended.log
    assert (ended.outputs["from-sha"], ended.outputs["to-sha"]) == (sha(3), sha(2))
    assert "was already rolled back" in ended.headline
    assert set(world.running().values()) == {sha(2)}
    assert world.tasks()[-1] == ("passed", "2")
    assert ("quarantined", "2") not in world.tasks()
    assert set(moved(world)) <= {"api=2", "web=2"}


@pytest.mark.parametrize("told", [{"current_sha": sha(3)}, {}])
def test_rollback_run_twice_moves_once(three: World, told: dict[str, str]) -> None:
    assert three.roll_back(**told).outputs["to-sha"] == sha(2)
    assert_done(three, three.roll_back(**told))
    assert moved(three) == ["api=2", "web=2"]


def test_rollback_after_an_inconclusive_gate_is_verified_again(three: World) -> None:
    assert three.roll_back(url="api=http://nowhere.invalid/", gate_timeout="1s").code == 3
    assert_done(three, three.roll_back())


def test_rollback_that_could_not_be_recorded_is_recorded_by_the_next_run(three: World) -> None:
    three.github.fail("POST", "/deployments$", status=403, message="Resource not accessible by integration")
    first = three.roll_back()
    assert first.code == 3
    assert f"run this action again with `to-sha: {sha(2)}`" in first.log
    assert_done(three, three.roll_back(to_sha=sha(2)))
    assert_done(three, three.roll_back())


@pytest.mark.parametrize("first", ["not recorded", "no verdict", "half-way"])
def test_rollback_of_a_release_that_passed_does_not_return_to_it_after_a_first_run_that_broke_off(
    world: World, first: str
) -> None:
    for number in (1, 2, 3):
        world.release(number)
    if first == "not recorded":
        world.github.fail("POST", "/deployments$", status=403, message="Resource not accessible by integration", times=9)
        assert world.roll_back().code == 3
        world.github.faults.clear()
    elif first == "no verdict":
        assert world.roll_back(url="api=http://nowhere.invalid/", gate_timeout="1s").code == 3
    else:
        (world.folder / "broken-web").touch()
        assert world.roll_back().code == 1
        (world.folder / "broken-web").unlink()
    for _ in range(2):
        ended = world.roll_back()
        assert (ended.code, ended.outputs["from-sha"], ended.outputs["to-sha"]) == (0, sha(3), sha(2)), ended.log
        assert set(world.running().values()) == {sha(2)}
    assert ("quarantined", "2") not in world.tasks()
    assert world.tasks().count(("quarantined", "3")) == 1


def test_rollback_after_a_roll_out_that_reverted_itself_moves_nothing(world: World) -> None:
    world.release(1)
    world.release(2)
    world.build(3)
    world.start(3)
    world.finish(3, "fail")
    assert_done(world, world.roll_back(current_sha=sha(3)))
    assert moved(world) == []


def test_rollback_that_stopped_half_way_goes_on(three: World) -> None:
    (three.folder / "broken-web").touch()
    assert three.roll_back().outputs["rolled-back"] == "false"
    assert three.running() == {"api": sha(2), "web": sha(3)}
    (three.folder / "broken-web").unlink()
    ended = three.roll_back()
    assert (ended.code, ended.outputs["to-sha"]) == (0, sha(2))
    assert moved(three) == ["api=2", "web=2", "web=2"]


def test_rollback_of_a_part_takes_that_part_back_and_mixes_no_commits(world: World) -> None:
    world.release(1)
    world.build(2)
    one = f"api={world.image('api', 2)}"
    world.start(2, services=one)
    world.runs(2, 1)
    world.finish(2, "pass", services=one)
    ended = world.roll_back()
    assert (ended.code, ended.outputs["to-sha"]) == (0, sha(1)), ended.log
    assert moved(world) == ["api=1"]
    for each in deployments.kept(world.github, REPOSITORY).deployments:
        built = int(each["sha"][:2], 16)
        assert all(image.endswith(digest(built)) for image in each["payload"]["services"].values())


def test_rollback_to_parts_of_two_commits_is_verified_and_recorded_by_commit(world: World) -> None:
    world.release(1)
    world.build(2)
    one = f"api={world.image('api', 2)}"
    world.start(2, services=one)
    world.runs(2, 1)
    world.finish(2, "pass", services=one)
    world.release(3, "fail")
    ended = world.roll_back()
    assert (ended.code, ended.verdict) == (0, "pass"), ended.log
    assert world.running() == {"api": sha(2), "web": sha(1)}
    written = [
        (each["task"][13:], each["payload"]["services"]) for each in deployments.kept(world.github, REPOSITORY).deployments
    ]
    assert written[-2:] == [("passed", {"web": world.image("web", 1)}), ("passed", {"api": world.image("api", 2)})]
    assert "was already rolled back" in world.roll_back().headline
    targets = f'- {{name: api, url: "{world.url}/api", expect-version: "{{sha}}"}}\n- {{name: web, url: "{world.url}/web"}}'
    assert world.roll_back(url="", targets=targets).code == 0


def test_rollback_of_one_app_leaves_the_other_alone(world: World) -> None:
    world.services = ("api", "worker")
    for number in (1, 2, 3):
        world.build(number)
    world.runs(3, 2)
    for number, name, verdict in ((1, "api", "pass"), (2, "worker", "pass"), (3, "api", "fail")):
        services = f"{name}={world.image(name, number)}"
        world.start(number, services=services)
        world.finish(number, verdict, services=services)
    ended = world.roll_back(services="api=registry.test/api", url=f"api={world.url}/api")
    assert (ended.code, ended.verdict) == (1, "fail")
    assert "has none of the services api" in ended.headline
    assert "app: shop" in ended.log
    ended = world.roll_back(services="api=registry.test/api", url=f"api={world.url}/api", to_sha=sha(1))
    assert ended.code == 0, ended.log
    assert world.running() == {"api": sha(1), "worker": sha(2)}


def test_a_forged_record_decides_nothing(three: World) -> None:
    forged = {"api": f"registry.test/api@{digest(9)}", "worker": f"evil.test/worker@{digest(9)}"}
    for task, verdict, services in (("passed", "pass", forged), ("quarantined", "fail", dict(release(three, 2)))):
        payload = {"schema": 1, "app": REPOSITORY, "environment": "staging", "sha": sha(9 if task == "passed" else 2)}
        payload |= {"services": services, "verdict": verdict, "run": {"id": "1"}}
        deployments.other_tool(
            three.github,
            REPOSITORY,
            "staging",
            str(payload["sha"]),
            task=f"cicd-actions:{task}",
            payload=payload,
            creator="github-actions[bot]",
        )
    ended = three.roll_back(current_sha=sha(3))
    assert (ended.code, ended.outputs["to-sha"]) == (0, sha(2)), ended.log
    assert ended.log.count("does not count: it is not signed") == 2


def release(world: World, number: int) -> dict[str, str]:
    return {name: world.image(name, number) for name in world.services}


def test_records_without_a_key_are_proven_by_their_runs(world: World) -> None:
    for number in (1, 2):
        deployments.run(world.github, REPOSITORY, number, sha(number))
        world.build(number)
        assert world.start(number, record_key="").code == 0
        world.runs(number)
        assert world.finish(number, "pass" if number == 1 else "fail", record_key="").code == 0
    deployments.run(world.github, REPOSITORY, 900, sha(2), event="workflow_dispatch")
    world.github.calls.clear()
    assert world.roll_back(record_key="").outputs["to-sha"] == sha(1)
    assert sorted({call.path[-3:] for call in world.github.calls if "/actions/runs/" in call.path}) == ["s/1", "s/2"]
    # The rollback's own record is proven too, by its run and by the record of what it rolled back to.
    again = world.roll_back(record_key="", current_sha=sha(2))
    assert (again.code, again.outputs["to-sha"]) == (0, sha(1)), again.log
    # Only what is signed counts, once there is a key.
    refused = world.roll_back()
    assert refused.code == 1
    assert "no record in staging proves that its writer may write it" in refused.headline


def test_a_rollback_costs_two_requests_before_it_and_three_after(three: World) -> None:
    three.github.calls.clear()
    assert three.roll_back().code == 0
    assert [f"{call.verb} {call.path.rpartition('/')[2]}" for call in three.github.calls] == [
        "GET deployments",
        f"GET {sha(2)}...{sha(3)}",
        "POST deployments",
        "POST deployments",
        "POST statuses",
    ]


def test_the_key_reaches_no_program(world: World) -> None:
    world.release(1)
    world.release(2, "fail")
    shown = world.folder / "seen"
    command = json.dumps(["sh", "-c", f'env > {shown}; exec "$@"', "-", *json.loads(world.engine["roll-out-command"])])
    assert world.roll_back(roll_out_command=command).code == 0
    assert "PATH=" in shown.read_text()
    assert "RECORD_KEY" not in shown.read_text()


def test_a_rollback_says_what_comes_next(world: World) -> None:
    world.release(1)
    world.release(3, "fail", revisions='[{"revision": "0002", "phase": "expand"}]', database_revision="0002")
    ended = world.roll_back()
    for said in (
        "What comes next",
        "2 commits were taken back",
        "0002 stay applied",
        f"git revert --no-edit {sha(3)} {sha(2)}",
    ):
        assert said in ended.summary
    assert json.loads(Path(ended.outputs["plan"]).read_text())["to"]["commits"] == {"api": sha(1), "web": sha(1)}


def test_rollback_while_github_is_down_takes_the_records_that_its_job_read_before(three: World) -> None:
    job = {"GITHUB_JOB": "deploy"}
    given = {"phase": "start", "sha": sha(4), "services": three.digests(4), "require-rollback": "false"}
    three.build(4)
    assert three.action("deployment-record", given, run="900", **job).code == 0
    three.runs(4)
    three.github.fail(text="<html>Unicorn!</html>", times=1000)  # which is not tried again
    other = three.action("rollback-to-previous-sha", three.rollback_inputs(), run="901", **job)
    assert (other.code, other.outputs["rolled-back"]) == (3, "false"), "another run's records are another job's"
    ended = three.action("rollback-to-previous-sha", three.rollback_inputs(), run="900", **job)
    # It cannot be recorded now.
    assert (ended.code, ended.outputs["rolled-back"], ended.outputs["to-sha"]) == (3, "true", sha(2)), ended.log
    assert "Using the records that an earlier step of this job read" in ended.log
    assert set(three.running().values()) == {sha(2)}
