"""The images of a release, service by service, and where they will answer: checked before anything moves."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from cicd_actions.pipeline import step
from cicd_actions.pipeline.run_command import Unusable, settle_secrets

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
NAME = re.compile(r"[a-z0-9][a-z0-9._-]*", re.IGNORECASE)


class DeployError(Exception):
    """A message for the person who reads the log; the step fails with it."""


def pairs(lines: str, name: str) -> dict[str, str]:
    """Lines `service=value`, in order. Raises DeployError for a line of another form, or a service named twice."""
    found: dict[str, str] = {}
    for line in lines.splitlines():
        if not line.strip():
            continue
        service, equals, value = (part.strip() for part in line.partition("="))
        if not equals or not value or not NAME.fullmatch(service):
            raise DeployError(f"{name}: {line!r} is not of the form `service=value`")
        if service in found:
            raise DeployError(f"{name}: {service} is named twice")
        found[service] = value
    return found


def release(images: str, digests: str) -> dict[str, str]:
    """service → `repository@sha256:…`. Raises DeployError unless both name the same services, each with a whole digest."""
    repositories, wanted = pairs(images, "images"), pairs(digests, "digests")
    if not wanted:
        raise DeployError("digests: nothing to deploy; it takes the output `digests` of build.yml")
    if set(repositories) != set(wanted):
        raise DeployError(f"images names {sorted(repositories)}, digests names {sorted(wanted)}: they must be the same")
    for service, digest in wanted.items():
        if not DIGEST.fullmatch(digest):
            raise DeployError(f"digests: {service}={digest} is not `sha256:` and 64 hexadecimal digits")
    return {service: f"{repositories[service]}@{digest}" for service, digest in wanted.items()}


def check_urls(lines: str, environment: str) -> None:
    """Raises DeployError for a service whose address is not known: the gate would be too late to say so."""
    for line in lines.splitlines():
        service, _, url = line.partition("=")
        if not url.startswith(("http://", "https://")):
            raise DeployError(
                f"it is not known where the {service} answers: set the variable {service.upper()}_URL of the environment "
                f"{environment}, or the input `{service}-url`, to a URL"
            )


def migrating(service: str, services: Mapping[str, str]) -> str:
    """The image of the service that migrates, empty for none. Raises DeployError when it is not among those of the release."""
    if service and service not in services:
        raise DeployError(f"migrate-service: {service} is not deployed here; there are {', '.join(services)}")
    return services.get(service, "")


def main() -> None:
    inputs = step.inputs()
    try:
        settle_secrets(os.environ)
        check_urls(inputs["urls"], inputs["environment"])
        found = release(inputs["images"], inputs["digests"])
        migrates = migrating(inputs["migrate-service"], found)
    except (DeployError, Unusable) as error:
        step.fail(str(error))
    step.lines("services", [f"{service}={image}" for service, image in found.items()])
    step.output("migrate-image", migrates)
