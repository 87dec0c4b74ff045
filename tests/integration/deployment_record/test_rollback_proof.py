"""`start` proves the rollback before anything moves; `verify-record` shows which records count."""

from __future__ import annotations

import re

import pytest
from pytest_httpserver import HTTPServer

from tests.fakes.github import deployments
from tests.harness.releases import REPOSITORY, World, digest, manifest, sha


def prove(world: World, number: int, **more: str) -> dict[str, str]:
    engine = {name.replace("-", "_"): value for name, value in world.engine.items()}
    return {**engine, "sha": sha(number), "require_rollback": "true", **more}


@pytest.fixture
def two(world: World) -> World:
    """Release 1 is good and runs; 2 is built."""
    world.release(1)
    world.build(2)
    return world


def test_start_says_that_the_release_could_be_rolled_back(two: World) -> None:
    ended = two.start(2, **prove(two, 2))
    assert (ended.code, ended.outputs["rollback"]) == (0, "possible"), ended.log
    assert "The rollback" in ended.summary
    assert digest(1) in ended.summary


def test_start_without_an_engine_leaves_the_rollback_unchecked_unless_required(two: World) -> None:
    assert two.start(2).outputs["rollback"] == "unchecked"
    ended = two.start(2, require_rollback="recorded")
    assert ended.code == 2
    assert "engine: swarm" in ended.log


def test_start_of_a_first_deploy_gets_through_unless_a_rollback_is_required(world: World) -> None:
    world.build(1)
    world.runs(1)
    assert world.start(1, **prove(world, 1, require_rollback="recorded")).outputs["rollback"] == "none"
    ended = world.start(1, **prove(world, 1))
    assert (ended.code, ended.verdict) == (1, "fail")
    assert "phase: adopt" in ended.log
    assert "require-rollback: recorded" in ended.log


def test_start_refuses_when_the_image_to_roll_back_to_is_gone(two: World) -> None:
    two.lose("web", 1)
    ended = two.start(2, **prove(two, 2))
    assert (ended.code, ended.verdict) == (1, "fail")
    assert f"registry.test/web@{digest(1)}" in ended.headline
    assert "Push the image again" in ended.log
    assert "require-rollback: false" in ended.log
    assert "to-sha" not in ended.log, "`start` has no such input, and there is nothing to roll back yet"
    warned = two.start(2, **prove(two, 2, require_rollback="false"))
    assert (warned.code, warned.outputs["rollback"]) == (0, "impossible")
    assert "deployment-record/no-rollback" in [found["rule"] for found in warned.findings]


def test_start_refuses_when_the_engine_has_no_means_to_roll_back(two: World) -> None:
    ended = two.start(2, **prove(two, 2, roll_out_command=""))
    assert (ended.code, ended.verdict) == (1, "fail")
    assert "has no `roll-out-command`" in ended.headline


def test_start_does_not_know_whether_an_image_exists_when_nothing_says_so(two: World) -> None:
    ended = two.start(2, **prove(two, 2, image_command="", timeout="2s"))
    assert (ended.code, ended.verdict) == (3, "inconclusive")
    assert "whether the image" in ended.headline
    assert two.start(2, **prove(two, 2, image_command="", timeout="2s", allow_unverified="true")).code == 0


def chain(world: World, number: int, *phases: str) -> None:
    images = world.read("images")
    history = [{"revision": f"{at:04}", "message": f"change {at}", "phase": phase} for at, phase in enumerate(phases, 1)]
    images[world.image("api", number)] = {"history": history}
    world.write("images", images)


@pytest.mark.parametrize(
    ("pending", "code", "answer"), [("expand", 0, "possible"), ("contract", 1, ""), ("", 0, "possible"), ("late", 3, "")]
)
def test_start_asks_whether_the_old_code_knows_the_database_after_the_pending_migrations(
    two: World, pending: str, code: int, answer: str
) -> None:
    (two.folder / "database").write_text("0001")
    chain(two, 1, "expand")
    chain(two, 2, "expand", pending)
    ended = two.start(2, **prove(two, 2, schema_service="api"))
    assert (ended.code, ended.outputs["rollback"]) == (code, answer), ended.log
    if pending == "contract":
        assert "as it will be" in ended.headline
        assert "0002" in ended.headline
        assert "Deploy a commit that fixes the problem" not in ended.log


def test_start_of_the_release_that_runs_already_is_proven_against_the_one_before(two: World) -> None:
    two.runs(2)
    two.start(2)
    two.finish(2, "pass")
    ended = two.start(2, **prove(two, 2))
    assert ended.outputs["rollback"] == "possible"
    assert digest(1) in ended.summary


def test_start_names_the_other_app_instead_of_a_first_deployment(world: World) -> None:
    world.start(1, app="shop")
    world.finish(1, "pass", app="shop")
    ended = world.start(2)
    assert any("but the app shop has" in found["message"] for found in ended.findings)


def test_start_warns_of_a_record_that_its_run_cannot_prove(world: World) -> None:
    given = {"phase": "start", "sha": sha(1), "services": world.digests(1), "record-key": ""}
    for key, warned in (("", True), ("RECORD_KEY", False)):
        ended = world.action("deployment-record", {**given, "record-key": key} if key else given, GITHUB_SHA=sha(2))
        assert ("deployment-record/unprovable" in [found["rule"] for found in ended.findings]) == warned


def test_the_registry_is_asked_by_digest_where_no_program_knows_an_image(world: World, httpserver: HTTPServer) -> None:
    host = f"127.0.0.1:{httpserver.port}"
    known = {"Docker-Content-Digest": digest(1)}
    for name in world.services:
        httpserver.expect_request(f"/v2/{name}/manifests/{digest(1)}").respond_with_data(manifest(1), headers=known)
    world.build(1)
    world.build(2)
    services = "\n".join(f"{name}={host}/{name}@{digest(1)}" for name in world.services)
    world.start(1, services=services)
    world.runs(1)
    world.finish(1, "pass", services=services)
    following = services.replace(digest(1), digest(2))
    assert world.start(2, **prove(world, 2, image_command="", services=following)).outputs["rollback"] == "possible"
    httpserver.clear()
    httpserver.expect_request(re.compile("/v2/.*")).respond_with_data(status=404)
    ended = world.start(2, **prove(world, 2, image_command="", services=following))
    assert (ended.code, ended.verdict) == (1, "fail")
    assert digest(1) in ended.headline


def test_start_says_why_records_do_not_count(world: World) -> None:
    world.release(1)
    ended = world.start(2, record_key="")
    assert any("does not exist in this repository" in found["message"] for found in ended.findings)
    assert world.start(2, **prove(world, 2, record_key="", require_rollback="recorded")).code == 1


def test_an_old_run_does_not_get_through_because_the_newer_one_was_inconclusive(world: World) -> None:
    world.release(1)
    world.start(3)
    world.finish(3, "inconclusive")
    ended = world.start(2)
    assert (ended.code, ended.verdict) == (1, "fail")
    assert "whose deploy to staging has no verdict" in ended.headline
    assert "It was inconclusive, cancelled or lost, and may run." in ended.log
    assert "](<https://github.com/org/app/actions/runs/" in ended.summary
    assert world.start(4).code == 0
    assert world.start(3, allow_older="true").code == 0


class TestVerifyRecord:
    def verify(self, world: World, **more: str) -> tuple[int, str, str]:
        given = {"phase": "verify-record", **{key.replace("_", "-"): value for key, value in more.items()}}
        ended = world.action("deployment-record", given)
        return ended.code, ended.headline, ended.summary

    def test_a_record_that_counts_is_shown_with_its_proof(self, world: World) -> None:
        world.release(1)
        code, headline, summary = self.verify(world)
        assert code == 0
        assert "counts: signed with `record-key`" in headline
        assert sha(1)[:12] in summary

    def test_a_forged_record_is_shown_with_the_reason(self, world: World) -> None:
        world.release(1)
        payload = {"schema": 1, "app": REPOSITORY, "environment": "staging", "sha": sha(2), "services": {"api": digest(2)}}
        deployments.other_tool(
            world.github, REPOSITORY, "staging", sha(2), task="cicd-actions:passed", payload={**payload, "verdict": "pass"}
        )
        code, headline, _ = self.verify(world)
        assert code == 1
        assert "does not count: it is not signed" in headline
        assert self.verify(world, sha=sha(1))[0] == 0

    def test_without_records_there_is_nothing_to_verify(self, world: World) -> None:
        assert self.verify(world)[0] == 1


def test_of_two_services_only_their_own_records_prove_that_they_passed(world: World) -> None:
    world.build(1)
    for name in ("api", "web"):
        services = f"{name}={world.image(name, 1)}"
        world.start(1, services=services)
        world.finish(1, "pass", services=services)
    assert world.start(1, environment="production", require_passed_in="staging").code == 0
