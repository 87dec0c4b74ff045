"""The inputs of verify-attestation."""

from __future__ import annotations

from dataclasses import dataclass

from cicd_actions.github.inputs import AttestationInputs
from cicd_actions.roll_out.inputs import Wanted, services
from cicd_actions.toolkit.grammar import choice, duration, string
from cicd_actions.toolkit.inputs import declare


@dataclass(frozen=True, kw_only=True)
class _Release:
    services: tuple[Wanted, ...] = declare(
        services, "The images, one per line and by digest: `service=image@sha256:…`.", required=True
    )
    sha: str = declare(string, "The commit that the images were built from. Default: any commit.")
    repository: str = declare(string, "The repository that the images were built from. Default: this one.")
    github_token: str = declare(
        string,
        "A token with the permission `attestations: read`.",
        secret=True,
        action_default="${{ github.token }}",
    )
    timeout: float = declare(duration, "How long the action may take.", default="3m")


@dataclass(frozen=True, kw_only=True)
class Inputs(AttestationInputs, _Release):
    """Which images, and who may have built them."""

    require_attestation: str = declare(choice("false", "true"), "`false` verifies nothing, and says so.", default="true")
