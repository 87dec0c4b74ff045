"""Runs notify: decides whether people have to know, writes the message, and sends it."""

from __future__ import annotations

from typing import Any

from cicd_actions.notify import delivery
from cicd_actions.notify.inputs import Inputs
from cicd_actions.notify.message import Message
from cicd_actions.notify.situation import Situation
from cicd_actions.toolkit.findings import Finding, Severity
from cicd_actions.toolkit.report import Bullets, CodeBlock, Link, Paragraph, Report
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict


def run(inputs: Inputs, runtime: Runtime) -> Report:
    """Returns `pass`, also when a notification fails: that is a warning."""
    if not inputs.urls:
        return _report("`urls` is empty, so nothing is sent.")
    listed = runtime.variables.get(inputs.urls, "")
    if not listed.strip():
        return _report(
            f"The variable {inputs.urls} is empty, so nothing is sent.",
            _warning(
                "no-urls",
                f"The input `urls` names the variable {inputs.urls}, which is empty.",
                "Hand it to the step (a pull request from a fork gets no secrets):\n\n"
                f"    env:\n      {inputs.urls}: ${{{{ secrets.{inputs.urls} }}}}",
            ),
        )
    targets = delivery.targets(runtime.environment.secret(inputs.urls, input="urls"))
    for secret in {secret for target in targets for secret in delivery.secrets_of(target)}:
        runtime.mask(secret)
    if not inputs.event:
        return _report("The run was cancelled, so nothing is sent.")
    message = Situation(inputs, runtime).message()
    if message is None:
        return _report("Nothing changed since the last run, so nothing is sent.")
    return _told(inputs, runtime, message, [target for target in targets if target.hears(message.event)])


def _told(inputs: Inputs, runtime: Runtime, message: Message, targets: list[delivery.Target]) -> Report:
    deadline = runtime.deadline(inputs.timeout / 2)
    findings = []
    for target in targets:
        why = delivery.send(target, message, runtime, deadline.remaining) if not deadline.expired else "the deadline passed."
        if why:
            findings.append(
                _warning("not-sent", f"Could not send the notification of line {target.number} of {inputs.urls}: {why}")
            )
    headline = f"{message.title}: sent to {len(targets) - len(findings)} of {len(targets)}."
    report = _report(headline, *findings, sent=not findings)
    report.blocks += [
        Paragraph(message.lead),
        *([CodeBlock(message.evidence)] if message.evidence else []),
        Bullets([*(f"{name}: {text}" for name, text in message.facts), *(Link(name, url) for name, url in message.links)]),
        *([CodeBlock(message.command)] if message.command else []),
    ]
    return report


def _warning(rule: str, text: str, fix: str = "") -> Finding:
    return Finding(f"notify/{rule}", Severity.WARNING, text, fix=fix)


def _report(headline: str, *findings: Finding, sent: bool = False) -> Report:
    outputs: dict[str, Any] = {"verdict": Verdict.PASS, "reason": headline, "sent": sent}
    return Report(Verdict.PASS, headline, outputs, list(findings))
