"""HAProxy's runtime socket: what is read from it, and the weights that are sent."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.engines import haproxy
from cicd_actions.engines.haproxy import Server
from cicd_actions.engines.staged_protocol import Answers

# HAProxy 2.6.12, with the columns that are not read taken out.
STAT = """# pxname,svname,scur,stot,eresp,status,weight,hrsp_1xx,hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,hrsp_other,addr,
public,FRONTEND,3,120,,OPEN,,0,110,0,6,4,0,,
api,first1,1,60,1,UP,100,0,55,0,3,2,0,10.0.1.5:8000,
api,first2,0,0,0,MAINT (resolution),100,0,0,0,0,0,0,,
api,next1,2,50,0,no check,25,0,45,0,3,2,0,10.0.1.6:8000,
api,next2,0,0,0,DOWN,25,0,0,0,0,0,0,10.0.1.7:8000,
api,BACKEND,3,110,1,UP,125,0,100,0,6,5,0,,
web,web1,0,9,0,UP,1,0,9,0,0,0,0,10.0.1.8:80,

"""


def server(name: str, weight: int = 0, *, up: bool = True) -> Server:
    return Server(name, "", up, weight, 0, Answers(0, 0))


def test_servers_of_a_backend_are_read() -> None:
    found = haproxy.servers(STAT, "api")
    assert [(each.name, each.address, each.new, each.up, each.weight, each.sessions) for each in found] == [
        ("first1", "10.0.1.5", False, True, 100, 1),
        ("first2", "", False, False, 100, 0),
        ("next1", "10.0.1.6", True, True, 25, 2),
        ("next2", "10.0.1.7", True, False, 25, 0),
    ]
    assert haproxy.answered(found, new=False) == Answers(61, 3), "a broken answer is an error that no class counts"
    assert haproxy.answered(found, new=True) == Answers(50, 2)
    assert haproxy.percent(found) == 20


def test_trial_weighs_one_slot_of_the_new_release_and_takes_it_back() -> None:
    found = [server("first1", 100), server("next1", up=False), server("next2", up=False)]
    assert haproxy.trial("api", found) == "set server api/next1 weight 1;set server api/next1 weight 100%"


@pytest.mark.parametrize("text", ["", "Permission denied\n", STAT.replace("api,", "shop,")])
def test_servers_of_a_backend_that_is_not_there_are_none(text: str) -> None:
    assert haproxy.servers(text, "api") == []


def applied(found: list[Server], message: str) -> list[Server]:
    """What the proxy has after a message; `100%` is the weight of its file."""
    now = {each.name: each for each in found}
    for command in message.split(";"):
        match = re.fullmatch(r"set server api/(\w+) weight (\d+)(%?)", command)
        assert match, command
        file = 0 if match[1].startswith("next") else 100
        weight = file * int(match[2]) // 100 if match[3] else int(match[2])
        assert 0 <= weight <= haproxy.HEAVIEST
        now[match[1]] = server(match[1], weight, up=now[match[1]].up)
        # Between two commands there is always a server to ask.
        assert any(each.weight for each in now.values() if each.up)
    return list(now.values())


@given(st.integers(1, 6), st.integers(1, 6), st.lists(st.integers(0, 100), min_size=1, max_size=6))
def test_weights_give_the_share_whatever_the_replicas(new: int, old: int, shares: list[int]) -> None:
    found = [server(f"next{slot}", 0, up=slot <= new) for slot in range(1, 7)]
    found += [server(f"first{slot}", 100, up=slot <= old) for slot in range(1, 7)]
    for wanted in shares:
        found = applied(found, haproxy.weights("api", found, wanted))
        if wanted in {0, 100}:
            assert haproxy.percent(found) == wanted
        elif wanted >= haproxy.smallest(found):
            # Half a step of the smaller weight, at most.
            assert haproxy.percent(found) == pytest.approx(wanted, rel=0.5, abs=1.5)


@pytest.mark.parametrize(("new", "old", "least"), [(1, 1, 0.389), (6, 1, 2.29), (1, 6, 0.0651), (0, 2, 100)])
def test_smallest_share_is_that_of_the_lightest_server(new: int, old: int, least: float) -> None:
    found = [server(f"next{slot}") for slot in range(new)] + [server(f"first{slot}") for slot in range(old)]
    assert haproxy.smallest(found) == pytest.approx(least, rel=0.01)
