"""Writes the JSON report: everything that the gate saw, for programs."""

from __future__ import annotations

import json
from pathlib import Path

from cicd_actions.health_gate.evidence import healthy_after, observed_version, seen_version, standing, wrong_from
from cicd_actions.health_gate.gate import Gate, Watched
from cicd_actions.health_gate.history import Peer, runs_as_json
from cicd_actions.toolkit import private
from cicd_actions.toolkit.findings import Finding, Severity
from cicd_actions.toolkit.printable import visible
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict

VERSION = 1
"""Version of the JSON report's shape. While it stays, no key changes its meaning or goes away."""


def as_json(gate: Gate, verdict: Verdict, reason: str) -> dict[str, object]:
    """Returns the JSON report, version 1. Times are milliseconds since the gate started."""
    return {
        "version": VERSION,
        "verdict": verdict.value,
        "reason": reason,
        "cancelled": gate.cancelled_by is not None,
        "started-at": _utc(gate, 0.0),
        "elapsed-ms": round(gate.elapsed * 1000),
        "timeout-ms": round(gate.timeout * 1000),
        "attempts": gate.attempts,
        "observed-version": observed_version(gate),
        "targets": [
            {
                "name": each.target.name,
                "probes": each.target.place,
                "critical": each.target.critical,
                "verdict": each.verdict.value,
                "reason": standing(each, gate),
                "attempts": each.judge.probes,
                "healthy-after-ms": None if (after := healthy_after(each)) is None else round(after * 1000),
                "passes-revoked": each.judge.revoked,
                "version": seen_version(each),
                "wrong-since": _utc(gate, wrong_from(each)),
                "addresses": _addresses_as_json(each, gate),
                "answers": runs_as_json(each.history.runs),
            }
            for each in gate.watched
        ],
    }


def _utc(gate: Gate, seconds: float | None) -> str | None:
    return None if seconds is None else gate.moment(seconds).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _addresses_as_json(each: Watched, gate: Gate) -> list[dict[str, object]]:
    current = dict.fromkeys([*each.judge.addresses, *each.judge.unreached])
    return [
        {
            "address": name,
            "current": name in current,
            "probes": peer.probes,
            "wrong": peer.wrong,
            "wrong-since": _utc(gate, peer.wrong_from),
            "turned-wrong": peer.turned,
            "outcome": seen.outcome.value if seen else None,
            "label": seen.label if seen else None,
            "came": seen.came if seen else None,
            "version": seen.version if seen else None,
        }
        for name in dict.fromkeys([*current, *each.history.peers])
        for peer in [each.history.peers.get(name, Peer())]
        for seen in [peer.last]
    ]


def write(file: Path, document: dict[str, object], runtime: Runtime) -> Finding | None:
    """Writes the file. Returns why it could not: the verdict stands anyway, since a rollback may depend on it."""
    try:
        private.write(file, json.dumps(_cleaned(document, runtime), ensure_ascii=False, indent=1) + "\n")
    except OSError as error:
        said = f"Could not write the JSON report to {file}: {error.strerror}."
        return Finding(rule="health-gate/report", severity=Severity.WARNING, message=said)
    return None


def _cleaned(value: object, runtime: Runtime) -> object:
    if isinstance(value, str):
        return visible(runtime.redactor(value))
    if isinstance(value, list):
        return [_cleaned(item, runtime) for item in value]
    if isinstance(value, dict):
        return {key: _cleaned(item, runtime) for key, item in value.items()}
    return value
