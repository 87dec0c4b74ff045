"""Embeds the gate in another action: its inputs, and one call that verifies a commit."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from cicd_actions.health_gate import reading, run
from cicd_actions.health_gate.inputs import Inputs
from cicd_actions.health_gate.rules import JsonRule, VersionSource
from cicd_actions.toolkit.grammar import StatusSet, boolean, duration, text_block
from cicd_actions.toolkit.inputs import declarations, declare, declared
from cicd_actions.toolkit.runtime import Runtime

if TYPE_CHECKING:  # `--help` of the actions that embed it needs no report
    from cicd_actions.toolkit.report import Report


@dataclass(frozen=True, kw_only=True)
class GateOptions:
    """The inputs of health-gate, without those that the action decides. Inherit: `class Inputs(GateOptions)`."""

    GROUP: ClassVar[str] = "The gate"

    url: tuple[tuple[str, str], ...] = declared(Inputs, "url")
    targets: str = declare(
        text_block,
        "Gate: targets as a YAML list of health-gate, or the path of a file with one."
        " `{sha}` stands for the commit; a list with it decides itself where to expect a version.",
    )
    check_version: bool = declare(
        boolean,
        "Gate: answers must name the commit in `version-from`. Set `false` for services that do not tell it.",
        default="true",
    )
    version_from: VersionSource | None = declared(Inputs, "version_from")
    expect_status: StatusSet = declared(Inputs, "expect_status")
    expect_json: tuple[JsonRule, ...] = declared(Inputs, "expect_json")
    expect_body: tuple[re.Pattern[str], ...] = declared(Inputs, "expect_body")
    replicas: int = declared(Inputs, "replicas")
    gate_timeout: float = declare(duration, "Gate: deadline.", default="5m")
    request_timeout: float = declared(Inputs, "request_timeout")
    interval: float = declared(Inputs, "interval")
    consecutive_successes: int = declared(Inputs, "consecutive_successes")
    stable_for: float = declared(Inputs, "stable_for")
    flake_budget: int = declared(Inputs, "flake_budget")
    max_latency: float | None = declared(Inputs, "max_latency")
    headers: tuple[tuple[str, str], ...] = declared(Inputs, "headers")
    ca_file: str = declared(Inputs, "ca_file")
    allow_redirects: bool = declared(Inputs, "allow_redirects")
    allow_insecure_redirects: bool = declared(Inputs, "allow_insecure_redirects")
    allow_cached: bool = declared(Inputs, "allow_cached")

    @property
    def has_targets(self) -> bool:
        """Returns whether there is anything to gate."""
        return bool(self.url or self.targets.strip())


def gate_inputs(options: GateOptions, sha: str) -> Inputs:
    """Returns the inputs of a gate that expects the commit `sha`."""
    values: dict[str, Any] = {name.replace("-", "_"): each.parse(each.default) for name, each in declarations(Inputs).items()}
    taken = {field.name for field in dataclasses.fields(GateOptions)} & set(values)
    placed = "{sha}" in options.targets
    values |= {name: getattr(options, name) for name in taken}
    values |= {
        "targets": options.targets.replace("{sha}", sha),
        "expect_version": sha if options.check_version and not placed else "",
        "timeout": options.gate_timeout,
    }
    return Inputs(**values)


def check(options: GateOptions, runtime: Runtime) -> None:
    """Raises `UnusableInput` for what the gate itself would find too late, after something moved."""
    reading.targets(gate_inputs(options, "0" * 40), runtime.environment, runtime.workspace)


def gate(options: GateOptions, sha: str, runtime: Runtime) -> Report:
    """Runs the gate on a commit. Raises `UnusableInput`, and `Cancelled` with a report of what the gate saw."""
    return run.run(gate_inputs(options, sha), runtime)
