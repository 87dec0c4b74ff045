"""`promoted-images`: finds the digests of a commit that passed its gate in an environment, so that nothing is built again.

The record is only looked up here. The deploy itself proves that exactly these images passed there, with the key of its
environment, before anything moves.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from cicd_actions.github.client import GitHub
from cicd_actions.github.inputs import RecordInputs
from cicd_actions.github.proof import Trust
from cicd_actions.github.records import Records
from cicd_actions.github.release_record import digest_of
from cicd_actions.toolkit.definition import Action, Output
from cicd_actions.toolkit.errors import Failed
from cicd_actions.toolkit.grammar import string
from cicd_actions.toolkit.inputs import declare, load
from cicd_actions.toolkit.report import Code, Inline, Report, Table
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What the plan says of the promotion."""

    build: str = declare(string, "What is promoted as JSON, from the plan.", required=True)
    github_token: str = declare(
        string, "Token with `deployments: read` and `actions: read`.", secret=True, action_default="${{ github.token }}"
    )


def run(inputs: Inputs, runtime: Runtime) -> Report:
    """Finds the digests. Raises `Failed` where the commit has not passed there, and what GitHub's API raises."""
    build: dict[str, Any] = json.loads(inputs.build)
    source, sha, services = build["promote-from"], build["sha"], build["services"]
    repository = runtime.variables.get("GITHUB_REPOSITORY", "")
    # A record names an app only where it is not the repository.
    app = "" if build["app"] == repository else build["app"]
    trust = Trust.of(load(RecordInputs, {"app": app, "records-refs": build["records-refs"]}, runtime.redactor), runtime)
    records = Records(GitHub(inputs.github_token, repository, runtime, runtime.deadline(60)), app, trust)
    history = records.of_sha(source, sha)
    release = next((each for each in history.good(list(services)) if set(services) <= set(each.services)), None)
    if release is None:
        skipped = f" These records do not count: {'; '.join(history.passed_over[:3])}." if history.passed_over else ""
        raise Failed(
            f"Cannot promote {sha[:12]}: no record says that it passed its gate in {source}.",
            cause=f"A promotion builds nothing, so every service must have passed there before.{skipped}",
            fix=f"Release the commit to {source} first, or run the workflow from the branch or tag of one that passed there."
            ' An environment that follows no other has:\n\n    after: ""',
        )
    digests: dict[str, str] = {}
    for service, image in services.items():
        digest = digest_of(release.services[service])
        if digests.setdefault(image, digest) != digest:
            raise Failed(f"Cannot promote {sha[:12]}: services of the image `{image}` ran different digests in {source}.")
    rows: list[tuple[Inline, ...]] = [(image, Code(digest)) for image, digest in digests.items()]
    headline = f"Promotes what passed in {source}: {', '.join(digests)}."
    return Report(Verdict.PASS, headline, {"digests": digests}, blocks=[Table(("image", "digest"), rows)])


ACTION = Action(
    name="promoted-images",
    summary="Finds the images of a commit that passed in an environment, so that a promotion builds nothing.",
    inputs=Inputs,
    outputs=(Output("digests", "JSON object: the digest of each image, by its name."),),
    run="cicd_actions.pipeline.promoted_images.run",
    icon="chevrons-up",
    color="blue",
)
