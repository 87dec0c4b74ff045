from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.pipeline_metrics.collect import pairs
from cicd_actions.pipeline_metrics.compute import Scope, compute
from cicd_actions.pipeline_metrics.dora import deployments, lead_times, restores
from cicd_actions.pipeline_metrics.facts import Changes, Release
from tests.unit.pipeline_metrics.making import NOW, facts, release

A, B, C = ("a" * 40, "b" * 40, "c" * 40)


def test_release_that_passed_is_a_deployment_that_did_not_fail() -> None:
    (one,) = deployments(facts(release(1, NOW, A)), "production")
    assert (one.passed, one.failed, one.back) == (True, False, 0)


def test_release_that_failed_its_gate_is_a_failed_deployment() -> None:
    (one,) = deployments(facts(release(1, NOW, A, passed=False)), "production")
    assert (one.passed, one.failed) == (False, True)


def test_rollback_after_a_failed_gate_fails_no_other_deployment() -> None:
    made = facts(release(1, 1, A), release(2, 2, B, passed=False), release(3, 3, A, kind="rollback"))
    assert [each.failed for each in deployments(made, "production")] == [False, True]


def test_release_that_was_rolled_back_later_failed() -> None:
    made = facts(
        release(1, 1, A), release(2, 2, B), release(3, 9, B, kind="rollback", passed=False), release(4, 9, A, kind="rollback")
    )
    assert [(each.sha, each.failed, each.back) for each in deployments(made, "production")] == [(A, False, 0), (B, True, 9)]


def test_rollback_without_a_quarantine_still_takes_the_newest_release_back() -> None:
    made = facts(release(1, 1, A), release(2, 2, B), release(4, 9, A, kind="rollback"))
    assert [each.back for each in deployments(made, "production")] == [0, 9]


def test_second_rollback_takes_back_what_it_left() -> None:
    made = facts(
        release(1, 1, A), release(2, 2, B), release(3, 3, C),
        release(4, 4, C, kind="rollback", passed=False), release(5, 4, B, kind="rollback"),
        release(6, 5, B, kind="rollback", passed=False), release(7, 5, A, kind="rollback"),
    )  # fmt: skip
    assert [each.back for each in deployments(made, "production")] == [0, 5, 4]


def test_adopted_release_and_other_environments_are_not_deployments() -> None:
    made = facts(
        release(1, 1, A, kind="adopt"), release(2, 2, B, environment="staging"), release(3, 3, C, environment="PRODUCTION")
    )
    assert [each.sha for each in deployments(made, "production")] == [C]


def test_lead_time_runs_from_each_commit_to_the_release_that_passed() -> None:
    made = facts(release(1, 100, A), release(2, 150, B, passed=False), release(3, 200, C))
    made.changes[A, C] = Changes(A, C, 2, (120, 190))
    assert sorted(lead_times(made, "production")) == [(200, 10), (200, 80)]


def test_restore_runs_from_the_first_failed_gate_to_the_next_record_that_passed() -> None:
    made = facts(
        release(1, 100, A), release(2, 200, B, passed=False), release(3, 250, B, passed=False),
        release(4, 300, A, kind="rollback"), release(5, 400, C, passed=False),
    )  # fmt: skip
    assert list(restores(made, "production")) == [(300, 100)]


@given(st.lists(st.sampled_from(["pass", "fail", "back"]), max_size=20))
def test_failure_rate_is_what_reading_the_story_gives(story: list[str]) -> None:
    rows: list[Release] = []
    running: list[tuple[str, int]] = []
    fates: list[bool] = []
    for number, event in enumerate(story, 1):
        commit = f"{number:040x}"
        if event == "pass":
            running.append((commit, len(fates)))
            fates.append(False)
            rows.append(release(number, NOW - 1000 + number, commit))
        elif event == "fail":
            fates.append(True)
            rows.append(release(number, NOW - 1000 + number, commit, passed=False))
        elif len(running) > 1:
            left, at = running.pop()
            fates[at] = True
            rows.append(release(number * 1000, NOW - 1000 + number, left, passed=False, kind="rollback"))
            rows.append(release(number * 1000 + 1, NOW - 1000 + number, running[-1][0], kind="rollback"))
    renumbered = [row._replace(id=at) for at, row in enumerate(rows)]
    assert [each.failed for each in deployments(facts(*renumbered), "production")] == fates
    figure = compute([facts(*renumbered)], Scope(NOW - 5000, NOW)).overall["change-failure-rate"]
    assert figure.n == len(fates)
    assert figure.value == (100 * sum(fates) / len(fates) if len(fates) >= 10 else None)


def test_first_release_and_commits_without_a_release_have_no_lead_time() -> None:
    """Years of commits stand before the first recorded release: they would be its lead time."""
    made = facts(release(1, NOW, A), release(2, NOW + 9, B, passed=False))
    made.changes[A, B] = Changes(A, B, 1, (NOW,))
    found = compute([made], Scope(0, NOW + 99)).overall
    assert list(lead_times(made, "production")) == []
    assert list(pairs([release(1, NOW, A)])) == []
    assert (found["restore-p50"].value, found["restore-p50"].n) == (None, 0)
