"""The judge, by examples and by laws that hold for every sequence of observations."""

from __future__ import annotations

from dataclasses import replace
from itertools import cycle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.health_gate.judge import MISSED, REACHABLE_BEFORE, Judge, Rules, State, connections, share
from cicd_actions.health_gate.observation import Observation, Outcome
from cicd_actions.health_gate.schedule import HURRIED
from cicd_actions.toolkit.verdict import Verdict


def seen(
    at: float, outcome: Outcome, kind: str = "", *, reached: bool = True, permanent: bool = False, version: str | None = None
) -> Observation:
    return Observation(
        at, at, outcome, kind or outcome.value, outcome.value, reached=reached, permanent=permanent, version=version
    )


def right(at: float) -> Observation:
    return seen(at, Outcome.RIGHT)


def wrong(at: float) -> Observation:
    return seen(at, Outcome.WRONG, "status")


def broken(at: float) -> Observation:
    return seen(at, Outcome.BROKEN, "refused", reached=False)


def judged(rules: Rules, *observations: Observation) -> Judge:
    judge = Judge(rules)
    for each in observations:
        judge.see(each)
    return judge


def test_one_right_answer_passes_by_default() -> None:
    judge = judged(Rules(), right(0.5))
    assert judge.state is State.PASSED
    assert judge.passed_at == 0.5


def test_successes_have_to_be_consecutive() -> None:
    rules = Rules(consecutive_successes=3)
    assert judged(rules, right(0), right(1), wrong(2), right(3), right(4)).state is State.WAITING
    assert judged(rules, right(0), right(1), wrong(2), right(3), right(4), right(5)).state is State.PASSED


def test_the_stable_window_opens_when_the_streak_is_long_enough_and_closes_with_a_right_answer() -> None:
    rules = Rules(consecutive_successes=2, stable_for=10)
    judge = judged(rules, right(0), right(5))
    assert judge.holds_until == 15
    assert judged(rules, right(0), right(5), right(14.9)).state is State.HOLDING
    assert judged(rules, right(0), right(5), right(15)).state is State.PASSED


def test_a_wrong_answer_starts_the_window_over() -> None:
    judge = judged(Rules(stable_for=10), right(0), wrong(9), right(11))
    assert judge.state is State.HOLDING
    assert judge.holds_until == 21


def test_the_flake_budget_forgives_transport_errors_and_no_wrong_answer() -> None:
    rules = Rules(stable_for=10, flake_budget=1)
    assert judged(rules, right(0), broken(5), right(10)).state is State.PASSED
    assert judged(rules, right(0), broken(5), broken(6), right(10)).state is State.HOLDING
    assert judged(rules, right(0), wrong(5), right(10)).state is State.HOLDING


def test_a_flake_budget_of_two_forgives_two() -> None:
    rules = Rules(stable_for=10, flake_budget=2)
    assert judged(rules, right(0), broken(2), right(3), broken(5), right(10)).state is State.PASSED
    assert judged(rules, right(0), broken(2), right(3), broken(5), broken(7), right(10)).state is State.HOLDING


def test_each_streak_has_its_own_flake_budget() -> None:
    rules = Rules(stable_for=10, flake_budget=1)
    assert judged(rules, right(0), broken(1), wrong(2), right(3), broken(4), right(13)).state is State.PASSED


@pytest.mark.parametrize("kind", sorted(REACHABLE_BEFORE))
def test_what_cannot_be_reached_is_to_blame_once_it_was_reached(kind: str) -> None:
    dropped = seen(1, Outcome.UNJUDGED, kind, reached=False)
    assert judged(Rules(), dropped).verdict() is Verdict.INCONCLUSIVE
    assert judged(Rules(), wrong(0), dropped).verdict() is Verdict.FAIL
    before = judged(Rules(stable_for=5), right(0), dropped)
    assert before.streak == 0
    assert before.verdict() is Verdict.FAIL


def test_a_permanent_cause_fails_at_once() -> None:
    judge = judged(Rules(), seen(0.1, Outcome.BROKEN, "certificate-expired", permanent=True))
    assert judge.state is State.FAILED


def test_a_wrong_version_fails_once_it_stayed_the_same_for_long_enough() -> None:
    rules = Rules(wrong_version_for=10)

    def old(at: float, version: str = "old") -> Observation:
        return seen(at, Outcome.WRONG, "version", version=version)

    assert judged(rules, old(0), old(9)).state is State.WAITING
    assert judged(rules, old(0), old(10)).state is State.FAILED
    assert judged(rules, old(0), old(8, "older"), old(11)).state is State.WAITING
    assert judged(rules, old(0), broken(5), old(10)).state is State.FAILED
    assert judged(Rules(), old(0), old(1000)).state is State.WAITING


def test_right_answers_that_did_not_last_long_enough_prove_nothing() -> None:
    assert judged(Rules(stable_for=60), wrong(0), right(5), right(30)).verdict() is Verdict.INCONCLUSIVE


def test_right_answers_that_were_interrupted_fail() -> None:
    assert judged(Rules(stable_for=60), right(0), wrong(5), right(6)).verdict() is Verdict.FAIL


def test_an_answer_that_the_deadline_cut_counts_only_when_there_was_no_other() -> None:
    cut = seen(5, Outcome.UNFINISHED, "timeout")
    assert judged(Rules(), cut).verdict() is Verdict.FAIL
    assert judged(Rules(stable_for=9), right(1), cut).verdict() is Verdict.INCONCLUSIVE
    assert judged(Rules(), seen(5, Outcome.UNFINISHED, reached=False)).verdict() is Verdict.INCONCLUSIVE


def test_nothing_seen_is_inconclusive() -> None:
    assert judged(Rules()).verdict() is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("replicas", [1, 2, 3, 10, 100, 10000])
def test_connections_miss_one_replica_with_a_chance_of_a_tenth_of_a_percent(replicas: int) -> None:
    made = connections(replicas)
    assert (1 - 1 / replicas) ** made <= MISSED
    assert replicas == 1 or (1 - 1 / replicas) ** (made - 1) > MISSED


def test_a_pass_needs_as_many_right_connections_in_a_row_as_the_replicas_do() -> None:
    rules = Rules(replicas=2)
    nine = [right(at) for at in range(9)]
    assert judged(rules, *nine).state is State.HOLDING
    assert judged(rules, *nine, wrong(9), *nine).state is State.HOLDING
    assert judged(rules, *nine, right(9)).state is State.PASSED


def at_address(address: str, seen: Observation, *addresses: str) -> Observation:
    """Returns the observation as one of this address; `addresses` are all that the name has."""
    return replace(seen, peers=(address,), addresses=addresses or (address,))


def rights(judge: Judge, turns: list[str], addresses: list[str]) -> None:
    """Lets the addresses answer right in these turns, again and again, until the judge passes."""
    for at, address in enumerate(cycle(turns)):
        judge.see(at_address(address, right(at), *addresses))
        if judge.passed:
            return


V4 = [f"10.0.0.{number}" for number in range(1, 13)]
V6 = [f"fd00::{number}" for number in range(1, 13)]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.data())
def test_pass_misses_a_replica_hardly_ever_however_the_addresses_divide_them(parts: list[int], data: st.DataObject) -> None:
    """Each number of `parts` is how many replicas an address leads to, whatever order the addresses come in."""
    addresses = V4[: len(parts)]
    turns = data.draw(st.permutations(addresses + data.draw(st.lists(st.sampled_from(addresses), max_size=4))))
    judge = Judge(Rules(replicas=sum(parts)))
    rights(judge, turns, addresses)
    for address, behind in zip(addresses, parts, strict=True):
        assert (1 - 1 / behind) ** judge.met[address] <= MISSED
    # And where each address leads to all of them.
    assert (1 - 1 / sum(parts)) ** judge.streak <= MISSED


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_pass_misses_a_replica_hardly_ever_when_each_part_has_addresses_of_both_families(parts: list[int]) -> None:
    pairs = list(zip(V4[: len(parts)], V6, strict=False))
    addresses = [address for pair in pairs for address in pair]
    judge = Judge(Rules(replicas=sum(parts)))
    rights(judge, addresses, addresses)
    for (first, second), behind in zip(pairs, parts, strict=True):
        assert (1 - 1 / behind) ** (judge.met[first] + judge.met[second]) <= MISSED


@pytest.mark.parametrize(
    ("replicas", "addresses", "each"),
    [
        (10, [], 66), (10, V4[:1], 66), (10, V4[:2], 59), (10, V4[:9], 10), (10, V4[:10], 1), (1, V4[:3], 1),
        (10, V4[:1] + V6[:1], 66), (10, V4[:2] + V6[:3], 52),
    ],
)  # fmt: skip
def test_share_of_an_address_is_for_all_replicas_but_one_for_each_other_address(
    replicas: int, addresses: list[str], each: int
) -> None:
    assert share(replicas, addresses) == each


def test_connections_are_never_fewer_than_one_address_gets() -> None:
    judge = Judge(Rules(replicas=10))
    assert judge.connections == 66
    for number, needed in [(1, 66), (2, 118), (3, 156), (10, 66)]:
        judge.addresses = tuple(V4[:number])
        assert judge.connections == needed


def test_address_that_answered_less_often_than_its_share_is_waited_for() -> None:
    judge = Judge(Rules(replicas=3))  # ten each
    one, other = V4[:2]
    for at in range(30):
        judge.see(at_address(one, right(at), one, other))
    assert (judge.short, judge.unconfirmed, judge.hurried) == (False, [other], False)
    for at in range(9):
        judge.see(at_address(other, right(at), one, other))
        assert (judge.short, judge.unconfirmed, judge.hurried, judge.passed) == (True, [], True, False)
    judge.see(at_address(other, right(9), one, other))
    assert (judge.short, judge.hurried, judge.passed) == (False, False, True)


def test_wrong_answer_starts_the_share_of_every_address_over() -> None:
    judge = Judge(Rules(replicas=3))
    one, other = V4[:2]
    for at in range(9):
        judge.see(at_address(one, right(at), one, other))
        judge.see(at_address(other, right(at), one, other))
    judge.see(at_address(one, wrong(9), one, other))
    rights(judge, [one, other], [one, other])
    assert (judge.streak, judge.met) == (20, {one: 10, other: 10})


def test_addresses_are_hurried_through_until_each_had_a_turn() -> None:
    judge = Judge(Rules(stable_for=9))
    judge.see(at_address(V4[0], wrong(0), *V4[:3]))
    assert not judge.hurried
    hurried = []
    for at, address in enumerate(V4[:3]):
        judge.see(at_address(address, right(at), *V4[:3]))
        hurried.append(judge.hurried)
    assert hurried == [True, True, False]


def test_least_is_the_window_and_the_pauses_between_the_answers_it_takes() -> None:
    judge = Judge(Rules(stable_for=5, replicas=3, consecutive_successes=3))
    assert judge.least(2) == 5 + 17 * HURRIED + 2 * 2
    judge.addresses = tuple(V4[:2])
    assert judge.least(2) == 5 + 19 * HURRIED + 2 * 2


def test_wrong_answer_revokes_the_pass_and_the_target_has_to_pass_again() -> None:
    rules = Rules(stable_for=10)
    judge = judged(rules, right(0), right(10), wrong(12))
    assert (judge.state, judge.passed_at, judge.revoked, judge.revoked_pass) == (State.WAITING, None, 1, 10)
    assert judge.verdict() is Verdict.FAIL
    judge.see(right(13))
    assert (judge.state, judge.verdict()) == (State.HOLDING, Verdict.FAIL)
    judge.see(right(23))
    assert (judge.state, judge.passed_at, judge.verdict()) == (State.PASSED, 23, Verdict.PASS)
    judge.see(broken(24))
    assert (judge.passed, judge.revoked, judge.revoked_pass) == (False, 2, 23)


def test_wrong_answer_before_a_pass_revokes_none() -> None:
    judge = judged(Rules(stable_for=10), right(0), wrong(1))
    assert (judge.revoked, judge.revoked_pass) == (0, None)


def test_right_answer_after_the_pass_keeps_its_time() -> None:
    judge = judged(Rules(), right(1), right(5))
    assert (judge.passed_at, judge.streak) == (1, 2)


@pytest.mark.parametrize("kind", ["rate-limited", "unresolved", "no-network", "proxy"])
def test_what_could_not_be_judged_revokes_nothing(kind: str) -> None:
    judge = judged(Rules(), right(1), seen(2, Outcome.UNJUDGED, kind, reached=False), seen(3, Outcome.UNFINISHED, "timeout"))
    assert (judge.state, judge.passed_at, judge.verdict()) == (State.PASSED, 1, Verdict.PASS)


@pytest.mark.parametrize("kind", sorted(REACHABLE_BEFORE))
def test_target_that_can_no_longer_be_reached_loses_its_pass(kind: str) -> None:
    judge = judged(Rules(), right(1), seen(2, Outcome.UNJUDGED, kind, reached=False))
    assert (judge.passed, judge.revoked) == (False, 1)


def test_forgiven_error_after_the_pass_needs_a_right_answer_of_its_address_and_keeps_the_pass() -> None:
    judge, (one, other) = Judge(Rules(flake_budget=1)), V4[:2]
    for at, each in [(0, right(0)), (1, right(1)), (2, broken(2))]:
        judge.see(at_address((one, other)[at % 2], each, one, other))
    assert (judge.state, judge.revoked, judge.passed_at) == (State.HOLDING, 0, 1)
    assert judge.verdict() is Verdict.INCONCLUSIVE
    judge.see(at_address(other, right(3), one, other))
    assert not judge.passed
    judge.see(at_address(one, right(4), one, other))
    assert (judge.passed, judge.passed_at) == (True, 1)
    judge.see(at_address(one, broken(5), one, other))
    assert (judge.passed, judge.revoked, judge.revoked_pass) == (False, 1, 1)


def test_address_that_joins_after_the_pass_has_to_answer_right_before_it_stands_again() -> None:
    judge, (one, other, third) = Judge(Rules()), V4[:3]
    judge.see(at_address(one, right(1), one))
    judge.see(at_address(other, right(2), one, other, third))
    assert (judge.state, judge.passed_at, judge.revoked) == (State.HOLDING, 1, 0)
    judge.see(at_address(third, right(3), one, other, third))
    assert (judge.state, judge.passed_at) == (State.PASSED, 1)


def test_address_that_leaves_after_the_pass_leaves_a_larger_share_to_the_others() -> None:
    judge, both = Judge(Rules(replicas=3)), V4[:2]
    rights(judge, both, both)
    assert judge.met == dict.fromkeys(both, 10)
    for _ in range(7):
        judge.see(at_address(both[0], right(50), both[0]))
        assert judge.state is State.HOLDING
    judge.see(at_address(both[0], right(50), both[0]))
    assert judge.passed


def test_forgiven_error_of_a_crash_hides_no_revoked_pass() -> None:
    judge = judged(Rules(flake_budget=1), right(1), broken(5), broken(6))
    assert (judge.state, judge.revoked, judge.revoked_pass) == (State.WAITING, 1, 1)


def test_permanent_cause_after_the_pass_fails_at_once() -> None:
    expired = seen(2, Outcome.BROKEN, "certificate-expired", permanent=True)
    judge = judged(Rules(flake_budget=1), right(1), expired, right(3))
    assert (judge.state, judge.passed_at, judge.revoked_pass) == (State.FAILED, None, 1)
    assert judge.verdict() is Verdict.FAIL


def test_wrong_version_after_the_pass_fails_once_it_stayed() -> None:
    old = [seen(at, Outcome.WRONG, "version", version="old") for at in (5, 15)]
    assert judged(Rules(wrong_version_for=10), right(1), *old).state is State.FAILED


outcomes = st.sampled_from(list(Outcome))
kinds = st.sampled_from(["", "version", "connect-timeout", "no-route", "refused"])
steps = st.lists(st.tuples(outcomes, kinds, st.floats(0, 20), st.booleans()), max_size=40)
rules = st.builds(
    Rules,
    consecutive_successes=st.integers(1, 4),
    stable_for=st.sampled_from([0.0, 5.0, 30.0]),
    flake_budget=st.integers(0, 3),
    wrong_version_for=st.sampled_from([None, 1.0, 10.0]),
)


def _sequence(steps: list[tuple[Outcome, str, float, bool]]) -> list[Observation]:
    at, made = 0.0, []
    for outcome, kind, pause, reached in steps:
        at += pause
        made.append(seen(at, outcome, kind, reached=reached or outcome in {Outcome.RIGHT, Outcome.WRONG}, version=kind or None))
    return made


@given(rules, steps)
def test_a_pass_is_always_proven_by_right_answers_alone(rules: Rules, steps: list[tuple[Outcome, str, float, bool]]) -> None:
    judge, history = Judge(rules), []
    for each in _sequence(steps):
        history.append(judge.see(each))
        if not judge.passed:
            continue
        # From the last wrong answer on: enough right ones, over a long enough time, and no more errors than are forgiven.
        last_wrong = max((i for i, each in enumerate(history) if each.outcome is Outcome.WRONG), default=-1)
        tail = history[last_wrong + 1 :]
        rights = [each for each in tail if each.right]
        assert [each for each in history if each.right or each.judged_wrong][-1].right
        assert len(rights) >= rules.consecutive_successes
        assert rights[-1].ended - rights[0].ended >= rules.stable_for


@given(rules, steps)
def test_a_fail_always_has_a_proof(rules: Rules, steps: list[tuple[Outcome, str, float, bool]]) -> None:
    judge = Judge(rules)
    history = [judge.see(each) for each in _sequence(steps)]
    if judge.verdict() is Verdict.FAIL:
        assert any(each.judged_wrong or (each.outcome is Outcome.UNFINISHED and each.reached) for each in history)


@given(rules, steps)
def test_inconclusive_never_hides_a_target_that_was_only_ever_wrong(
    rules: Rules, steps: list[tuple[Outcome, str, float, bool]]
) -> None:
    judge = Judge(rules)
    history = [judge.see(each) for each in _sequence(steps)]
    if any(each.judged_wrong for each in history) and not any(each.right for each in history):
        assert judge.verdict() is Verdict.FAIL


@given(rules, steps)
def test_fail_at_once_is_final_and_a_pass_stands_until_something_is_wrong(
    rules: Rules, steps: list[tuple[Outcome, str, float, bool]]
) -> None:
    judge = Judge(rules)
    for each in _sequence(steps):
        before = judge.state
        seen = judge.see(each)
        assert before is not State.FAILED or judge.state is State.FAILED
        assert before is not State.PASSED or judge.passed is not seen.judged_wrong


def test_judge_cut_probe_after_one_that_was_not_judged_proves_nothing() -> None:
    """A probe without an answer fails a target only when every probe was one: the name service may be what is slow."""
    unjudged = seen(1, Outcome.UNJUDGED, "dns", reached=False)
    cut = seen(5, Outcome.UNFINISHED, "timeout")
    assert judged(Rules(), cut).verdict() is Verdict.FAIL
    assert judged(Rules(), unjudged, cut).verdict() is Verdict.INCONCLUSIVE


def test_judge_wrong_version_after_a_right_answer_is_timed_anew() -> None:
    def old(at: float) -> Observation:
        return seen(at, Outcome.WRONG, "version", version="old")

    rules = Rules(wrong_version_for=10, consecutive_successes=2)
    assert judged(rules, old(0), old(12)).state is State.FAILED
    assert judged(rules, old(0), right(5), old(12)).state is State.WAITING
    assert judged(rules, old(0), right(5), old(12), old(22)).state is State.FAILED


def test_judge_counts_what_the_report_says() -> None:
    judge = judged(Rules(stable_for=60), right(1), right(2), wrong(3), right(4), broken(5), wrong(6), right(7), right(8))
    assert (judge.probes, judge.wrong, judge.broken_streaks, judge.first_right) == (8, 3, 2, 7)


def test_judge_several_unanswered_probes_alone_fail() -> None:
    cut = [seen(at, Outcome.UNFINISHED, "timeout") for at in (1, 2, 3)]
    assert judged(Rules(), *cut).verdict() is Verdict.FAIL


def test_judge_answer_that_cannot_be_judged_is_not_an_unanswered_probe() -> None:
    assert judged(Rules(), seen(1, Outcome.UNJUDGED, "rate-limited")).verdict() is Verdict.INCONCLUSIVE


def test_judge_says_why_it_did_not_wait() -> None:
    expired = seen(0.1, Outcome.BROKEN, "certificate-expired", permanent=True)
    assert judged(Rules(), expired).reason == "waiting does not fix this"
    old = [seen(at, Outcome.WRONG, "version", version="old") for at in (0, 10)]
    assert judged(Rules(wrong_version_for=10), *old).reason == (
        "the version stayed the same wrong one for 10 s (wrong-version-for)"
    )


def test_judge_wrong_status_with_a_version_is_not_a_wrong_version() -> None:
    broken_page = [seen(at, Outcome.WRONG, "status", version="old") for at in (0, 20)]
    assert judged(Rules(wrong_version_for=10), *broken_page).state is State.WAITING
