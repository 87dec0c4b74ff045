"""What is known of a repository before anything is guessed, and what the guesses are collected in."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from cicd_actions.toolkit import yaml12
from cicd_actions.toolkit.json_values import members

_SKIPPED = re.compile(r"(^|/)(node_modules|\.venv|vendor|examples?|docs?|tests?|fixtures|templates?|\.devcontainer)/")


@dataclass
class Guess:
    """A value of the file, and what it was guessed from."""

    value: Any
    why: str = ""


Entry = dict[str, Guess]


@dataclass
class Found:
    """What was found. `release` is empty where nothing tells where releases run. `unknown` is what could not be determined,
    `flags` what a person should look at."""

    lanes: dict[str, Entry] = field(default_factory=dict)
    images: dict[str, Entry] = field(default_factory=dict)
    services: dict[str, Entry] = field(default_factory=dict)
    release: Entry = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)

    def without(self, path: Sequence[str]) -> bool:
        """Takes the guess at a place of the file out; returns whether there was one."""
        tables: dict[str, Any] = {
            "lanes": self.lanes,
            "images": self.images,
            "services": self.services,
            "release": self.release,
        }
        node, last = tables.get(path[0] if path else "", {}), None
        for key in path[1:]:
            value = node.value if isinstance(node, Guess) else node
            if not isinstance(value, dict) or key not in value:
                break
            node, last = value[key], (value, key)
        if last is not None:
            del last[0][last[1]]
        elif tuple(path) == ("release",) and self.release:
            self.release.clear()  # what it cannot do without was taken out
        else:
            return False
        return True

    def lane(self, name: str, lane: Entry) -> None:
        """Adds a lane under this name, or under the next one that is free."""
        whole, number = name, 2
        while whole in self.lanes:
            whole, number = f"{name}-{number}", number + 1
        self.lanes[whole] = lane


@dataclass(frozen=True)
class Variable:
    """An environment variable that the code reads. `required`: without it the code fails."""

    name: str
    file: str
    required: bool


@dataclass(frozen=True)
class Repository:
    """A repository: its name `owner/name`, its tracked files, and the variables that its code reads.

    `read` returns the text of a tracked file, empty where it cannot be read.
    """

    name: str
    files: Sequence[str]
    read: Callable[[str], str]
    variables: Sequence[Variable] = ()

    @property
    def own(self) -> list[str]:
        """Returns the files that are neither examples, tests nor documentation."""
        return [name for name in self.files if not _SKIPPED.search(name)]

    def image_of(self, path: str) -> str:
        """Returns a Dockerfile with the defaults of its `ARG` in its `FROM` lines; empty without a path."""
        text = self.read(path) if path else ""
        given = dict(re.findall(r"(?im)^ARG\s+(\w+)=[\"']?([^\s\"']+)", text))
        return re.sub(
            r"(?im)^FROM\s.*$", lambda line: re.sub(r"\$\{?(\w+)\}?", lambda name: given.get(name[1], name[0]), line[0]), text
        )

    def first(self, folder: str, *names: str) -> str:
        """Returns the first of these files of a folder that exists, from the root; empty for none."""
        return next((path for name in names if (path := joined(folder, name)) in set(self.files)), "")

    def yaml(self, path: str) -> dict[str, Any]:
        """Returns a file's mapping, its merges applied; empty where it is something else."""
        try:
            plain = yaml12.plain(yaml12.read(self.read(path), strict=False).root)
        except yaml12.NotYaml:
            return {}
        return members(merged(plain))


def merged(value: Any) -> Any:
    """Returns plain YAML with the merges (`<<`) of its mappings applied: compose files have them."""
    if isinstance(value, list):
        return [merged(each) for each in value]
    if not isinstance(value, dict):
        return value
    found = {name: merged(each) for name, each in value.items() if name != "<<"}
    bases = merged(value["<<"]) if "<<" in value else {}
    for base in bases if isinstance(bases, list) else [bases]:
        if isinstance(base, dict):
            found = {**base, **found}
    return found


def joined(folder: str, name: str) -> str:
    """Returns a path below a folder, from the repository's root."""
    return posixpath.normpath(posixpath.join(folder or ".", name))


def inside(name: str, folder: str) -> bool:
    """Returns whether a file lies below a folder."""
    return folder in {"", "."} or name.startswith(f"{folder}/")


def folders(files: Sequence[str], pattern: str) -> list[str]:
    """Returns the folders that hold a file of this name, the root first."""
    return sorted({posixpath.dirname(name) or "." for name in files if re.fullmatch(pattern, posixpath.basename(name))})


def shown(folder: str) -> str:
    """Returns a folder as a sentence has it."""
    return "The root" if folder == "." else folder


def named(text: str, usual: str) -> str:
    """Returns a name as the pipeline file takes it."""
    return re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-_")[:40] or usual
