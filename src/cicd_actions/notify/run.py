"""Runs notify: decides whether people have to know, writes the message, and sends it."""

from __future__ import annotations

from typing import Any

import apprise

from cicd_actions.github.client import GitHub
from cicd_actions.github.proof import RUNS
from cicd_actions.notify.inputs import Inputs
from cicd_actions.toolkit.errors import ActionError, UnusableInput
from cicd_actions.toolkit.findings import Finding, Severity
from cicd_actions.toolkit.printable import shortened, visible
from cicd_actions.toolkit.report import CodeBlock, Report
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict

_WORDS = {
    "passed": "passed",
    "failed": "failed",
    "inconclusive": "is inconclusive",
    "rolled-back": "was rolled back",
    "waiting": "waits for approval",
    "locked": "is locked",
    "recovered": "recovered",
}
_KINDS = {
    "passed": "success",
    "failed": "failure",
    "inconclusive": "warning",
    "rolled-back": "failure",
    "locked": "warning",
    "recovered": "success",
}

LONGEST_REASON = 800
"""Characters of the reason: with the links the text stays below Discord's limit of 2,000."""


def run(inputs: Inputs, runtime: Runtime) -> Report:
    """Returns `pass`, also when a notification fails: that is a warning. Raises `UnusableInput`."""
    if not inputs.urls:
        return _report("`urls` is empty, so nothing is sent.", sent=False)
    event = _event(inputs, runtime)
    if not event:
        return _report("Nothing changed since the last run, so nothing is sent.", sent=False)
    title, body = message(inputs, runtime, event)
    targets = [line.strip() for line in runtime.environment.secret(inputs.urls, input="urls").splitlines() if line.strip()]
    for target in targets:
        runtime.environment.mask(target)
    # Apprise keeps nothing on the disk, and expands nothing in the text.
    asset = apprise.AppriseAsset(storage_mode=apprise.PersistentStoreMode.MEMORY, secure_logging=True)
    failed: list[int] = []
    for number, target in enumerate(targets, 1):
        one = apprise.Apprise(asset=asset)
        if not one.add(target):
            raise UnusableInput(
                f"Line {number} of the variable {inputs.urls} is not a URL that Apprise knows.",
                fix="    env:\n      NOTIFY_URLS: ${{ secrets.NOTIFY_URLS }}",
            )
        try:
            sent = bool(one.notify(body=body, title=title, notify_type=_KINDS.get(event, "info"), timeout=inputs.timeout))
        except (OSError, ValueError, TypeError) as error:
            runtime.log(f"Could not send notification {number}: {error}")
            sent = False
        if not sent:
            failed.append(number)
    findings = [
        Finding("notify/not-sent", Severity.WARNING, f"Could not send the notification of line {number} of {inputs.urls}.")
        for number in failed
    ]
    report = _report(f"{title}: sent to {len(targets) - len(failed)} of {len(targets)}.", sent=not failed, text=body)
    report.findings += findings
    return report


def message(inputs: Inputs, runtime: Runtime, event: str) -> tuple[str, str]:
    """Returns title and text: what happened, why, and the links that a person on call needs. Secrets are masked."""
    variables = runtime.variables
    server, repository = variables.get("GITHUB_SERVER_URL", "https://github.com"), variables.get("GITHUB_REPOSITORY", "")
    page, run_id = f"{server.rstrip('/')}/{repository}", variables.get("GITHUB_RUN_ID", "")
    sha = inputs.sha or variables.get("GITHUB_SHA", "")
    where = f" in {inputs.environment}" if inputs.environment else ""
    what = " ".join(word for word in ("Commit", sha[:12], f"of {repository}" if repository else "") if word)
    back = event == "rolled-back" and inputs.previous_sha
    lines = [f"{what}{where} {f'was rolled back to {inputs.previous_sha[:12]}' if back else _WORDS[event]}."]
    if inputs.reason:
        lines.append(shortened(inputs.reason, LONGEST_REASON))
    links = {
        "Run": f"{page}/actions/runs/{run_id}" if repository and run_id else "",
        "Changes": f"{page}/compare/{inputs.previous_sha}...{sha}" if repository and inputs.previous_sha and sha else "",
        "Roll back": inputs.rollback_url,
        "Runbook": inputs.runbook,
    }
    lines += [f"{name}: {url}" for name, url in links.items() if url]
    text = [visible(runtime.redactor(line)) for line in lines]
    title = visible(runtime.redactor(f"{repository or 'The deploy'}{where} {_WORDS[event]}"))
    return title, "\n".join(text)


def _event(inputs: Inputs, runtime: Runtime) -> str:
    """Returns the event to tell of; empty for none. What ended as the last run did is not news."""
    if inputs.event in {"rolled-back", "waiting", "locked"}:
        return inputs.event
    try:
        before = _last(inputs, runtime)
    except ActionError as error:
        runtime.log(f"{error.what} The notification is sent.")
        before = None
    if inputs.event == "passed" and before is False:
        return "recovered"
    news = before is not False and inputs.event != "passed"
    return inputs.event if news or not inputs.on_change_only else ""


def _last(inputs: Inputs, runtime: Runtime) -> bool | None:
    """Returns whether the last run of this workflow and branch succeeded; `None` when there is none."""
    variables = runtime.variables
    repository = variables.get("GITHUB_REPOSITORY", "")
    if not repository:
        return None
    github = GitHub(inputs.github_token, repository, runtime, runtime.deadline(inputs.timeout), attempts=2)
    branch, number = variables.get("GITHUB_REF_NAME", ""), variables.get("GITHUB_RUN_ID", "")
    path = variables.get("GITHUB_WORKFLOW_REF", "").partition("@")[0].partition("/.github/")[2]
    found: Any = github.get(
        f"{github.repo}/actions/runs", "read the last runs", needs=RUNS, branch=branch, status="completed", per_page=50
    )
    listed = found.get("workflow_runs", []) if isinstance(found, dict) else []
    for each in listed:
        same = each.get("head_branch") == branch and str(each.get("id")) != number
        same = same and (not path or str(each.get("path", "")).partition("@")[0] == f".github/{path}")
        if same and each.get("conclusion") in {"success", "failure", "timed_out", "startup_failure"}:
            return bool(each["conclusion"] == "success")
    return None


def _report(headline: str, *, sent: bool, text: str = "") -> Report:
    outputs: dict[str, Any] = {"verdict": Verdict.PASS, "reason": headline, "sent": sent}
    return Report(Verdict.PASS, headline, outputs, [], [CodeBlock(text)] if text else [])
