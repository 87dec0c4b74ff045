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
from collections.abc import Iterable
from typing import NamedTuple

from cicd_actions.pipeline import step
from cicd_actions.pipeline.changes import changed_files, commits, left, pattern


class Lanes(NamedTuple):
    """Which lanes run, and why, in words without any text from outside."""

    api: bool
    web: bool
    reason: str


class RefusedEventError(Exception):
    """The event must not run code of a pull request at all."""


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
