"""Defines pipeline-metrics: what the runs and the records of repositories say, as figures, a dashboard and exports."""

from __future__ import annotations

from cicd_actions.pipeline_metrics.inputs import Inputs
from cicd_actions.toolkit.definition import Action, Output

ACTION = Action(
    name="pipeline-metrics",
    summary="Measures pipelines from runs and records: success, duration, flakiness, cost and DORA, with a dashboard.",
    inputs=Inputs,
    outputs=(
        Output(
            "verdict",
            "`fail` when a condition of `fail-on` holds, `inconclusive` when something is not known, else `pass`.",
        ),
        Output("figures", 'The figures as JSON by metric: `{"success-rate": 96.2, …}`; `null` where the samples are too few.'),
        Output("dashboard", "The path of the dashboard's page."),
        Output("reason", "One sentence: what was found."),
    ),
    run="cicd_actions.pipeline_metrics.run.run",
    icon="bar-chart-2",
    color="blue",
    groups={
        "Set first": "environment fail-on store dashboard github-token",
        "What is measured": "repositories days workflows branches details request-budget per-person rates",
        "Where the figures go": "export pushgateway otlp headers",
    },
)
