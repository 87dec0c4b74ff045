"""Defines pipeline-audit."""

from __future__ import annotations

from cicd_actions.pipeline_audit.inputs import Inputs
from cicd_actions.toolkit.definition import Action, Output

ACTION = Action(
    name="pipeline-audit",
    summary="Says what is wrong with a deployment pipeline from its shape: rollback, staging, migrations, gates, tokens.",
    inputs=Inputs,
    outputs=(
        Output("verdict", "`pass`, `fail` or `inconclusive`."),
        Output("reason", "The verdict in a sentence."),
        Output("critical", "Number of open critical findings."),
        Output("major", "Number of open major findings."),
        Output("minor", "Number of open minor findings."),
        Output("overdue", "Number of open findings whose SLA has passed; critical ones always count."),
        Output("inconclusive", "Rules that could not be determined, as a JSON list."),
        Output("report", "Path of the report as JSON: rules, findings with age and SLA, checklists."),
        Output("sarif", "Path of the findings as SARIF 2.1.0."),
        Output("patch", "Path of the patch that `fix` wrote. Empty without one."),
    ),
    run="cicd_actions.pipeline_audit.run.run",
    icon="clipboard",
    color="blue",
    groups={
        "Set first": "fail-on acknowledge github-token",
        "Known findings": "baseline write-baseline base",
        "A patch": "fix pins",
    },
)
