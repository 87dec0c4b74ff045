"""The inputs of notify."""

from __future__ import annotations

from dataclasses import dataclass

from cicd_actions.github.inputs import RecordInputs
from cicd_actions.toolkit.grammar import NotUnderstood, boolean, choice, duration, lines, string, variable_name
from cicd_actions.toolkit.inputs import declare

EVENTS = ("passed", "failed", "inconclusive", "rolled-back", "waiting", "locked", "refused")

_OUTCOMES = {"pass": "passed", "success": "passed", "fail": "failed", "failure": "failed", "cancelled": ""}
"""An action's verdict, or `job.status`, as an event."""


def _event(text: str) -> str:
    found = choice(*EVENTS, *_OUTCOMES)(text)
    return _OUTCOMES.get(found, found)


def _input(text: str) -> str:
    name, equals, _ = text.strip().partition("=")
    if not (equals and name.strip()):
        raise NotUnderstood(f"`{text.strip()[:100]}` is not an input of a workflow", example="environment=production")
    return text.strip()


def _variable(text: str) -> str:
    return variable_name(text) if text.strip() else ""


def _page(text: str) -> str:
    url = text.strip()
    if url and not url.startswith(("http://", "https://")):
        raise NotUnderstood(f"`{url[:200]}` is not the URL of a page", example="https://wiki.example.com/runbook")
    return url


@dataclass(frozen=True, kw_only=True)
class Inputs(RecordInputs):
    """What happened, and who gets the message."""

    event: str = declare(
        _event,
        "What happened: `passed`, `failed`, `inconclusive`, `rolled-back`, `waiting`, `locked` or `refused`. It also takes a"
        " gate's `verdict` and `job.status`; `cancelled` sends nothing.",
        required=True,
    )
    urls: str = declare(
        _variable,
        "The name of an environment variable with one Apprise URL per line, such as `slack://…`. `failed, recovered = URL`"
        " sends only these events there. Default: nothing is sent.",
    )
    environment: str = declare(
        string, "The environment, such as `production`. Its records say what was before. Default: the last run says it."
    )
    sha: str = declare(string, "The commit. Default: the run's commit.")
    previous_sha: str = declare(
        string,
        "The commit that ran before: the message links the difference, or names the rollback's target. Default: the last good"
        " release, by the records.",
    )
    reason: str = declare(
        string, "What failed, with its evidence, such as the gate's `reason`. Its first line also tells one fault from another."
    )
    runbook: str = declare(_page, "The URL of the runbook.")
    rollback_url: str = declare(
        _page, "The URL of the rollback workflow: `https://github.com/octo-org/shop/actions/workflows/rollback.yml`."
    )
    rollback_inputs: tuple[str, ...] = declare(
        lines(_input),
        "Inputs of the rollback workflow in the command that the message shows, one `name=value` per line. Default:"
        " `environment`, `to-sha` from `previous-sha`, and `dry-run=false`.",
    )
    on_change_only: bool = declare(
        boolean,
        "Report a failure once, and a pass only after a failure. Rollbacks and waiting approvals are always reported.",
        default="true",
    )
    github_token: str = declare(
        string,
        "A token with `actions: read`, and with `deployments: read` and `contents: read` for records, changes and owners.",
        secret=True,
        action_default="${{ github.token }}",
    )
    timeout: float = declare(duration, "How long the action may take.", default="30s")
