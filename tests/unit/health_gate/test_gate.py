"""The gate over several targets, on a clock that jumps to the next event."""

from __future__ import annotations

import asyncio
import io
import random
import re
import selectors
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cicd_actions.health_gate import reading, report
from cicd_actions.health_gate.gate import GRACE, Gate, Prober
from cicd_actions.health_gate.inputs import Inputs
from cicd_actions.health_gate.observation import Observation, Outcome
from cicd_actions.health_gate.targets import Target
from cicd_actions.toolkit.inputs import load
from cicd_actions.toolkit.report import Report
from cicd_actions.toolkit.runtime import Runtime

ANSWERS = {
    "200": (Outcome.RIGHT, "right", "status 200"),
    "503": (Outcome.WRONG, "status", "status 503"),
    "busy": (Outcome.WRONG, "status", "status 503"),
    "429": (Outcome.UNJUDGED, "rate-limited", "status 429"),
    "no DNS": (Outcome.UNJUDGED, "unresolved", "the name did not resolve"),
    "refused": (Outcome.BROKEN, "refused", "connection refused"),
}

Story = Sequence[tuple[float, str]]
"""What a target answers from when on: `[(0, "503"), (200, "200")]`."""

UP = [(0.0, "200")]
DOWN = [(0.0, "refused")]


class Jumping(selectors.SelectSelector):
    """Waits for nothing: the time moves on to the next timer at once."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if not found and timeout:
            self.now += timeout
        return found


class Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.clock = Jumping()
        super().__init__(self.clock)

    def time(self) -> float:
        return self.clock.now


@dataclass
class Told:
    """Answers as a story tells. A probe takes `takes` seconds and is answered by what holds when it starts."""

    target: Target
    story: Story
    takes: float
    starts: list[float] = field(default_factory=list)

    async def probe(self, deadline: float) -> Observation:
        loop = asyncio.get_running_loop()
        started = loop.time()
        self.starts.append(started)
        label = [label for since, label in self.story if since <= started][-1]
        outcome, kind, came = ANSWERS[label]
        await asyncio.sleep(min(self.takes, max(0.0, deadline - started)))
        if loop.time() >= deadline:
            outcome, kind, came = Outcome.UNFINISHED, "timeout", "no answer, when the deadline passed"
        wait = 60.0 if label == "busy" else None
        reached = label != "no DNS"
        return Observation(started, loop.time(), outcome, kind, label, "status 200", came, retry_after=wait, reached=reached)


class Scripted(Gate):
    """A gate whose targets answer as their stories tell."""

    def clock(self) -> float:
        return asyncio.get_running_loop().time()

    def tell(self, stories: dict[str, Story], takes: dict[str, float]) -> None:
        self.probers = {each.name: Told(each, stories[each.name], takes.get(each.name, 0.01)) for each in self.targets}

    async def _prober(self, target: Target) -> Prober:
        return self.probers[target.name]


@dataclass
class Ended:
    """What a gate said and did."""

    report: Report
    seconds: float
    log: str
    starts: dict[str, list[float]]

    @property
    def verdict(self) -> str:
        return str(self.report.outputs["verdict"])

    @property
    def reason(self) -> str:
        return str(self.report.outputs["reason"])


def run(
    stories: dict[str, Story],
    keys: dict[str, str] | None = None,
    *,
    takes: dict[str, float] | None = None,
    cancel_at: float | None = None,
    chance: Callable[[], float] = lambda: 0.5,
    **inputs: str,
) -> Ended:
    """Runs a gate over targets by name; `keys` are further keys of theirs, such as `critical: false`."""
    log = io.StringIO()
    runtime = Runtime({}, log)
    lines = [f"- {{name: {name}, url: 'http://{name}.example/'{(keys or {}).get(name, '')}}}" for name in stories]
    lines = [re.sub(r"url: '[^']*', (?=command|metric-url)", "", line) for line in lines]
    values = {name.replace("_", "-"): text for name, text in inputs.items()}
    read = load(Inputs, {"targets": "\n".join(lines), **values}, runtime.redactor)
    gate = Scripted(reading.targets(read, runtime.environment, Path()), read.timeout, {}, runtime.log, chance=chance)
    gate.tell(stories, takes or {})

    async def whole() -> None:
        if cancel_at is not None:
            asyncio.get_running_loop().call_later(cancel_at, gate.cancel, 15)
        await gate.run()

    loop = Loop()
    try:
        loop.run_until_complete(whole())
    finally:
        loop.close()
    made = report.report(gate, runtime)
    return Ended(made, gate.elapsed, log.getvalue(), {name: each.starts for name, each in gate.probers.items()})


def test_target_that_crashes_while_another_is_not_ready_fails_the_gate() -> None:
    ended = run({"api": [(0, "503"), (2, "200"), (10, "refused")], "web": [(0, "503"), (200, "200")]})
    assert (ended.verdict, ended.report.outputs["failed-targets"]) == ("fail", ["api"])
    assert 299 < ended.seconds <= 300 + GRACE
    assert re.match(r"api: passed at 2\.\d s, wrong since 1[0-2]\.\d s: expected status 200; got: connection ref", ended.reason)
    assert re.search(r"^ +1[0-2]\.\d s  api: its pass at 2\.\d s no longer counts$", ended.log, re.MULTILINE)


def test_target_that_crashes_and_recovers_passes_together_with_the_last() -> None:
    ended = run({"api": [(0, "200"), (10, "refused"), (30, "200")], "web": [(0, "503"), (20, "200")]}, stable_for="5s")
    assert ended.verdict == "pass"
    assert 35 < ended.seconds < 36.5
    assert "api: lost its pass once while the gate waited for other targets, and passed again at 3" in str(ended.report.blocks)


def test_gate_ends_with_the_first_answer_of_one_target() -> None:
    ended = run({"api": UP})
    assert (ended.verdict, ended.starts["api"]) == ("pass", [0.0])
    assert ended.seconds == pytest.approx(0.01)


def test_gate_ends_once_all_pass_at_once() -> None:
    ended = run({"api": UP, "web": UP}, takes={"web": 0.1})
    assert (ended.verdict, ended.starts) == ("pass", {"api": [0.0], "web": [0.0]})
    assert ended.seconds == pytest.approx(0.1)


def test_target_that_passed_is_probed_at_the_interval() -> None:
    ended = run({"api": UP, "web": [(0, "503"), (25, "200")]}, interval="10s", stable_for="1s")
    assert [at for at in ended.starts["api"] if at > 2] == pytest.approx([11, 21], abs=0.2)


@pytest.mark.parametrize("label", ["429", "no DNS"])
def test_what_could_not_be_judged_revokes_no_pass(label: str) -> None:
    ended = run({"api": [(0, "200"), (5, label)], "web": [(0, "503"), (20, "200")]})
    assert (ended.verdict, "no longer counts" in ended.log) == ("pass", False)


def test_forgiven_error_revokes_no_pass_and_the_next_one_does() -> None:
    web = [(0.0, "503"), (20.0, "200")]
    assert run({"api": [(0, "200"), (5, "refused"), (6.5, "200")], "web": web}, flake_budget="1").verdict == "pass"
    ended = run({"api": [(0, "200"), (5, "refused")], "web": web}, flake_budget="1", timeout="1m")
    assert (ended.verdict, ended.log.count("no longer counts")) == ("fail", 1)


def test_targets_that_relapse_in_turn_forever_fail_at_the_deadline() -> None:
    labels = ("200", "503", "503", "503")
    stories: dict[str, Story] = {
        name: [(at, labels[(at // 5 + turn) % 4]) for at in range(0, 600, 5)] for turn, name in ((0, "api"), (2, "web"))
    }
    ended = run(stories, timeout="10m")
    assert ended.verdict == "fail"
    assert ended.log.count("no longer counts") > 50
    assert 599 < ended.seconds <= 600 + GRACE
    assert len(ended.log.splitlines()) <= 400


@pytest.mark.parametrize("seed", range(3))
def test_many_targets_end_together_or_at_the_deadline(seed: int) -> None:
    """A pass is green only when the last judged answer of every target was right."""
    draw = random.Random(seed)  # noqa: S311 - not for a secret
    stories: dict[str, Story] = {"last": [(0, "503"), (26, "200")]}
    for number in range(200):
        crash = draw.uniform(5, 25)
        stories[f"t{number}"] = [(0, "503"), (draw.uniform(0, 5), "200"), (crash, "refused"), (draw.uniform(crash, 30), "200")]
    ended = run(stories, chance=draw.random, timeout="2m")
    assert ended.verdict == "pass"
    for name, story in stories.items():
        assert [label for since, label in story if since <= ended.starts[name][-1]][-1] == "200"
    stories["t7"] = [(0, "200"), (20, "503")]
    ended = run(stories, chance=draw.random, timeout="40s")
    assert (ended.verdict, ended.report.outputs["failed-targets"]) == ("fail", ["t7"])


def test_cancelled_gate_counts_no_revoked_pass() -> None:
    ended = run({"api": [(0, "200"), (5, "503")], "web": DOWN, "shop": UP}, cancel_at=20)
    assert ended.verdict == "inconclusive"
    assert ended.seconds == pytest.approx(20)
    assert ended.report.headline.startswith("Cancelled after 20.0 s: 1 of 3 targets had passed.")


def test_gate_ends_also_where_a_probe_loses_its_cancellation(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in Python 3.10, where the probe's own time limit is reached in the same moment."""
    probe = Told.probe

    async def losing(told: Told, deadline: float) -> Observation:
        try:
            return await probe(told, deadline)
        except asyncio.CancelledError:
            return Observation(0.0, 0.0, Outcome.BROKEN, "timeout", "timeout", "status 200", "no answer")

    monkeypatch.setattr(Told, "probe", losing)
    ended = run({"api": UP}, takes={"api": 30}, cancel_at=20)
    assert ended.seconds == 20
    assert ended.starts["api"] == [0]


def test_answer_on_its_way_when_the_last_target_passes_still_counts() -> None:
    """The second probe of `api` starts at 4 s, is answered at 7 s, and `web` passes in between."""
    web = [(0.0, "503"), (5.0, "200")]
    ended = run({"api": [(0, "200"), (3.5, "503"), (6, "200")], "web": web}, takes={"api": 3})
    assert (ended.verdict, ended.log.count("no longer counts")) == ("pass", 1)
    assert ended.starts["api"][-1] > 6
    ended = run({"api": UP, "web": web}, takes={"api": 3})
    assert (ended.verdict, len(ended.starts["api"])) == ("pass", 2)
    assert ended.starts["api"] == pytest.approx([0, 4])
    assert ended.seconds == pytest.approx(7)


def test_gate_ends_before_the_answer_to_a_probe_that_began_after_the_last_pass() -> None:
    """`api` owes an answer from 4 s to 7 s when `web` passes at 5 s; the probe of `shop` from 6 s to 9 s is a later one."""
    stories: dict[str, Story] = {"api": UP, "shop": UP, "web": [(0, "503"), (5, "200")]}
    ended = run(stories, {"shop": ", interval: 6s"}, takes={"api": 3, "shop": 3})
    assert ended.starts["shop"] == pytest.approx([0, 6])
    assert (ended.verdict, round(ended.seconds, 2)) == ("pass", 7)


def test_retry_after_leaves_the_time_for_the_window() -> None:
    ended = run({"api": [(0, "busy"), (1, "200")]}, interval="20s", stable_for="10s", timeout="30s")
    assert ended.verdict == "pass"


def test_own_timeout_of_a_target_does_not_end_its_watch() -> None:
    web = [(0.0, "503"), (20.0, "200")]
    own = {"api": ", timeout: 5s"}
    ended = run({"api": [(0, "200"), (10, "503")], "web": web}, own, timeout="40s")
    assert (ended.verdict, ended.report.outputs["failed-targets"]) == ("fail", ["api"])
    assert ended.seconds > 39
    assert run({"api": [(0, "200"), (10, "503"), (25, "200")], "web": web}, own, timeout="40s").verdict == "pass"
    ended = run({"api": DOWN, "web": UP}, own, timeout="40s")
    assert (ended.verdict, ended.seconds < 6) == ("fail", True)


def test_target_that_ends_unjudged_keeps_no_passed_one_watched() -> None:
    ended = run({"api": [(0, "no DNS")], "web": UP}, {"api": ", timeout: 5s"})
    assert (ended.verdict, ended.seconds < 6) == ("inconclusive", True)


def test_command_is_not_run_again_once_it_passed() -> None:
    stories: dict[str, Story] = {"smoke": [(0, "503"), (1, "200"), (5, "503")], "web": [(0, "503"), (20, "200")]}
    ended = run(stories, {"smoke": ", command: [smoke]"})
    assert ended.verdict == "pass"
    assert 1 <= ended.starts["smoke"][-1] < 1.3


def test_metric_is_asked_again_and_stays_open_when_its_targets_relapse() -> None:
    metric = {"errors": ", metric-url: 'http://metric.example/', metric-max: 1"}
    api = [(0.0, "200"), (4.0, "503"), (20.0, "200")]
    ended = run({"api": api, "errors": [(0, "200"), (10, "503")]}, metric, timeout="1m")
    assert (ended.verdict, ended.report.outputs["failed-targets"]) == ("pass", [])  # both passed before 4 s
    stories: dict[str, Story] = {"api": api, "web": [(0, "503"), (5, "200")], "errors": [(0, "200"), (12, "503")]}
    ended = run(stories, metric, timeout="1m")
    assert (ended.verdict, ended.report.outputs["failed-targets"]) == ("fail", ["errors"])
    assert ended.starts["errors"][0] > 5


def test_patience_for_what_is_not_critical_is_one_probe_and_a_relapse_in_it_counts() -> None:
    extra = {"extra": ", critical: false", "late": ", critical: false"}
    late = [(0.0, "503"), (2.0, "200")]
    ended = run({"api": UP, "extra": DOWN, "late": late}, extra, interval="100ms", request_timeout="3s")
    assert ended.verdict == "pass"
    assert ended.seconds == pytest.approx(3.01 + GRACE)
    ended = run({"api": [(0, "200"), (1, "503")], "extra": DOWN}, extra, interval="100ms", request_timeout="3s", timeout="20s")
    assert (ended.verdict, ended.report.outputs["failed-targets"]) == ("fail", ["api"])


def test_relapse_of_what_is_not_critical_warns() -> None:
    stories: dict[str, Story] = {"extra": [(0, "200"), (5, "503")], "web": [(0, "503"), (20, "200")]}
    ended = run(stories, {"extra": ", critical: false"})
    assert ended.verdict == "pass"
    (warning,) = ended.report.findings
    assert warning.message.startswith("extra: passed at 0.0 s, wrong since ")


def test_heartbeat_names_what_relapsed_and_leaves_out_what_stands_passed() -> None:
    ended = run({"api": [(0, "200"), (10, "refused")], "web": DOWN, "shop": UP}, timeout="40s")
    (beat,) = [line for line in ended.log.splitlines() if "waiting for" in line]
    assert re.search(r"for api \(refused for (18|19|20) s, after a pass at 0\.0 s\), web \(refused for 30 s\); 10 s left", beat)
    ended = run({"api": [(0, "200"), (10, "refused"), (22, "200")], "web": DOWN}, timeout="40s", stable_for="9s")
    assert re.search(r"waiting for api \(right for (6|7|8) s, after a pass at 9\.\d s\), web", ended.log)
