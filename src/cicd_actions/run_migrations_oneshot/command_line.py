"""Recognises Alembic in the `command`, and what it is asked to do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from cicd_actions.toolkit.errors import UnusableInput

_TAKES_VALUE = {"-c", "--config", "-n", "--name", "-x"}
"""Alembic's options before its command that have a value: https://alembic.sqlalchemy.org/en/latest/api/config.html"""

_PYTHON = re.compile(r"python[0-9.]*")


@dataclass(frozen=True)
class AlembicCommand:
    """`launcher` stands before it (`uv run --frozen`), `python` runs the program, `arguments` stand after `alembic`.

    `script` is how the command names Alembic: where `python` does not have it, that script's interpreter does.
    """

    launcher: tuple[str, ...]
    python: str
    arguments: tuple[str, ...]
    script: str = "alembic"


def alembic_in(words: Sequence[str]) -> AlembicCommand | None:
    """The `alembic upgrade …` that the words run, or `None` when they run something else.

    Raises `UnusableInput` for one of Alembic's other commands: this action brings a database forward, and proves it.
    """
    at = next((index for index, word in enumerate(words) if PurePosixPath(word).name == "alembic"), None)
    if at is None:
        return None
    arguments = tuple(words[at + 1 :])
    command = _command_of(arguments)
    if command != "upgrade" or "--sql" in arguments:
        what = f"`alembic {command or ''}`".replace(" `", "`") if "--sql" not in arguments else "`alembic … --sql`"
        raise UnusableInput(
            f"The input `command` runs {what}, which does not migrate a database forward.",
            cause="With Alembic, this action runs `alembic upgrade`: it reads what is pending, and proves afterwards that the"
            " database is there.",
            fix="    with:\n      command: alembic upgrade head",
        )
    before = tuple(words[:at])
    if len(before) >= 2 and before[-1] == "-m" and _PYTHON.fullmatch(PurePosixPath(before[-2]).name):
        return AlembicCommand(before[:-2], before[-2], arguments)
    return AlembicCommand(before, "python3", arguments, script=words[at])


def _command_of(arguments: Sequence[str]) -> str:
    skip = False
    for word in arguments:
        if skip:
            skip = False
        elif word in _TAKES_VALUE:
            skip = True
        elif not word.startswith("-"):
            return word
    return ""
