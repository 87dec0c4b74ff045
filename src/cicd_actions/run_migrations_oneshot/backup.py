"""Runs the user's backup before anything is applied."""

from __future__ import annotations

from dataclasses import dataclass

from cicd_actions.engines.protocol import Image
from cicd_actions.run_migrations_oneshot.inputs import Inputs
from cicd_actions.run_migrations_oneshot.job import variables
from cicd_actions.run_migrations_oneshot.journal import Journal
from cicd_actions.toolkit.errors import Failed
from cicd_actions.toolkit.process import filled, run
from cicd_actions.toolkit.runtime import Runtime


@dataclass(frozen=True)
class Backup:
    """A backup that succeeded. `place` is the last line that the command printed; empty when it printed nothing."""

    place: str
    seconds: float


class BackupFailed(Failed):
    """The backup did not succeed, so nothing was applied."""

    title = "Backup failed"


def make(words: tuple[str, ...], inputs: Inputs, runtime: Runtime, image: Image, journal: Journal) -> Backup:
    """Raises `BackupFailed`; `UnusableInput` when the program cannot be started."""
    values = {"environment": inputs.environment, "image": image.pinned, "sha": inputs.sha}
    journal.line(f"Backup: {words[0]}", own=True)
    done = run(
        filled(words, values),
        timeout=inputs.timeout,
        env={**runtime.environment.for_programs(), **variables(inputs, runtime)},
        on_line=lambda _stream, text: journal.line(text),
        redactor=runtime.redactor,
    )
    if done.exit_code != 0 or done.timed_out:
        how = "took longer than `timeout`" if done.timed_out else f"ended with exit code {done.exit_code}"
        raise BackupFailed(
            f"The backup command `{words[0]}` {how}. Nothing was applied.",
            cause="\n".join((done.stderr or done.stdout).strip().splitlines()[-10:]),
            fix="Nothing has changed, so it is safe to run again once the backup succeeds.",
        )
    printed = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    place = printed[-1] if printed else ""
    journal.line(f"Backup made in {done.seconds:.1f} s{': ' + place if place else ''}", own=True)
    return Backup(place, done.seconds)
