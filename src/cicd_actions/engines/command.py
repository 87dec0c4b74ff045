"""The engine `command`: the user's own programs roll out, say what runs, and run jobs.

Every program is a list of arguments in which `{service}`, `{image}`, `{sha}`, `{digest}` and `{environment}` are filled in,
each within its argument; no shell ever sees them. The image ids are opaque here. What a program cannot tell, or what no
program was named for, stays unknown.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cicd_actions.engines.protocol import (
    EngineUnreachable,
    Evidence,
    Image,
    ImageMissing,
    Job,
    JobEnd,
    RolledOut,
    RollOutFailed,
    Running,
    Target,
)
from cicd_actions.engines.reference import is_digest
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import ActionError, UnusableInput
from cicd_actions.toolkit.lines import Line
from cicd_actions.toolkit.printable import shortened
from cicd_actions.toolkit.process import Finished, filled, run
from cicd_actions.toolkit.runtime import Runtime

QUESTION = 60.0
"""Seconds that a program which only answers (what runs, does it exist) may take."""

_NOT_THERE = 1


@dataclass(frozen=True)
class Programs:
    """The user's programs, as argument lists with placeholders; `None` where none was named."""

    roll_out: tuple[str, ...] | None = None
    running: tuple[str, ...] | None = None
    image: tuple[str, ...] | None = None
    job: tuple[str, ...] | None = None
    logs: tuple[str, ...] | None = None


class Command:
    """See `protocol.Engine`. The programs get the step's environment, without what is the action's own."""

    name = "command"
    opaque_images = True

    def __init__(self, runtime: Runtime, programs: Programs, *, environment: str = "") -> None:
        self._runtime = runtime
        self._programs = programs
        self._environment = environment
        self._left_running: list[subprocess.Popen[bytes]] = []

    def close(self) -> None:
        """Nothing is held between calls; programs that were handed over run on."""
        for process in self._left_running:
            process.poll()

    def by_hand(self, target: Target) -> str:
        """The roll-out command, filled in and quoted for a shell."""
        if self._programs.roll_out is None:
            return f"# {target.service}: bring it to {target.image.pinned}; no `roll-out-command` is named"
        return shlex.join(self._filled(self._programs.roll_out, target))

    def running(self, services: Sequence[str], deadline: Deadline) -> Mapping[str, Running]:
        """What `running-command` says; without one every service runs something that is not known."""
        if self._programs.running is None:
            return {service: Running(service) for service in services}
        done = self._ask(self._programs.running, Target("", Image("", opaque=True)), deadline)
        if done.exit_code != 0 or done.timed_out:
            raise EngineUnreachable(f"The `running-command` could not say what runs: {_how(done)}", cause=_said(done))
        return {name: found for name, found in _running(done.stdout).items() if name in services}

    def resolve(self, image: str, deadline: Deadline) -> Image:
        """Asks `image-command`; without one the image's existence is not known."""
        if self._programs.image is None:
            return Image(image, exists=None, opaque=True)
        done = self._ask(self._programs.image, Target("", Image(image, opaque=True)), deadline)
        if done.exit_code == _NOT_THERE and not done.timed_out:
            raise ImageMissing(
                f"The image {image} does not exist: the `image-command` ended with 1.",
                cause=_said(done),
            )
        if done.exit_code != 0 or done.timed_out:
            raise EngineUnreachable(
                f"The `image-command` could not say whether {image} exists: {_how(done)}",
                cause=_said(done),
                fix="It ends with 0 when the image exists and with 1 when it does not; anything else means that nobody knows.",
            )
        digest = done.stdout.strip()
        if digest and not is_digest(digest):
            raise EngineUnreachable(
                f"The `image-command` printed something that is no digest for {image}: {shortened(digest, 100)}",
                fix="It prints `sha256:` and 64 hexadecimal digits, or nothing.",
            )
        return Image(image, digest=digest, opaque=True)

    def roll_out(self, target: Target, before: Running, deadline: Deadline, *, way_back: bool = True) -> RolledOut:  # noqa: ARG002
        """Runs `roll-out-command`. Whether it armed a way back of its own is the program's business."""
        words = self._needed(self._programs.roll_out, "roll-out-command", "roll a service out")
        started = self._runtime.clock()
        done = self._run(words, target, deadline, self._log_line)
        if done.exit_code == 0 and not done.timed_out:
            return RolledOut(target.service, self._runtime.clock() - started)
        raise RollOutFailed(
            target.service,
            f"{target.service} did not arrive at {target.image.pinned}: the roll-out command {_how(done)}",
            reverted=self._stands_on(before),
            evidence=Evidence(reason=f"exit code {done.exit_code}", log=_tail(done.stderr or done.stdout)),
        )

    def revert(self, before: Running, deadline: Deadline, *, wait: bool = True) -> None:
        """Runs `roll-out-command` again with what ran before."""
        words = self._needed(self._programs.roll_out, "roll-out-command", "take a service back")
        if not before.image:
            raise RollOutFailed(
                before.service,
                f"{before.service} cannot be taken back: nobody could say what ran before.",
                reverted=False,
                fix="Name a `running-command`, so that there is a way back.",
            )
        target = Target(before.service, Image(before.image, before.digest, opaque=True), before.sha)
        if not wait:
            self._hand_over(words, target)
            return
        done = self._run(words, target, deadline, self._log_line)
        if done.exit_code != 0 or done.timed_out:
            raise RollOutFailed(
                before.service,
                f"{before.service} could not be taken back to {before.image}: the roll-out command {_how(done)}",
                reverted=False,
                evidence=Evidence(reason=f"exit code {done.exit_code}", log=_tail(done.stderr or done.stdout)),
            )

    def job(self, job: Job, deadline: Deadline, on_line: Line) -> JobEnd:
        """Runs `job-command`, with the job's variables in its environment. Networks and folders are the program's business."""
        words = self._needed(self._programs.job, "job-command", "run a one-shot job")
        if job.networks or job.working_directory:
            raise UnusableInput(
                "The engine `command` cannot set a job's networks or working directory.", fix="Let the `job-command` do it."
            )
        target = Target(job.service or job.like, job.image, job.sha)
        at = words.index("{command}") if "{command}" in words else len(words)
        program = (*self._filled(words[:at], target), *job.command, *self._filled(words[at + 1 :], target))
        started = self._runtime.clock()
        done = run(
            program,
            timeout=deadline.remaining,
            env={**self._variables(), **job.environment},
            on_line=on_line,
            redactor=self._runtime.redactor,
            grace=job.grace,
        )
        detail = "" if not done.timed_out else "ended at the deadline"
        return JobEnd(done.exit_code, self._runtime.clock() - started, done.timed_out, detail)

    def logs(self, service: str, deadline: Deadline, *, lines: int = 50) -> Evidence:
        """What `logs-command` prints, its last `lines` lines."""
        if self._programs.logs is None:
            return Evidence(reason="No `logs-command` is named, so the service's last lines are not known.")
        done = self._ask(self._programs.logs, Target(service, Image("", opaque=True)), deadline)
        reason = "" if done.exit_code == 0 and not done.timed_out else f"The `logs-command` {_how(done)}"
        return Evidence(reason=reason, log=_tail(done.stdout or done.stderr, lines))

    def _stands_on(self, before: Running) -> bool | None:
        if not before.image:
            return None
        try:
            now = self.running([before.service], Deadline(QUESTION, self._runtime.clock)).get(before.service)
        except ActionError:  # the roll-out's failure is what has to be said, not that of asking afterwards
            return None
        if now is None or not now.image:
            return None
        return (now.image, now.digest) == (before.image, before.digest)

    def _hand_over(self, words: Sequence[str], target: Target) -> None:
        """Starts the program and leaves it running: the runner gives a cancelled step ten seconds, which no roll-out keeps."""
        # The runner ends what carries this variable when the job is over.
        variables = {name: value for name, value in self._variables().items() if name != "RUNNER_TRACKING_ID"}
        handle, path = tempfile.mkstemp(prefix=f"take-back-{target.service}-", suffix=".log", dir=self._runtime.scratch)
        with os.fdopen(handle, "wb") as output:
            try:
                process = subprocess.Popen(
                    self._filled(words, target),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=variables,
                    start_new_session=True,
                )
            except OSError as error:
                raise UnusableInput(f"The program `{words[0]}` could not be started: {error.strerror}.") from None
        self._left_running.append(process)
        self._runtime.log(f"{target.service}: the way back to {target.image.name} is started; it writes to {Path(path)}.")

    def _ask(self, words: Sequence[str], target: Target, deadline: Deadline) -> Finished:
        return run(self._filled(words, target), timeout=deadline.timeout(QUESTION), env=self._variables(secrets=False))

    def _run(self, words: Sequence[str], target: Target, deadline: Deadline, on_line: Line) -> Finished:
        return run(
            self._filled(words, target),
            timeout=deadline.remaining,
            env=self._variables(),
            on_line=on_line,
            redactor=self._runtime.redactor,
        )

    def _filled(self, words: Sequence[str], target: Target) -> tuple[str, ...]:
        values = {
            "service": target.service,
            "image": target.image.pinned,
            "digest": target.image.digest,
            "sha": target.sha,
            "environment": self._environment,
        }
        return filled(words, values)

    def _variables(self, *, secrets: bool = True) -> dict[str, str]:
        return self._runtime.environment.for_programs(secrets=secrets)

    def _log_line(self, _stream: str, text: str) -> None:
        self._runtime.log(text)

    @staticmethod
    def _needed(words: tuple[str, ...] | None, name: str, purpose: str) -> tuple[str, ...]:
        if words is None:
            raise UnusableInput(
                f"The engine `command` has no program to {purpose}: the input `{name}` is empty.",
                fix=f"    with:\n      {name}: ./infra/{name.removesuffix('-command')}.sh {{service}} {{image}}",
            )
        return words


def _running(text: str) -> dict[str, Running]:
    example = '{"api": {"image": "registry/api@sha256:…", "digest": "sha256:…", "sha": "4f2c…"}}'
    try:
        found = json.loads(text)
    except ValueError as error:
        raise EngineUnreachable(
            f"The `running-command` did not print JSON: {error}.",
            cause=f"It printed: {shortened(text.strip(), 300)}",
            fix=f"It prints one JSON object and nothing else on its standard output:\n\n    {example}",
        ) from None
    if not isinstance(found, dict) or not all(isinstance(entry, dict) for entry in found.values()):
        raise EngineUnreachable(
            "The `running-command` printed JSON, but not an object of services.", fix=f"For example:\n\n    {example}"
        )
    return {service: _entry(service, entry) for service, entry in found.items()}


def _entry(service: str, entry: Mapping[str, object]) -> Running:
    fields: dict[str, str] = {}
    for key in ("image", "digest", "sha"):
        value = entry.get(key)
        if value is not None and not isinstance(value, str):
            raise EngineUnreachable(f"The `running-command` printed a `{key}` of {service} that is not text.")
        fields[key] = value or ""
    if fields["digest"] and not is_digest(fields["digest"]):
        raise EngineUnreachable(
            f"The `running-command` printed a digest of {service} that is none: {shortened(fields['digest'], 100)}",
            fix="A digest is `sha256:` and 64 hexadecimal digits; leave it out where it is not known.",
        )
    return Running(service, image=fields["image"], digest=fields["digest"], sha=fields["sha"])


def _how(done: Finished) -> str:
    if done.timed_out:
        return f"was ended after {done.seconds:.0f} s, at the deadline."
    return f"was ended by signal {-done.exit_code}." if done.exit_code < 0 else f"ended with exit code {done.exit_code}."


def _said(done: Finished) -> str:
    text = _tail(done.stderr or done.stdout, 10)
    return f"It said:\n{text}" if text else "It said nothing."


def _tail(text: str, lines: int = 50) -> str:
    return "\n".join(text.rstrip().splitlines()[-lines:])
