"""The steps for a person, for when the action cannot go on: exact commands as far as anything is known."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from urllib.parse import quote

from cicd_actions.engines.protocol import Engine, Image, Target
from cicd_actions.engines.reference import reference
from cicd_actions.github.release_record import Record, Task
from cicd_actions.rollback_to_previous_sha.inputs import Inputs
from cicd_actions.toolkit.grammar import NotUnderstood


def steps(inputs: Inputs, engine: Engine, repository: str, to: Record | None, moves: Mapping[str, Image]) -> str:
    """Shell lines with comments. `moves` are the services that still have to go, and where; empty when that is not known."""
    lines: list[str] = []
    if to is None:
        query = f"environment={quote(inputs.environment, safe='')}&task={quote(Task.PASSED.value, safe='')}&per_page=10"
        lines += [
            "# 1. Find the last release that passed its gate (the newest that is not the one to leave):",
            shlex.join(
                [
                    "gh",
                    "api",
                    f"repos/{repository}/deployments?{query}",
                    "--jq",
                    ".[] | {id, sha, created_at, services: .payload.services}",
                ]
            ),
            "# 2. Bring each service to its digest, in this order:",
        ]
        moves = {each.service: _placeholder(each.image) for each in inputs.services}
    else:
        lines.append(f"# Bring each service to {to.sha}, in this order:")
    sha = to.sha if to else ""
    lines += [engine.by_hand(Target(service, image, sha)) for service, image in moves.items()]
    lines.append(
        "# Then see that it answers, and record it: run this action again, or `deployment-record` with `phase: finish`."
    )
    lines += [f"curl --fail --silent --show-error {shlex.quote(url)}" for _, url in inputs.url]
    return "\n".join(lines)


def _placeholder(image: str) -> Image:
    try:
        return Image(reference(image).repository, "sha256:DIGEST")
    except NotUnderstood:
        return Image("IMAGE", opaque=True)
