"""Which address the next probe connects to, whatever the name server does to its answers."""

from __future__ import annotations

import random
import socket
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.health_gate.addresses import ABSENCES, Address, Addresses, Route, shown
from cicd_actions.health_gate.judge import Judge, Rules, State
from cicd_actions.health_gate.observation import Observation, Outcome

NAMES = [f"10.0.0.{number}" for number in range(1, 9)]


def v4(name: str, port: int = 80) -> Address:
    return socket.AF_INET, (name, port)


def v6(name: str, port: int = 80) -> Address:
    return socket.AF_INET6, (name, port, 0, 0)


def reached(*families: int) -> Addresses:
    made = Addresses()
    for family in families:
        made.connected((family, ("", 0)))
    return made


@given(st.lists(st.permutations(NAMES[:5]), min_size=5, max_size=40))
def test_choose_any_rotation_probes_every_address_equally_often(answers: list[list[str]]) -> None:
    addresses = reached(socket.AF_INET)
    chosen = Counter(shown(addresses.choose([v4(name) for name in answer])[0]) for answer in answers)
    assert max(chosen.values()) - min(chosen[name] for name in NAMES[:5]) <= 1


@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 7))
def test_choose_cyclic_answers_cut_to_a_few_meet_every_address(known: int, given_at_once: int, start: int) -> None:
    addresses, chosen = reached(socket.AF_INET), set()
    for turn in range(start, start + known * known):
        answer = [v4(NAMES[(turn + place) % known]) for place in range(min(given_at_once, known))]
        chosen.add(shown(addresses.choose(answer)[0]))
    assert chosen == set(NAMES[:known])


@given(
    answers=st.lists(st.lists(st.sampled_from(NAMES), min_size=1, unique=True), min_size=1, max_size=60),
    stale=st.sets(st.sampled_from(NAMES), min_size=1),
    stable_for=st.sampled_from([0.0, 1.0, 5.0]),
)
def test_pass_never_while_an_address_of_the_answer_is_unprobed_or_was_wrong(
    answers: list[list[str]], stale: set[str], stable_for: float
) -> None:
    """Whatever subsets and orders the name server gives, and wherever the stale replicas are."""
    addresses, judge = Addresses(), Judge(Rules(stable_for=stable_for))
    last: dict[str, bool] = {}
    for number, answer in enumerate(answers):
        route = Route(addresses)
        tried = route.candidates("app", [v4(name) for name in answer])
        route.connected(tried[0])
        last[route.peer] = route.peer not in stale
        outcome = Outcome.RIGHT if last[route.peer] else Outcome.WRONG
        at = number / 10
        judge.see(route.seen(Observation(at, at, outcome, "version", "200")))
        if judge.state is State.PASSED:
            assert all(last.get(name) for name in answer)
            return


@given(st.lists(st.permutations(NAMES[:4]), min_size=30, max_size=30))
def test_pass_comes_once_every_address_is_right(answers: list[list[str]]) -> None:
    addresses, judge = Addresses(), Judge(Rules())
    for number, answer in enumerate(answers):
        route = Route(addresses)
        route.connected(route.candidates("app", [v4(name) for name in answer])[0])
        judge.see(route.seen(Observation(number, number, Outcome.RIGHT, "right", "200")))
    assert judge.passed_at == 3


def test_choose_a_new_address_comes_first_and_takes_no_turn_from_the_others() -> None:
    addresses = reached(socket.AF_INET)
    for _ in range(10):
        addresses.choose([v4("10.0.0.1"), v4("10.0.0.2")])
    everything = [v4("10.0.0.1"), v4("10.0.0.2"), v4("10.0.0.3")]
    assert [shown(addresses.choose(everything)[0]) for _ in range(4)] == ["10.0.0.3", "10.0.0.1", "10.0.0.2", "10.0.0.3"]


@pytest.mark.parametrize(("known", "left", "look_ups"), [(2, 1, 10), (4, 1, 25), (4, 3, 5), (8, 7, 4), (8, 1, 52)])
def test_choose_an_address_that_left_the_answers_drops_out_once_chance_does_not_explain_it(
    known: int, left: int, look_ups: int
) -> None:
    addresses = reached(socket.AF_INET)
    for _ in range(known):
        addresses.choose([v4(name) for name in NAMES[:known]])
    for _ in range(look_ups - 1):
        addresses.choose([v4(name) for name in NAMES[:left]])
        assert NAMES[known - 1] in addresses.current
    addresses.choose([v4(name) for name in NAMES[:left]])
    assert NAMES[known - 1] not in addresses.current


def test_pass_hardly_ever_by_drawn_answers_that_leave_a_stale_replica_out() -> None:
    """A name server that draws one of two addresses for each answer: 300 gates of 40 probes each."""
    passed = 0
    for seed in range(300):
        draw, addresses, judge = random.Random(seed), Addresses(), Judge(Rules())  # noqa: S311 - not for a secret
        addresses.choose([v4("10.0.0.2")])
        addresses.connected(v4("10.0.0.2"))
        judge.see(Observation(0, 0, Outcome.WRONG, "version", "200", peers=("10.0.0.2",), addresses=("10.0.0.2",)))
        for number in range(1, 40):
            route = Route(addresses)
            route.connected(route.candidates("app", [v4(draw.choice(NAMES[:2]))])[0])
            outcome = Outcome.RIGHT if route.peer == NAMES[0] else Outcome.WRONG
            judge.see(route.seen(Observation(number, number, outcome, "version", "200")))
        passed += judge.state is State.PASSED
    assert passed <= 10


def test_choose_an_address_that_left_before_its_first_probe_drops_out_at_once() -> None:
    addresses = reached(socket.AF_INET)
    addresses.choose([v4("10.0.0.1"), v4("10.0.0.2")])
    addresses.choose([v4("10.0.0.1"), v4("10.0.0.3")])
    assert [*addresses.current] == ["10.0.0.1", "10.0.0.3"]


def test_choose_ever_new_addresses_do_not_fill_the_memory() -> None:
    addresses = reached(socket.AF_INET)
    for number in range(1000):
        addresses.choose([v4(f"10.0.{number // 250}.{number % 250}")])
    assert len(addresses.current) <= ABSENCES


def test_choose_a_family_that_was_never_reached_falls_back_on_the_other() -> None:
    addresses = Addresses()
    found = [v6("::1"), v4("127.0.0.1")]
    assert addresses.choose(found) == found
    addresses.connected(found[1])
    assert [*addresses.current] == ["127.0.0.1"]
    assert addresses.unreached == ("::1",)
    addresses.connected(found[0])
    assert [*addresses.current] == ["::1", "127.0.0.1"]
    assert len(addresses.choose(found)) == 1


def test_choose_a_replica_of_the_same_family_never_stands_in() -> None:
    addresses = Addresses()
    assert len(addresses.choose([v4("10.0.0.1"), v4("10.0.0.2")])) == 1


def test_route_a_redirect_within_the_host_keeps_the_address() -> None:
    route = Route(reached(socket.AF_INET))
    found = [v4("10.0.0.1"), v4("10.0.0.2")]
    route.connected(route.candidates("app", found)[0])
    assert route.pinned("app", 443) == [v4("10.0.0.1", 443)]
    assert route.pinned("elsewhere", 443) == []
    assert route.candidates("elsewhere", found) == found
    assert route.seen(Observation(0, 0, Outcome.RIGHT, "right", "200")).peers == ("10.0.0.1",)


def test_shown_names_the_zone_of_a_link_local_address() -> None:
    assert shown((socket.AF_INET6, ("fe80::1", 80, 0, 2))) == "fe80::1%2"
    assert shown(v6("::1")) == "::1"
