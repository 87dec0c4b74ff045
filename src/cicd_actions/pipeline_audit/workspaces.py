"""Reads which package of a workspace a command of npm, pnpm, yarn or bun means, and what it runs there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

MANAGERS = frozenset({"npm", "pnpm", "yarn", "bun"})

_FOLDER = frozenset({"--prefix", "-C", "--dir", "--cwd"})
_NAME = {
    "npm": frozenset({"--workspace", "-w"}),
    "pnpm": frozenset({"--filter", "-F", "--filter-prod"}),
    "yarn": frozenset({"--include", "--exclude", "--from", "--jobs", "-j"}),
    "bun": frozenset({"--filter", "-F"}),
}
"""Options that are followed by the package's name; those of yarn belong to `yarn workspaces foreach`."""

_OWN = frozenset(
    "add audit cache ci config create dedupe deploy dlx env exec fetch help i import init install link list login logout node"
    " outdated pack patch pm prune publish rebuild remove root run run-script set start stop store test unlink up update"
    " upgrade version view why x workspace workspaces".split()
)
"""Words that the package managers themselves know: another one names a script or a program."""


class Member(NamedTuple):
    """`words` without what names the package, and its folder or name, where the command has them."""

    words: tuple[str, ...]
    folder: str
    name: str


def member(words: Sequence[str]) -> Member:
    """Returns what a command of a package manager runs, and in which package; the words as they are where it names none."""
    manager = words[0].rpartition("/")[2]
    named = _NAME[manager]
    end = words.index("--") if "--" in words else len(words)
    rest, before, folder, name = list(words[1:end]), [words[0]], "", ""
    kept: list[str] = []
    while rest:
        word, equals, value = rest[0].partition("=")
        taken = 1
        if (not kept or manager == "npm") and (word in _FOLDER or word in named or word == "workspace"):
            taken = 1 if equals else 2
            given = value if equals else rest[1] if len(rest) > 1 else ""
            folder, name = (given, name) if word in _FOLDER else (folder, given)
        elif kept or not (word.startswith("-") or word in {"run", "run-script", "foreach", "workspaces"}):
            kept.append(rest[0])
        elif word.startswith("run"):
            before[1:] = ["run"]
        rest = rest[taken:]
    if not kept:
        return Member(tuple(words), "", "")
    return Member((*before, *kept, *words[end:]), folder.strip("/").removeprefix("./"), name)


def program(words: Sequence[str]) -> tuple[str, ...]:
    """Returns the program that `pnpm vitest` or `yarn tsc` starts; empty for a script and for the manager's own commands."""
    own = len(words) < 2 or words[0] not in {"pnpm", "yarn"} or words[1] in _OWN or words[1].startswith("-")
    return () if own else tuple(words[1:])
