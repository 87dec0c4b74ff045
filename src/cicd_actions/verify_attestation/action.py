"""Defines verify-attestation."""

from __future__ import annotations

from cicd_actions.toolkit.definition import Action, Output
from cicd_actions.verify_attestation.inputs import Inputs

ACTION = Action(
    name="verify-attestation",
    summary="Refuses images that your build workflow did not attest.",
    inputs=Inputs,
    outputs=(
        Output("verdict", "`pass`, `fail` or `inconclusive` (GitHub or the registry did not answer)."),
        Output("reason", "One sentence."),
        Output("attestations", "JSON object: the id of each service's attestation. Hand it to deployment-record."),
    ),
    run="cicd_actions.verify_attestation.run.run",
    icon="shield",
    color="green",
    groups={
        "Set first": "services sha signer-workflow source-refs github-token",
    },
)
