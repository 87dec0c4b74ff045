"""Tools that report their state by a command: Prisma and golang-migrate. They are asked before and after the migration.

Both take their own advisory lock while they migrate, and give up after 10 s and 15 s where another run holds it:
https://www.prisma.io/docs/orm/prisma-migrate/workflows/development-and-production#advisory-locking
https://github.com/golang-migrate/migrate/blob/master/migrate.go (`ErrLockTimeout`)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True)
class State:
    """Where the database is. `pending` is `None` where the tool's answer was not understood.

    `problem` says why the database is not where the tool left it well: dirty, failed, or ahead of the image.
    """

    at: str = ""
    pending: tuple[str, ...] | None = None
    problem: str = ""


@dataclass(frozen=True)
class Tool:
    """`questions` are commands whose output `state` reads, in this order.

    `locked` is how the tool says that another run holds its lock: it has changed nothing then.
    """

    name: str
    questions: tuple[tuple[str, ...], ...]
    state: Callable[[Sequence[str]], State]
    locked: str


def tool_in(words: Sequence[str]) -> Tool | None:
    """Returns the tool that a command runs, or `None`."""
    names = [PurePosixPath(word).name for word in words]
    for at, name in enumerate(names):
        if name == "prisma" and tuple(words[at + 1 : at + 3]) == ("migrate", "deploy"):
            status = (*words[: at + 2], "status", *words[at + 3 :])
            return Tool("Prisma", (status,), lambda texts: prisma_state(texts[0]), "acquire a postgres advisory lock")
        if name == "migrate" and "up" in words[at + 1 :]:
            return _golang(tuple(words[: at + 1]), tuple(words[at + 1 :]))
    return None


def _golang(before: tuple[str, ...], arguments: tuple[str, ...]) -> Tool | None:
    """golang-migrate: `migrate -path FOLDER -database URL up`."""
    options = arguments[: arguments.index("up")]
    folder = ""
    for at, word in enumerate(options):
        found = re.fullmatch(r"--?(path|source)(?:=(.*))?", word)
        if found:
            folder = (found[2] or (options[at + 1] if at + 1 < len(options) else "")).removeprefix("file://")
    if not folder:
        return None
    questions = ((*before, *options, "version"), (*before[:-1], "ls", "-1", folder))
    return Tool("golang-migrate", questions, lambda texts: golang_state(*texts), "can't acquire database lock")


def prisma_state(text: str) -> State:
    """Reads `prisma migrate status`. It exits with 1 when something is pending, so only its words count.

    A database that has all of the image's migrations and more is "up to date" for Prisma.
    """
    if "Database schema is up to date" in text:
        return State("up to date", ())
    failed = _names_after(text, r"Following migrations? have failed:")
    if failed:
        return State(f"failed at {', '.join(failed)}", (), f"these migrations failed before: {', '.join(failed)}")
    unknown = _names_after(text, r"The migrations? from the database (?:is|are) not found locally in [^\n]*:")
    if unknown:
        return State(f"ahead at {', '.join(unknown)}", (), f"the image does not have {', '.join(unknown)}")
    pending = _names_after(text, r"Following migrations? have not yet been applied:")
    if pending:
        return State(f"{len(pending)} pending", pending)
    return State()


def _names_after(text: str, heading: str) -> tuple[str, ...]:
    found = re.search(heading + r"\s*\n((?:\s*[\w.-]+[ \t]*\n)+)", text.replace("\r", "") + "\n")
    return tuple(found[1].split()) if found else ()


def golang_state(version: str, files: str) -> State:
    """Reads `migrate version` and the names of the folder's files (`000042_add_name.up.sql`)."""
    numbered = {
        int(found[1]): found[0].removesuffix(".up.sql")
        for line in files.splitlines()
        if (found := re.fullmatch(r"(\d+)_.*\.up\.sql", line.strip()))
    }
    said = re.search(r"^(\d+)( \(dirty\))?\s*$", version, re.MULTILINE)
    if said is None and "no migration" not in version:
        return State()
    at = int(said[1]) if said else 0
    name = numbered.get(at, str(at) if said else "")
    if said and said[2]:
        return State(f"{name} (dirty)", (), f"the database is dirty at {name}: a migration failed half-way")
    if not numbered:
        return State(name)
    if said and at not in numbered:
        return State(name, (), f"the image does not have {name}")
    return State(name, tuple(numbered[number] for number in sorted(numbered) if number > at))
