"""The engine `command`: the user's own programs roll out, report what runs, and run jobs.

Every program is a list of arguments in which `{service}`, `{image}`, `{sha}`, `{digest}` and `{environment}` are filled in,
each within its argument; no shell ever sees them. The image ids belong to the programs. Facts that no program reports stay
unknown.

The programs that roll out, report what runs, or run a job get the variables of the release (a dotenv file that one variable of
the step holds). The programs that only look at an image or a log get neither them nor the file.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, cast

from cicd_actions.engines import reported
from cicd_actions.engines.programs import Programs
from cicd_actions.engines.protocol import (
    ChangedMeanwhile,
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
from cicd_actions.toolkit import masked_log
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.environment import database_password
from cicd_actions.toolkit.errors import ActionError, UnusableInput
from cicd_actions.toolkit.lines import Line
from cicd_actions.toolkit.printable import shortened
from cicd_actions.toolkit.process import Finished, filled, run
from cicd_actions.toolkit.runtime import Runtime

QUESTION = 60.0
"""The time limit of a program that only answers a question, in seconds."""

HURRIED = 1.0
"""The time limit of such a program when the step was cancelled and has seconds left."""

JOB_VARIABLES = "JOB_VARIABLES"
"""The variable that names a job's variables for `job-command`: it has them among many more, and hands only these to the job."""

_NOT_THERE = 1


class Command:
    """See `protocol.Engine`. The programs get the step's variables, without the action's own.

    `release` holds the release's variables, and `file` is the name of the variable of the step that they came in.
    """

    name = "command"
    opaque_images = True
    own_programs = True
    when_ended = "The program that rolled {} back was ended, so how far it came is not known."

    def __init__(
        self,
        runtime: Runtime,
        programs: Programs,
        *,
        environment: str = "",
        release: Mapping[str, str] | None = None,
        file: str = "",
    ) -> None:
        self._runtime = runtime
        self._programs = programs
        self._environment = environment
        self._release = dict(release or {})
        self._file = file
        self._after_ours: dict[str, Running] = {}
        self._left_running: list[subprocess.Popen[bytes]] = []

    def close(self) -> None:
        """Closes nothing; programs that were handed over run on."""
        for process in self._left_running:
            process.poll()

    def by_hand(self, target: Target) -> str:
        """Returns the roll-out command, filled in and quoted for a shell."""
        if self._programs.roll_out is None:
            return f"# {target.service}: bring it to {target.image.pinned}; `roll-out-command` is not set"
        return shlex.join(self._filled(self._programs.roll_out, target))

    def running(self, services: Sequence[str], deadline: Deadline) -> Mapping[str, Running]:
        """Returns what `running-command` reports. Without that program the image of every service is unknown."""
        if self._programs.running is None:
            return {service: Running(service) for service in services}
        words = self._filled(self._programs.running, Target("", Image("", opaque=True)))
        done = run(words, timeout=deadline.timeout(QUESTION), env=self._variables(release=True))
        if done.exit_code != 0 or done.timed_out:
            raise EngineUnreachable(f"Could not find out what runs: the `running-command` {_how(done)}", cause=_said(done))
        return {name: found for name, found in reported.read(done.stdout).items() if name in services}

    def resolve(self, image: str, deadline: Deadline) -> Image:
        """Asks `image-command`. Without that program it is unknown whether the image exists."""
        if self._programs.image is None:
            return Image(image, exists=None, opaque=True)
        done = self._ask(self._programs.image, Target("", Image(image, opaque=True)), deadline)
        if done.exit_code == _NOT_THERE and not done.timed_out:
            raise ImageMissing(
                f"The image {image} does not exist: the `image-command` exited with code 1.",
                cause=_said(done),
                fix="Build and push it first, or correct its name in `services`.",
            )
        if done.exit_code != 0 or done.timed_out:
            raise EngineUnreachable(
                f"Could not determine whether the image {image} exists: the `image-command` {_how(done)}",
                cause=_said(done),
                fix="Let it exit with 0 when the image exists and with 1 when it does not.",
            )
        digest = done.stdout.strip()
        if digest and not is_digest(digest):
            raise EngineUnreachable(
                f"Could not read the digest of {image}: the `image-command` printed {shortened(digest, 100)}",
                fix="Let it print `sha256:` and 64 hexadecimal digits, or nothing.",
            )
        return Image(image, digest=digest, opaque=True)

    def examine(self, target: Target, before: Running, deadline: Deadline) -> None:
        """Raises `UnusableInput` for a roll-out program that does not exist. Only it knows what a roll-out would lose."""
        program = self._filled(self._needed(self._programs.roll_out, "roll-out-command", "roll a service out"), target)[0]
        if shutil.which(program, path=self._variables().get("PATH", os.defpath)) is None:
            raise UnusableInput(
                f"Could not start the program `{program}`: there is no such executable file.",
                cause="It is not installed, not on PATH, or not executable; a path is taken from the working directory.",
                fix=f"Check out the repository before this step, and make the file executable:\n\n"
                f"    git update-index --chmod=+x {shlex.quote(program)}",
            )

    def roll_out(self, target: Target, before: Running, deadline: Deadline, *, rollback: bool = True) -> RolledOut:
        """Runs `roll-out-command`, and holds its exit code to what `running-command` reports then.

        Only the program knows whether it armed its own rollback.
        """
        words = self._needed(self._programs.roll_out, "roll-out-command", "roll a service out")
        started = self._runtime.clock()
        done = self._run(words, target, deadline)
        arrived = done.exit_code == 0 and not done.timed_out
        unproven = ""
        now = self._look(target.service, QUESTION)
        if now is not None:
            ours = reported.is_of(target, now)
            # A program that failed may stand half-way, under a name that only it knows.
            if now.image and not reported.same(now, before) and (ours is False or (arrived and not ours)):
                raise _changed(target, now)
            # A revert tells by it whether somebody else came in between.
            self._after_ours[target.service] = now
            unproven = "" if ours else f"`running-command` reports {now.image or 'nothing of it'}"
        if arrived:
            runs = (now.digest or now.image) if now is not None else ""
            return RolledOut(target.service, self._runtime.clock() - started, runs=runs, unproven=unproven)
        raise RollOutFailed(
            target.service,
            f"{target.service} did not arrive at {target.image.pinned}: the roll-out command {_how(done)}",
            # What `running-command` reports may be written at the end of a roll-out: only a call takes back what a call began.
            reverted=False,
            evidence=Evidence(reason=f"The roll-out command {_how(done)}", log=_tail(done.stderr or done.stdout)),
        )

    def revert(self, target: Target, before: Running, deadline: Deadline, *, wait: bool = True) -> None:
        """Runs `roll-out-command` again with what ran before."""
        words = self._needed(self._programs.roll_out, "roll-out-command", "roll a service back")
        service = target.service
        if not before.image:
            raise RollOutFailed(
                service,
                f"Could not roll {service} back: what ran before is not known.",
                reverted=False,
                fix="Set `running-command`, so that there is something to roll back to:\n\n    with:\n"
                "      running-command: ./infra/running.sh {environment}",
            )
        ours = self._after_ours.get(service)
        now = self._look(service, QUESTION if wait else HURRIED) if ours is not None else None
        if ours and now and now.image and not reported.same(now, ours) and not reported.same(now, before):
            raise _changed(target, now)
        back = Target(service, Image(before.image, before.digest, opaque=True), before.sha)
        if not wait:
            self._hand_over(words, back)
            return
        done = self._run(words, back, deadline)
        if done.exit_code != 0 or done.timed_out:
            raise RollOutFailed(
                service,
                f"Could not roll {service} back to {before.image}: the roll-out command {_how(done)}",
                reverted=False,
                evidence=Evidence(reason=f"The roll-out command {_how(done)}", log=_tail(done.stderr or done.stdout)),
            )

    def job(self, job: Job, deadline: Deadline, on_line: Line) -> JobEnd:
        """Runs `job-command`, with the job's variables in its environment, and their names in `JOB_VARIABLES`."""
        words = self._needed(self._programs.job, "job-command", "run a one-shot job")
        if job.networks or job.working_directory:
            raise UnusableInput(
                "Cannot set a job's networks or working directory on the engine `command`.",
                fix="Let the `job-command` set them.",
            )
        target = Target(job.service or job.like, job.image, job.sha)
        at = words.index("{command}") if "{command}" in words else len(words)
        program = (*self._filled(words[:at], target), *job.command, *self._filled(words[at + 1 :], target))
        started = self._runtime.clock()
        done = run(
            program,
            timeout=deadline.remaining,
            env={**self._variables(release=True, secrets=True), **job.environment, JOB_VARIABLES: " ".join(job.environment)},
            on_line=on_line,
            redactor=self._runtime.redactor,
            grace=job.grace,
        )
        detail = "" if not done.timed_out else "ended at the deadline"
        return JobEnd(done.exit_code, self._runtime.clock() - started, done.timed_out, detail)

    def logs(self, service: str, deadline: Deadline, *, lines: int = 50) -> Evidence:
        """Returns the last `lines` lines that `logs-command` prints."""
        if self._programs.logs is None:
            return Evidence(reason="`logs-command` is not set, so the service's last lines are not known.")
        done = self._ask(self._programs.logs, Target(service, Image("", opaque=True)), deadline)
        reason = "" if done.exit_code == 0 and not done.timed_out else f"The `logs-command` {_how(done)}"
        return Evidence(reason=reason, log=_tail(done.stdout or done.stderr, lines))

    def _look(self, service: str, seconds: float) -> Running | None:
        """Returns what one service runs, without an image where it is not reported; `None` where no program can tell."""
        if self._programs.running is None:
            return None
        try:
            return self.running([service], Deadline(seconds, self._runtime.clock)).get(service, Running(service))
        except ActionError:  # the roll-out's own failure matters more
            return None

    def _hand_over(self, words: Sequence[str], target: Target) -> None:
        """Starts the program and leaves it running: a cancelled step has ten seconds, which no roll-out keeps to."""
        # The runner ends every process with this variable when the job is over.
        variables = self._variables(release=True, secrets=True)
        variables.pop("RUNNER_TRACKING_ID", None)
        with self._log_of(target.service) as output:
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
                raise UnusableInput(f"Could not start the program `{words[0]}`: {error.strerror}.") from None
        self._left_running.append(process)
        self._runtime.log(f"{target.service}: started the rollback to {target.image.name}.")

    def _log_of(self, service: str) -> IO[bytes]:
        """Opens where a program prints that is left running: a masked log in the runner's folder, else nowhere."""
        folder, prefix = self._runtime.scratch, f"take-back-{service}-"
        variables = self._runtime.environment.for_programs()
        variables.pop("RUNNER_TRACKING_ID", None)
        if folder is not None:
            try:
                # Only its owner may read it.
                with tempfile.NamedTemporaryFile(prefix=prefix, suffix=".log", dir=folder, delete=False) as file:
                    writer = masked_log.started(file, self._runtime.redactor, variables)
            except OSError as error:
                self._runtime.log(f"{service}: could not keep the log of the rollback: {error.strerror}.")
            else:
                self._left_running.append(writer)
                self._runtime.log(f"{service}: the rollback logs to {file.name}.")
                return cast("IO[bytes]", writer.stdin)
        return Path(os.devnull).open("wb")

    def _ask(self, words: Sequence[str], target: Target, deadline: Deadline) -> Finished:
        return run(self._filled(words, target), timeout=deadline.timeout(QUESTION), env=self._variables())

    def _run(self, words: Sequence[str], target: Target, deadline: Deadline) -> Finished:
        return run(
            self._filled(words, target),
            timeout=deadline.remaining,
            env=self._variables(release=True, secrets=True),
            on_line=self._log_line,
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

    def _variables(self, *, release: bool = False, secrets: bool = False) -> dict[str, str]:
        """The variables of a program: with the release's lines, and with what only a program that acts needs."""
        found = self._runtime.environment.for_programs(secrets=secrets)
        if release:
            found |= self._release
        if secrets:
            return found
        return {name: value for name, value in found.items() if name != self._file and not database_password(value)}

    def _log_line(self, _stream: str, text: str) -> None:
        self._runtime.log(text)

    @staticmethod
    def _needed(words: tuple[str, ...] | None, name: str, purpose: str) -> tuple[str, ...]:
        if words is None:
            raise UnusableInput(
                f"Cannot {purpose} on the engine `command`: the input `{name}` is not set.",
                fix=f"    with:\n      {name}: ./infra/{name.removesuffix('-command')}.sh {{service}} {{image}}",
            )
        return words


def _changed(target: Target, now: Running) -> ChangedMeanwhile:
    fix = "Run the roll-out again if this release should replace it."
    if reported.is_of(target, now) is None:
        fix += " If it is this release, let `running-command` print its image as `roll-out-command` got it, its digest, or its"
        fix += f" full commit SHA:\n\n    {reported.EXAMPLE}"
    return ChangedMeanwhile(
        target.service,
        f"{target.service} was changed by something else during the roll-out: it runs {now.image} now. It was left as it is.",
        cause=f"`running-command` reports neither {target.image.pinned} nor what ran before.",
        fix=fix,
    )


def _how(done: Finished) -> str:
    if done.timed_out:
        return f"was ended after {done.seconds:.0f} s, at the deadline."
    return f"was ended by signal {-done.exit_code}." if done.exit_code < 0 else f"exited with code {done.exit_code}."


def _said(done: Finished) -> str:
    text = _tail(done.stderr or done.stdout, 10)
    return f"It said:\n{text}" if text else "It said nothing."


def _tail(text: str, lines: int = 50) -> str:
    return "\n".join(text.rstrip().splitlines()[-lines:])
