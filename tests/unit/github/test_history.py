"""What records say together: which releases are good, what was deployed since, and what the records cannot know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from cicd_actions.github.history import History, Release, phases
from cicd_actions.github.release_record import ABANDONED, Record, Revision, Run, Task


def sha(number: int) -> str:
    return f"{number:040x}"


def digest(number: int) -> str:
    return f"sha256:{number:064x}"


def record(at: int, number: int, task: Task = Task.PASSED, *, services: Mapping[str, int] | None = None, **more: Any) -> Record:
    """The record with the id *at* of commit *number*, whose services have the images of these numbers."""
    verdict = {Task.PASSED: "pass", Task.QUARANTINED: "fail"}.get(task, "")
    images = {name: f"r/{name}@{digest(built)}" for name, built in (services or {"api": number}).items()}
    return Record(task, "app", "staging", sha(number), images, **{"verdict": verdict, "id": at, **more})


def passed(*records: Record, services: tuple[str, ...] = (), complete: bool = True) -> list[int]:
    """The ids of the good releases' records, newest first."""
    return [each.record.id for each in History.of(records, complete=complete).good(services)]


BOTH = {"api": 1, "web": 1}


def test_history_of_records_in_any_order_and_twice_is_newest_first_and_each_once() -> None:
    records = [record(2, 2), record(3, 3), record(1, 1), record(2, 2)]
    found = History.of(records, complete=False, apps=["shop", "blog", "shop"], passed_over=["record 9: forged"])
    assert [each.id for each in found.records] == [3, 2, 1]
    assert (found.complete, sorted(found.apps), found.passed_over) == (False, ["blog", "shop"], ("record 9: forged",))
    assert (History.of([]), History().complete) == (History(), True)


def test_outcomes_are_verdicts_and_neither_deploys_nor_locks() -> None:
    records = [record(1, 1), record(2, 2, Task.QUARANTINED), record(3, 3, Task.DEPLOY), record(4, 4, Task.LOCK)]
    assert [each.id for each in History.of(records).outcomes] == [2, 1]


def test_good_release_is_the_newest_verdict_on_the_same_images() -> None:
    again = [record(1, 1), record(2, 2), record(3, 2, Task.QUARANTINED)]
    assert passed(*again) == [1]
    assert passed(*again, record(4, 2)) == [4, 1]
    # A deploy carries no verdict, and a quarantine holds for the whole set of images alone.
    assert passed(record(1, 1), record(2, 1, Task.DEPLOY)) == [1]
    assert passed(record(1, 1, services=BOTH), record(2, 2, Task.QUARANTINED, services={"api": 2, "web": 1})) == [1]


def test_good_releases_of_the_same_commit_and_images_are_one_and_of_two_builds_are_two() -> None:
    assert passed(record(1, 1), record(2, 1)) == [2]
    assert passed(record(1, 1), record(2, 1, services={"api": 9})) == [2, 1]
    # The same images under another commit are another release.
    assert passed(record(1, 1), record(2, 2, services={"api": 1})) == [2, 1]


def test_good_of_some_services_leaves_the_others_out() -> None:
    records = [record(1, 1, services=BOTH), record(2, 2, services={"worker": 2})]
    (found,) = History.of(records).good(["api"])
    assert found.services == {"api": f"r/api@{digest(1)}"}
    assert passed(*records, services=("api", "web")) == [1]
    assert passed(*records, services=("cron",)) == []


def test_release_of_a_part_is_laid_over_the_newest_good_one_only() -> None:
    first, bad, part = record(1, 1, services=BOTH), record(2, 2, services=BOTH | {"web": 2}), record(4, 4)
    found = History.of([first, bad, record(3, 2, Task.QUARANTINED, services=BOTH | {"web": 2}), part]).good()
    assert found[0].sources == {"api": part, "web": first}
    assert (found[0].sha, found[0].services["web"]) == (sha(4), f"r/web@{digest(1)}")
    assert found[0].identity == {("api", digest(4)), ("web", digest(1))}


def test_rollback_counts_only_for_commit_and_images_that_passed() -> None:
    first, second = record(1, 1, services=BOTH), record(2, 2, services={"api": 2, "web": 1})
    base = [first, second, record(3, 3, Task.QUARANTINED, services={"api": 3, "web": 1})]
    assert passed(*base, record(4, 2, kind="rollback", services={"api": 2}))[0] == 4
    assert passed(*base, record(4, 1, kind="rollback", services=BOTH))[0] == 4
    for forged in (
        record(4, 1, kind="rollback", services={"api": 2}),
        record(4, 2, kind="rollback", services={"api": 9}),
        # Each service has to be known: one that is does not carry another.
        record(4, 1, kind="rollback", services={"api": 1, "web": 9}),
        record(4, 1, kind="rollback", services={"api": 1, "worker": 1}),
    ):
        assert passed(*base, forged) == [2, 1]
    assert passed(record(1, 1, Task.QUARANTINED), record(2, 1, kind="rollback")) == []


def test_adopted_release_counts_only_as_the_first_of_a_complete_history() -> None:
    adopted = record(2, 2, kind="adopt")
    assert passed(adopted) == [2]
    assert passed(record(1, 1, Task.QUARANTINED), adopted, record(3, 3)) == [3, 2]
    assert passed(record(1, 1), adopted) == [1]
    assert passed(adopted, complete=False) == []
    # So it is the same for what was deployed, and for what was rolled back to.
    again = record(3, 2, kind="rollback")
    for complete in (True, False):
        history = History.of([adopted, again], complete=complete)
        assert [each.record.id for each in history.deploys()] == ([2] if complete else [])
        assert history.rolled_back_to() == (frozenset({("api", digest(2))}) if complete else None)


def test_conclusive_unless_a_rollback_went_to_what_was_not_read() -> None:
    known = [record(1, 1), record(2, 1, kind="rollback")]
    unknown = [record(2, 1, kind="rollback"), record(3, 3), record(4, 3, kind="rollback")]
    assert History.of(known, complete=False).conclusive
    assert not History.of(unknown, complete=False).conclusive
    assert History.of(unknown).conclusive


def test_deploys_are_what_each_deploy_brought_or_meant_to_bring() -> None:
    records = [
        record(1, 1, services=BOTH),
        record(2, 2, Task.DEPLOY),
        record(3, 1, kind="rollback", services=BOTH),
        record(4, 4, Task.QUARANTINED),
        record(5, 5, services={"worker": 5}),
    ]
    found = History.of(records).deploys(["api", "web"])
    assert [each.record.id for each in found] == [4, 2, 1]
    # Each is laid over what was good when it came.
    assert found[0].identity == {("api", digest(4)), ("web", digest(1))}
    assert [each.record.id for each in History.of(records).deploys()] == [5, 4, 2, 1]


def test_rolled_back_to_is_what_the_newest_record_brought_if_it_is_of_a_rollback() -> None:
    records = [record(1, 1, services=BOTH), record(2, 2), record(3, 1, kind="rollback", services={"api": 1})]
    assert History.of(records).rolled_back_to() == frozenset({("api", digest(1)), ("web", digest(1))})
    assert History.of(records).rolled_back_to(["api"]) == frozenset({("api", digest(1))})
    assert History.of(records).rolled_back_to(["worker"]) is None
    assert History.of(records[:2]).rolled_back_to() is None
    assert History.of([*records, record(4, 4)]).rolled_back_to() is None
    assert History.of([]).rolled_back_to() is None


def test_unnamed_is_the_newest_passed_record_of_none_of_the_services() -> None:
    worker = record(2, 2, services={"worker": 2})
    records = [record(1, 1, services={"worker": 1}), worker, record(3, 3, Task.QUARANTINED, services={"worker": 3})]
    assert History.of([*records, record(4, 4, services={"api": 4, "worker": 4})]).unnamed(["api"]) == worker
    assert History.of(records).unnamed(["worker"]) is None


def test_of_sha_and_since_are_verdicts_alone() -> None:
    records = [record(1, 1), record(2, 2), record(3, 2, Task.QUARANTINED), record(4, 2, Task.DEPLOY), record(5, 5)]
    history = History.of(records)
    assert [each.id for each in history.of_sha(sha(2))] == [3, 2]
    assert [each.id for each in history.since(records[1])] == [3, 5]


def test_unjudged_is_the_newest_deploy_without_a_verdict() -> None:
    run = Run("5", "1")
    begun = record(2, 2, Task.DEPLOY, run=run)
    assert History.of([record(1, 1), begun]).unjudged() == begun
    assert History.of([record(1, 1, Task.DEPLOY), begun]).unjudged() == begun
    # A verdict names the deploy that it ends, or the same attempt of the same run on the same commit.
    for verdict in (record(3, 2, deployment=2), record(3, 2, Task.QUARANTINED, run=run)):
        assert History.of([begun, verdict]).unjudged() is None
    for other in (record(3, 3, run=run), record(3, 2, run=Run("6", "1")), record(3, 2, run=Run("5", "2")), record(3, 2)):
        assert History.of([begun, other]).unjudged() == begun
    # Two records without a run are not of one run.
    nameless = record(2, 2, Task.DEPLOY)
    assert History.of([nameless, record(3, 2)]).unjudged() == nameless


def test_unjudged_is_a_service_whose_sibling_in_the_same_run_has_a_verdict() -> None:
    run = Run("5", "1")
    api, web = (record(at, 5, Task.DEPLOY, services={name: 5}, run=run) for at, name in ((1, "api"), (2, "web")))
    passed_api = record(3, 5, services={"api": 5}, run=run, deployment=1)
    assert History.of([api, web, passed_api]).unjudged() == web
    assert History.of([api, web, passed_api]).unjudged(["api"]) is None
    assert History.of([api, web, passed_api]).unjudged(["api", "web"]) == web
    assert History.of([api, web, passed_api, record(4, 5, services={"web": 5}, run=run)]).unjudged() is None


def test_unjudged_rollback_that_was_announced_is_not_a_deploy() -> None:
    assert History.of([record(1, 1), record(2, 2, Task.DEPLOY, kind="rollback")]).unjudged() is None
    lost = record(1, 1, Task.DEPLOY)
    assert History.of([lost, record(2, 2, Task.DEPLOY, kind="rollback"), record(3, 3)]).unjudged() == lost


def test_stage_that_was_abandoned_is_no_deploy_without_a_verdict() -> None:
    run = Run("5", "1")
    good, begun = record(1, 1), record(2, 2, Task.DEPLOY, run=run)
    staged = record(3, 2, Task.DEPLOY, run=run, deployment=2)
    over = record(4, 2, Task.DEPLOY, run=Run("6", "1"), deployment=2, kind=ABANDONED)
    assert History.of([good, begun, staged]).unjudged() == staged
    ended = History.of([good, begun, staged, over])
    assert ended.unjudged() is None
    assert [each.sha for each in ended.deploys()] == [good.sha]
    assert History.of([good, begun, staged, over, record(5, 2, Task.DEPLOY)]).unjudged() is not None, "it was deployed again"
    lost = record(2, 3, Task.DEPLOY)
    assert History.of([good, lost, replace(begun, id=3), replace(over, deployment=3)]).unjudged() == lost


def test_rollback_is_what_runs_also_after_a_stage_was_abandoned() -> None:
    back = record(3, 1, Task.DEPLOY, kind="rollback")
    over = record(5, 3, Task.DEPLOY, deployment=4, kind=ABANDONED)
    found = History.of([record(1, 1), record(2, 2), back, record(4, 3, Task.DEPLOY), over])
    assert found.rolled_back_to() == back.identity


def test_database_is_what_the_newest_record_says() -> None:
    records = [record(1, 1, schema=("0001",)), record(2, 2, schema=("0002", "0003"))]
    assert History.of(records).database() == ("0002", "0003")
    assert History.of([*records, record(3, 3, Task.DEPLOY)]).database() == ()
    assert History.of([]).database() == ()


def test_phases_are_what_any_record_says_of_a_migration() -> None:
    first = record(1, 1, revisions=(Revision("0001", "expand"), Revision("0002")))
    assert phases([first, record(2, 2, revisions=(Revision("0003", "contract"),))]) == {"0001": "expand", "0003": "contract"}


def test_release_runs_where_each_of_its_images_does() -> None:
    one = record(1, 1, services=BOTH)
    release = Release(one, dict.fromkeys(BOTH, one))
    here = frozenset({("api", digest(1)), ("web", digest(1)), ("worker", digest(7))})
    assert release.runs_in(here)
    assert release.runs_in(release.identity)
    assert not release.runs_in(here - {("web", digest(1))})
    assert not Release(one, {}).runs_in(here)


def test_parts_are_one_record_a_commit_with_its_own_images_the_oldest_first() -> None:
    old, new = record(1, 1, services={"api": 1, "web": 1, "cron": 1}), record(5, 5, services={"web": 5})
    again = record(3, 1, services={"worker": 3})
    release = Release(new, {"web": new, "cron": old, "worker": again, "api": old})
    assert [(each.id, each.sha, sorted(each.services)) for each in release.parts()] == [
        (3, sha(1), ["api", "cron", "worker"]),
        (5, sha(5), ["web"]),
    ]
    # The record of a part is the newest of its commit, and it stands where that one stands.
    middle = record(2, 2, services={"api": 2})
    ordered = Release(new, {"cron": old, "api": middle, "worker": again}).parts()
    assert [(each.id, sorted(each.services)) for each in ordered] == [(2, ["api"]), (3, ["cron", "worker"])]


@pytest.mark.parametrize("task", [Task.DEPLOY, Task.QUARANTINED])
def test_record_without_services_changes_nothing(task: Task) -> None:
    empty = Record(task, "app", "staging", sha(2), {}, id=2)
    assert passed(record(1, 1), empty) == [1]
    assert [each.record.id for each in History.of([record(1, 1), empty]).deploys()] == [1]
