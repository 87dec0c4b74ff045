from __future__ import annotations

import statistics
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.pipeline_metrics.compute import Scope, compute
from cicd_actions.pipeline_metrics.facts import Facts, Pull, Step
from tests.unit.pipeline_metrics.making import NOW, facts, job, run

SCOPE = Scope(NOW - 30 * 86_400, NOW)
ENDS = ["success", "failure", "timed_out", "startup_failure", "cancelled", "skipped", "neutral", "action_required", "stale"]


@given(st.lists(st.tuples(st.sampled_from(ENDS), st.integers(0, 5000), st.sampled_from(["a", "b"])), max_size=40))
def test_rates_and_durations_are_what_plain_counting_gives(rows: list[tuple[str, int, str]]) -> None:
    runs = [run(at, conclusion=end, took=took, workflow=name) for at, (end, took, name) in enumerate(rows)]
    figures = compute([facts(*runs)], SCOPE)
    ends = Counter(end for end, _, _ in rows)
    judged = ends["success"] + ends["failure"] + ends["timed_out"] + ends["startup_failure"]
    rate = figures.overall["success-rate"]
    assert rate.n == judged
    assert rate.value == (pytest.approx(100 * ends["success"] / judged) if judged >= 10 else None)
    times = [took for end, took, _ in rows if end == "success"]
    median = figures.overall["duration-p50"]
    assert (median.n, median.value) == (len(times), pytest.approx(statistics.median(times)) if len(times) >= 5 else None)
    assert sum(row[2] for row in figures.workflows) == len(rows)


def test_run_at_work_or_outside_the_window_does_not_count() -> None:
    runs = [run(1, status="in_progress", conclusion=""), run(2, created=SCOPE.since - 1), run(3)]
    figures = compute([facts(*runs)], SCOPE)
    assert figures.overall["success-rate"].n == 1
    assert figures.runs == 2


def test_patterns_choose_workflows_by_name_or_file_and_branches() -> None:
    runs = [run(1, workflow="CI", branch="main"), run(2, path="x/nightly.yml", branch="release/1"), run(3, branch="topic")]
    assert compute([facts(*runs)], Scope(SCOPE.since, NOW, branches=("release/*", "main"))).runs == 2
    assert compute([facts(*runs)], Scope(SCOPE.since, NOW, workflows=("x/*",))).runs == 1
    assert compute([facts(*runs)], Scope(SCOPE.since, NOW, workflows=("CI",))).runs == 3


def flaky(*rows: object) -> tuple[int, int, list[tuple[str, str]]]:
    """Pairs that are flaky, all pairs, and the jobs and steps behind them."""
    figures = compute([facts(*rows)], SCOPE)  # type: ignore[arg-type]
    rate, n = figures.overall["flaky-rate"].value, figures.overall["flaky-rate"].n
    padded = [run(number) for number in range(500, 520)]
    value = compute([facts(*rows, *padded)], SCOPE).overall["flaky-rate"].value  # type: ignore[arg-type]
    assert rate is None or n >= 10
    assert value is not None
    return round(value * (n + 20) / 100), n, [(each.job, each.step) for each in figures.flakes]


def test_job_that_failed_and_passed_when_it_was_run_again_is_flaky() -> None:
    one = run(1, attempt=2)
    assert flaky(one, job(one, "failure", attempt=1), job(one, attempt=2)) == (1, 1, [("test", "Test")])


def test_second_run_of_the_same_commit_that_passes_is_flaky() -> None:
    first, second = run(1, conclusion="failure", sha="a" * 40), run(2, sha="a" * 40)
    assert flaky(first, second, job(first, "failure")) == (1, 1, [("test", "Test")])


def test_pass_and_then_failure_at_the_same_commit_is_not_flaky_yet() -> None:
    assert flaky(run(1, sha="a" * 40), run(2, conclusion="failure", sha="a" * 40)) == (0, 1, [])


def test_other_commit_branch_or_workflow_is_another_pair() -> None:
    red = run(1, conclusion="failure", sha="a" * 40)
    others = [run(2, sha="b" * 40), run(3, sha="a" * 40, branch="topic"), run(4, sha="a" * 40, path="other.yml")]
    assert flaky(red, *others)[:2] == (0, 4)


def test_job_that_may_fail_does_not_make_a_pair_flaky() -> None:
    one = run(1, attempt=2)
    allowed = [job(one, "failure", name="lint", attempt=1), job(one, "failure", name="lint", attempt=2)]
    assert flaky(one, *allowed, job(one, attempt=2)) == (0, 1, [])


def test_run_again_without_its_jobs_is_not_known_to_be_flaky() -> None:
    figures = compute([facts(run(1, attempt=2))], SCOPE)
    assert figures.unread == 1
    assert figures.flakes == []


def test_failing_step_takes_until_its_workflow_is_green_again_on_the_branch() -> None:
    red, other, green = run(1, conclusion="failure"), run(2, branch="topic"), run(100)
    figures = compute([facts(red, other, green, job(red, "failure"))], SCOPE)
    (step,) = figures.steps
    assert (step.failed, step.ran, step.remediation, step.remedied, step.runs) == (1, 1, green.updated - red.updated, 1, (1,))


def test_failing_step_that_is_still_red_has_no_remediation_time() -> None:
    red = run(1, conclusion="failure")
    (step,) = compute([facts(red, job(red, "failure"))], SCOPE).steps
    assert step.remediation is None


def test_only_the_first_failed_step_of_a_job_counts_as_failed() -> None:
    red = run(1, conclusion="failure")
    steps = (Step("Build", "success", 10), Step("Test", "failure", 20), Step("Report", "failure", 1))
    found = {each.step: each.failed for each in compute([facts(red, job(red, "failure", steps=steps))], SCOPE).steps}
    assert found == {"Build": 0, "Test": 1, "Report": 0}


def test_minutes_are_rounded_up_for_each_job_and_priced_by_the_first_rate_that_fits() -> None:
    one = run(1)
    jobs = [
        job(one, started=100, completed=161, created=90),
        job(one, runner="macos-15", started=100, completed=160, created=90),
    ]
    scope = Scope(SCOPE.since, NOW, rates={"ubuntu-*": 0.5, "ubuntu-latest": 9.0})
    figures = compute([facts(one, *jobs)], scope)
    assert [(each.runner, each.minutes, each.cost) for each in figures.minutes] == [
        ("ubuntu-latest", 2, 1.0),
        ("macos-15", 1, None),
    ]
    assert (figures.overall["minutes"].value, figures.overall["cost"].value) == (3, 1.0)


def test_queue_time_leaves_out_skipped_jobs_and_clocks_that_disagree() -> None:
    one = run(1)
    jobs = [job(one), job(one, conclusion="skipped"), job(one, created=one.started + 9, started=one.started + 5)]
    assert compute([facts(one, *jobs)], SCOPE).overall["queue-p50"].n == 1


def test_weeks_hold_every_run_once_and_the_newest_is_whole() -> None:
    runs = [run(number, created=NOW - number * 40_000) for number in range(50)]
    figures = compute([facts(*runs)], SCOPE)
    assert sum(week.runs for week in figures.weeks) == 50
    assert figures.weeks[-1].start == NOW - 7 * 86_400


def test_people_are_counted_only_where_asked_and_bots_never() -> None:
    made = facts()
    for number, (author, bot) in enumerate([("ann", False), ("ann", False), ("", True)]):
        made.pulls[number] = Pull(number, NOW - 900, NOW - 500, bot, author)
    assert compute([made], SCOPE).people == {}
    figures = compute([made], Scope(SCOPE.since, NOW, people=True))
    assert figures.people == {"ann": 2}
    assert figures.overall["merged-per-week"].n == 2


def test_several_repositories_are_taken_together() -> None:
    one, two = facts(run(1)), facts(run(1, conclusion="failure"))
    two.repository = "org/web"
    figures = compute([one, two], SCOPE)
    assert figures.overall["success-rate"].n == 2
    assert {row[0] for row in figures.workflows} == {"org/app", "org/web"}


def test_nothing_collected_computes_to_nothing() -> None:
    figures = compute([Facts("org/app")], SCOPE)
    assert all(each.value is None for each in figures.overall.values())
