from __future__ import annotations

import json

import pytest

from tests.fakes.github import deployments, settings
from tests.harness.releases import REPOSITORY, Ended, World, digest, sha


def payload(world: World, at: int = -1) -> dict[str, object]:
    found: dict[str, object] = deployments.kept(world.github, REPOSITORY).deployments[at]["payload"]
    return found


class TestStart:
    def test_start_of_a_first_deploy_says_that_nothing_can_be_rolled_back_to(self, world: World) -> None:
        ended = world.start(1, environment_url="https://staging.example.com")
        assert (ended.code, ended.verdict) == (0, "pass"), ended.log
        assert ended.outputs["previous"] == "{}"
        assert ended.outputs["previous-sha"] == ""
        assert world.tasks() == [("deploy", "1")]
        (status,) = deployments.kept(world.github, REPOSITORY).statuses[int(ended.outputs["deployment-id"])]
        assert (status["state"], status["environment_url"]) == ("in_progress", "https://staging.example.com")
        assert status["log_url"] == "https://github.com/org/app/actions/runs/1/attempts/1"
        assert [found["rule"] for found in ended.findings] == ["deployment-record/no-rollback"]

    def test_the_last_good_release_is_told(self, world: World) -> None:
        world.release(1)
        world.release(2, "fail")
        ended = world.start(3)
        assert json.loads(ended.outputs["previous"]) == {"api": digest(1), "web": digest(1)}
        assert ended.outputs["previous-sha"] == sha(1)

    def test_a_commit_that_is_behind_is_refused(self, world: World) -> None:
        world.release(3)
        ended = world.start(2)
        assert (ended.code, ended.verdict) == (1, "fail")
        assert "is 1 commit behind" in ended.headline
        assert "allow-older: true" in ended.log
        assert world.tasks()[-1] == ("passed", "3")
        assert world.start(2, allow_older="true").code == 0

    def test_the_same_commit_again_is_fine(self, world: World) -> None:
        world.release(3)
        assert world.start(3).code == 0

    def test_a_diverged_commit_is_warned_of(self, world: World) -> None:
        deployments.commits(world.github, REPOSITORY, [sha(50)], after=sha(1))
        world.release(3)
        ended = world.start(50)
        assert ended.code == 0
        assert "deployment-record/diverged" in [found["rule"] for found in ended.findings]

    def test_a_commit_that_was_rewritten_away_is_warned_of(self, world: World) -> None:
        world.release(3)
        del deployments.kept(world.github, REPOSITORY).commits[sha(3)]
        deployments.commits(world.github, REPOSITORY, [sha(60)], after=sha(2))
        ended = world.start(60)
        assert ended.code == 0
        assert "deployment-record/unknown-commit" in [found["rule"] for found in ended.findings]

    def test_without_the_permission_to_compare_it_stops(self, world: World) -> None:
        world.release(1)
        ended = world.start(2, github_token=world.github.token(deployments="write"))
        assert (ended.code, ended.verdict) == (3, "inconclusive")
        assert "contents: read" in ended.log

    def test_without_the_permission_to_record_it_stops(self, world: World) -> None:
        ended = world.start(1, github_token=world.github.token(contents="read", deployments="read"))
        assert (ended.code, ended.verdict) == (3, "inconclusive")
        assert "deployments: write" in ended.log

    def test_production_takes_only_what_passed_in_staging(self, world: World) -> None:
        world.release(1)
        assert world.start(1, environment="production", require_passed_in="staging").code == 0
        world.start(2)
        ended = world.start(2, environment="production", require_passed_in="staging")
        assert (ended.code, ended.verdict) == (1, "fail")
        assert "No record says that this commit passed its gate in staging" in ended.log

    def test_other_images_of_the_same_commit_are_refused(self, world: World) -> None:
        world.release(1)
        other = f"api={digest(7)}\nweb={digest(1)}"
        ended = world.start(1, environment="production", require_passed_in="staging", services=other)
        assert ended.code == 1
        assert "staging gated other images of this commit" in ended.log

    def test_bare_digests_are_the_same_images(self, world: World) -> None:
        world.release(1)
        bare = f"web={digest(1)}\napi={digest(1)}"
        assert world.start(1, environment="production", require_passed_in="staging", services=bare).code == 0

    def test_what_failed_in_staging_later_is_refused(self, world: World) -> None:
        world.release(1)
        world.release(1, "fail")
        ended = world.start(1, environment="production", require_passed_in="staging")
        assert ended.code == 1
        assert "It failed its gate there: gated 1" in ended.log

    def test_deploys_of_lost_runs_are_closed(self, world: World) -> None:
        world.start(1)
        world.start(2)
        ended = world.start(3)
        assert world.states() == [["in_progress", "error"], ["in_progress", "error"], ["in_progress"]]
        assert "deployment-record/orphan" in [found["rule"] for found in ended.findings]

    def test_an_orphan_that_cannot_be_closed_does_not_stop_a_deploy(self, world: World) -> None:
        world.start(1)
        world.github.fail("GET", "/statuses$", status=403, times=1)
        ended = world.start(2)
        assert ended.code == 0
        assert any("Could not close deploys" in found["message"] for found in ended.findings)

    def test_another_environment_and_another_app_are_left_alone(self, world: World) -> None:
        world.start(1, environment="production")
        world.start(2, app="blog")
        world.start(3)
        assert world.states() == [["in_progress"]] * 3


class TestFinish:
    def test_a_pass_is_recorded_with_everything(self, world: World) -> None:
        started = world.start(1)
        applied = '[{"revision": "0002", "phase": "expand", "message": "add", "seconds": 0.2}]'
        ended = world.finish(
            1, "pass", deployment_id=started.outputs["deployment-id"], revisions=applied, database_revision="0002"
        )
        assert (ended.code, ended.verdict) == (0, "pass"), ended.log
        kept = deployments.kept(world.github, REPOSITORY).deployments[-1]
        assert (str(kept["id"]), kept["task"], kept["ref"]) == (ended.outputs["record-id"], "cicd-actions:passed", sha(1))
        assert {key: value for key, value in payload(world).items() if key not in {"at", "mac"}} == {
            "schema": 1,
            "app": "org/app",
            "environment": "staging",
            "sha": sha(1),
            "services": {"api": world.image("api", 1), "web": world.image("web", 1)},
            "verdict": "pass",
            "reason": "gated 1",
            "kind": "release",
            "revisions": [{"revision": "0002", "phase": "expand", "message": "add"}],
            "database": ["0002"],
            "run": {
                "id": "1",
                "attempt": "1",
                "url": "https://github.com/org/app/actions/runs/1/attempts/1",
                "actor": "someone",
            },
            "deployment": int(started.outputs["deployment-id"]),
        }
        assert world.states() == [["in_progress", "success"]]

    @pytest.mark.parametrize(
        ("verdict", "task", "state"),
        [("fail", "quarantined", "failure"), ("inconclusive", "deploy", "error"), ("cancelled", "deploy", "error")],
    )
    def test_other_verdicts(self, world: World, verdict: str, task: str, state: str) -> None:
        world.start(1)
        ended = world.finish(1, verdict)
        assert (ended.code, ended.verdict) == (0, "pass")
        assert world.tasks()[-1] == (task, "1")
        assert world.states() == [["in_progress", state]]
        assert (ended.outputs["record-id"] == "") == (task == "deploy")

    @pytest.mark.parametrize("verdict", ["", "passed", "skipped"])
    def test_a_verdict_that_is_none(self, world: World, verdict: str) -> None:
        ended = world.finish(1, verdict)
        assert ended.code == 2
        assert "steps.gate.outputs.verdict" in ended.log
        assert world.tasks() == []

    def test_the_deploy_of_this_run_is_found(self, world: World) -> None:
        world.start(1, by="1")
        world.start(1, by="2")
        world.finish(1, "pass", by="2")
        assert world.states() == [["in_progress", "error"], ["in_progress", "success"]]

    def test_without_a_start_it_is_recorded_all_the_same(self, world: World) -> None:
        ended = world.finish(1, "pass")
        assert ended.code == 0
        assert [found["rule"] for found in ended.findings] == ["deployment-record/no-start"]
        assert world.tasks() == [("passed", "1")]

    def test_a_secret_in_the_reason_is_masked_on_github_too(self, world: World) -> None:
        world.start(1)
        world.finish(1, "fail", reason=f"the api said {world.token}")
        assert world.token not in json.dumps(deployments.kept(world.github, REPOSITORY).deployments)
        assert world.token not in json.dumps(deployments.kept(world.github, REPOSITORY).statuses)

    @pytest.mark.parametrize(
        ("inputs", "said"),
        [
            ({"revisions": "{}"}, "not a JSON list"),
            ({"revisions": '[{"revision": "1", "phase": "later"}]'}, "neither `expand` nor `contract`"),
            ({"revisions": '[{"revision": "1", "phase": [1]}]'}, "neither `expand` nor `contract`"),
            ({"sha": "abc"}, "not a full commit SHA"),
            ({"services": ""}, "`services` is empty"),
            ({"services": "api"}, "not of the form"),
            ({"environment_url": "ftp://x"}, "not the URL of a page"),
            ({"github_token": ""}, "`github-token` is empty"),
        ],
    )
    def test_inputs_that_cannot_be_used(self, world: World, inputs: dict[str, str], said: str) -> None:
        ended = world.finish(1, "pass", **inputs)
        assert ended.code == 2
        assert said in ended.log


class TestAdopt:
    def test_what_runs_is_gated_and_recorded(self, world: World) -> None:
        world.build(4)
        world.runs(4)
        ended = world.action("deployment-record", self.inputs(world))
        assert (ended.code, ended.verdict) == (0, "pass"), ended.log
        assert world.tasks() == [("passed", "4")]
        assert payload(world)["kind"] == "adopt"
        assert payload(world)["services"] == {"api": world.image("api", 4), "web": world.image("web", 4)}
        world.release(5, "fail")
        assert world.roll_back().outputs["to-sha"] == sha(4)

    def inputs(self, world: World, **more: str) -> dict[str, str]:
        return {
            **world.engine,
            "phase": "adopt",
            "services": world.release_lines,
            "url": f"api={world.url}/api\nweb={world.url}/web",
            "version-from": "header:X-Version",
            "gate-timeout": "1s",
            **more,
        }

    def test_what_does_not_pass_is_not_recorded(self, world: World) -> None:
        world.runs(4)
        world.healthy = False
        ended = world.action("deployment-record", self.inputs(world))
        assert (ended.code, ended.verdict) == (1, "fail")
        assert world.tasks() == []

    def test_where_a_release_passed_there_is_nothing_to_adopt(self, world: World) -> None:
        world.release(1)
        ended = world.action("deployment-record", self.inputs(world))
        assert (ended.code, ended.verdict) == (1, "fail")
        assert f"{sha(1)[:12]} passed its gate there, and is recorded" in ended.headline

    def test_what_a_failed_first_deploy_left_running_is_adopted_and_rolled_back_to(self, world: World) -> None:
        world.release(5, "fail")
        world.build(4)
        world.runs(4)
        assert "`phase: adopt` records" in world.roll_back(current_sha=sha(5)).log
        assert world.action("deployment-record", self.inputs(world)).code == 0
        assert world.roll_back(current_sha=sha(5)).outputs["to-sha"] == sha(4)

    def test_services_of_several_commits_need_a_sha(self, world: World) -> None:
        """The run's own commit is not what runs."""
        world.runs(4, 5)
        ended = world.action("deployment-record", self.inputs(world), GITHUB_SHA=sha(5))
        assert ended.code == 2
        assert f"not labelled with one (api: {sha(4)}, web: {sha(5)})" in ended.log
        assert world.tasks() == []

    @pytest.mark.parametrize("missing", ["engine", "url"])
    def test_what_it_cannot_do_without(self, world: World, missing: str) -> None:
        world.runs(4)
        assert world.action("deployment-record", self.inputs(world, **{missing: ""})).code == 2

    def test_a_service_that_does_not_run(self, world: World) -> None:
        world.services = ("api",)
        world.runs(4)
        ended = world.action(
            "deployment-record", self.inputs(world, services="api=registry.test/api\nworker=registry.test/worker")
        )
        assert ended.code == 1
        assert "worker does not run" in ended.headline


def test_an_app_of_several_has_its_own_records(world: World) -> None:
    settings.repository(world.github, REPOSITORY)
    world.build(1)
    assert world.start(1, app="shop").code == 0
    assert world.finish(1, "pass", app="shop").code == 0
    ended = world.start(2, app="blog")
    assert ended.outputs["previous-sha"] == ""


def test_services_that_one_run_deploys_by_themselves_are_judged_by_themselves(world: World) -> None:
    def phase(name: str, number: int, service: str, by: str, **more: str) -> Ended:
        image = f"{service}={world.image(service, number)}"
        return world.action("deployment-record", {"phase": name, "sha": sha(number), "services": image, **more}, run=by)

    world.release(1)
    assert [phase("start", 5, service, "5").code for service in ("api", "web")] == [0, 0]
    assert phase("finish", 5, "api", "5", verdict="pass").code == 0
    assert "whose deploy to staging has no verdict" in phase("start", 4, "web", "4").headline
    assert phase("finish", 5, "web", "5", verdict="inconclusive").code == 0
    assert world.states()[-2:] == [["in_progress", "success"], ["in_progress", "error"]]


def test_finish_with_other_services_than_its_start_is_refused(world: World) -> None:
    world.build(1)
    assert world.start(1).code == 0
    for given in ("", "1"):
        ended = world.finish(
            1,
            "pass",
            services=f"api={digest(2)}",
            deployment_id=given and str(deployments.kept(world.github, REPOSITORY).deployments[0]["id"]),
        )
        assert ended.code == 2
        assert "`services` differs from what its `phase: start` recorded" in ended.headline
        assert world.image("web", 1) in ended.log
        assert digest(2) in ended.log
    assert world.tasks() == [("deploy", "1")]
    assert world.finish(1, "pass", services=f"api={digest(1)}\nweb={digest(1)}").code == 0


def test_start_of_a_release_whose_image_is_missing_is_refused(world: World) -> None:
    ended = world.start(1, **world.engine)
    assert ended.code == 1
    assert f"The image {world.image('api', 1)} does not exist" in ended.headline
    assert world.tasks() == []
    world.build(1)
    assert world.start(1, **world.engine).code == 0


@pytest.mark.parametrize(("key", "warned"), [("pq7-pq7", True), ("sixteen-letters-", False)])
def test_record_key_that_is_too_short_draws_a_warning(world: World, key: str, warned: bool) -> None:
    given = {"phase": "start", "sha": sha(1), "services": world.digests(1)}
    ended = world.action("deployment-record", given, RECORD_KEY=key)
    assert ended.code == 0
    assert ("too short" in ended.log) is warned
    assert key not in ended.log


class TestAbandoned:
    """A stage that is gone: nothing of its release runs, so it holds no older commit back."""

    @pytest.mark.parametrize("by_hand", [True, False])
    def test_older_commit_is_deployed_after_a_stage_was_abandoned(self, world: World, by_hand: bool) -> None:
        world.release(1)
        world.start(3)
        deploy = {"database_revision": "0004"}
        assert world.finish(3, "staged" if by_hand else "abandoned", **deploy).code == 0
        if by_hand:
            assert world.start(2).code == 1, "it may still be promoted"
            again = [world.action("deployment-record", {"phase": "abandoned"}, run="9") for _ in range(2)]
            assert [each.code for each in again] == [0, 0], again[0].log
            assert f"The stage of {sha(3)[:12]} in staging was abandoned" in again[0].headline
            assert "No staged release waits" in again[1].headline
        assert world.tasks()[2:] == [("deploy", "3")] * (3 if by_hand else 2)
        assert payload(world)["kind"] == "abandoned"
        assert payload(world)["database"] == ["0004"], "its migrations stay applied"
        kept = deployments.kept(world.github, REPOSITORY)
        states = [kept.statuses[each["id"]][-1]["state"] for each in kept.deployments[2:]]
        assert set(states) == {"inactive"}
        told = json.loads(world.action("deployment-record", {"phase": "status"}).outputs["status"])
        assert told["staging"]["unjudged"] is None
        assert world.start(2).code == 0

    def test_deploy_that_was_lost_while_it_moved_stays_without_a_verdict(self, world: World) -> None:
        world.release(1)
        world.start(3)
        ended = world.action("deployment-record", {"phase": "abandoned"}, run="9")
        assert (ended.code, ended.outputs["record-id"]) == (0, "")
        assert world.start(2).code == 1
