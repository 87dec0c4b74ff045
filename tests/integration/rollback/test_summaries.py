"""The summaries of a rollback and of the records, as a person reads them: tests/golden/."""

from __future__ import annotations

import sys

from tests.fakes.github import deployments
from tests.harness.golden import Golden
from tests.harness.releases import PROGRAM, REPOSITORY, World, sha

PENDING = '[{"revision": "0002", "phase": "expand", "message": "add a column"}]'


def hold(golden: Golden, name: str, world: World, summary: str) -> None:
    golden.hold(name, summary, gate=world.url, folder=str(world.folder), python=sys.executable, program=str(PROGRAM))


def test_summary_of_a_rollback_that_passes_is_the_kept_one(world: World, golden: Golden) -> None:
    world.release(1)
    world.release(3, "fail", revisions=PENDING, database_revision="0002")
    ended = world.roll_back(current_sha=sha(3))
    assert ended.verdict == "pass", ended.log
    hold(golden, "rollback-to-previous-sha/pass", world, ended.summary)


def test_summary_of_a_rollback_that_is_planned_is_the_kept_one(world: World, golden: Golden) -> None:
    world.release(1)
    world.release(2)
    hold(golden, "rollback-to-previous-sha/dry-run", world, world.roll_back(dry_run="true").summary)


def test_summary_of_a_rollback_that_is_refused_is_the_kept_one(world: World, golden: Golden) -> None:
    world.release(1)
    world.release(2, "fail")
    world.lose("web", 1)
    ended = world.roll_back(current_sha=sha(2))
    assert ended.verdict == "fail", ended.log
    hold(golden, "rollback-to-previous-sha/fail", world, ended.summary)


def test_summary_of_a_rollback_that_cannot_judge_is_the_kept_one(world: World, golden: Golden) -> None:
    world.release(1)
    world.release(2, "fail")
    world.write("state", "not a table")
    ended = world.roll_back(current_sha=sha(2))
    assert ended.verdict == "inconclusive", ended.log
    hold(golden, "rollback-to-previous-sha/inconclusive", world, ended.summary)


def test_summaries_of_the_records_are_the_kept_ones(world: World, golden: Golden) -> None:
    world.release(1)
    world.build(2)
    engine = {name.replace("-", "_"): value for name, value in world.engine.items()}
    started = world.start(2, **engine, require_rollback="true")
    assert started.verdict == "pass", started.log
    hold(golden, "deployment-record/start", world, started.summary)
    world.runs(2)
    hold(golden, "deployment-record/finish-pass", world, world.finish(2, "pass").summary)
    hold(golden, "deployment-record/finish-fail", world, world.finish(2, "fail").summary)
    world.release(3)
    older = world.start(2, **engine)
    assert older.verdict == "fail", older.log
    hold(golden, "deployment-record/fail", world, older.summary)


def test_summary_of_records_that_cannot_be_read_is_the_kept_one(world: World, golden: Golden) -> None:
    world.token = world.github.token(contents="read")
    ended = world.start(1)
    assert ended.verdict == "inconclusive", ended.log
    assert not deployments.kept(world.github, REPOSITORY).deployments
    hold(golden, "deployment-record/inconclusive", world, ended.summary)


def test_summaries_of_a_lock_are_the_kept_ones(world: World, golden: Golden) -> None:
    world.release(1)
    for phase, given in (
        ("lock", {"reason": "the payment provider is down", "until": "2099-01-01T00:00:00Z"}),
        ("status", world.engine),
        ("verify-record", {}),
        ("unlock", {"reason": "it is up again"}),
    ):
        ended = world.action("deployment-record", {"phase": phase, **given}, run="1", GITHUB_SHA=sha(1))
        assert ended.verdict == "pass", ended.log
        hold(golden, f"deployment-record/{phase}", world, ended.summary)
