"""Runs one trial: a release with a fault is deployed under load, by deploy.yml or by a plain pipeline, and is watched."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from docker import errors

from rehearsal import place as places
from rehearsal.faults import CANCELLED, FAIL, INCONCLUSIVE, PASS, Fault
from rehearsal.injections import INJECTIONS, Running
from rehearsal.job import ROOT, Job
from rehearsal.place import Place
from rehearsal.world import World, surroundings
from tests.fakes.github import deployments
from tests.harness.load import Load
from tests.harness.releases import KEY, REPOSITORY
from tests.harness.stack import Built

OURS, PLAIN = "ours", "plain"
WORKFLOWS = {OURS: ROOT / ".github/workflows/deploy.yml", PLAIN: Path(__file__).with_name("plain.yml")}
SETTLED = 90.0
"""Seconds after the job in which the engine may still move: one that restarted starts all that it has."""

UNCHANGED = 5.0
"""Seconds after which what is served counts as final, where all replicas are up."""


@dataclass(frozen=True)
class Outcome:
    """What came of a trial.

    - `detected`: seconds from the deploy's start until the job knew; `None` where it was green or cancelled.
    - `rolled_back`: seconds from the start of the step that rolls back until the old release alone runs; `None` without one.
    - `back`: seconds from the first answer that was not the old release's until the last one; `None` where it does not serve.
    - `left`: what should have been removed. `steps`: the seconds of each step, and `log` what they said.
    """

    verdict: str
    right: bool
    served: str
    served_right: bool
    detected: float | None
    back: float | None
    requests: int
    failed: int
    left: list[str]
    took: float
    rolled_back: float | None = None
    steps: dict[str, float] = field(default_factory=dict)
    log: str = ""


def run(world: World, fault: Fault, side: str) -> Outcome:
    """Runs one trial from a new environment to what is left of it."""
    old = world.old
    with ExitStack() as held:
        place = held.enter_context(places.made(world, old))
        new = _release(world, fault, old)
        deployments.commits(place.github, REPOSITORY, [old.sha, new.sha])
        undo = held.enter_context(ExitStack())
        timers: list[threading.Timer] = []
        trial = Running(place, new, lambda release: _job(side, fault, place, release), undo)
        with Load(place.url, fault.clients, pause=0.005 if fault.clients > 2 else 0.03) as load:
            _until(lambda: load.answers[old.sha] >= 20)
            for name in fault.before:
                INJECTIONS[name](trial)
            trial.job = job = trial.start(trial.new)

            rollback = Rollback(place)

            def on_step(key: str) -> None:
                if key == "roll-back":
                    rollback.start()
                for each in fault.at:
                    if each.step == key:
                        timers.append(threading.Timer(each.after, INJECTIONS[each.what], [trial]))
                        timers[-1].start()

            job.on_step = on_step
            began = time.monotonic()
            job.run()
            took = time.monotonic() - began
            for timer in timers:
                timer.join()
            rolled_back = rollback.seconds()
            undo.close()
            served = _settled(place, trial.new, fault.served, trial.others)
        verdict = _verdict(job, side)
        bad = [at for at, text in load.samples if at >= began and text != old.sha]
        return Outcome(
            verdict=verdict,
            right=_right(fault, side, verdict, served, trial),
            served=served,
            served_right=served == fault.served or (fault.served == "one" and served in {"old", "new", "another"}),
            detected=_detected(job, began),
            back=(bad[-1] - bad[0] if bad else 0.0) if served == "old" else None,
            requests=len(load.samples),
            failed=sum(load.failures.values()),
            left=place.left(),
            took=took,
            rolled_back=rolled_back,
            steps={key: each.ended - each.began for key, each in job.steps.items() if each.ended},
            log=job.log,
        )


class Rollback(threading.Thread):
    """Measures a rollback as the engine sees it, so that both sides are measured alike."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self._place = place
        self._over = threading.Event()
        self._seconds: float | None = None

    def run(self) -> None:
        """Asks until the old release alone runs, or the job is over."""
        began = time.monotonic()
        while not self._over.wait(0.2):
            with contextlib.suppress(errors.DockerException, OSError):
                if self._place.runs_old():
                    self._seconds = time.monotonic() - began
                    return

    def seconds(self) -> float | None:
        """Ends the measurement. Returns `None` where nothing was rolled back, or not to the end."""
        self._over.set()
        if self.ident is not None:
            self.join()
        return self._seconds


def _release(world: World, fault: Fault, old: Built) -> Built:
    variables = {name: text.replace("{old}", old.sha) for name, text in fault.variables.items()}
    # Not kept for the next repetition: that one must be a release which the engine and the records do not know yet.
    return world.releases.build("api", variables, fault.migration, fault.phase)


def _job(side: str, fault: Fault, place: Place, release: Built) -> Job:
    """Returns the job that deploys a release."""
    if side == OURS:
        secrets = {"RELEASE_ENV": f"DATABASE_URL={place.database_url}", "RECORD_KEY": KEY}
        inputs = {"settings": json.dumps(place.settings(fault, release)), "digests": json.dumps({"api": release.digest})}
        needs = {name: {"result": "skipped", "outputs": {}} for name in ("approve", "infrastructure")}
        return job_of(place, release, WORKFLOWS[side], "deploy", secrets=secrets, inputs=inputs, needs=needs)
    inputs = {
        "image": release.pinned,
        "network": place.world.network,
        "service": place.service,
        "url": place.url,
        "sha": release.sha,
    }
    secrets = {"DATABASE_URL": place.database_url}
    return job_of(place, release, WORKFLOWS[side], "deploy", secrets=secrets, inputs=inputs)


def job_of(place: Place, release: Built, workflow: Path, name: str, **contexts: Any) -> Job:
    """Returns a job of a run on the release's commit, with what a runner gives it."""
    number = len(deployments.kept(place.github, REPOSITORY).runs) + 1
    deployments.run(place.github, REPOSITORY, number, release.sha)
    token = place.github.token(deployments="write", contents="read", actions="read")
    folder = place.world.folder / f"run-{place.stack.name}-{number}"
    folder.mkdir()
    environment = {
        "PATH": surroundings()["PATH"],
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "CI": "true",
        "GITHUB_ACTIONS": "true",
        "GITHUB_API_URL": place.github.url,
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_REPOSITORY": REPOSITORY,
        "GITHUB_REPOSITORY_ID": "1",
        "GITHUB_SHA": release.sha,
        "GITHUB_REF": "refs/heads/main",
        "GITHUB_REF_NAME": "main",
        "GITHUB_RUN_ID": str(number),
        "GITHUB_RUN_ATTEMPT": "1",
        "GITHUB_ACTOR": "someone",
        "GITHUB_JOB": name,
        "GITHUB_WORKSPACE": str(folder),
        # What one job compiled the next one has, as on a runner that stays.
        "RUNNER_TEMP": str(place.world.folder),
        **({"DOCKER_HOST": place.world.host} if place.world.host else {}),
    }
    github = {"sha": release.sha, "token": token, "action_repository": "org/cicd-actions"}
    runner = {"temp": environment["RUNNER_TEMP"], "os": "Linux"}
    return Job(workflow, name, {"github": github, "runner": runner, "vars": {}, "needs": {}, **contexts}, environment, folder)


def _verdict(job: Job, side: str) -> str:
    if job.killed:
        return INCONCLUSIVE
    if job.status != "failure":
        return PASS if job.status == "success" else CANCELLED
    verdicts = {job.outputs.get("verdict"), *(step.outputs.get("verdict") for step in job.steps.values())}
    return FAIL if side == PLAIN or FAIL in verdicts else INCONCLUSIVE


def _right(fault: Fault, side: str, verdict: str, served: str, trial: Running) -> bool:
    """Whether the verdict is right. Of two deploys at once, the one whose release serves has to be green."""
    if trial.others:
        greens = {"new"} if verdict == PASS else set()
        return served in greens | {"another" for _, job in trial.others if job.status == "success"}
    return verdict in fault.right or (side == PLAIN and (verdict == PASS) == (fault.right == (PASS,)))


def _detected(job: Job, began: float) -> float | None:
    if job.status != "failure" or job.killed:
        return None
    told = (step for step in job.steps.values() if step.code or step.outputs.get("ended"))
    return next((step.ended - began for step in told if step.ended), None)


def _settled(place: Place, new: Built, wanted: str, others: list[tuple[Built, Job]]) -> str:
    """Returns what is served once nothing changes any more."""
    end, before, since = time.monotonic() + SETTLED, "", time.monotonic()
    while True:
        found = place.serving(new)
        for other, _ in others:
            if found not in {"old", "new"} and place.serving(other) == "new":
                found = "another"
        if found != before:
            before, since = found, time.monotonic()
        calm = not place.moving() and (place.whole() or found == wanted)
        named = found in {"old", "new", "another"}
        if calm and (found == wanted or (wanted == "one" and named) or time.monotonic() - since > UNCHANGED):
            return found
        if time.monotonic() > end:
            return found
        time.sleep(0.3)


def _until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        if time.monotonic() > end:
            raise RuntimeError("the old release does not answer")
        time.sleep(0.05)
