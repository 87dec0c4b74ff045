"""Runs the user's backup before anything is applied, and proves that it can be restored."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from cicd_actions.engines.protocol import Image
from cicd_actions.run_migrations_oneshot.inputs import Inputs
from cicd_actions.run_migrations_oneshot.journal import Journal
from cicd_actions.run_migrations_oneshot.programs import last_lines, run_program, why
from cicd_actions.toolkit.errors import Inconclusive
from cicd_actions.toolkit.runtime import Runtime


@dataclass(frozen=True)
class Backup:
    """A backup that succeeded. `place` is the last line that the command printed; empty when it printed nothing.

    `size` in bytes and `age` in seconds are those of the file or folder `place`, `None` where it is not one of this machine.
    `checked` is the last line of `restore-check-command`, `None` where there is no such command.
    """

    place: str
    seconds: float
    size: int | None = None
    age: float | None = None
    checked: str | None = None


class BackupFailed(Inconclusive):
    """The backup did not succeed, so nothing was applied: this proves nothing against the release."""

    title = "Backup failed"


def make(words: tuple[str, ...], inputs: Inputs, runtime: Runtime, image: Image, journal: Journal) -> Backup:
    """Makes a backup, and checks it. Raises `BackupFailed`; `UnusableInput` when a program cannot be started."""
    journal.line(f"Backup: {words[0]}", own=True)
    done = run_program(words, inputs, runtime, image, journal)
    if done.exit_code != 0 or done.timed_out:
        raise _failed(f"The backup command `{words[0]}` {why(done)}.", last_lines(done))
    printed = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    place = printed[-1] if printed else ""
    size, age = _measured(place)
    if size == 0:
        raise _failed(f"The backup {place} is empty.", "`backup-command` succeeded without writing anything.")
    journal.line(f"Backup made in {done.seconds:.1f} s{': ' + place if place else ''}", own=True)
    return Backup(place, done.seconds, size, age, _checked(place, inputs, runtime, image, journal))


def _checked(place: str, inputs: Inputs, runtime: Runtime, image: Image, journal: Journal) -> str | None:
    words = inputs.restore_check_command
    if not words:
        return None
    journal.line(f"Restore check: {words[0]}", own=True)
    done = run_program(words, inputs, runtime, image, journal, {"backup": place})
    if done.exit_code != 0 or done.timed_out:
        raise _failed(f"The restore check `{words[0]}` {why(done)}: the backup may not be usable.", last_lines(done))
    printed = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    return printed[-1] if printed else ""


def _failed(what: str, cause: str) -> BackupFailed:
    return BackupFailed(
        f"{what} Nothing was applied.",
        cause=cause,
        fix="Nothing has changed, so it is safe to run again once the backup succeeds.",
    )


def _measured(place: str) -> tuple[int | None, float | None]:
    """Returns the size in bytes and the age in seconds of a file or folder, `None` where the place is neither."""
    if not place or "\0" in place or len(place) > 4000:
        return None, None
    path = Path(place)
    try:
        files = [each.stat() for each in path.rglob("*") if each.is_file()] if path.is_dir() else [path.stat()]
    except OSError:
        return None, None
    newest = max((each.st_mtime for each in files), default=time.time())
    return sum(each.st_size for each in files), max(time.time() - newest, 0.0)
