"""Gives a person the exact commands, as far as anything is known, for when the action cannot go on."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from urllib.parse import quote

from cicd_actions.engines.protocol import Engine, Image, Target
from cicd_actions.engines.reference import reference
from cicd_actions.github.release_record import Task
from cicd_actions.rollback_to_previous_sha.inputs import Inputs
from cicd_actions.rollback_to_previous_sha.plan import Move
from cicd_actions.toolkit.grammar import NotUnderstood


def steps(inputs: Inputs, engine: Engine, repository: str, to_sha: str, moves: Iterable[Move]) -> str:
    """Returns shell lines with comments. `moves` are the services still to roll back; without any, that is not known."""
    targets = [Target(move.service, move.image, move.sha) for move in moves]
    if targets:
        lines = [f"# Roll each service back to {to_sha}, in this order:"]
        again = f"# Then run this action again with `to-sha: {to_sha}`. It moves only what is left, and verifies it."
    else:
        query = f"environment={quote(inputs.environment.lower(), safe='')}&task={quote(Task.PASSED.value, safe='')}&per_page=10"
        asked = ["gh", "api", f"repos/{repository}/deployments?{query}"]
        asked += [
            "--jq",
            ".[] | {id, sha, created_at, creator: .creator.login, run: .payload.run.url, services: .payload.services}",
        ]
        lines = [
            "# 1. Find the last release that passed its gate: the newest whose run is a deploy that you know,",
            "#    other than the release to leave.",
            shlex.join(asked),
            f"# 2. Roll each service back to its {'image' if engine.opaque_images else 'digest'}, in this order:",
        ]
        opaque = engine.opaque_images
        lines += ["#    (IMAGE is what its record has in `services`, COMMIT its `sha`)"] if opaque else []
        commit = "COMMIT" if opaque else ""
        targets = [Target(each.service, _placeholder(each.image, opaque=opaque), commit) for each in inputs.services]
        again = "# Then verify and record it: run this action again with `to-sha:` and that commit."
    lines += [engine.by_hand(target) for target in targets]
    lines += [again, *(f"curl --fail --silent --show-error {shlex.quote(url)}" for _, url in inputs.url)]
    return "\n".join(lines)


def _placeholder(image: str, *, opaque: bool) -> Image:
    if opaque and "/" not in image:
        return Image("IMAGE", opaque=True)
    try:
        return Image(reference(image).repository, "sha256:DIGEST")
    except NotUnderstood:
        return Image("IMAGE", opaque=True)
