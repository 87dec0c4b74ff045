"""Defines health-gate: waits until targets answer right, and judges them."""

from __future__ import annotations

from cicd_actions.health_gate.inputs import Inputs
from cicd_actions.toolkit.definition import Action, Output

ACTION = Action(
    name="health-gate",
    summary="Waits until the deployed service answers right, everywhere and for long enough, and shows the evidence if not.",
    inputs=Inputs,
    outputs=(
        Output("verdict", "`pass`, `fail` or `inconclusive`."),
        Output("healthy", "`true` when the verdict is `pass`, else `false`; empty when an input is unusable."),
        Output(
            "observed-version",
            "Version of the answers that decide: of a failed target the wrong one."
            " Several, joined by a comma, when targets differ.",
        ),
        Output("attempts", "Number of probes of all targets."),
        Output("elapsed-ms", "Duration of the gate in milliseconds."),
        Output("failed-targets", "JSON list of the critical targets that failed, by name."),
        Output("reason", "The verdict and its evidence in a sentence."),
        Output("report", "Path of the JSON report, as given in the input `report`."),
    ),
    run="cicd_actions.health_gate.run.run",
    icon="heart",
    color="green",
    groups={
        "Set first": "url expect-version version-from timeout stable-for",
        "What is right": "targets expect-status expect-json expect-body max-latency replicas",
        "Pace": "interval request-timeout consecutive-successes flake-budget",
        "The request": "headers ca-file allow-redirects allow-insecure-redirects allow-cached",
        "A metric": "metric-url metric-query metric-max metric-min metric-no-data",
    },
)
