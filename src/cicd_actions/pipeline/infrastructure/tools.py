"""The commands of Terraform, OpenTofu and Pulumi, and how each says that it could not begin."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from cicd_actions.pipeline_file.model import Infrastructure
from cicd_actions.toolkit.grammar import duration


@dataclass(frozen=True)
class Tool:
    """A tool's usual commands. `{plan}` is the file of the plan, `{environment}` the environment's name.

    `show` is empty where `plan` itself prints the JSON.
    """

    prepare: tuple[str, ...]
    plan: str
    show: str
    apply: str
    output: str
    drift: str


def _terraform(program: str) -> Tool:
    # https://developer.hashicorp.com/terraform/tutorials/automation/automate-terraform
    planned = f"{program} plan -input=false -no-color -lock-timeout=5m -detailed-exitcode -out={{plan}}"
    return Tool(
        prepare=(f"{program} init -input=false -no-color -lockfile=readonly",),
        plan=planned,
        show=f"{program} show -json {{plan}}",
        apply=f"{program} apply -input=false -no-color -lock-timeout=5m {{plan}}",
        output=f"{program} output -json",
        # Only what changed outside of the code: a commit that is not applied yet is not drift.
        drift=planned.replace(" -out", " -refresh-only -out"),
    )


TOOLS = {
    "terraform": _terraform("terraform"),
    "tofu": _terraform("tofu"),
    # https://www.pulumi.com/docs/iac/concepts/update-plans/
    "pulumi": Tool(
        prepare=("pulumi stack select {environment}",),
        plan="pulumi preview --non-interactive --refresh --json --save-plan {plan}",
        show="",
        apply="pulumi up --non-interactive --yes --skip-preview --suppress-outputs --plan {plan}",
        output="pulumi stack output --json --show-secrets",
        drift="pulumi refresh --non-interactive --preview-only --json",
    ),
}

STALE = re.compile(r"saved plan is stale|plan file can no longer be applied|violates plan", re.IGNORECASE)
"""Nothing was applied: the state has moved since the plan was made."""

LOCKED = re.compile(
    r"error acquiring the state lock|state is already locked|stack is currently locked|another update is currently in progress",
    re.IGNORECASE,
)
"""Nothing was planned or applied: somebody else works on the same state."""

SHOWS_VALUES = re.compile(r"^\s*(?:Changes to )?Outputs:\s*$")
"""From this line on, what is printed are the values of outputs."""


def settings(found: Infrastructure) -> dict[str, Any]:
    """Returns the settings of an environment's infrastructure: what the file says, else the tool's usual commands."""
    tool = TOOLS[found.tool or "terraform"]
    timeout = found.timeout or "30m"
    return {
        "directory": found.directory,
        "prepare": list(tool.prepare if found.prepare is None else found.prepare),
        "plan": found.plan or tool.plan,
        "show": found.show or tool.show,
        "apply": found.apply or tool.apply,
        "output": found.output or tool.output,
        "drift": found.drift or tool.drift,
        "outputs": dict(found.outputs or {}),
        "hands-on": bool(found.outputs),
        "allow-destroy": list(found.allow_destroy or ()),
        "timeout": timeout,
        "timeout-minutes": math.ceil(duration(timeout) / 60) + 10,
    }
