"""The gate as a part of another action: its inputs, and one call that gates a commit."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any

from cicd_actions.health_gate.expectations import JsonRule, VersionSource
from cicd_actions.health_gate.inputs import Inputs
from cicd_actions.toolkit.grammar import StatusSet, boolean, duration, text_block
from cicd_actions.toolkit.inputs import declare, declared
from cicd_actions.toolkit.report import Report
from cicd_actions.toolkit.runtime import Runtime


@dataclass(frozen=True, kw_only=True)
class GateOptions:
    """health-gate's inputs, without those that the action itself decides. Inherit: `class Inputs(GateOptions)`."""

    url: tuple[tuple[str, str], ...] = declared(Inputs, "url")
    targets: str = declare(
        text_block,
        "Gate: targets as a YAML list, as health-gate takes them, or the path of a file with one. `{sha}` in the list is the"
        " commit that is gated; a list that has it says itself where a version is expected.",
    )
    check_version: bool = declare(
        boolean,
        "Gate: the answers have to name the commit (by `version-from`). `false` where the services do not tell it.",
        default="true",
    )
    version_from: VersionSource | None = declared(Inputs, "version_from")
    expect_status: StatusSet = declared(Inputs, "expect_status")
    expect_json: tuple[JsonRule, ...] = declared(Inputs, "expect_json")
    expect_body: re.Pattern[str] | None = declared(Inputs, "expect_body")
    gate_timeout: float = declare(duration, "Gate: its deadline.", default="5m")
    request_timeout: float = declared(Inputs, "request_timeout")
    interval: float = declared(Inputs, "interval")
    consecutive_successes: int = declared(Inputs, "consecutive_successes")
    stable_for: float = declared(Inputs, "stable_for")
    flake_budget: int = declared(Inputs, "flake_budget")
    max_latency: float | None = declared(Inputs, "max_latency")
    headers: tuple[tuple[str, str], ...] = declared(Inputs, "headers")
    ca_file: str = declared(Inputs, "ca_file")
    allow_redirects: bool = declared(Inputs, "allow_redirects")

    @property
    def has_targets(self) -> bool:
        """Whether there is anything to gate."""
        return bool(self.url or self.targets.strip())


def gate_inputs(options: GateOptions, sha: str) -> Inputs:
    """What health-gate is told, so that it expects the commit `sha`."""
    own: dict[str, Any] = {
        field.name: getattr(options, field.name)
        for field in dataclasses.fields(Inputs)
        if hasattr(options, field.name) and field.name not in {"timeout", "targets", "report"}
    }
    placed = "{sha}" in options.targets
    return Inputs(
        **own,
        targets=options.targets.replace("{sha}", sha),
        expect_version=sha if options.check_version and not placed else "",
        timeout=options.gate_timeout,
        metric_url="",
        metric_query="",
        metric_max=None,
        report="",
    )


def check(options: GateOptions, runtime: Runtime) -> None:
    """Raises `UnusableInput` for what the gate would only find when it is too late: after something moved."""
    from cicd_actions.health_gate.reading import targets  # noqa: PLC0415 - see `gate`

    targets(gate_inputs(options, "0" * 40), runtime.environment, runtime.workspace)


def gate(options: GateOptions, sha: str, runtime: Runtime) -> Report:
    """Gate a commit. Raises `UnusableInput`, and `Cancelled` with a report of what the gate saw."""
    from cicd_actions.health_gate.action import run  # noqa: PLC0415 - an action that is refused before needs none of it

    return run(gate_inputs(options, sha), runtime)
