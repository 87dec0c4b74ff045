from __future__ import annotations

import json
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cicd_actions.pipeline_metrics.store import Store
from tests.fakes.github import FakeGitHub, deployments
from tests.fakes.github.actions import Ran
from tests.fakes.github.openapi import document
from tests.harness.pipelines import DAY, Pipelines, many, sha


@pytest.fixture
def now() -> int:
    return int(time.time())


@pytest.fixture
def pipelines() -> Iterator[Pipelines]:
    with FakeGitHub(document=document()) as github:
        yield Pipelines(github)


@pytest.fixture
def unchecked() -> Iterator[Pipelines]:
    """Without GitHub's document: checking thousands of runs against it takes minutes."""
    with FakeGitHub() as github:
        yield Pipelines(github)


def paths(pipelines: Pipelines, since: int = 0) -> list[str]:
    return [call.path.removeprefix("/repos/org/app/") for call in pipelines.github.calls[since:]]


def counted(runs: list[dict[str, Any]], jobs: dict[int, list[dict[str, Any]]]) -> dict[str, tuple[float, int]]:
    """The figures by another way: from GitHub's own objects, with the standard library."""

    def stamp(text: str) -> float:
        return time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")) - time.timezone

    judged = [run for run in runs if run["conclusion"] in {"success", "failure"}]
    took = [stamp(run["updated_at"]) - stamp(run["run_started_at"]) for run in judged if run["conclusion"] == "success"]
    asked = [run for run in runs if run["conclusion"] == "failure" or run["run_attempt"] > 1]
    own = [job for run in asked for job in jobs[run["id"]]]
    waits = [stamp(job["started_at"]) - stamp(job["created_at"]) for job in own]
    minutes = sum(-(-(stamp(job["completed_at"]) - stamp(job["started_at"])) // 60) for job in own)
    stories: dict[tuple[str, ...], list[tuple[str, int, bool]]] = defaultdict(list)
    for run in judged:
        key = (run["path"], run["head_sha"], run["head_branch"], run["event"], run["repository"]["full_name"])
        stories[key].append((run["created_at"], 2, run["conclusion"] == "success"))
    for run in asked:
        if run["run_attempt"] > 1:
            # The made-up first attempt always fails in the job that later decides the run.
            passed_later = jobs[run["id"]][1]["conclusion"] == "success"
            key = (run["path"], run["head_sha"], run["head_branch"], run["event"], run["repository"]["full_name"])
            if passed_later or run["conclusion"] == "failure":
                stories[key].append((run["created_at"], 1, False))
    flaky = 0
    for story in stories.values():
        ends = [good for _, _, good in sorted(story)]
        flaky += any(not early and late for at, early in enumerate(ends) for late in ends[at + 1 :])
    return {
        "success-rate": (100 * len(took) / len(judged), len(judged)),
        "duration-p50": (statistics.median(took), len(took)),
        "duration-p90": (statistics.quantiles(took, n=10, method="inclusive")[8], len(took)),
        "queue-p50": (statistics.median(waits), len(waits)),
        "minutes": (minutes, len(own)),
        "flaky-rate": (100 * flaky / len(stories), len(stories)),
    }


def test_five_thousand_runs_give_the_figures_that_another_way_of_counting_gives(
    unchecked: Pipelines, tmp_path: Path, now: int
) -> None:
    names = many(unchecked, 5000, now)
    ended = unchecked.measure(
        tmp_path, {"repositories": "\n".join(names), "request-budget": "3000", "export": str(tmp_path / "export")}
    )
    assert ended.code == 0, ended.log
    found = json.loads((tmp_path / "export" / "figures.json").read_text("utf-8"))
    runs = [run for name in names for run in deployments.kept(unchecked.github, name).runs.values()]
    jobs = {number: each for name in names for number, each in unchecked.github.state["jobs"][name].items()}
    assert found["runs"] == 5000
    for key, (value, n) in counted(runs, jobs).items():
        assert found["figures"][key]["n"] == n, key
        assert found["figures"][key]["value"] == pytest.approx(value), key


def test_thousand_runs_take_fifteen_requests_and_nothing_new_takes_five(unchecked: Pipelines, tmp_path: Path, now: int) -> None:
    name = unchecked.repository()
    for number in range(1000):
        unchecked.run(name, now - 60 * DAY + number * 5000, conclusion="failure" if number % 9 == 0 else "success")
    unchecked.record(name, now - 30 * DAY, sha("a"))
    unchecked.merge(name, now - DAY)
    inputs = {"store": str(tmp_path / "store"), "details": "none"}
    first = unchecked.measure(tmp_path, inputs)
    assert first.code == 0, first.log
    assert len(unchecked.github.calls) <= 15
    assert "1,001 runs" in first.headline
    before = len(unchecked.github.calls)
    second = unchecked.measure(tmp_path, inputs)
    assert "1,001 runs" in second.headline
    assert len(unchecked.github.calls) - before <= 5


def test_next_collection_asks_for_news_only_and_notices_a_run_that_was_run_again(
    pipelines: Pipelines, tmp_path: Path, now: int
) -> None:
    name = pipelines.repository()
    old = [pipelines.run(name, now - 20 * DAY + number * 600, conclusion="failure") for number in range(20)]
    pipelines.run(name, now - 9000)
    inputs = {"store": str(tmp_path / "store"), "details": "none"}
    pipelines.measure(tmp_path, inputs)
    pipelines.run(name, now - 60)
    old[3] |= {"run_attempt": 2, "conclusion": "success"}
    pipelines.measure(tmp_path, inputs)
    kept = Store(tmp_path / "store").read(name)
    assert len(kept.runs) == 22
    assert (kept.runs[old[3]["id"]].attempt, kept.runs[old[3]["id"]].good) == (2, True)
    assert kept.gaps == []


def test_jobs_are_read_newest_first_within_the_budget_and_the_rest_is_named(
    pipelines: Pipelines, tmp_path: Path, now: int
) -> None:
    name = pipelines.repository()
    for number in range(10):
        pipelines.run(name, now - DAY - number * 600, conclusion="failure", jobs=[Ran("test", "failure")])
    inputs = {"store": str(tmp_path / "store"), "request-budget": "7"}
    ended = pipelines.measure(tmp_path, inputs)
    assert paths(pipelines).count("actions/runs") == 1
    read = [path.split("/")[2] for path in paths(pipelines) if path.endswith("/jobs")]
    assert read == ["1001", "1002", "1003", "1004"]
    assert "the jobs of 6 runs" in ended.summary
    pipelines.measure(tmp_path, {**inputs, "request-budget": "200"})
    assert len(Store(tmp_path / "store").read(name).jobs) == 10


def test_collection_that_the_budget_ended_goes_on_where_it_ended(unchecked: Pipelines, tmp_path: Path, now: int) -> None:
    name = unchecked.repository()
    for number in range(1250):
        unchecked.run(name, now - 60 * DAY + number * 4000)
    inputs = {"store": str(tmp_path / "store"), "details": "none", "request-budget": "5"}
    assert "some runs between" in unchecked.measure(tmp_path, inputs).summary
    for _ in range(6):
        unchecked.measure(tmp_path, inputs)
    kept = Store(tmp_path / "store").read(name)
    assert (len(kept.runs), kept.gaps) == (1250, [])


def test_window_that_grows_collects_what_is_older(pipelines: Pipelines, tmp_path: Path, now: int) -> None:
    name = pipelines.repository()
    for day in (1, 20, 50):
        pipelines.run(name, now - day * DAY)
        pipelines.merge(name, now - day * DAY)
    inputs = {"store": str(tmp_path / "store")}
    assert pipelines.measure(tmp_path, {**inputs, "days": "30"}).headline.startswith("2 runs")
    assert pipelines.measure(tmp_path, {**inputs, "days": "90"}).headline.startswith("3 runs")
    kept = Store(tmp_path / "store").read(name)
    assert len(kept.pulls) == 3


def test_rate_limit_that_outlasts_the_deadline_is_inconclusive_with_what_is_known(
    pipelines: Pipelines, tmp_path: Path, now: int
) -> None:
    name = pipelines.repository()
    for number in range(150):
        pipelines.run(name, now - DAY - number)
    pipelines.github.remaining = 1
    ended = pipelines.measure(tmp_path, {"timeout": "2s", "store": str(tmp_path / "store")})
    assert (ended.code, ended.verdict) == (3, "inconclusive")
    assert "100 runs" in ended.headline
    assert "rate limit" in ended.headline
    assert len(Store(tmp_path / "store").read(name).runs) == 100


def test_permission_that_is_missing_leaves_the_other_figures(pipelines: Pipelines, tmp_path: Path, now: int) -> None:
    name = pipelines.repository()
    pipelines.run(name, now - DAY)
    pipelines.token = pipelines.github.token(actions="read")
    ended = pipelines.measure(tmp_path)
    assert ended.code == 3
    assert "1 runs" in ended.headline
    assert {found["rule"] for found in ended.findings} == {"pipeline-metrics/incomplete"}
    assert "deployments: read" in ended.summary


def test_records_give_the_dora_metrics(pipelines: Pipelines, tmp_path: Path, now: int) -> None:
    name = pipelines.repository()
    times = {sha(number): now - (41 - number) * DAY for number in range(40)}
    pipelines.commits(name, times)
    for number in range(3, 40, 3):
        pipelines.record(name, now - (40 - number) * DAY, sha(number))
    pipelines.record(name, now - 1800, sha(39), passed=False, kind="rollback")
    pipelines.record(name, now - 1800, sha(36), kind="rollback")
    ended = pipelines.measure(tmp_path)
    assert ended.code == 0, ended.log
    figures = json.loads(ended.outputs["figures"])
    assert figures["deployments-per-week"] == pytest.approx(13 * 7 / 90)
    assert figures["change-failure-rate"] == pytest.approx(100 / 13)
    # Each release brings commits of one, two and three days ago.
    assert figures["lead-time-p50"] == pytest.approx(2 * DAY, abs=2)
    assert figures["restore-p50"] is None
    assert "| high |" in ended.summary


def test_record_of_an_unknown_writer_counts_for_nothing(pipelines: Pipelines, tmp_path: Path, now: int) -> None:
    name = pipelines.repository()
    pipelines.record(name, now - DAY, sha("a"))
    deployments.kept(pipelines.github, name).deployments[-1]["creator"]["login"] = "mallory"
    ended = pipelines.measure(tmp_path)
    assert json.loads(ended.outputs["figures"])["deployments-per-week"] is None
    assert "writer is not proven" in ended.summary


def test_deployments_of_other_tools_do_not_hide_records(pipelines: Pipelines, tmp_path: Path, now: int) -> None:
    name = pipelines.repository()
    pipelines.record(name, now - DAY, sha("a"))
    for number in range(120):
        deployments.other_tool(pipelines.github, name, "preview", sha(number))
    inputs = {"store": str(tmp_path / "store")}
    pipelines.measure(tmp_path, inputs)
    assert len(Store(tmp_path / "store").read(name).releases) == 1


def test_thresholds_decide_the_verdict(pipelines: Pipelines, tmp_path: Path, now: int) -> None:
    name = pipelines.repository()
    for number in range(12):
        pipelines.run(name, now - DAY - number, conclusion="failure" if number < 3 else "success")
    assert pipelines.measure(tmp_path, {"fail-on": "success-rate < 70%"}).code == 0
    broken = pipelines.measure(tmp_path, {"fail-on": "success-rate < 80%\nduration-p50 > 1h"})
    assert (broken.code, broken.verdict) == (1, "fail")
    assert "Success rate is 75.0 % (n = 12)" in broken.headline
    few = pipelines.measure(tmp_path, {"fail-on": "restore-p50 > 1h"})
    assert (few.code, few.verdict) == (3, "inconclusive")


def test_store_holds_no_token_and_no_person_unless_asked(pipelines: Pipelines, tmp_path: Path, now: int) -> None:
    name = pipelines.repository()
    pipelines.run(name, now - DAY)
    pipelines.merge(name, now - DAY, "ann-the-author")
    folder, page = tmp_path / "store", tmp_path / "page"
    inputs = {"store": str(folder), "dashboard": str(page), "export": str(page)}
    pipelines.measure(tmp_path, inputs)

    def written() -> str:
        files = [path for place in (folder, page) for path in place.rglob("*") if path.is_file()]
        assert len(files) == 6
        return "".join(path.read_text("utf-8") for path in files)

    assert pipelines.token not in written()
    assert "ann-the-author" not in written()
    pipelines.measure(tmp_path, {**inputs, "per-person": "true"})
    assert "ann-the-author" in written()
    pipelines.measure(tmp_path, inputs)
    assert "ann-the-author" not in written()


def test_hostile_names_stay_text_in_the_summary(pipelines: Pipelines, tmp_path: Path, now: int) -> None:
    name = pipelines.repository()
    nasty = "<img src=x onerror=alert(1)>|`x`\n::error::no @org/team"
    for number in range(6):
        pipelines.run(
            name,
            now - DAY - number,
            name=nasty,
            branch=nasty,
            conclusion="failure",
            jobs=[Ran(nasty, "failure", steps=[(nasty, "failure", 5)])],
        )
    ended = pipelines.measure(tmp_path)
    assert "<img" not in ended.summary
    assert not any(line.lstrip().startswith("::") for line in ended.log.splitlines())
