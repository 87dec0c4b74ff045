"""`promoted-images`: finds the digests of a commit that passed its gate in an environment, or is staged there.

So nothing is built again. The record is only looked up here. Before anything moves, the deploy itself proves that exactly these
images passed, with the key of its environment, or that their stage stands.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cicd_actions.github.client import GitHub
from cicd_actions.github.history import History, Release
from cicd_actions.github.inputs import RecordInputs
from cicd_actions.github.proof import Trust
from cicd_actions.github.records import Records
from cicd_actions.github.release_record import Record, digest_of
from cicd_actions.toolkit.definition import Action, Output
from cicd_actions.toolkit.errors import Failed
from cicd_actions.toolkit.grammar import string
from cicd_actions.toolkit.inputs import declare, load
from cicd_actions.toolkit.report import Code, Inline, Report, Table
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What the plan says of the release."""

    build: str = declare(string, "What is promoted as JSON, from the plan.", required=True)
    github_token: str = declare(
        string, "Token with `deployments: read` and `actions: read`.", secret=True, action_default="${{ github.token }}"
    )


def run(inputs: Inputs, runtime: Runtime) -> Report:
    """Finds the digests. Raises `Failed` where there is no such release, and what GitHub's API raises."""
    build: dict[str, Any] = json.loads(inputs.build)
    services: dict[str, str] = build["services"]
    repository = runtime.variables.get("GITHUB_REPOSITORY", "")
    # A record names an app only where it is not the repository.
    app = "" if build["app"] == repository else build["app"]
    trust = Trust.of(load(RecordInputs, {"app": app, "records-refs": build["records-refs"]}, runtime.redactor), runtime)
    records = Records(GitHub(inputs.github_token, repository, runtime, runtime.deadline(60)), app, trust)
    where = build.get("staged-in") or build["promote-from"]
    found = _staged(records, where, services) if "staged-in" in build else _passed(records, where, services, build["sha"])
    digests: dict[str, str] = {}
    for service, image in services.items():
        digest = digest_of(found.services[service])
        if digests.setdefault(image, digest) != digest:
            raise Failed(f"Cannot promote {found.sha[:12]}: services of the image `{image}` ran different digests in {where}.")
    rows: list[tuple[Inline, ...]] = [(image, Code(digest)) for image, digest in digests.items()]
    headline = f"{found.sha[:12]} in {where}: {', '.join(digests)}."
    return Report(Verdict.PASS, headline, {"digests": digests, "sha": found.sha}, blocks=[Table(("image", "digest"), rows)])


def _passed(records: Records, where: str, services: Mapping[str, str], sha: str) -> Release:
    history = records.of_sha(where, sha)
    release = next((each for each in history.good(list(services)) if set(services) <= set(each.services)), None)
    if release is None:
        raise Failed(
            f"Cannot promote {sha[:12]}: no record says that it passed its gate in {where}.",
            cause=f"A promotion builds nothing, so every service must have passed there before.{_passed_over(history)}",
            fix=f"Release the commit to {where} first, or run the workflow from the branch or tag of one that passed there."
            ' An environment that follows no other has:\n\n    after: ""',
        )
    return release


def _staged(records: Records, where: str, services: Mapping[str, str]) -> Record:
    """Returns the newest deploy without a verdict. Whether its stage stands, only the engine knows."""
    history = records.history(where, lambda history: bool(history.outcomes) or history.unjudged() is not None)
    found = history.unjudged()
    newer = [each for each in history.outcomes if found is not None and each.id > found.id]
    if found is None or newer or not set(services) <= set(found.services):
        raise Failed(
            f"Cannot end a stage in {where}: the newest release there has a verdict.",
            cause=f"A stage waits between its deploy and its verdict.{_passed_over(history)}",
            fix="Stage a release first:\n\n    strategy: blue-green\n    promote: manual",
        )
    return found


def _passed_over(history: History) -> str:
    return f" These records do not count: {'; '.join(history.passed_over[:3])}." if history.passed_over else ""


ACTION = Action(
    name="promoted-images",
    summary="Finds the images of a release that passed or is staged in an environment, so that a promotion builds nothing.",
    inputs=Inputs,
    outputs=(
        Output("digests", "JSON object: the digest of each image, by its name."),
        Output("sha", "The commit of the release."),
    ),
    run="cicd_actions.pipeline.promoted_images.run",
    icon="chevrons-up",
    color="blue",
)
