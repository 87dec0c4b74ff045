"""Keeps one comment on the pull request up to date: written when there is something to say, corrected when it is over."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cicd_actions.github.client import GitHub
from cicd_actions.github.errors import Permission
from cicd_actions.toolkit import markdown
from cicd_actions.toolkit.errors import ActionError
from cicd_actions.toolkit.json_values import members, objects
from cicd_actions.toolkit.printable import visible
from cicd_actions.toolkit.report import Block, Paragraph
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict

LONGEST = 60_000
"""Bytes; GitHub refuses a comment of more than 65,536 characters."""

_MARKS = {Verdict.PASS: "✅", Verdict.FAIL: "❌", Verdict.INCONCLUSIVE: "⚠️"}

_TRUSTED = {"OWNER", "MEMBER", "COLLABORATOR"}


def keep(
    runtime: Runtime,
    token: str,
    client: Sequence[str],
    verdict: Verdict,
    headline: str,
    blocks: Sequence[Block],
    *,
    title: str = "OpenAPI client",
) -> str:
    """Write, correct or leave the comment; what was done, or why not, is returned as a sentence.

    It never changes the verdict: without the permission the report is in the summary alone.
    """
    number = _pull_request(runtime.variables)
    if number is None:
        return "There is no pull request to comment on; the report is in the job summary."
    if not token:
        return "There is no token for the comment (`github-token`); the report is in the job summary."

    marker = _marker(client)
    needs = Permission("Pull requests", "write", job="pull-requests")
    try:
        github = GitHub(token, runtime.variables.get("GITHUB_REPOSITORY", ""), runtime, runtime.deadline(30))
        known = _existing(github, number, marker, needs)
        if known is None and verdict is Verdict.PASS and not blocks:
            return "There is nothing to comment on."
        body = {"body": _body(runtime, f"{marker}\n### {_MARKS[verdict]} {title}: {verdict}", headline, blocks)}
        if known is None:
            github.send("POST", f"{github.repo}/issues/{number}/comments", "comment on the pull request", body, needs=needs)
            return "The report was written to a comment on the pull request."
        github.send("PATCH", f"{github.repo}/issues/comments/{known}", "correct the comment", body, needs=needs)
    except ActionError as error:
        return f"The comment could not be written, so the report is in the job summary alone: {error.what}"
    return "The comment on the pull request was brought up to date."


def _marker(client: Sequence[str]) -> str:
    """One comment for each client of a repository; it is found again by this line, which readers do not see."""
    key = hashlib.sha256("\0".join(client).encode("utf-8", "replace")).hexdigest()[:12]
    return f"<!-- cicd-actions/verify-openapi-client {key} -->"


def _existing(github: Any, number: int, marker: str, needs: Any) -> int | None:
    """The comment's id. A stranger's comment that begins with the marker is not ours."""
    for page in github.pages(f"{github.repo}/issues/{number}/comments", "list the comments", needs=needs):
        for comment in objects(page):
            bot = members(comment.get("user")).get("type") == "Bot"
            ours = bot or str(comment.get("author_association")) in _TRUSTED
            if ours and str(comment.get("body") or "").startswith(marker) and isinstance(comment.get("id"), int):
                return int(comment["id"])
    return None


def _body(runtime: Runtime, head: str, headline: str, blocks: Sequence[Block]) -> str:
    def clean(text: str) -> str:
        return visible(runtime.redactor(text))

    body = markdown.render([Paragraph(headline), *blocks], clean, LONGEST)
    return f"{head}\n\n{body}"


def _pull_request(variables: Mapping[str, str]) -> int | None:
    path = variables.get("GITHUB_EVENT_PATH")
    try:
        event = json.loads(Path(path).read_bytes()) if path else {}
    except (OSError, ValueError, RecursionError):
        return None
    pull = members(event).get("pull_request")
    number = members(pull).get("number")
    return number if isinstance(number, int) else None
