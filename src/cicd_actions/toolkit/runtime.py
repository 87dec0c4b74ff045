"""Holds what an action works with: variables, clock, redactor, and the log."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from actions_toolkit import command

from cicd_actions.toolkit.deadline import Clock, Deadline
from cicd_actions.toolkit.environment import Environment
from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.printable import defused
from cicd_actions.toolkit.redaction import SHORTEST, Redactor


@dataclass(eq=False, repr=False)
class Runtime:
    """Holds everything an action takes from its surroundings; only `cicd_actions.__main__` builds it from the real ones.

    `log_stream` carries progress: standard output on GitHub (where commands are read), standard error elsewhere. `wall`
    gives seconds since 1970: a run that needs the date asks it once.
    """

    variables: Mapping[str, str]
    log_stream: TextIO
    redactor: Redactor = field(default_factory=Redactor)
    clock: Clock = time.monotonic
    wall: Clock = time.time
    sleep: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        self.environment = Environment(self.variables, self.redactor)

    @property
    def on_github(self) -> bool:
        """Returns whether this is GitHub's runner, or one that says it is."""
        return self.variables.get("GITHUB_ACTIONS") == "true"

    @property
    def workspace(self) -> Path:
        """Returns the folder that relative paths start from: where the step was started."""
        return Path.cwd()

    @property
    def scratch(self) -> Path | None:
        """Returns the runner's temporary folder, for files that later steps of the job may read.

        `None` where there is no runner to empty it: only files that an input asks for may be left there.
        """
        named = self.variables.get("RUNNER_TEMP")
        return Path(named) if named else None

    def place(self, path: str | Path, *, input: str) -> Path:
        """Returns where to write a file that was asked for as `path`, and makes its folder.

        Actions call it before their work begins, so that no run waits for a result that has no place. The workspace may be
        somebody else's commit: a symbolic link in it that leads out is refused. Raises `UnusableInput`.
        """
        here = self.workspace
        asked = Path(os.path.normpath(here / path))
        why = ""
        try:
            if asked.is_relative_to(here) and not Path(os.path.realpath(asked)).is_relative_to(os.path.realpath(here)):
                why = "a symbolic link leads it out of the workspace"
            else:
                asked.parent.mkdir(parents=True, exist_ok=True)
                if asked.is_dir():
                    why = "it is a folder"
                elif not os.access(asked if asked.exists() else asked.parent, os.W_OK):
                    why = "permission denied"
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
        if why:
            raise UnusableInput(
                f"Cannot write the file {asked} of the input `{input}`: {why}.",
                fix=f"    with:\n      {input}: ${{{{ runner.temp }}}}/{asked.name}",
            )
        return asked

    def deadline(self, seconds: float) -> Deadline:
        """Returns a deadline from now on the runtime's clock."""
        return Deadline(seconds, self.clock)

    def log(self, text: str) -> None:
        """Writes text from any source: secrets are masked, and no line of it can act as a workflow command."""
        self._write(defused(self.redactor(text)))

    @contextmanager
    def group(self, title: str) -> Iterator[None]:
        """Folds what is logged inside under a title; GitHub has no groups within groups."""
        if not self.on_github:
            self.log(title)
            yield
            return
        self.command("group", title)
        try:
            yield
        finally:
            self.command("endgroup", "")

    def command(self, name: str, message: str, **properties: str | int) -> None:
        """Issues a workflow command. The message and the properties are redacted and escaped."""
        cleaned = {key: self.redactor(str(value)) for key, value in properties.items()}
        self._write(str(command.Command(name, cleaned, self.redactor(message))))

    def mask(self, secret: str) -> None:
        """Redacts a value here, and on GitHub in every later step of the job as well."""
        self.redactor.add(secret)
        if self.on_github and len(secret) >= SHORTEST:
            self._write(str(command.Command("add-mask", {}, secret)))

    def _write(self, text: str) -> None:
        # A log that can no longer be written (a closed pipe, a full disk) must not decide what happens to a deploy.
        try:
            self.log_stream.write(text + "\n")
            self.log_stream.flush()
        except UnicodeEncodeError:
            self.log_stream.write(text.encode("ascii", "backslashreplace").decode() + "\n")
            self.log_stream.flush()
        except OSError:
            return
