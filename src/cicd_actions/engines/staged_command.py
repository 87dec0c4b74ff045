"""Staged releases by the user's own programs: they divide the traffic however they like, and report it."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from cicd_actions.engines import reported
from cicd_actions.engines.command import QUESTION, Command
from cicd_actions.engines.programs import StagePrograms
from cicd_actions.engines.protocol import (
    ChangedMeanwhile,
    EngineUnreachable,
    Evidence,
    Image,
    RolledOut,
    RollOutFailed,
    Running,
    Target,
)
from cicd_actions.engines.staged_protocol import Answers, Stage
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.printable import shortened
from cicd_actions.toolkit.process import filled, run

_EXAMPLE = (
    '{"api": {"image": "…", "percent": 10, "new": {"requests": 1000, "errors": 2}, "old": {"requests": 9000, "errors": 9}}}'
)


class StagedCommand(Command):
    """See `staged_protocol.Weighted`. What `stage-command` reports is all that is known of a stage."""

    strategies: tuple[str, ...] = ("blue-green", "canary")
    without_bake = ""
    programs = StagePrograms()
    acts = False
    """Whether the action does more than look: then all programs are needed, before the first of them is started."""

    def prepare(self, target: Target, before: Running, deadline: Deadline, *, run: str, until: float) -> Stage:
        self._call("prepare", target, deadline, until=str(int(until)), reverted=True)
        return self._stage(target.service, deadline)

    def staged(self, services: Sequence[str], deadline: Deadline) -> Mapping[str, Stage]:
        entries = self._report(deadline)
        here = self.running(services, deadline) if any(service in entries for service in services) else {}
        return {
            service: _stage(service, entries[service], here.get(service, Running(service)))
            for service in services
            if service in entries
        }

    def switch(self, stage: Stage, deadline: Deadline) -> Stage:
        return self.weigh(stage, 100, deadline)

    def finish(self, stage: Stage, deadline: Deadline) -> RolledOut:
        began = self._runtime.clock()
        self._call("promote", stage.target, deadline)
        now = self._look(stage.service, QUESTION)
        if now is None:
            return RolledOut(stage.service, self._runtime.clock() - began)
        unproven = "" if reported.is_of(stage.target, now) else f"`running-command` reports {now.image or 'nothing of it'}"
        return RolledOut(stage.service, self._runtime.clock() - began, runs=now.digest or now.image, unproven=unproven)

    def abandon(self, stage: Stage, deadline: Deadline, *, wait: bool = True) -> None:
        self._call("abandon", stage.target, deadline)

    def smallest(self, stage: Stage, deadline: Deadline) -> float:
        """Returns 0: which shares are possible only the program knows, and what it set is read back."""
        return 0.0

    def weigh(self, stage: Stage, percent: float, deadline: Deadline) -> Stage:
        self._call("weigh", stage.target, deadline, percent=f"{percent:g}")
        return self._stage(stage.service, deadline)

    def answers(self, stage: Stage, deadline: Deadline) -> Mapping[str, tuple[Answers, Answers]]:
        entry = self._report(deadline).get(stage.service, {})
        return {"stage-command": (_answers(stage.service, entry, "new"), _answers(stage.service, entry, "old"))}

    def _stage(self, service: str, deadline: Deadline) -> Stage:
        found = self.staged([service], deadline).get(service)
        if found is None:
            raise ChangedMeanwhile(service, f"The `stage-command` reports no stage of {service}, which was just set.")
        return found

    def _call(self, name: str, target: Target, deadline: Deadline, *, reverted: bool = False, **more: str) -> None:
        words: tuple[str, ...] = getattr(self.programs, name) or self._given()[name]
        done = self._run(filled(words, more), target, deadline)
        if done.exit_code == 0 and not done.timed_out:
            return
        how = "was ended at the deadline" if done.timed_out else f"exited with code {done.exit_code}"
        said = "\n".join((done.stderr or done.stdout).rstrip().splitlines()[-50:])
        raise RollOutFailed(
            target.service,
            f"The `{name}-command` of {target.service} {how}.",
            reverted=reverted,
            evidence=Evidence(reason=f"The `{name}-command` {how}.", log=said),
        )

    def _given(self) -> dict[str, tuple[str, ...]]:
        """Returns the programs by name. Raises `UnusableInput` where one is missing: a stage needs all of them."""
        found = {field.name: getattr(self.programs, field.name) for field in dataclasses.fields(self.programs)}
        missing = [name for name, words in found.items() if words is None]
        if missing:
            inputs = [f"`{name}-command`" for name in missing]
            lines = [f"      {name}-command: ./infra/{name}.sh {{service}} {{image}}" for name in missing]
            raise UnusableInput(
                f"Cannot stage a release with the engine `command`: {', '.join(inputs)} is not set.",
                fix="\n".join(["    with:", *lines]),
            )
        return found

    def _report(self, deadline: Deadline) -> dict[str, Any]:
        program = self.programs.stage if self.programs.stage and not self.acts else self._given()["stage"]
        words = self._filled(program, Target("", Image("", opaque=True)))
        done = run(words, timeout=deadline.timeout(QUESTION), env=self._variables(release=True))
        try:
            found = json.loads(done.stdout) if done.exit_code == 0 and not done.timed_out else None
        except ValueError:
            found = None
        if not isinstance(found, dict) or not all(isinstance(each, dict) for each in found.values()):
            raise EngineUnreachable(
                f"Could not read the stages: the `stage-command` exited with code {done.exit_code}.",
                cause=f"It printed: {shortened((done.stdout or done.stderr).strip(), 300)}",
                fix=f"Let it exit with 0 and print one JSON object, which is empty without a stage:\n\n    {_EXAMPLE}",
            )
        return found


def _stage(service: str, entry: Mapping[str, Any], here: Running) -> Stage:
    image, percent, until = entry.get("image"), _number(entry.get("percent")), _number(entry.get("until", math.inf))
    if not isinstance(image, str) or percent is None or not 0 <= percent <= 100 or until is None:
        raise EngineUnreachable(
            f"Could not read the stage of {service}: the `stage-command` reports no `image`, or no `percent` from 0 to 100.",
            fix=f"For example:\n\n    {_EXAMPLE}",
        )
    addresses = entry.get("addresses", [])
    return Stage(
        Target(service, Image(image, opaque=True), str(entry.get("sha", ""))),
        before=here.image,
        before_sha=here.sha,
        percent=percent,
        run=str(entry.get("run", "")),
        until=until,
        addresses=tuple(str(each) for each in addresses) if isinstance(addresses, list) else (),
    )


def _answers(service: str, entry: Mapping[str, Any], release: str) -> Answers:
    counted = entry.get(release)
    counts = [counted.get(name) for name in ("requests", "errors")] if isinstance(counted, dict) else [0, 0]
    if not all(isinstance(count, int) and count >= 0 for count in counts):
        raise EngineUnreachable(
            f"Could not read what {service} answered: `{release}` has to be whole numbers of `requests` and `errors`.",
            fix=f"For example:\n\n    {_EXAMPLE}",
        )
    requests, errors = counts
    return Answers(int(requests or 0), int(errors or 0))


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and not math.isnan(value) else None
