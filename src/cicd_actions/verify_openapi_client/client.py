"""The paths of the client: each has to be one that git keeps, or nothing would be compared."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.verify_openapi_client.repository import NOT_LITERAL, GitFailed, Repository, split


def tracked(repository: Repository, folder: Path, paths: Sequence[str]) -> tuple[str, ...]:
    """The client's paths as git writes them. Raises `UnusableInput` for a path in which nothing could be compared."""
    return tuple(dict.fromkeys(_tracked(repository, folder, path) for path in paths))


def _tracked(repository: Repository, folder: Path, path: str) -> str:
    name = repository.relative(folder / path)
    if name is None:
        raise UnusableInput(
            f"The client path `{path}` lies outside of the repository {repository.root}.",
            fix="Paths start from `working-directory`.",
        )
    if name == ".":
        raise UnusableInput(
            "The client path is the whole repository, so every change in it would count as the client's.",
            fix="    client-path: src/api",
        )
    parents = [parent.as_posix() for parent in Path(name).parents if parent.as_posix() != "."]
    entries = split(repository.git("ls-tree", "-z", "HEAD", "--", *reversed(parents), name))
    modes = {line.split("\t", 1)[1]: line.split(" ", 1)[0] for line in entries}
    for each in (*parents, name):
        if modes.get(each) == "160000":
            raise UnusableInput(
                f"The client path `{path}` is in the submodule `{each}`, which is a separate repository.",
                cause="Its commits are not this repository's, so the client in it cannot be compared here.",
                fix="Run this action in the submodule's repository, or keep the client in this one.",
            )
        if modes.get(each) == "120000":
            raise UnusableInput(
                f"The client path `{path}` leads through the symbolic link `{each}`, and git keeps only where that leads to.",
                fix="Name the file or folder that it leads to.",
            )
    if name in modes:
        return name
    return _explain(repository, path, name)


def _explain(repository: Repository, path: str, name: str) -> NoReturn:
    if not os.path.lexists(repository.root / name):
        raise UnusableInput(
            f"The client path `{path}` does not exist.",
            cause="It is misspelled, or meant from another folder: paths start from `working-directory`.",
            fix="Generate the client, commit it, and name it here.",
        )
    try:
        words = ("check-ignore", "-v", "--no-index", "--", f"./{name}")
        reason = repository.git(*words, env=NOT_LITERAL).decode("utf-8", "replace").split("\t")[0]
    except GitFailed:
        reason = ""
    if reason:
        raise UnusableInput(
            f"The client path `{path}` is ignored by git ({reason}), so there is no client in git to compare with.",
            fix="Take it out of `.gitignore` and commit it; or generate it in every build, and do without this check.",
        )
    raise UnusableInput(
        f"The client path `{path}` is not tracked: the last commit does not have it.",
        fix=f"    git add {shlex.quote(path)}\n    git commit",
    )


def within(name: str, client: Sequence[str]) -> bool:
    """Whether a path is one of the client's, or below one."""
    return any(name == path or name.startswith(f"{path}/") for path in client)
