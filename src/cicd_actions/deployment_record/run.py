"""Runs one phase of deployment-record."""

from __future__ import annotations

from collections.abc import Callable

from cicd_actions.deployment_record.abandoned import abandoned
from cicd_actions.deployment_record.adopt import adopt
from cicd_actions.deployment_record.finish import finish
from cicd_actions.deployment_record.inputs import Inputs
from cicd_actions.deployment_record.locks import announce, lock, unlock
from cicd_actions.deployment_record.phase import Phase
from cicd_actions.deployment_record.start import start
from cicd_actions.deployment_record.status import status
from cicd_actions.deployment_record.verify import verify
from cicd_actions.toolkit.report import Report
from cicd_actions.toolkit.runtime import Runtime

PHASES: dict[str, Callable[[Phase], Report]] = {
    "start": start,
    "finish": finish,
    "abandoned": abandoned,
    "verify-record": verify,
    "adopt": adopt,
    "lock": lock,
    "unlock": unlock,
    "announce-rollback": announce,
    "status": status,
}


def run(inputs: Inputs, runtime: Runtime) -> Report:
    """Runs the phase that the inputs name. Raises `ActionError`."""
    return PHASES[inputs.phase](Phase.of(inputs, runtime))
