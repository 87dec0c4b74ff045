"""`deploy-step`: runs one action with an environment's settings, by the names of the action's inputs.

A key of the settings that is an input of the action reaches it without being named again: a new key of the pipeline file needs
no change of a workflow.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from cicd_actions.pipeline import registry_login, secret_files
from cicd_actions.toolkit.definition import AnyAction
from cicd_actions.toolkit.inputs import declarations
from cicd_actions.toolkit.runtime import Runtime

KEY = "RECORD_KEY"

KUBECONFIG = "cicd-actions-kubeconfig"
"""The file of the runner's folder that the step `kube-login` writes; it wins over the runner's own."""

BUILDS = ".github/workflows/release.yml"
"""The workflow that attests: of the repository that this action comes from."""


def arranged(chosen: AnyAction, inputs: dict[str, str], runtime: Runtime) -> tuple[dict[str, str], Runtime]:
    """Returns the action's inputs, and the runtime that it sees: the variables of DEPLOY_ENV in place of the secret itself.

    Raises `UnusableInput`.
    """
    known = declarations(chosen.inputs)
    settings: dict[str, Any] = json.loads(inputs["settings"])
    del settings["services"]  # the lines of the step say which, and at which digest
    values: dict[str, Any] = {"environment": settings["name"], **settings, **json.loads(inputs.get("values") or "{}")}
    values["github-token"] = inputs.get("github-token", "")
    if runtime.variables.get("ACTION_REPOSITORY"):
        values.setdefault("signer-workflow", f"{runtime.variables['ACTION_REPOSITORY']}/{BUILDS}")
    secrets = secret_files.read(runtime, secret_files.DEPLOY)
    variables = {name: value for name, value in runtime.variables.items() if name not in {secret_files.DEPLOY, "INPUTS"}}
    if runtime.scratch is not None and (runtime.scratch / KUBECONFIG).exists():
        variables["KUBECONFIG"] = str(runtime.scratch / KUBECONFIG)
    if runtime.scratch is not None and (runtime.scratch / registry_login.FOLDER).exists():
        variables["DOCKER_CONFIG"] = str(runtime.scratch / registry_login.FOLDER)
    if variables.get(KEY):
        values["record-key"] = KEY
    if variables.get(secret_files.RELEASE):
        values["env-file-variable"] = secret_files.RELEASE
    found = {name: _text(value) for name, value in values.items() if name in known}
    return found, replace(runtime, variables={**variables, **secrets})


def _text(value: object) -> str:
    """Returns a value as an input has it. GitHub writes a missing value as `null`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "\n".join(str(each) for each in value)
    return "" if value is None else str(int(value) if isinstance(value, float) and value.is_integer() else value)
