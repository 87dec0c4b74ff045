"""The runs, the strip of squares, and the line in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.health_gate.history import MIXED, MOST_RUNS, SQUARES, History
from cicd_actions.health_gate.observation import Observation, Outcome


def seen(at: float, label: str, outcome: Outcome, version: str | None = None) -> Observation:
    return Observation(at, at, outcome, label, label, version=version)


def history(*items: Observation) -> History:
    made = History()
    for each in items:
        made.add(each)
    return made


def test_like_answers_are_one_run() -> None:
    made = history(
        *[seen(n / 10, "refused", Outcome.BROKEN) for n in range(9)],
        *[seen(1 + n / 10, "503", Outcome.WRONG) for n in range(4)],
        *[seen(2 + n / 10, "200", Outcome.RIGHT) for n in range(3)],
    )
    assert made.line() == "refused ×9 0.0–0.8 s → 503 ×4 1.0–1.3 s → 200 ×3 2.0–2.2 s"
    strip = made.strip()
    assert strip.startswith("🟧")
    assert strip.endswith("🟩")
    assert set(strip) == {"🟧", "🟥", "🟩"}


def test_the_strip_is_scaled_by_time() -> None:
    made = history(
        *[seen(n, "503", Outcome.WRONG) for n in range(10)], *[seen(10 + n, "200", Outcome.RIGHT) for n in range(31)]
    )
    assert made.strip(40) == "🟥" * 10 + "🟩" * 30


def test_a_short_failure_is_never_hidden_among_right_answers() -> None:
    made = history(
        *[seen(n, "200", Outcome.RIGHT) for n in range(500)],
        seen(500.5, "503", Outcome.WRONG),
        *[seen(501 + n, "200", Outcome.RIGHT) for n in range(500)],
    )
    assert "🟥" in made.strip(40)


def test_a_look_that_the_deadline_cut_does_not_hide_what_was_seen_before() -> None:
    made = history(seen(0, "trust", Outcome.UNJUDGED), seen(1, "timeout", Outcome.UNFINISHED))
    assert made.telling is not None
    assert made.telling.label == "trust"
    only = history(seen(1, "timeout", Outcome.UNFINISHED)).telling
    assert only is not None
    assert only.label == "timeout"


def test_another_version_is_another_run() -> None:
    made = history(seen(0, "200", Outcome.RIGHT, "a"), seen(1, "200", Outcome.RIGHT, "b"))
    assert len(made.runs) == 2
    assert made.version() == "b"


def at_address(address: str, at: float, label: str, outcome: Outcome) -> Observation:
    return Observation(at, at, outcome, label, label, peers=(address,))


def test_history_of_two_addresses_that_differ_is_news_once_an_address() -> None:
    made = History()
    answers = [("10.0.0.1", "200", Outcome.RIGHT), ("10.0.0.2", "503", Outcome.WRONG)]
    told = [made.add(at_address(name, at, label, outcome))[0] for at in range(25) for name, label, outcome in answers]
    assert sum(told) == 2
    assert made.line() == "10.0.0.1: 200 ×25 0.0–24.0 s; 10.0.0.2: 503 ×25 0.0–24.0 s"
    news, before = made.add(at_address("10.0.0.2", 26, "200", Outcome.RIGHT))
    assert news
    assert before
    assert (before.label, before.count) == ("503", 25)


def test_history_of_one_address_that_flaps_is_news_less_and_less_often() -> None:
    made = History()
    answers = [("200", Outcome.RIGHT), ("503", Outcome.WRONG)]
    told = [made.add(at_address("10.0.0.1", at, label, outcome))[0] for at in range(100) for label, outcome in answers]
    assert sum(told) == 12


outcomes = st.sampled_from(list(Outcome))


@given(st.lists(st.tuples(outcomes, st.sampled_from("abc"), st.floats(0, 5)), max_size=60), st.integers(1, 60))
def test_the_strip_always_fits(steps: list[tuple[Outcome, str, float]], cells: int) -> None:
    at, made = 0.0, History()
    for outcome, label, pause in steps:
        at += pause
        made.add(seen(at, label, outcome))
    strip = made.strip(cells)
    assert len(strip) <= cells
    assert bool(strip) is bool(steps)
    assert set(strip) <= set(SQUARES.values())
    assert made.count == len(steps)


def test_a_nervous_target_does_not_fill_the_memory() -> None:
    made = History()
    for number in range(5000):
        made.add(seen(number, str(number % 2), Outcome.RIGHT if number % 2 else Outcome.WRONG))
    assert len(made.runs) <= MOST_RUNS
    assert made.count == 5000
    assert made.runs[0].label == "0"
    assert made.runs[-1].label == "1"
    assert made.last_wrong is not None


@pytest.mark.parametrize("first", [Outcome.RIGHT, Outcome.WRONG])
def test_history_merged_runs_keep_the_outcome_that_matters_most(first: Outcome) -> None:
    outcomes = [first, *({Outcome.RIGHT, Outcome.WRONG} - {first})]
    made = history(*[seen(at, outcomes[at % 2].value, outcomes[at % 2]) for at in range(MOST_RUNS * 2)])
    assert len(made.runs) == MOST_RUNS
    assert [run.outcome for run in made.runs if run.label == MIXED] == [Outcome.WRONG]
