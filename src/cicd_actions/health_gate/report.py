"""Makes a report of an ended gate: the headline, the outputs, the findings; `summary` and `document` have the rest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cicd_actions.health_gate import document, summary
from cicd_actions.health_gate.advice import usual_cause
from cicd_actions.health_gate.evidence import counted, deciding, names, observed_version, standing, took
from cicd_actions.health_gate.gate import Gate, Watched
from cicd_actions.toolkit.findings import Finding, Severity
from cicd_actions.toolkit.printable import shortened
from cicd_actions.toolkit.report import OutputValue, Report
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict

_ORDER = [Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS]


def report(gate: Gate, runtime: Runtime, name: str = "", file: Path | None = None) -> Report:
    """Returns the report of an ended gate. Its JSON goes to `file`, which the user calls `name`."""
    verdict = Verdict.INCONCLUSIVE if gate.cancelled_by is not None else gate.verdict
    ordered = sorted(gate.watched, key=lambda each: (_ORDER.index(each.verdict), not each.target.critical))
    reason = _reason(gate, ordered, verdict)
    findings = [_finding(each, gate) for each in ordered if each.verdict is not Verdict.PASS]
    if file and (lost := document.write(file, document.as_json(gate, verdict, reason), runtime)):
        findings.append(lost)
        name = ""
    return Report(
        verdict,
        _headline(gate, ordered, verdict),
        _outputs(gate, verdict, reason, name),
        findings,
        summary.blocks(ordered, gate),
        list_findings=False,
    )


def _headline(gate: Gate, ordered: Sequence[Watched], verdict: Verdict) -> str:
    """Returns the verdict in one sentence."""
    bad = [each for each in ordered if each.verdict is not Verdict.PASS]
    critical = [each for each in bad if each.target.critical]
    if gate.cancelled_by is not None:
        healthy = len(gate.watched) - len(bad)
        return (
            f"Cancelled after {gate.elapsed:.1f} s: {healthy} of {_targets(len(gate.watched))} had passed. This proves nothing."
        )
    if verdict is Verdict.PASS:
        what = "Healthy" if len(gate.watched) == 1 else f"All {len(gate.watched)} targets are healthy"
        if bad:
            what = f"{len(gate.watched) - len(bad)} of {_targets(len(gate.watched))} healthy (not critical: {names(bad)})"
        version = observed_version(gate)
        at = f" at version {summary.quoted(version)}" if version else ""
        return f"{what}{at} after {took(gate)} ({_effort(gate)})."
    failed = [each for each in critical if each.verdict is Verdict.FAIL]
    unjudged = [each for each in critical if each.verdict is Verdict.INCONCLUSIVE]
    parts = [f"Not healthy: {names(failed)}"] if failed else []
    parts += [f"could not judge {names(unjudged)}"] if unjudged else []
    passed = f"{len(gate.watched) - len(bad)} of {_targets(len(gate.watched))} passed, " if len(gate.watched) > 1 else ""
    said = "; ".join(parts)
    return f"{said[0].upper()}{said[1:]} ({passed}{_effort(gate)} in {took(gate)})."


def _reason(gate: Gate, ordered: Sequence[Watched], verdict: Verdict) -> str:
    """Returns the verdict and its evidence for the output `reason`: the last answer of the target that matters most."""
    worst = next((each for each in ordered if each.verdict is verdict and each.target.critical), None)
    if verdict is Verdict.PASS or gate.cancelled_by is not None or worst is None:
        return _headline(gate, ordered, verdict)
    return shortened(f"{worst.target.name}: {standing(worst, gate)}", 1000)


def _finding(each: Watched, gate: Gate) -> Finding:
    run = deciding(each)
    excerpt = f"\nIt said: {run.last.excerpt}" if run and run.last.excerpt and each.verdict is Verdict.FAIL else ""
    cause = usual_cause(each.target, run.last) if run else ""
    return Finding(
        rule=f"health-gate/{run.last.kind if run else 'not-probed'}",
        severity=Severity.ERROR if each.target.critical else Severity.WARNING,
        message=f"{each.target.name}: {standing(each, gate)}{excerpt}",
        fix=f"Usually: {cause}" if cause else "",
    )


def _outputs(gate: Gate, verdict: Verdict, reason: str, path: str) -> dict[str, OutputValue]:
    # A cancelled gate proves nothing, whatever its targets had answered by then.
    failed = [each.target.name for each in gate.watched if each.target.critical and each.verdict is Verdict.FAIL]
    failed = failed if verdict is Verdict.FAIL else []
    return {
        "verdict": verdict,
        "healthy": verdict is Verdict.PASS,
        "observed-version": observed_version(gate),
        "attempts": gate.attempts,
        "elapsed-ms": round(gate.elapsed * 1000),
        "failed-targets": failed,
        "reason": reason,
        "report": path,
    }


def _targets(number: int) -> str:
    return "1 target" if number == 1 else f"{number} targets"


def _effort(gate: Gate) -> str:
    """What was seen: `41 connections, 3 addresses`; `7 probes` where some were refused, or addresses mean nothing."""
    addresses = {name for each in gate.watched for name in each.history.peers}
    connections = sum(peer.connections for each in gate.watched for peer in each.history.peers.values())
    made = counted(gate.attempts, "connection" if connections == gate.attempts else "probe")
    return f"{made}, {counted(len(addresses), 'address', 'addresses')}" if addresses else made
