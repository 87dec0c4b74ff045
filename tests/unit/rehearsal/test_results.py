"""What a rehearsal counts as wrong, and the page that is made of its figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rehearsal import results
from rehearsal.faults import BY_NAME, FAULTS
from rehearsal.job import ROOT
from rehearsal.trial import OURS, PLAIN, Outcome


def outcome(verdict: str, *, right: bool, served: str = "old", served_right: bool = True, **more: object) -> Outcome:
    values: dict[str, object] = {"detected": 4.0, "back": 2.0, "requests": 100, "failed": 3, "left": [], "took": 9.0, **more}
    return Outcome(verdict, right, served, served_right, **values)  # type: ignore[arg-type]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "results.jsonl"
    broken, good = BY_NAME["wrong-body"], BY_NAME["none"]
    results.keep(path, broken, OURS, 1, outcome("fail", right=True))
    results.keep(path, broken, PLAIN, 1, outcome("pass", right=False, served="new", served_right=False, back=None))
    results.keep(
        path, good, OURS, 1, outcome("inconclusive", right=False, left=["service x_api-next", "record without an end"])
    )
    return path


def test_green_of_a_broken_release_is_a_false_pass_and_red_of_a_good_one_a_false_fail(file: Path) -> None:
    trials = results.kept(file)
    assert [results.false_pass(each, BY_NAME[each["fault"]]) for each in trials] == [False, True, False]
    assert [results.false_fail(each, BY_NAME[each["fault"]]) for each in trials] == [False, False, True]
    assert results.sums(trials)[2:] == [
        "| cicd-actions | 2 | 0 | 1 | 0 | 4.0 s | 2.0 s | 6 of 200 | 1 |",
        "| plain pipeline | 1 | 1 | 0 | 1 | 4.0 s |  | 3 of 100 | 0 |",
    ]


def test_page_names_the_machine_and_the_command_and_marks_what_is_wrong(file: Path) -> None:
    page = results.page(results.document(results.kept(file), "make rehearsal"))
    assert "2 faults: each 1 × with this repository's deploy, 1 × with a plain pipeline." in page
    assert "**pass** (false pass)" in page
    assert "**no: new**" in page
    assert "record without an end, service" in page, "names that differ each time are left out"
    assert "\nmake rehearsal\n" in page


def test_page_says_how_often_where_a_rehearsal_was_interrupted(file: Path) -> None:
    results.keep(file, BY_NAME["none"], OURS, 2, outcome("pass", right=True))
    page = results.page(results.document(results.kept(file), "make rehearsal"))
    assert "each 1 to 2 × with this repository's deploy, 1 × with a plain" in page


def test_rollbacks_compares_the_faults_that_both_sides_rolled_back(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    figures = {"old-version": ((5.0, 7.0), (6.0,)), "stale-replica": ((3.0,), (2.0,)), "wrong-body": ((9.0,), ())}
    for name, sides in figures.items():
        for side, seconds in zip((OURS, PLAIN), sides, strict=True):
            for number, each in enumerate(seconds, 1):
                results.keep(path, BY_NAME[name], side, number, outcome("fail", right=True, rolled_back=each))
    results.keep(path, BY_NAME["crash"], OURS, 1, outcome("fail", right=True))
    told = results.rollbacks(results.kept(path))
    assert told == "4.5 s against 4.0 s, which is 1.12 × (median of the 2 faults that both rolled back)."
    assert told in results.page(results.document(results.kept(path), "x"))
    assert results.rollbacks([]) == "No fault was rolled back by both."


def test_document_is_json_with_every_trial(file: Path) -> None:
    found = json.loads(results.document(results.kept(file), "x"))
    assert {each["fault"] for each in found["trials"]} == {"wrong-body", "none"}
    assert all("log" not in each for each in found["trials"])


def test_published_page_is_made_of_the_published_figures() -> None:
    for figures in ROOT.glob("docs/rehearsal.json"):
        assert figures.with_suffix(".md").read_text("utf-8") == results.page(figures.read_text("utf-8"))
        assert "(rehearsal.md)" in (ROOT / "docs/README.md").read_text("utf-8")


def test_every_fault_has_one_name_and_a_right_end() -> None:
    assert len(BY_NAME) == len(FAULTS) >= 25
    assert {each.served for each in FAULTS} == {"old", "new", "one"}
