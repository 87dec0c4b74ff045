"""Decide whether a run releases its commit: both lanes ran in full, the event may release, and the ref is named for it."""

from __future__ import annotations

import fnmatch
import os
from typing import NamedTuple

from cicd_actions.pipeline import step

# A pull request or a merge queue's group is a candidate, never a release.
RELEASING_EVENTS = frozenset({"push", "workflow_dispatch"})


class Release(NamedTuple):
    """How far this run goes, and why, in words without any text from outside."""

    staging: bool
    production: bool
    reason: str


def matches(ref: str, patterns: str) -> bool:
    return any(fnmatch.fnmatchcase(ref, line.strip()) for line in patterns.splitlines() if line.strip())


def decide(event_name: str, ref: str, complete: bool, staging_refs: str, production_refs: str) -> Release:
    """Hold one run to the rules. *ref* is a full one (`refs/heads/main`), and so are the patterns, one per line."""
    if event_name not in RELEASING_EVENTS:
        return Release(False, False, f"{event_name} never releases")
    if not matches(ref, staging_refs):
        return Release(False, False, "this branch or tag is not named for a release")
    if not complete:
        return Release(False, False, "no lane had to run: there is nothing to release")
    if not matches(ref, production_refs or staging_refs):
        return Release(True, False, "to staging only: this branch or tag is not named for production")
    return Release(True, True, "to staging, then to production")


def main() -> None:
    inputs = step.inputs()
    staging_refs = inputs["staging-refs"]
    if not staging_refs.strip():
        branch = step.event().get("repository", {}).get("default_branch")
        if not branch:
            step.fail("The event does not name the default branch; set `staging-refs: refs/heads/main`", 2)
        # The name itself, not a pattern: a branch may be called `v[1]`.
        staging_refs = f"refs/heads/{branch}".translate({ord(character): f"[{character}]" for character in "*?["})
    release = decide(
        os.environ["GITHUB_EVENT_NAME"],
        os.environ["GITHUB_REF"],
        inputs["complete"] == "true",
        staging_refs,
        inputs["production-refs"].strip(),
    )
    step.log(f"release: {release.staging}, production: {release.production}: {release.reason}")
    step.output("release", release.staging)
    step.output("production", release.production)
    step.summary(f"**Release `{os.environ['GITHUB_SHA']}`:** {release.reason}.")
