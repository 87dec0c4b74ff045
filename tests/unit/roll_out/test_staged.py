"""Staged roll-outs on an engine in memory, whose clients ask as time passes: the steps, the verdicts, and every way to end."""

from __future__ import annotations

import dataclasses
import io
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from cicd_actions.engines.protocol import (
    ChangedMeanwhile,
    Engine,
    EngineUnreachable,
    Evidence,
    Image,
    Job,
    JobEnd,
    RolledOut,
    RollOutFailed,
    Running,
    Target,
)
from cicd_actions.engines.staged_protocol import Answers, Stage, Weighted
from cicd_actions.roll_out.inputs import Inputs
from cicd_actions.roll_out.progress import StagedProgress
from cicd_actions.roll_out.staged import refuse, roll_out
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import Cancelled, UnusableInput
from cicd_actions.toolkit.inputs import load
from cicd_actions.toolkit.lines import Line
from cicd_actions.toolkit.redaction import Redactor
from cicd_actions.toolkit.runtime import Runtime
from tests.fakes.prometheus import started

OLD, NEW = Image("r/api", "sha256:" + "a" * 64), Image("r/api", "sha256:" + "b" * 64)


class Memory:
    """One proxy before the services: `rate` requests a second, of which each release fails its share."""

    name = "swarm"
    opaque_images = False
    own_programs = False
    when_ended = ""
    strategies: tuple[str, ...] = ("blue-green", "canary")
    without_bake = ""

    def __init__(self, *services: str, rate: float = 100, old: float = 0.0, new: float = 0.0) -> None:
        self.now = 0.0
        self.rate, self.failing = rate, (new, old)
        self.images = dict.fromkeys(services, OLD)
        self.stages: dict[str, Stage] = {}
        self.counted = {service: [[0.0, 0.0], [0.0, 0.0]] for service in services}
        self.calls: list[str] = []
        self.at: dict[float, Callable[[], None]] = {}
        self.broken: set[str] = set()
        self.away_until = 0.0

    # Time

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for service, counts in self.counted.items():
            share = self.stages[service].percent / 100 if service in self.stages else 0.0
            for release, part in enumerate((share, 1 - share)):
                counts[release][0] += self.rate * seconds * part
                counts[release][1] += self.rate * seconds * part * self.failing[release]
        for due in [due for due in self.at if due <= self.now]:
            self.at.pop(due)()

    # Staged and weighted

    def prepare(self, target: Target, before: Running, deadline: Deadline, *, run: str, until: float) -> Stage:
        self.calls.append(f"prepare {target.service}")
        if f"prepare {target.service}" in self.broken:
            raise RollOutFailed(target.service, "It is not healthy.", reverted=True)
        self.stages[target.service] = Stage(target, before.image, before.sha, 0.0, run, until, ("127.0.0.1",))
        return self.stages[target.service]

    def staged(self, services: Sequence[str], deadline: Deadline) -> Mapping[str, Stage]:
        self._look()
        return {service: self.stages[service] for service in services if service in self.stages}

    def switch(self, stage: Stage, deadline: Deadline) -> Stage:
        return self.weigh(stage, 100, deadline)

    def finish(self, stage: Stage, deadline: Deadline) -> RolledOut:
        self.calls.append(f"finish {stage.service}")
        if f"finish {stage.service}" in self.broken:
            raise RollOutFailed(stage.service, "It did not arrive.", reverted=False)
        self.images[stage.service] = stage.target.image
        del self.stages[stage.service]
        return RolledOut(stage.service, 1.0, replicas=1)

    def abandon(self, stage: Stage, deadline: Deadline, *, wait: bool = True) -> None:
        self.calls.append(f"abandon {stage.service}")
        self.stages.pop(stage.service, None)

    def smallest(self, stage: Stage, deadline: Deadline) -> float:
        return 1.0

    def weigh(self, stage: Stage, percent: float, deadline: Deadline) -> Stage:
        if stage.service not in self.stages:
            raise ChangedMeanwhile(stage.service, "Something else removed the stage.")
        self.calls.append(f"weigh {stage.service} {percent:g}")
        self.stages[stage.service] = dataclasses.replace(stage, percent=percent)
        return self.stages[stage.service]

    def _look(self) -> None:
        if self.now < self.away_until:
            raise EngineUnreachable("The proxy does not answer.")

    def answers(self, stage: Stage, deadline: Deadline) -> Mapping[str, tuple[Answers, Answers]]:
        self._look()
        new, old = (Answers(int(requests), int(errors)) for requests, errors in self.counted[stage.service])
        return {"proxy": (new, old)}

    # Engine

    def running(self, services: Sequence[str], deadline: Deadline) -> Mapping[str, Running]:
        return {
            name: Running(name, image.pinned, image.digest, "b" * 40 if image == NEW else "", ready=1, wanted=1)
            for name, image in self.images.items()
            if name in services
        }

    def resolve(self, image: str, deadline: Deadline) -> Image:
        return NEW

    def examine(self, target: Target, before: Running, deadline: Deadline) -> None: ...

    def roll_out(self, target: Target, before: Running, deadline: Deadline, *, rollback: bool = True) -> RolledOut:
        raise AssertionError("a staged release is not rolled out")

    def revert(self, target: Target, before: Running, deadline: Deadline, *, wait: bool = True) -> None:
        self.calls.append(f"revert {target.service}")
        self.images[target.service] = OLD

    def job(self, job: Job, deadline: Deadline, on_line: Line) -> JobEnd:
        raise AssertionError("no job is needed")

    def logs(self, service: str, deadline: Deadline, *, lines: int = 50) -> Evidence:
        return Evidence(log=f"the last lines of {service}")

    def by_hand(self, target: Target) -> str:
        return ""

    def close(self) -> None: ...


def walked(memory: Memory, **more: str) -> StagedProgress:
    """A staged roll-out of NEW for all services of the engine, with short steps."""
    lines = "\n".join(f"{service}={NEW.pinned}" for service in memory.images)
    steps = "10% 1000 requests within 200s\n50% 1000 requests within 60s"
    texts = {"engine": "swarm", "services": lines, "strategy": "canary", "steps": steps, "bake": "30s", "proxy": "proxy"}
    inputs = load(Inputs, {**texts, **more}, Redactor())
    runtime = Runtime({}, io.StringIO(), clock=memory.clock, sleep=memory.sleep)
    deadline = runtime.deadline(3600)
    targets = [Target(service, NEW, "b" * 40) for service in memory.images]
    progress = StagedProgress(memory.running(list(memory.images), deadline), targets)
    refuse(inputs, memory, runtime)
    roll_out(memory, progress, inputs, deadline, lambda: runtime.deadline(60), runtime)
    return progress


def weights(memory: Memory) -> list[str]:
    return [call for call in memory.calls if call.startswith("weigh")]


def test_memory_is_a_weighted_engine() -> None:
    assert isinstance(Memory(), Weighted)
    assert isinstance(Memory(), Engine)


def test_canary_that_is_as_good_is_promoted_step_by_step() -> None:
    memory = Memory("api", "web", old=0.01, new=0.01)
    progress = walked(memory)
    assert (progress.stage, progress.failure) == ("promoted", None)
    assert weights(memory) == [f"weigh {service} {share}" for share in (10, 50, 100) for service in ("api", "web")]
    assert memory.images == {"api": NEW, "web": NEW}
    assert list(progress.arrived) == ["api", "web"]
    # A thousand requests at 10 and at 50 of 100 a second, and the bake; a look at most is lost at each.
    assert 100 + 20 + 30 <= memory.now <= 100 + 20 + 30 + 6
    assert [(at, service) for at, service, _ in progress.judged] == [
        (at, service) for at in ("10 %", "50 %", "100 %") for service in ("api", "web")
    ]


def test_canary_with_errors_is_abandoned_at_the_first_step_that_proves_them() -> None:
    memory = Memory("api", "web", old=0.0, new=0.05)
    progress = walked(memory)
    assert isinstance(progress.failure, RollOutFailed)
    assert "failed at 10 %" in progress.failure.what
    assert "the last lines of api-next" in progress.failure.evidence.log
    assert (progress.stage, progress.verdict) == ("abandoned", "fail")
    assert (memory.stages, memory.images) == ({}, {"api": OLD, "web": OLD})
    assert progress.returned == ["web", "api"]
    assert memory.now < 60, "five in a hundred are found before the thousandth request"


def test_engine_that_cannot_bake_promotes_after_its_last_step_and_says_so() -> None:
    memory = Memory("api")
    memory.strategies, memory.without_bake = ("canary",), "There is no bake."
    progress = walked(memory, bake="60s")
    assert progress.stage == "promoted"
    assert memory.calls == ["prepare api", "weigh api 10", "weigh api 50", "finish api"]
    assert progress.notes == ["There is no bake."]
    with pytest.raises(UnusableInput, match="can only do `canary`"):
        walked(memory, strategy="blue-green")


def test_errors_during_the_bake_switch_back() -> None:
    memory = Memory("api")
    memory.at[125.0] = lambda: setattr(memory, "failing", (0.2, 0.0))
    progress = walked(memory, bake="60s")
    assert isinstance(progress.failure, RollOutFailed)
    assert "failed at 100 %" in progress.failure.what
    assert memory.calls[-1] == "abandon api"
    assert memory.images == {"api": OLD}


@pytest.mark.parametrize(
    ("policy", "stage", "verdict"),
    [("abandon", "abandoned", "inconclusive"), ("hold", "held", "inconclusive"), ("promote", "promoted", "pass")],
)
def test_step_without_a_verdict_follows_on_inconclusive(policy: str, stage: str, verdict: str) -> None:
    memory = Memory("api", rate=2)
    progress = walked(memory, **{"on-inconclusive": policy})
    assert (progress.stage, progress.verdict) == (stage, verdict)
    if policy == "hold":
        assert memory.stages["api"].percent == 0
        assert progress.state("api") == "staged, 0 % of the traffic"
    if policy == "promote":
        assert ["had no verdict" in note for note in progress.notes] == [True, True]
    else:
        assert progress.failure is not None
        assert "40 of" not in progress.failure.what
        assert "1000 requests of the new release are needed to pass" in progress.failure.what


def test_step_that_is_smaller_than_the_engine_can_give_is_refused_and_proves_nothing() -> None:
    memory = Memory("api")
    progress = walked(memory, steps="0.5% 10 requests within 1m")
    assert progress.failure is not None
    assert "the smallest share is 1 %" in progress.failure.what
    assert (progress.stage, progress.verdict, memory.stages) == ("abandoned", "inconclusive", {})


def test_step_with_too_few_requests_says_how_many_there_were() -> None:
    """By the errors alone it would pass."""
    progress = walked(Memory("api"), steps="10% 999999999 requests within 200s")
    assert (progress.stage, progress.verdict) == ("abandoned", "inconclusive")
    assert progress.failure is not None
    assert "of 999999999 requests." in progress.failure.what


def test_manual_leaves_the_stage_and_another_run_promotes_it() -> None:
    memory = Memory("api")
    progress = walked(memory, promote="manual")
    assert (progress.stage, progress.failure) == ("staged", None)
    assert memory.stages["api"].percent == 50
    memory.calls.clear()
    progress = walked(memory, promote="staged")
    assert progress.stage == "promoted"
    assert "an earlier run left a stage with 50 % of the traffic" in progress.notes[0]
    assert memory.calls == ["weigh api 100", "finish api"]


@pytest.mark.parametrize(
    ("until", "said"),
    [(1.9e9, ", until 2030-03-17 17:46 UTC"), (1.9e12, ""), (1e300, ""), (float("inf"), ""), (float("-inf"), "")],
    ids=["seconds", "milliseconds", "huge", "no end", "no beginning"],
)
def test_stage_that_waits_until_no_date_names_none(until: float, said: str) -> None:
    """A `stage-command` may report any number."""
    progress = StagedProgress({}, ())
    progress.stages["api"] = Stage(Target("api", NEW), OLD.pinned, "", 50.0, "", until)
    assert progress.waiting() == f"The new release stands beside the old one (api with 50 % of the traffic){said}."


def test_promotion_without_a_stage_fails_and_one_that_was_done_passes() -> None:
    memory = Memory("api", "web")
    progress = walked(memory, promote="staged")
    assert progress.failure is not None
    assert "no stage of" in progress.failure.what
    assert (memory.calls, progress.verdict) == ([], "inconclusive")
    memory.images = {"api": NEW, "web": NEW}
    assert walked(memory, promote="staged").unchanged == ["api", "web"]


@pytest.mark.parametrize(
    ("image", "until", "taken"), [(NEW, 1e12, True), (NEW, 1.0, False), (Image("r/api", "sha256:" + "c" * 64), 1e12, False)]
)
def test_stage_that_a_killed_run_left_is_taken_up_or_abandoned(image: Image, until: float, taken: bool) -> None:
    memory = Memory("api")
    memory.stages["api"] = Stage(Target("api", image), OLD.pinned, "", 50.0, "https://github.com/org/app/actions/runs/7", until)
    progress = walked(memory)
    assert progress.stage == "promoted"
    assert "actions/runs/7" in progress.notes[0]
    assert weights(memory) == [f"weigh api {share}" for share in ((50, 100) if taken else (10, 50, 100))]
    assert ("abandon api" in memory.calls) is not taken


def test_second_service_that_does_not_arrive_takes_the_first_one_back() -> None:
    memory = Memory("api", "web")
    memory.broken.add("finish web")
    progress = walked(memory)
    assert progress.returned == ["web", "api"]
    assert memory.calls[-2:] == ["abandon web", "revert api"]
    assert memory.images == {"api": OLD, "web": OLD}


def test_stage_that_is_not_healthy_ends_the_others() -> None:
    memory = Memory("api", "web")
    memory.broken.add("prepare web")
    progress = walked(memory)
    assert progress.failure is not None
    assert (memory.stages, weights(memory)) == ({}, [])
    assert progress.returned == ["web", "api"]


def test_cancel_during_a_step_gives_the_old_release_the_traffic() -> None:
    memory = Memory("api")

    def cancel() -> None:
        raise Cancelled(2)

    memory.at[30.0] = cancel
    with pytest.raises(Cancelled):
        walked(memory)
    assert memory.calls[-1] == "abandon api"
    assert memory.stages == {}


def test_stage_that_something_else_removes_is_left() -> None:
    memory = Memory("api")
    memory.at[100.0] = memory.stages.clear
    progress = walked(memory)
    assert isinstance(progress.failure, ChangedMeanwhile)
    assert progress.verdict == "inconclusive"


def test_share_that_a_proxy_forgot_is_set_again() -> None:
    memory = Memory("api")

    def forget() -> None:
        memory.stages["api"] = dataclasses.replace(memory.stages["api"], percent=0.0)

    memory.at[50.0] = forget
    assert walked(memory).stage == "promoted"
    assert weights(memory) == ["weigh api 10", "weigh api 10", "weigh api 50", "weigh api 100"]


@pytest.mark.parametrize(("gone", "stage"), [(20.0, "promoted"), (60.0, "abandoned")])
def test_proxy_that_is_away_for_a_moment_ends_no_step(gone: float, stage: str) -> None:
    memory = Memory("api")

    def away() -> None:
        memory.away_until = memory.now + gone
        memory.stages["api"] = dataclasses.replace(memory.stages["api"], percent=0.0)

    memory.at[30.0] = away
    progress = walked(memory)
    assert progress.stage == stage
    assert (weights(memory).count("weigh api 10") == 2) is (stage == "promoted")


@pytest.mark.parametrize(("fast", "stage"), [(700, "promoted"), (300, "abandoned")])
def test_latencies_of_a_canary_decide_too(fast: int, stage: str) -> None:
    memory = Memory("api")
    with started() as prometheus:
        prometheus.buckets = {"api": {"one": {"0.1": 0, "+Inf": 0}}, "api-next": {"two": {"0.1": 0, "+Inf": 0}}}

        def answer() -> None:
            prometheus.buckets["api"]["one"] = {"0.1": 7000 + int(70 * memory.now), "+Inf": 10000 + int(100 * memory.now)}
            prometheus.buckets["api-next"]["two"] = {"0.1": fast * int(memory.now) // 10, "+Inf": 100 * int(memory.now)}

        for second in range(1, 200):
            memory.at[float(second)] = answer
        progress = walked(memory, **{"prometheus": prometheus.url, "latency-query": 'request_bucket{service="{service}"}'})
    assert progress.stage == stage
    if progress.failure is not None:
        assert "Latency: the new release is higher in 70% of all pairs" in progress.failure.what
    else:
        assert [judged.reason.partition(":")[0] for _, _, judged in progress.judged].count("Latency") == 2


def test_migrations_that_the_old_release_may_not_know_are_refused() -> None:
    applied: list[dict[str, Any]] = [{"revision": "0005", "phase": "expand"}, {"revision": "0006", "phase": "contract"}]
    memory = Memory("api")
    with pytest.raises(Exception, match="may not work after 0006"):
        walked(memory, migrations=json.dumps(applied))
    with pytest.raises(Exception, match="may not work after 0007"):
        walked(memory, migrations=json.dumps([{"revision": "0007", "phase": ""}]))
    assert memory.calls == []
    assert walked(memory, migrations=json.dumps(applied[:1])).stage == "promoted"


@pytest.mark.parametrize(
    "steps",
    [
        "10%",
        "10% 0 requests",
        "0% 10 requests within 1m",
        "100% 10 requests within 1m",
        "50% 9 requests within 1m\n10% 9 requests within 1m",
    ],
)
def test_steps_that_are_not_understood_are_refused(steps: str) -> None:
    with pytest.raises(UnusableInput, match="steps"):
        walked(Memory("api"), steps=steps)


def test_clock_of_a_stage_is_the_wall_clock() -> None:
    memory = Memory("api")
    walked(memory, promote="manual", **{"stage-lasts": "1h"})
    assert 3600 < memory.stages["api"].until - time.time() < 3 * 3600
