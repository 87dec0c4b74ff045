"""Verifies the attestation of each image, and reports."""

from __future__ import annotations

from collections.abc import Sequence

from cicd_actions.github import attestations
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import ActionError
from cicd_actions.toolkit.findings import Finding, Severity
from cicd_actions.toolkit.report import Block, Code, CodeBlock, Inline, OutputValue, Paragraph, Report, Table
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict
from cicd_actions.verify_attestation.inputs import Inputs


def run(inputs: Inputs, runtime: Runtime) -> Report:
    """Returns `fail` for an image that is proven to be unattested. Raises `UnusableInput`."""
    policy = attestations.policy(inputs, inputs.repository or runtime.variables.get("GITHUB_REPOSITORY", ""))
    if policy is None:
        said = "`require-attestation` is false, so nothing is verified."
        return _report(Verdict.PASS, said, {})
    deadline = runtime.deadline(inputs.timeout)
    known: dict[str, attestations.Attestation | ActionError] = {}
    found: dict[str, str] = {}
    failed: list[ActionError] = []
    rows: list[Sequence[Inline]] = []
    for each in inputs.services:
        if each.image not in known:
            known[each.image] = _asked(each.image, inputs, policy, runtime, deadline)
        answer = known[each.image]
        if isinstance(answer, ActionError):
            failed.append(answer)
            rows.append((each.service, Code(each.image), "not proven", "", ""))
        else:
            found[each.service] = answer.id
            rows.append((each.service, Code(each.image), Code(answer.id), Code(answer.ref), Code(answer.commit[:12])))
    failed = list({error.what: error for error in failed}.values())
    verdict = max((error.verdict for error in failed), key=_weight, default=Verdict.PASS)
    headline = " ".join(error.what for error in failed) or f"{len(found)} images are attested by {policy.signer_workflow}."
    blocks: list[Block] = [Table(("service", "image", "attestation", "built on", "commit"), rows)]
    for error in failed:
        blocks += [Paragraph(text) for text in (error.cause,) if text]
        blocks += [CodeBlock(text) for text in (error.fix,) if text]
    findings = [
        Finding("verify-attestation/unproven", Severity.ERROR, f"{error.what} {error.cause}".strip(), fix=error.fix)
        for error in failed
    ]
    return _report(verdict, headline, found, findings, blocks)


def _asked(
    image: str, inputs: Inputs, policy: attestations.Policy, runtime: Runtime, deadline: Deadline
) -> attestations.Attestation | ActionError:
    try:
        return attestations.verify(image, inputs.sha, policy, inputs.github_token, runtime, deadline)
    except ActionError as error:
        if error.exit_code == 2:
            raise
        return error


def _weight(verdict: Verdict) -> int:
    return (Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL).index(verdict)


def _report(
    verdict: Verdict, headline: str, found: dict[str, str], findings: Sequence[Finding] = (), blocks: Sequence[Block] = ()
) -> Report:
    outputs: dict[str, OutputValue] = {"verdict": verdict, "reason": headline, "attestations": found or ""}
    return Report(verdict, headline, outputs, list(findings), list(blocks), list_findings=False)
