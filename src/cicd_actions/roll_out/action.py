"""Defines roll-out: releases by digest, health-gated."""

from __future__ import annotations

from cicd_actions.roll_out.inputs import Inputs
from cicd_actions.toolkit.definition import Action, Output

ACTION = Action(
    name="roll-out",
    summary="Rolls a release out by digest, health-gated: either all its services arrive, or what ran before runs again.",
    inputs=Inputs,
    outputs=(
        Output("verdict", "`pass`, `fail` or `inconclusive`."),
        Output("rolled-out", "`true` when every service runs the release; `false` otherwise; empty when nothing was tried."),
        Output("previous", "The digests that ran before, as JSON: service → digest (empty where the engine cannot tell)."),
        Output("digests", "The release's digests, one `service=sha256:…` per line (an image's id where it has no digest)."),
        Output(
            "stage",
            "`promoted`, `abandoned`, `staged` (it waits for `promote: staged`), or `held` (no verdict, and no traffic); empty"
            " without a stage.",
        ),
        Output("stage-notes", "What an earlier run left of a stage, and what became of that; empty where nothing was left."),
        Output("reason", "One sentence that says what happened."),
    ),
    run="cicd_actions.roll_out.run.run",
    icon="upload-cloud",
    color="blue",
    groups={
        "Set first": "services engine environment stack sha",
    },
)
