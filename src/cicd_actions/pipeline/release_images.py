"""`release-images`: puts a release together, service by service, and checks what a deploy needs before anything moves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from cicd_actions.health_gate.inputs import Inputs as GateInputs
from cicd_actions.health_gate.reading import targets as gate_targets
from cicd_actions.pipeline import secret_files
from cicd_actions.pipeline.build_images import DIGEST
from cicd_actions.toolkit.definition import Action, Output
from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.grammar import string
from cicd_actions.toolkit.inputs import declare, load
from cicd_actions.toolkit.report import Code, Inline, Report, Table
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The environment, and the release; a rollback has no release yet."""

    settings: str = declare(string, "Settings of the environment as JSON, from the plan.", required=True)
    digests: str = declare(string, "JSON object: the digest of each image. Default: none, for a rollback.")
    sha: str = declare(string, "Commit of the release. Default: none, for a rollback.")
    vars: str = declare(string, "The context `vars` as JSON.", default="{}")


OUTPUTS = (
    Output("services", "Lines `service=repository@sha256:…`."),
    Output("repositories", "Lines `service=repository`."),
    Output("migrate-image", "Image that migrates; empty for none."),
    Output("targets", "JSON list: the gate's targets, which expect this commit."),
    Output("rollback-targets", "JSON list: the same, with `{sha}` for the commit that is rolled back to."),
    Output("url", "The environment's page."),
)


def run(inputs: Inputs, runtime: Runtime) -> Report:
    """Puts the release together. Raises `UnusableInput` for what is missing."""
    settings: dict[str, Any] = json.loads(inputs.settings)
    environment, services = settings["name"], {each["name"]: each for each in settings["services"]}
    found_secrets = {name: secret_files.read(runtime, name) for name in (secret_files.DEPLOY, secret_files.RELEASE)}
    for secret, key in ((secret_files.DEPLOY, "deploy-env"), (secret_files.RELEASE, "release-env")):
        secret_files.mask(runtime, found_secrets[secret])
        secret_files.required(found_secrets[secret], settings.get(key, "").split(), secret, environment)
    urls = addresses(services, json.loads(inputs.vars or "{}"), environment)
    images = pinned(services, json.loads(inputs.digests)) if inputs.digests else {}
    found = targets(services, urls, "{sha}")
    wanted = json.loads(json.dumps(found).replace("{sha}", inputs.sha)) if inputs.sha else found
    # What the gate would find too late, after something moved.
    _understood(wanted, replace(runtime, variables={**runtime.variables, **found_secrets[secret_files.DEPLOY]}), environment)
    rows: list[tuple[Inline, ...]] = [(name, Code(images.get(name, "")), urls.get(name, "")) for name in services]
    outputs = {
        "services": "\n".join(f"{name}={image}" for name, image in images.items()),
        "repositories": "\n".join(f"{name}={service['repository']}" for name, service in services.items()),
        "migrate-image": images.get(settings.get("migrate-service", ""), ""),
        "targets": json.dumps(wanted),
        "rollback-targets": json.dumps(found),
        "url": settings.get("url") or next(iter(urls.values()), ""),
    }
    headline = f"{len(services)} services in {environment}."
    return Report(Verdict.PASS, headline, dict(outputs), blocks=[Table(("service", "image", "answers at"), rows)])


def addresses(services: Mapping[str, Any], variables: Mapping[str, str], environment: str) -> dict[str, str]:
    """Returns where each service answers, of those that have an address. Raises `UnusableInput` for a gated one without."""
    found: dict[str, str] = {}
    for name, service in services.items():
        variable = variable_of(name)
        url = service["url"] or variables.get(variable, "")
        if url:
            found[name] = url.rstrip("/")
        elif any("url" not in target and "command" not in target for target in service["health"]):
            raise UnusableInput(
                f"Could not tell where the service `{name}` answers in {environment}: it has no URL.",
                fix=f"Write it into the pipeline file:\n\n    urls:\n      {name}: https://{name}.{environment}.example.org\n\n"
                f"or set the variable {variable} of the environment {environment}.",
            )
    return found


def variable_of(service: str) -> str:
    """Returns the name of the variable that says where a service answers."""
    return f"{service.upper().replace('-', '_')}_URL"


def pinned(services: Mapping[str, Any], digests: Mapping[str, str]) -> dict[str, str]:
    """Returns the image of each service by digest. Raises `UnusableInput` for one that was not built."""
    found = {}
    for name, service in services.items():
        digest = digests.get(service["image"], "")
        if not DIGEST.fullmatch(digest):
            raise UnusableInput(
                f"Could not pin the service `{name}`: the build named no digest of its image `{service['image']}`."
            )
        found[name] = f"{service['repository']}@{digest}"
    return found


def targets(services: Mapping[str, Any], urls: Mapping[str, str], sha: str) -> list[dict[str, Any]]:
    """Returns the gate's targets: those of every service, which expect the commit wherever an answer tells one."""
    found: list[dict[str, Any]] = []
    for name, service in services.items():
        several = len(service["health"]) > 1
        for number, keys in enumerate(service["health"], 1):
            target = {"name": f"{name}-{number}" if several else name, **keys}
            path, checks = target.pop("path", "/"), target.pop("check-version", "true")
            if "url" not in target and "command" not in target:
                target["url"] = f"{urls[name]}{path if path.startswith('/') else f'/{path}'}"
            if "version-from" in target and checks == "true":
                target["expect-version"] = sha
            found.append(target)
    return found


def _understood(found: list[dict[str, Any]], runtime: Runtime, environment: str) -> None:
    if not found:
        raise UnusableInput(
            f"Could not verify a release in {environment}: no service has `health`.",
            fix="    services:\n      api: {image: api, health: {path: /health/ready}}",
        )
    gate = load(GateInputs, {"targets": json.dumps(found)}, runtime.redactor)
    gate_targets(gate, runtime.environment, runtime.workspace)


ACTION = Action(
    name="release-images",
    summary="Puts a release together, service by service, and checks what a deploy needs before anything moves.",
    inputs=Inputs,
    outputs=OUTPUTS,
    run="cicd_actions.pipeline.release_images.run",
    icon="layers",
    color="blue",
)
