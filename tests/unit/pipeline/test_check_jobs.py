from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.pipeline import check_jobs
from cicd_actions.pipeline.check_jobs import judge, judge_all

RESULTS = ["success", "failure", "cancelled", "skipped", "", "neutral"]


@pytest.mark.parametrize("result", RESULTS)
def test_a_job_that_had_to_run_passes_only_by_success(result: str) -> None:
    assert judge("api", "true", result).right is (result == "success")


@pytest.mark.parametrize("result", RESULTS)
def test_a_job_that_had_not_to_run_passes_only_by_being_skipped(result: str) -> None:
    assert judge("api", "false", result).right is (result == "skipped")


@given(st.text().filter(lambda text: text not in {"true", "false"}), st.sampled_from(RESULTS))
def test_without_a_decision_nothing_passes(expected: str, result: str) -> None:
    assert judge("api", expected, result).right is False


def test_a_job_that_nobody_mentions_is_wrong() -> None:
    rows = judge_all({"api": {"result": "success"}, "web": {"result": "success"}}, "api=true")
    assert [(row.job, row.right) for row in rows] == [("api", True), ("web", False)]


def test_a_job_that_is_mentioned_and_not_there_is_wrong() -> None:
    assert [row.right for row in judge_all({}, "api=true")] == [False]


def test_every_reason_is_told() -> None:
    reasons = {result: judge("web", "true", result).reason for result in RESULTS}
    assert reasons["success"] == ""
    assert "skipped" in reasons["skipped"]
    assert reasons["neutral"] == reasons[""] == "its result is not known"


def test_an_output_that_github_dropped_is_wrong_where_its_job_succeeded() -> None:
    """GitHub drops an output in which the value of a secret stands; what needs it would be skipped silently."""
    needs = {"plan": {"result": "success", "outputs": {"lanes": "[]"}}}
    assert [(row.job, row.right) for row in check_jobs.dropped(needs, "plan=plan\nplan=lanes")] == [("plan", False)]
    assert check_jobs.dropped({"plan": {"result": "failure", "outputs": {}}}, "plan=plan") == []


@pytest.mark.parametrize(
    ("needs", "expected", "code", "complete"),
    [
        ({"api": "success", "web": "success"}, "api=true\nweb=true", 0, "true"),
        ({"api": "skipped", "web": "success"}, "api=false\nweb=true", 0, "false"),
        ({"api": "skipped", "web": "skipped"}, "api=false\nweb=false", 0, "false"),
        ({"api": "skipped", "web": "success"}, "api=true\nweb=true", 1, "false"),
        ({"api": "cancelled", "web": "success"}, "api=true\nweb=true", 1, "false"),
        ({"api": "success", "web": "failure"}, "api=true\nweb=true", 1, "false"),
        ({"api": "success", "web": "skipped"}, "api=\nweb=", 1, "false"),
        ({}, "", 1, "false"),
    ],
)
def test_main(
    needs: dict[str, str],
    expected: str,
    code: int,
    complete: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
    inputs = {
        "needs": json.dumps({job: {"result": result, "outputs": {}} for job, result in needs.items()}),
        "expected": expected,
        "required-check": "verify / check",
    }
    monkeypatch.setenv("INPUTS", json.dumps(inputs))
    with pytest.raises(SystemExit) as end:
        check_jobs.main()
    assert end.value.code == code
    assert (tmp_path / "output").read_text() == f"complete={complete}\n"
    assert "Require the check `verify / check`" in (tmp_path / "summary").read_text()
    if code and needs:
        assert "❌" in (tmp_path / "summary").read_text()
