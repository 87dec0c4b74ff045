"""Say which lanes the commits of this run touch, and which commit they start from.

Whatever cannot be told runs everything: a lane is left out only when the files prove that it is not concerned.

- pull request, merge queue: a lane runs when its files changed. What the api lane touches concerns the web lane too (the
  OpenAPI document may change). A file that belongs to no lane and is not documentation concerns both.
- push: a release is made from it, so both lanes run in full, except when nothing but documentation changed. (Were lanes
  picked here too, a push to web alone could release an api whose own push was red.)
- everything else (workflow_dispatch, schedule): both lanes.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from cicd_actions.pipeline import step
from cicd_actions.toolkit import git

SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


class Lanes(NamedTuple):
    """Which lanes run, and why, in words without any text from outside."""

    api: bool
    web: bool
    reason: str


class RefusedEventError(Exception):
    """The event must not run code of a pull request at all."""


def pattern(glob: str) -> re.Pattern[str]:
    """A path pattern: `*` and `?` stay inside a folder, `**/` is any number of folders, a trailing `/` a whole folder."""
    if glob.endswith("/"):
        glob += "**"
    expression = ""
    position = 0
    while position < len(glob):
        if glob.startswith("**/", position):
            expression += "(?:[^/]+/)*"
            position += 3
        elif glob.startswith("**", position):
            expression += ".*"
            position += 2
        else:
            character = glob[position]
            expression += {"*": "[^/]*", "?": "[^/]"}.get(character, re.escape(character))
            position += 1
    return re.compile(expression, re.DOTALL)


def commits(event_name: str, event: Mapping[str, Any]) -> tuple[str, str] | None:
    """The two commits between which the changes of this event lie, or None when it names none."""
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
    """Paths changed from where *head* left *base*, both names of a rename; None when git does not have the commits."""
    command = git.command("diff", "--no-ext-diff", "--name-only", "--no-renames", "-z", "--merge-base", base, head, "--")
    done = subprocess.run(command, env=git.variables(os.environ), capture_output=True, check=False)
    if done.returncode:
        return None
    return [os.fsdecode(name) for name in done.stdout.split(b"\0") if name]


def left(base: str, head: str) -> str:
    """The commit where *head* left *base*: the current API. Empty when git does not have them, or they share none."""
    command = git.command("merge-base", base, head, "--")
    done = subprocess.run(command, env=git.variables(os.environ), capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def decide(event_name: str, files: Iterable[str] | None, api: str, web: str, documentation: Iterable[str]) -> Lanes:
    """Which lanes the changed *files* need; None as *files* means that they are not known. Raises RefusedEventError."""
    if event_name in {"pull_request_target", "workflow_run"}:
        raise RefusedEventError(
            f"this workflow runs the code of a change, which must not happen on {event_name}: secrets are available there. "
            "Use `on: pull_request`"
        )
    if event_name not in {"pull_request", "merge_group", "push"}:
        return Lanes(True, True, f"{event_name} runs both lanes")
    if files is None:
        return Lanes(True, True, "the changed files could not be told, so both lanes run")
    ignored = [pattern(glob) for glob in documentation]
    code = [name for name in files if not any(glob.fullmatch(name) for glob in ignored)]
    if not code:
        return Lanes(False, False, "nothing but documentation changed")
    if event_name == "push":
        return Lanes(True, True, "a push runs both lanes")
    return touched(code, api.strip("/") + "/", web.strip("/") + "/")


def touched(code: list[str], api: str, web: str) -> Lanes:
    """The lanes that *code*, paths without documentation, belongs to."""
    if all(name.startswith(web) for name in code):
        return Lanes(False, True, "only the web lane's files changed")
    if all(name.startswith((api, web)) for name in code):
        return Lanes(True, True, "the api lane's files changed; the web lane follows its OpenAPI document")
    return Lanes(True, True, "files outside both lanes changed")


def main() -> None:
    inputs = step.inputs()
    event_name = os.environ["GITHUB_EVENT_NAME"]
    pair = commits(event_name, step.event())
    files = changed_files(*pair) if pair else None
    documentation = [line.strip() for line in inputs["documentation"].splitlines() if line.strip()]
    try:
        lanes = decide(event_name, files, inputs["api-directory"], inputs["web-directory"], documentation)
    except RefusedEventError as error:
        step.fail(str(error))
    changed = "" if files is None else f" ({len(files)} changed)"
    step.log(f"api: {lanes.api}, web: {lanes.web}: {lanes.reason}{changed}")
    step.output("api", lanes.api)
    step.output("web", lanes.web)
    step.output("base", left(*pair) if pair else "")
    step.summary(f"**Lanes:** {lanes.reason}{changed}.")
