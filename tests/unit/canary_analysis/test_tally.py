"""Counting from counters that grow, and begin again at 0."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.canary_analysis.proportions import Counted
from cicd_actions.canary_analysis.tally import Tally

# What one proxy answers between two readings, and whether it restarts before that: (errors, more requests, restart).
TURNS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 99), st.booleans()), max_size=20)


@given(st.lists(TURNS, min_size=1, max_size=3))
def test_tally_of_several_proxies_counts_every_request_once(proxies: list[list[tuple[int, int, bool]]]) -> None:
    tally, wanted, counters = Tally(), Counted(0, 0), {str(each): Counted(500, 7000) for each in range(len(proxies))}
    tally.add(counters)
    for turn in range(max(map(len, proxies))):
        for name, turns in enumerate(proxies):
            errors, more, restart = turns[turn] if turn < len(turns) else (0, 0, False)
            before = counters[str(name)]
            # A restart shows as a smaller counter; one that is overtaken within a reading does not, and 7,000 is out of reach.
            if restart and before.requests >= 7000:
                before = Counted(0, 0)
            counters[str(name)] = Counted(before.errors + errors, before.requests + errors + more)
            wanted = Counted(wanted.errors + errors, wanted.requests + errors + more)
        tally.add(counters)
    assert tally.total == wanted


def test_tally_of_a_proxy_that_appears_later_counts_it_from_its_start() -> None:
    tally = Tally()
    tally.add({"one": Counted(1, 100)})
    tally.add({"one": Counted(1, 110), "two": Counted(2, 30)})
    assert tally.total == Counted(2, 40)


def test_tally_never_has_more_errors_than_requests() -> None:
    tally = Tally()
    tally.add({"one": Counted(0, 10)})
    tally.add({"one": Counted(3, 12)})
    assert tally.total == Counted(2, 2)
