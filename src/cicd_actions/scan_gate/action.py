"""Defines scan-gate."""

from __future__ import annotations

from cicd_actions.scan_gate.inputs import Inputs
from cicd_actions.toolkit.definition import Action, Output

ACTION = Action(
    name="scan-gate",
    summary="Gives one verdict on the reports of all security scanners, by SLA.",
    inputs=Inputs,
    outputs=(
        Output("verdict", "`pass`, `fail` or `inconclusive` (a scan that did not run, failed, or was stale)."),
        Output("reason", "The verdict in a sentence."),
        Output("critical", "Number of open critical findings."),
        Output("major", "Number of open major findings."),
        Output("minor", "Number of open minor findings."),
        Output("overdue", "Number of open findings whose SLA has passed."),
        Output("new", "Number of open findings that the baseline does not know; empty without a baseline."),
        Output("inconclusive", "Scans that prove nothing, as a JSON list of `scanner`, `report` and `why`."),
        Output("report", "Path of the report as JSON: scans, and findings with their age and SLA."),
        Output("sarif", "Path of the findings of all scanners as SARIF 2.1.0, for github/codeql-action/upload-sarif."),
    ),
    run="cicd_actions.scan_gate.run.run",
    icon="shield",
    color="blue",
    groups={
        "Set first": "reports images fail-on acknowledge store",
        "What fails": "fail-on-new only-new unfixed tiers sla max-age database-max-age hygiene",
        "Known findings": "baseline write-baseline",
    },
)
