"""`registry-login`: logs a deploy's programs in to the registry of its images, for this job alone.

The folder takes the place of the account's own Docker configuration, which a runner that stays keeps: a `docker logout` at the
end of a job would remove the account's lasting login.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cicd_actions.toolkit.definition import Action
from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.grammar import string
from cicd_actions.toolkit.inputs import declare
from cicd_actions.toolkit.report import Report
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict

FOLDER = "cicd-actions-docker"
"""The folder of the runner's temporary one that the deploy's steps use as DOCKER_CONFIG, once it exists."""

PASSWORD = "REGISTRY_PASSWORD"

_KEPT_BY_SWARM = "swarm"
"""A Swarm keeps the login with the service, for the node that pulls later; the job's token ends with the job."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The registry, and who logs in."""

    settings: str = declare(string, "Settings of the environment as JSON, from the plan.", required=True)
    actor: str = declare(string, "User where the file names none.", required=True)
    github_token: str = declare(string, "The job's token, for GitHub's own registry.", secret=True)


def run(inputs: Inputs, runtime: Runtime) -> Report:
    """Logs in, where there is something to log in with. Raises `UnusableInput`."""
    settings: dict[str, Any] = json.loads(inputs.settings)
    host: str = settings["registry"] if settings["registry"] != "docker.io" else "https://index.docker.io/v1/"
    own = _configuration(runtime)
    password = runtime.variables.get(PASSWORD, "")
    known = {**own.get("auths", {}), **own.get("credHelpers", {})}
    by_token = settings["registry-token"] and settings["engine"] != _KEPT_BY_SWARM and host not in known
    if not password and not by_token:
        return Report(Verdict.PASS, f"The programs use the runner's own login to {host}, if it has one.", {})
    if runtime.scratch is None:
        raise UnusableInput(f"Could not log in to {host}: RUNNER_TEMP is not set.")
    runtime.mask(password)
    login = f"{settings['registry-username'] or inputs.actor}:{password or inputs.github_token}"
    folder = runtime.scratch / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    for each in _own_folder(runtime).glob("*"):
        if each.name != "config.json":  # contexts and plug-ins
            (folder / each.name).symlink_to(each)
    text = json.dumps(with_login(own, host, base64.b64encode(login.encode()).decode()))
    with os.fdopen(os.open(folder / "config.json", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    with_what = f"the secret {PASSWORD}" if password else "the job's token"
    return Report(Verdict.PASS, f"The programs of this job log in to {host} with {with_what}.", {})


def with_login(own: dict[str, Any], host: str, login: str) -> dict[str, Any]:
    """Returns a Docker configuration with one more login; *login* is the base64 of user and password.

    A credentials store would win over the file. It is kept for the registries that have a login in it, which `docker login`
    lists as empty entries.
    """
    auths, helpers = dict(own.get("auths", {})), dict(own.get("credHelpers", {}))
    if store := own.get("credsStore"):
        helpers = {**{name: store for name, entry in auths.items() if not entry}, **helpers}
    helpers.pop(host, None)
    kept = {name: value for name, value in own.items() if name not in {"credsStore", "credHelpers"}}
    return {**kept, "auths": {**auths, host: {"auth": login}}, **({"credHelpers": helpers} if helpers else {})}


def _own_folder(runtime: Runtime) -> Path:
    variables = runtime.variables
    return Path(variables.get("DOCKER_CONFIG") or Path(variables.get("HOME") or Path.home()) / ".docker")


def _configuration(runtime: Runtime) -> dict[str, Any]:
    """Returns the account's own Docker configuration; an empty one where there is none. Raises `UnusableInput`."""
    path = _own_folder(runtime) / "config.json"
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UnusableInput(f"Could not read the Docker configuration {path}: {error}.") from None
    if not isinstance(found, dict):
        raise UnusableInput(f"Could not read the Docker configuration {path}: it is not a JSON object.")
    return found


ACTION = Action(
    name="registry-login",
    summary="Logs a deploy's programs in to the registry of its images, for this job alone.",
    inputs=Inputs,
    outputs=(),
    run="cicd_actions.pipeline.registry_login.run",
    icon="log-in",
    color="blue",
)
