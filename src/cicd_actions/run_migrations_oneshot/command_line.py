"""Recognises the migration tool in the `command`, behind launchers and shells."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from cicd_actions.toolkit.errors import UnusableInput

_TAKES_VALUE = {"-c", "--config", "-n", "--name", "-x"}
"""Alembic's options before its command that have a value: https://alembic.sqlalchemy.org/en/latest/api/config.html"""

_COMMANDS = {
    *("branches", "check", "current", "downgrade", "edit", "ensure_version", "heads", "history", "init", "list_templates"),
    *("merge", "revision", "show", "stamp", "upgrade"),
}

_NOT_FORWARD = ("--plan", "--check", "--prune", "--fake")
"""Options of Django's `migrate` that change no schema: https://docs.djangoproject.com/en/stable/ref/django-admin/#migrate"""

_PYTHON = re.compile(r"python[0-9.]*")
_SHELLS = {"sh", "bash", "dash", "ash", "zsh"}
_HARMLESS = re.compile(r"(cd|export|set|umask|\.|source)\s[^`|<>&]*")
"""What may stand before Alembic in a shell's text: it runs in a dry run too, so it must not change anything."""


@dataclass(frozen=True)
class MigrationCommand:
    """`launcher` stands before it (`uv run --frozen`), `python` runs the program, `arguments` stand after `script`.

    `script` is how the command names Alembic (or Flask, or Django's `manage.py`): where `python` does not have Alembic, that
    script's interpreter does. `module` is true for `python -m`, which has the working directory in front of its path.
    `tool` is `alembic`, `flask` (Flask-Migrate), `django` or `sql` (a folder of SQL files).
    """

    launcher: tuple[str, ...]
    python: str
    arguments: tuple[str, ...]
    script: str = "alembic"
    module: bool = False
    tool: str = "alembic"


def migration_in(words: Sequence[str]) -> MigrationCommand | None:
    """Returns the migration that the program can watch, or `None` for any other command.

    Raises `UnusableInput` for what does not migrate, such as Alembic's other commands: this action brings a database forward,
    and proves it.
    """
    shell = _in_shell(words)
    if shell is not None:
        launcher, inner = shell
        found = migration_in(inner)
        return replace(found, launcher=(*launcher, *found.launcher)) if found else None
    at = _alembic_at(words)
    if at is not None:
        return _alembic(tuple(words[:at]), words[at], tuple(words[at + 1 :]))
    return _flask(words) or _django(words) or _sql(words)


def _alembic_at(words: Sequence[str]) -> int | None:
    """Returns where Alembic stands. `alembic` can also be the value of an option, as in `uvx --from alembic alembic …`."""
    named = [
        index
        for index, word in enumerate(words)
        if PurePosixPath(word).name == "alembic" or (word == "alembic.config" and words[index - 1 : index] == ["-m"])
    ]
    return next((index for index in named if _command_of(words[index + 1 :]) in _COMMANDS), named[-1] if named else None)


def _alembic(before: tuple[str, ...], script: str, arguments: tuple[str, ...]) -> MigrationCommand:
    command = _command_of(arguments)
    if command != "upgrade" or "--sql" in arguments:
        what = f"`alembic {command or ''}`".replace(" `", "`") if "--sql" not in arguments else "`alembic … --sql`"
        raise UnusableInput(
            f"The input `command` runs {what}, which does not migrate a database forward.",
            cause="With Alembic, this action runs `alembic upgrade`: it reads what is pending, and proves afterwards that the"
            " database is there.",
            fix="    with:\n      command: alembic upgrade head",
        )
    if before[-1:] == ("-m",) and len(before) >= 2 and _is_python(before[-2]):
        return MigrationCommand(before[:-2], before[-2], arguments, module=True)
    # uvx makes an environment of the tool that it runs: it has to be Alembic's, although Python is run.
    if _uv_tool(before) and "--from" not in before:
        before = (*before, "--from", script)
    return MigrationCommand(before, "python3", arguments, script=script)


def _flask(words: Sequence[str]) -> MigrationCommand | None:
    """Flask-Migrate: `flask db upgrade` runs Alembic with the application's configuration."""
    at = next((index for index, word in enumerate(words) if PurePosixPath(word).name == "flask"), None)
    if at is None:
        return None
    arguments = tuple(words[at + 1 :])
    if ("db", "upgrade") not in itertools.pairwise(arguments) or "--sql" in arguments:
        return None
    before = tuple(words[:at])
    if before[-1:] == ("-m",) and len(before) >= 2 and _is_python(before[-2]):
        return MigrationCommand(before[:-2], before[-2], arguments, "flask", module=True, tool="flask")
    return MigrationCommand(before, "python3", arguments, words[at], tool="flask")


def _django(words: Sequence[str]) -> MigrationCommand | None:
    """`python manage.py migrate …`, `./manage.py migrate …`, `django-admin migrate …` and `python -m django migrate …`."""
    names = [PurePosixPath(word).name for word in words]
    at = next((index for index, name in enumerate(names) if name in {"manage.py", "django-admin", "django"}), None)
    if at is None or "migrate" not in words[at + 1 :]:
        return None
    other = next((word for word in words[at + 1 :] if word in _NOT_FORWARD), "")
    if other:
        raise UnusableInput(
            f"The input `command` runs `migrate {other}`, which does not migrate a database forward.",
            cause="With Django, this action runs `manage.py migrate`: it reads what is pending, and proves afterwards that the"
            " database is there.",
            fix="    with:\n      command: python manage.py migrate --no-input",
        )
    before, arguments = tuple(words[:at]), tuple(words[at + 1 :])
    if names[at] == "django":
        if len(before) < 2 or before[-1] != "-m":
            return None
        return MigrationCommand(before[:-2], before[-2], arguments, "django-admin", module=True, tool="django")
    if before and _is_python(before[-1]):
        return MigrationCommand(before[:-1], before[-1], arguments, words[at], tool="django")
    return MigrationCommand(before, "python3", arguments, words[at], tool="django")


def _sql(words: Sequence[str]) -> MigrationCommand | None:
    """`sql FOLDER`: this action's own runner for a folder of SQL files."""
    if len(words) == 2 and words[0] == "sql":
        return MigrationCommand((), "python3", (words[1],), "sql", tool="sql")
    return None


def _in_shell(words: Sequence[str]) -> tuple[tuple[str, ...], list[str]] | None:
    """Returns the launcher and the last command of `sh -c "cd app && alembic upgrade head"`, where that can be taken apart."""
    at = next((index for index, word in enumerate(words) if PurePosixPath(word).name in _SHELLS), None)
    if at is None or at + 2 >= len(words):
        return None
    option, text = words[at + 1], words[at + 2]
    if not re.fullmatch(r"-[a-z]*c", option) or len(words) != at + 3:
        return None
    *before, last = re.split(r"&&|;|\n", text.strip().rstrip(";"))
    if re.search(r"[$`<>|&(){}*?~#]", last) or not all(_HARMLESS.fullmatch(each.strip()) for each in before if each.strip()):
        return None
    try:
        inner = shlex.split(last)
    except ValueError:
        return None
    if inner[:1] == ["exec"]:
        del inner[0]
    if inner and re.match(r"[A-Za-z_]\w*=", inner[0]):
        inner.insert(0, "env")
    head = text.strip().rstrip(";")
    kept = head[: len(head) - len(last)]
    return (*words[: at + 2], f'{kept} exec "$@"'.strip(), words[at]), inner


def _is_python(word: str) -> bool:
    return _PYTHON.fullmatch(PurePosixPath(word).name) is not None


def _uv_tool(before: Sequence[str]) -> bool:
    names = [PurePosixPath(word).name for word in before]
    return "uvx" in names or any(names[index : index + 3] == ["uv", "tool", "run"] for index in range(len(names)))


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
