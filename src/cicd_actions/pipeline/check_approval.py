"""`check-approval`: refuses a deploy whose approval is missing, or older than it may be."""

from __future__ import annotations

import time
from dataclasses import dataclass

from cicd_actions.github.client import GitHub
from cicd_actions.github.errors import Permission
from cicd_actions.toolkit.definition import Action
from cicd_actions.toolkit.errors import Failed
from cicd_actions.toolkit.grammar import duration, string, whole
from cicd_actions.toolkit.inputs import declare
from cicd_actions.toolkit.json_values import members, objects
from cicd_actions.toolkit.report import Report
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The approval environment, and when the approve job ran."""

    environment: str = declare(string, "The approval environment.", required=True)
    at: int = declare(whole(0), "When the approve job ran, in seconds since 1970.", required=True)
    lasts: float = declare(duration, "How long an approval counts.", default="24h")
    github_token: str = declare(string, "Token with `actions: read`.", secret=True, action_default="${{ github.token }}")


def run(inputs: Inputs, runtime: Runtime) -> Report:
    """Checks. Raises `Failed` for an approval that does not count, and what GitHub's API raises."""
    variables = runtime.variables
    github = GitHub(inputs.github_token, variables.get("GITHUB_REPOSITORY", ""), runtime, runtime.deadline(60))
    path = f"{github.repo}/actions/runs/{variables.get('GITHUB_RUN_ID', '')}/approvals"
    found = github.get(path, "read the approvals of this run", needs=Permission("Actions"))
    approved = [each for each in objects(found) if each.get("state") == "approved" and inputs.environment in _names(each)]
    if not approved:
        raise Failed(
            f"Refused to deploy: this run has no approval for the environment `{inputs.environment}`.",
            cause="GitHub asks for one only where the environment has required reviewers.",
            fix=f"Settings → Environments → {inputs.environment} → Required reviewers.",
        )
    age = time.time() - inputs.at
    if age > inputs.lasts:
        raise Failed(
            f"Refused to deploy: the approval for `{inputs.environment}` is {age / 3600:.1f} hours old, and counts for"
            f" {inputs.lasts / 3600:g}.",
            cause="Failed jobs that are run again reuse an approval.",
            fix="Run all jobs again, and approve again.",
        )
    who = ", ".join(str(members(each.get("user")).get("login", "unknown")) for each in approved)
    return Report(Verdict.PASS, f"Approved by {who}, {age / 60:.0f} minutes ago.")


def _names(review: dict[str, object]) -> list[str]:
    return [str(each.get("name")) for each in objects(review.get("environments"))]


ACTION = Action(
    name="check-approval",
    summary="Refuses a deploy whose approval is missing, or older than it may be.",
    inputs=Inputs,
    outputs=(),
    run="cicd_actions.pipeline.check_approval.run",
    icon="user-check",
    color="blue",
)
