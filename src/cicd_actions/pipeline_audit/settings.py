"""Asks GitHub for the settings that rules depend on: required reviewers, and what the default token may do."""

from __future__ import annotations

from collections.abc import Iterable

from cicd_actions.github.client import GitHub, segment
from cicd_actions.github.errors import Permission
from cicd_actions.pipeline_audit.facts import Settings
from cicd_actions.toolkit.errors import ActionError, UnusableInput
from cicd_actions.toolkit.json_values import members, objects
from cicd_actions.toolkit.runtime import Runtime

MOST_ENVIRONMENTS = 20

_ENVIRONMENTS = Permission("Actions", job="actions")
_ADMINISTRATION = Permission("Administration")


def ask(github: GitHub, environments: Iterable[str], runtime: Runtime) -> Settings:
    """Returns what the token may read; what it may not stays unknown, and is logged. At most 21 requests."""
    reviewers: dict[str, bool | None] = {}
    for name in sorted(environments)[:MOST_ENVIRONMENTS]:
        try:
            answer = github.get(
                f"{github.repo}/environments/{segment(name)}", f"read the environment `{name}`", needs=_ENVIRONMENTS
            )
        except UnusableInput:
            raise
        except ActionError as error:
            runtime.log(error.what)
            reviewers[name] = None
            continue
        rules = objects(members(answer).get("protection_rules"))
        reviewers[name] = any(rule.get("type") == "required_reviewers" and objects(rule.get("reviewers")) for rule in rules)
    default: str | None = None
    try:
        answer = github.get(
            f"{github.repo}/actions/permissions/workflow", "read the default token's permissions", needs=_ADMINISTRATION
        )
        default = str(answer.get("default_workflow_permissions")) if isinstance(answer, dict) else None
    except UnusableInput:
        raise
    except ActionError as error:
        runtime.log(error.what)
    return Settings(reviewers, default)
