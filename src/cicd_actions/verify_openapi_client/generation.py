"""Runs the generator and the formatter in a shadow copy, and holds them to what they may touch."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cicd_actions.toolkit import process
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import Failed, UnusableInput
from cicd_actions.toolkit.printable import visible
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.verify_openapi_client.client import within
from cicd_actions.verify_openapi_client.repository import Repository
from cicd_actions.verify_openapi_client.shadow import Shadow, Stamp

_LONG_AGO = 978_307_200_000_000_000
"""1 January 2001 in nanoseconds: a client's file that still has this time was not written."""


@dataclass
class Generator:
    """The commands that make the client, as argument lists, run in `folder` (relative to the repository's root).

    `beside` is called when all is ready for the first command: work begun earlier would delay the generator.
    """

    generate: Sequence[str]
    format: Sequence[str]
    folder: str
    client: Sequence[str]
    runtime: Runtime
    deadline: Deadline
    beside: Callable[[], object]

    def run(self, shadow: Shadow) -> None:
        """Generate the client in the copy.

        Raises `Failed` when a command fails, writes elsewhere, or does not write the client.
        """
        before = self._aged(shadow)
        missing = self._missing_from(shadow)
        self._commands(shadow)
        after = shadow.snapshot()
        changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
        elsewhere = shadow.unignored(sorted(name for name in changed if not within(name, self.client)))
        elsewhere += shadow.written_through()
        if elsewhere:
            raise Failed(
                f"The generator wrote outside of the client paths: {_listed(elsewhere)}.",
                cause="What it writes there is part of the client too, or of something that this check does not see.",
                fix="Name these paths in `client-path`, or have the generator write there no more.",
            )
        untouched = [path for path in self.client if not any(within(name, [path]) for name in changed)]
        untouched = [path for path in untouched if path not in missing]
        if untouched:
            self._without(shadow, untouched)

    def _aged(self, shadow: Shadow) -> dict[str, Stamp]:
        """Set the client's files back in time, so that it shows which are written; a snapshot of all is returned."""
        for path in self.client:
            target = shadow.tree / path
            for file in [target] if target.is_file() else sorted(target.rglob("*")):
                if file.is_file() and not file.is_symlink():
                    os.utime(file, ns=(_LONG_AGO, _LONG_AGO))
        return shadow.snapshot()

    def _missing_from(self, shadow: Shadow) -> list[str]:
        return [path for path in self.client if not os.path.lexists(shadow.tree / path)]

    def _without(self, shadow: Shadow, untouched: list[str]) -> None:
        """A generator that leaves an equal file alone writes it when it is gone; one that writes elsewhere does not."""
        for path in untouched:
            shadow.remove(path)
            (shadow.tree / path).parent.mkdir(parents=True, exist_ok=True)
        self.runtime.log(f"{_listed(untouched)} was left as it is: generating once more without it, to see that it is written.")
        self._commands(shadow)
        still = [path for path in untouched if not os.path.lexists(shadow.tree / path)]
        if still:
            raise Failed(
                f"The generator does not write the client path {_listed(still)}, so nothing would be compared.",
                cause="It writes to another place, or `client-path` names another file than the generator's output.",
                fix="Let both name the same path:\n\n    client-path: src/api/client.d.ts\n"
                "    generate-command: pnpm exec openapi-typescript {spec} -o {client}",
            )

    def _commands(self, shadow: Shadow) -> None:
        self.beside()
        run(shadow, self.generate, "generate-command", self.folder, self.runtime, self.deadline)
        if self.format:
            run(shadow, self.format, "format-command", self.folder, self.runtime, self.deadline)


def run(
    shadow: Shadow, words: Sequence[str], name: str, folder: str, runtime: Runtime, deadline: Deadline, *, quiet: bool = False
) -> process.Finished:
    """Run one command of the input `name` in the copy. Raises `Failed` when it fails."""
    cwd = shadow.tree / folder
    if not cwd.is_dir():
        raise UnusableInput(
            f"`working-directory` {folder} is not in the repository.", fix="It is a folder that git keeps, from its root."
        )
    environment = shadow.environment(runtime.environment.for_programs())
    _look_for(words[0], name, environment)
    with runtime.group(f"{name}: {shlex.join(words)}"):
        done = process.run(
            words,
            timeout=max(deadline.remaining, 0.1),
            env=environment,
            cwd=cwd,
            on_line=None if quiet else lambda _stream, line: runtime.log(line),
            redactor=runtime.redactor,
        )
    tail = "\n".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-15:])
    if done.timed_out:
        raise Failed(
            f"The command of `{name}` was not finished after {done.seconds:.0f} s.",
            cause=visible(tail),
            fix="If it is only slow, raise the input `timeout`.",
        )
    if done.exit_code:
        ended = f"was ended by signal {-done.exit_code}" if done.exit_code < 0 else f"ended with exit code {done.exit_code}"
        raise Failed(
            f"The command of `{name}` {ended}, so there is nothing to compare.",
            cause=visible(tail) or "It printed nothing.",
            fix=f"Run it in {folder or 'the repository root'}:\n\n    {shlex.join(words)}",
        )
    return done


_OF_NPM = (
    "Where the project uses another package manager, name its command:\n\n"
    "    generate-command: npx openapi-typescript {spec} -o {client}"
)


def _look_for(program: str, name: str, environment: Mapping[str, str]) -> None:
    """Look the program up before it is started, so that the message can say what is missing."""
    if os.sep not in program and shutil.which(program, path=environment.get("PATH")) is None:
        installed = {
            "pnpm": "pnpm/action-setup and actions/setup-node",
            "npx": "actions/setup-node",
            "uv": "astral-sh/setup-uv",
        }
        raise UnusableInput(
            f"The program `{program}` is not on PATH.",
            cause=f"Set it up before this step: {installed[program]}." if program in installed else "It is not installed.",
            fix=_OF_NPM if (program, name) == ("pnpm", "generate-command") else "",
        )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown


def copied(root: Path, client: Sequence[str], target: Path) -> dict[str, bytes]:
    """Copy the client's files below `root` to `target`; their contents by path are returned."""
    found: dict[str, bytes] = {}
    for path in client:
        source = root / path
        for file in [source] if source.is_file() or source.is_symlink() else sorted(source.rglob("*")):
            if file.is_file() and not file.is_symlink():
                name = file.relative_to(root).as_posix()
                found[name] = file.read_bytes()
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(file, target / name)
    return found


def original(shadow: Shadow, repository: Repository, client: Sequence[str]) -> None:
    """Restores the client's files of the work tree in the copy, as they were before the generation."""
    for path in client:
        shadow.remove(path)
    names = repository.names("ls-files", "-z", "--cached", "--others", "--", *client)
    for name in names:
        shadow.put(name.rstrip("/"))
