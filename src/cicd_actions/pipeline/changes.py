"""What a run's commits changed, and which lanes that touches.

What is not known runs everything: a lane is left out only when the files prove that it is not concerned.

- pull request, merge queue: a lane runs when its files changed, or those of the lane whose OpenAPI document its client is made
  of. A file that belongs to no lane and is not documentation concerns all.
- push: a release is made from it, so all lanes run, except when nothing but documentation changed. (Were lanes picked here
  too, a push to one lane could release another whose own push was red.)
- everything else (workflow_dispatch, schedule): all lanes.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from typing import Any

from cicd_actions.pipeline_file.model import Pipeline
from cicd_actions.toolkit import git
from cicd_actions.toolkit.path_patterns import path_pattern

SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
PICKING = frozenset({"pull_request", "merge_group"})
"""Events on which a change runs the lanes that it touches, and no other."""


def commits(event_name: str, event: Mapping[str, Any]) -> tuple[str, str] | None:
    """Returns the two commits between which the changes of this event lie, `None` when it names none."""
    if event_name == "pull_request":
        pull = event.get("pull_request", {})
        pair = (pull.get("base", {}).get("sha"), pull.get("head", {}).get("sha"))
    elif event_name == "merge_group":
        group = event.get("merge_group", {})
        pair = (group.get("base_sha"), group.get("head_sha"))
    elif event_name == "push":
        pair = (event.get("before"), event.get("after"))
    else:
        return None
    base, head = pair
    if not all(isinstance(sha, str) and SHA.fullmatch(sha) and set(sha) != {"0"} for sha in (base, head)):
        return None
    return str(base), str(head)


def changed_files(base: str, head: str) -> list[str] | None:
    """Returns the paths changed from where *head* left *base*, both names of a rename; `None` when git lacks the commits."""
    return _names("diff", "--no-ext-diff", "--name-only", "--no-renames", "-z", "--merge-base", base, head, "--")


def tracked_files() -> list[str] | None:
    """Returns the paths of the commit that is checked out, also of files that a sparse checkout left out."""
    return _names("ls-tree", "-r", "--name-only", "-z", "HEAD")


def left(base: str, head: str) -> str:
    """Returns the commit where *head* left *base*: the current API. Empty when git lacks the commits, or they share none."""
    command = git.command("merge-base", base, head, "--")
    done = subprocess.run(command, env=git.variables(os.environ), capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def _names(*words: str) -> list[str] | None:
    done = subprocess.run(git.command(*words), env=git.variables(os.environ), capture_output=True, check=False)
    if done.returncode:
        return None
    return [os.fsdecode(name) for name in done.stdout.split(b"\0") if name]


def lanes(pipeline: Pipeline, event_name: str, files: Iterable[str] | None) -> tuple[set[str], str]:
    """Returns the lanes that the changed *files* need, and why, in words without any text from outside.

    `None` as *files* means that they are not known.
    """
    everything = set(pipeline.lanes)
    if event_name not in {*PICKING, "push"}:
        return everything, f"{event_name} runs every lane"
    if files is None:
        return everything, "git could not tell the changed files, so every lane runs"
    ignored = [path_pattern(glob) for glob in pipeline.documentation]
    code = [name for name in files if not any(glob.fullmatch(name) for glob in ignored)]
    if not code:
        return set(), "nothing but documentation changed"
    if event_name == "push":
        return everything, "a push runs every lane"
    return _touched(pipeline, code)


def _touched(pipeline: Pipeline, code: list[str]) -> tuple[set[str], str]:
    more = {name: [path_pattern(glob) for glob in lane.paths] for name, lane in pipeline.lanes.items()}
    found: set[str] = set()
    for path in code:
        owners = {name for name, globs in more.items() if any(glob.fullmatch(path) for glob in globs)}
        owners |= _owners(pipeline, path)
        if not owners:
            return set(pipeline.lanes), "files outside all lanes changed"
        found |= owners
    following = {name for name, lane in pipeline.lanes.items() if lane.client and lane.client.of in found}
    why = "files of these lanes changed"
    return found | following, f"{why}; a client follows its OpenAPI document" if following - found else why


def _owners(pipeline: Pipeline, path: str) -> set[str]:
    """Returns the lanes whose folder the path lies in: the deepest one, so that a lane at the root does not own the others."""
    depth: dict[str, int] = {}
    for name, lane in pipeline.lanes.items():
        folder = lane.directory.strip("/")
        folder = folder.removeprefix("./")
        if folder in {"", "."}:
            depth[name] = 0
        elif path.startswith(f"{folder}/"):
            depth[name] = len(folder)
    deepest = max(depth.values(), default=0)
    return {name for name, each in depth.items() if each == deepest}
