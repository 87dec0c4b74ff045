"""health-gate: waits until targets answer right, and judges them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cicd_actions.health_gate.inputs import Inputs
from cicd_actions.toolkit.definition import Action, Output

if TYPE_CHECKING:
    from cicd_actions.toolkit.report import Report
    from cicd_actions.toolkit.runtime import Runtime


def run(inputs: Inputs, runtime: Runtime) -> Report:
    """The gate, from inputs to report. Raises `UnusableInput`, and `Cancelled` with the report of what stands."""
    from cicd_actions.health_gate import running  # noqa: PLC0415 - `--help` needs none of it

    return running.run(inputs, runtime)


ACTION = Action(
    name="health-gate",
    summary="Waits until what was deployed answers right, everywhere and for long enough, and proves it when it does not.",
    inputs=Inputs,
    outputs=(
        Output("verdict", "`pass`, `fail` or `inconclusive`."),
        Output("healthy", "`true` when the verdict is `pass`, else `false`; empty when an input cannot be used."),
        Output("observed-version", "The version that was seen last; several, if targets differ, joined by a comma."),
        Output("attempts", "How many probes were made, of all targets together."),
        Output("elapsed-ms", "How long the gate took, in milliseconds."),
        Output("failed-targets", "JSON list of the names of critical targets that failed."),
        Output("reason", "The verdict in a sentence."),
        Output("report", "Path of the JSON report, as given in the input `report`."),
    ),
    run=run,
    icon="heart",
    color="green",
)
