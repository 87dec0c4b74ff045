"""The inputs of notify."""

from __future__ import annotations

from dataclasses import dataclass

from cicd_actions.toolkit.grammar import NotUnderstood, boolean, choice, duration, string, variable_name
from cicd_actions.toolkit.inputs import declare

EVENTS = ("passed", "failed", "inconclusive", "rolled-back", "waiting", "locked")


def _variable(text: str) -> str:
    return variable_name(text) if text.strip() else ""


def _page(text: str) -> str:
    url = text.strip()
    if url and not url.startswith(("http://", "https://")):
        raise NotUnderstood(f"`{url[:200]}` is not the URL of a page", example="https://wiki.example.com/runbook")
    return url


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What happened, and who is told."""

    event: str = declare(
        choice(*EVENTS),
        "What happened: `passed`, `failed`, `inconclusive`, `rolled-back`, `waiting` or `locked`.",
        required=True,
    )
    urls: str = declare(
        _variable,
        "The name of an environment variable with one Apprise URL per line, such as `slack://…`. Default: nothing is sent.",
    )
    environment: str = declare(string, "The environment, such as `production`.")
    sha: str = declare(string, "The commit. Default: the run's commit.")
    previous_sha: str = declare(
        string, "The commit that ran before: the message links the difference, or names the rollback's target."
    )
    reason: str = declare(string, "One sentence: what failed, with the gate's evidence.")
    runbook: str = declare(_page, "The URL of the runbook.")
    rollback_url: str = declare(_page, "The URL of the rollback workflow.")
    on_change_only: bool = declare(
        boolean,
        "Tell of `passed`, `failed` and `inconclusive` only when the last run of this workflow and branch ended otherwise.",
        default="true",
    )
    github_token: str = declare(
        string,
        "A token with `actions: read`, which reads how the last run ended.",
        secret=True,
        action_default="${{ github.token }}",
    )
    timeout: float = declare(duration, "How long the action may take.", default="30s")
