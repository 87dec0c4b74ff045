"""Says in sentences why a target passed or not: what decides, from which address, how often and since when."""

from __future__ import annotations

from collections.abc import Sequence

from cicd_actions.health_gate.gate import Gate, Watched
from cicd_actions.health_gate.history import Run, listed, source
from cicd_actions.health_gate.judge import State
from cicd_actions.health_gate.observation import Observation, Outcome
from cicd_actions.toolkit.verdict import Verdict

MISMATCHES = 9
"""Further mismatches of an answer that a sentence tells; the JSON report has them all."""


def standing(each: Watched, gate: Gate) -> str:
    """Returns why a target did not pass, in a sentence or two."""
    judge = each.judge
    last = each.history.last
    if last is None:
        if each.target.after and not each.opened.is_set():
            return f"the gate did not sample it, because {listed(each.target.after, 3)} did not pass before."
        return f"no probe of it ended within {took(gate)}."
    if judge.passed:
        return f"healthy after {judge.passed_at or 0.0:.1f} s."
    if each.verdict is Verdict.INCONCLUSIVE and judge.streak:
        return _unfinished(each, gate)
    run = deciding(each) or each.history.runs[-1]
    seen = run.last
    expected = f"expected {seen.expected}; got: " if seen.judged_wrong and seen.expected else ""
    said = f"{_lost(each)}{expected}{seen.came}{source(seen, run.peers or seen.peers)} ({_often(each, run, gate)})."
    said += _also(seen) if seen.judged_wrong else ""
    if len(judge.addresses) > 1:
        said += f" By address: {each.history.by_address(judge.addresses)}."
    if judge.state is State.FAILED:
        said += f" The gate ended at once: {judge.reason}."
    elif judge.broken_streaks:
        said += _interruptions(each)
    if last.outcome is Outcome.UNFINISHED and last is not seen:
        said += " The deadline cut the last probe off."
    return said


def _lost(each: Watched) -> str:
    """Returns `passed at 2.1 s, wrong since 10.3 s: ` for a target whose pass was revoked."""
    passed, since = each.judge.revoked_pass, wrong_from(each)
    if passed is None:
        return ""
    if since is None or each.judge.streak:
        return f"passed at {passed:.1f} s, then wrong, and did not pass again: "
    return f"passed at {passed:.1f} s, wrong since {since:.1f} s: "


def healthy_after(each: Watched) -> float | None:
    """Returns when the target passed, in seconds since the gate started; `None` for one that does not stand passed."""
    return each.judge.passed_at if each.judge.passed else None


def deciding(each: Watched) -> Run | None:
    """Returns the answers that decide the verdict."""
    return each.history.evidence(each.judge.addresses, wrong=each.verdict is Verdict.FAIL)


def _often(each: Watched, run: Run, gate: Gate) -> str:
    """How often and since when: of one address where several answered."""
    peer = each.history.tally(run)
    if not run.last.judged_wrong or peer.wrong_from is None:
        return f"{run.count} times, from {run.started:.1f} s to {run.ended:.1f} s" if run.count > 1 else f"at {run.ended:.1f} s"
    since = f"since {gate.moment(peer.wrong_from):%Y-%m-%d %H:%M:%S} UTC"
    if peer is each.history.whole:
        span = f"{run.count} times, from {run.started:.1f} s to" if run.count > 1 else "at"
        return f"{span} {run.ended:.1f} s; wrong {since}"
    times = f"{peer.wrong} of {counted(peer.answers, 'answer')} of this address wrong"
    return f"{times}, from {peer.wrong_from:.1f} s to {run.ended:.1f} s; {since}"


def _interruptions(each: Watched) -> str:
    """Whether addresses went to and fro, or some of several were wrong all the time."""
    peers = each.history.peers
    if len(peers) < 2:
        return f" Wrong answers interrupted right ones {times(each.judge.broken_streaks)}."
    if turned := relapsed(each):
        return f" Right answers turned wrong at {turned}."
    always = [name for name, peer in sorted(peers.items()) if peer.answers and peer.wrong == peer.answers]
    if always:
        return f" Only {listed(always)} answered wrong, and every time: no address flaps."
    return " No address flaps."


def relapsed(each: Watched) -> str:
    """Returns the addresses that answered wrong after they had answered right, and how often: `10.0.0.7 (twice)`."""
    return listed([f"{name} ({times(peer.turned)})" for name, peer in sorted(each.history.peers.items()) if peer.turned])


def _also(seen: Observation) -> str:
    """The further mismatches of the same answer."""
    told = [f" Also: expected {expected}; got: {came}." for expected, came in seen.also[:MISMATCHES]]
    more = len(seen.also) - len(told)
    return "".join(told) + (f" And {counted(more, 'more mismatch', 'more mismatches')}." if more else "")


def _unfinished(each: Watched, gate: Gate) -> str:
    judge, rules = each.judge, each.target.rules
    last = next((run.ended for run in reversed(each.history.runs) if run.last.right), 0.0)
    held = last - judge.first_right if judge.first_right is not None else 0.0
    if judge.streak < rules.consecutive_successes:
        return (
            f"it answered right {times(judge.streak)} in a row, but `consecutive-successes` needs"
            f" {rules.consecutive_successes} before the deadline. Raise `timeout` ({gate.timeout:g} s), or lower `interval`"
            f" ({each.target.interval:g} s)."
        )
    if judge.short:
        number = len(judge.addresses)
        each_one = f", {judge.share} to each of {number} addresses," if number > 1 and judge.share > 1 else ""
        return (
            f"it answered right {times(judge.streak)} in a row, but `replicas` needs {judge.connections} connections{each_one}"
            f" before the deadline. Raise `timeout` ({gate.timeout:g} s)."
        )
    if judge.unconfirmed:
        return (
            f"the deadline passed before every address had answered right: {each.history.by_address(judge.addresses)}."
            f" Raise `timeout` ({gate.timeout:g} s), or remove addresses that serve nothing from DNS."
        )
    if judge.passed_at is not None:
        return "`flake-budget` forgave its last error, but no right answer followed before the deadline."
    return (
        f"it answered right for {held:.1f} s in a row, but `stable-for` needs {rules.stable_for:g} s before the deadline."
        f" Raise `timeout` ({gate.timeout:g} s) by at least {max(1.0, rules.stable_for - held):.0f} s, or lower `stable-for`."
    )


def wrong_from(each: Watched) -> float | None:
    """Returns when the wrong answers that decide began, in seconds since the gate started."""
    run = deciding(each) if each.verdict is Verdict.FAIL else None
    return each.history.tally(run).wrong_from if run and run.last.judged_wrong else None


def seen_version(each: Watched) -> str | None:
    """Returns the version of the answers that decide, else the last one named."""
    run = deciding(each) if each.verdict is Verdict.FAIL else None
    return run.last.version if run and run.last.version is not None else each.history.version()


def took(gate: Gate) -> str:
    """Returns how long the gate ran: `820 ms`, `3.4 s`."""
    return f"{gate.elapsed:.1f} s" if gate.elapsed >= 1 else f"{gate.elapsed * 1000:.0f} ms"


def counted(number: int, one: str, many: str = "") -> str:
    """Returns a number of things: `1 address`, `3 addresses`."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def times(number: int) -> str:
    """Returns `once`, `twice`, `3 times`."""
    return {1: "once", 2: "twice"}.get(number, f"{number} times")


def observed_version(gate: Gate) -> str:
    """Returns the versions of all targets, each once."""
    found = dict.fromkeys(version for each in gate.watched if (version := seen_version(each)) is not None)
    return ", ".join(found)


def names(watched: Sequence[Watched]) -> str:
    """Returns the first names of the targets, and how many more there are."""
    return listed([each.target.name for each in watched], 3)
