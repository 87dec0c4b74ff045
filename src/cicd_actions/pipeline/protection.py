"""Reads how GitHub protects a release's environments: who approves, and from which branches one may deploy.

GitHub makes an environment without any rule when a job first names it, so a name that is misspelt is an open door:
https://docs.github.com/actions/reference/workflows-and-actions/deployments-and-environments
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cicd_actions.github.client import GitHub, segment
from cicd_actions.github.errors import NotFound, Permission
from cicd_actions.toolkit.json_values import objects

ACTIONS = Permission("Actions", job="actions")


def lacking(github: GitHub, environments: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Returns what is missing and where to set it, for each environment of the plan and each approval environment.

    *environments* are settings of the plan: `name`, and `approval-environment` where there is one. One request each. Raises
    what GitHub's API raises.
    """
    found: list[tuple[str, str]] = []
    for settings in environments:
        name, approval = str(settings["name"]), str(settings.get("approval-environment") or "")
        rules = _read(github, name)
        if rules is None or not rules.get("deployment_branch_policy"):
            what = "does not exist" if rules is None else "takes deployments from every branch"
            found.append((f"The environment `{name}` {what}.", f"{_place(name)} → Deployment branches and tags"))
        if approval:
            rules = _read(github, approval)
            if rules is None or not _reviewers(rules):
                what = "does not exist" if rules is None else "has no required reviewers"
                found.append((f"The approval environment `{approval}` {what}.", f"{_place(approval)} → Required reviewers"))
    return found


def _place(name: str) -> str:
    return f"Settings → Environments → {name}"


def _read(github: GitHub, name: str) -> Mapping[str, Any] | None:
    """Returns GitHub's description of an environment, `None` where there is none."""
    try:
        found = github.get(f"{github.repo}/environments/{segment(name)}", f"read the environment {name}", needs=ACTIONS)
    except NotFound:
        return None
    return found if isinstance(found, dict) else None


def _reviewers(rules: Mapping[str, Any]) -> list[Any]:
    return [
        reviewer
        for rule in objects(rules.get("protection_rules"))
        if rule.get("type") == "required_reviewers"
        for reviewer in objects(rule.get("reviewers"))
    ]
