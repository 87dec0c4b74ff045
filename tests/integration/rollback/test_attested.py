"""A rollback runs only what the build attested, unless it is allowed to run anything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fakes.gh import WORKFLOW, Gh
from tests.fakes.github import deployments
from tests.harness.releases import REPOSITORY, Ended, World, digest, sha

REQUIRED = {"require_attestation": "true", "signer_workflow": WORKFLOW, "source_refs": "refs/heads/main"}


@pytest.fixture
def gh(tmp_path: Path) -> Gh:
    return Gh(tmp_path)


def roll_back(world: World, gh: Gh, **inputs: str) -> Ended:
    given = {
        **world.engine, "services": world.release_lines, "url": f"api={world.url}/api", "version-from": "header:X-Version",
        "gate-timeout": "3s", "timeout": "30s", **{name.replace("_", "-"): value for name, value in inputs.items()},
    }  # fmt: skip
    return world.action("rollback-to-previous-sha", given, run="900", PATH=gh.path)


def test_rollback_to_an_attested_release_runs_and_to_another_is_refused(world: World, gh: Gh) -> None:
    world.release(1)
    world.release(2, "fail")
    refused = roll_back(world, gh, **REQUIRED)
    assert (refused.code, refused.verdict, refused.outputs["rolled-back"]) == (1, "fail", "false"), refused.log
    assert "has no attestation of its build" in refused.log
    assert world.running() == {"api": sha(2), "web": sha(2)}, "nothing moved"
    gh.attest(digest(1), sha(1))
    assert roll_back(world, gh, **REQUIRED).verdict == "pass"
    assert world.running() == {"api": sha(1), "web": sha(1)}
    payload = deployments.kept(world.github, REPOSITORY).deployments[-1]["payload"]
    assert payload["attestations"] == {"api": "log:123456789", "web": "log:123456789"}, "the record keeps the proof"


def test_rollback_without_proof_is_possible_where_it_is_allowed(world: World, gh: Gh) -> None:
    world.release(1)
    world.release(2, "fail")
    assert roll_back(world, gh, require_attestation="false").verdict == "pass"
    assert gh.calls() == []


def test_rollback_while_github_does_not_answer_is_inconclusive_unless_unverified_is_allowed(world: World, gh: Gh) -> None:
    world.release(1)
    world.release(2, "fail")
    gh.fail("network")
    ended = roll_back(world, gh, **REQUIRED)
    assert (ended.code, ended.verdict) == (3, "inconclusive"), ended.log
    assert "who built the image" in ended.log
    assert roll_back(world, gh, allow_unverified="true", **REQUIRED).verdict == "pass"


def test_record_keeps_the_attestations(world: World) -> None:
    world.build(1)
    world.start(1)
    assert world.finish(1, "pass", attestations=json.dumps({"api": "log:7", "web": "log:8"})).code == 0
    payload = deployments.kept(world.github, REPOSITORY).deployments[-1]["payload"]
    assert payload["attestations"] == {"api": "log:7", "web": "log:8"}
