"""What the jobs of a release take: the build's settings, and those of each environment."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from cicd_actions.pipeline import scans
from cicd_actions.pipeline.event import Event
from cicd_actions.pipeline.infrastructure import tools
from cicd_actions.pipeline_file import rules
from cicd_actions.pipeline_file.model import Environment, Pipeline, Release, effective
from cicd_actions.pipeline_file.rules import waiting


def build(pipeline: Pipeline, event: Event, environments: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns what the build job needs: the images that a service runs, and how each is built.

    With `promote-from` nothing is built: the first environment needs the digests that passed in one that is not of this run.
    """
    made = pipeline.build
    common = {
        "runs-on": runner(made.runs_on or pipeline.runs_on),
        "timeout-minutes": int(made.timeout_minutes),
        "sha": event.sha,
    }
    source = environments[0]["require-passed-in"] if environments else ""
    if source:
        return {**common, "promote-from": source, **recorded(pipeline, environments[0])}
    used = {service.image for service in pipeline.services.values()}
    images = {name: without_nothing(dataclasses.asdict(each)) for name, each in pipeline.images.items() if name in used}
    sbom = attests(pipeline, event) and made.sbom
    return {
        **common,
        **registry(pipeline, event),
        "docker": any("command" not in each and "runs-on" not in each for each in images.values()),
        "separate": [name for name, each in images.items() if "runs-on" in each],
        "attest": attests(pipeline, event),
        "images": images,
        "sbom": sbom,
        "scans": scans.of_images(pipeline.scans, images, sbom=sbom),
    }


def recorded(pipeline: Pipeline, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what finds the images of a release in its records."""
    return {
        "app": settings["app"],
        "records-refs": settings.get("records-refs", ""),
        "services": {name: service.image for name, service in pipeline.services.items()},
    }


def registry(pipeline: Pipeline, event: Event) -> dict[str, Any]:
    """Returns the registry to log in to. The job's token is for GitHub's own alone: another one could keep it."""
    host = pipeline.build.registry
    token = host in {"ghcr.io", f"containers.{event.server}"}
    return {"registry": host, "registry-username": pipeline.build.registry_username or "", "registry-token": token}


def environments(pipeline: Pipeline, release: Release, event: Event) -> list[dict[str, Any]]:
    """Returns the environments that the ref goes on to, in their order, as far as none waits for a dispatch."""
    found: list[dict[str, Any]] = []
    held: set[str] = set()
    for environment in release.environments:
        if environment.refs is not None and not event.is_one_of(environment.refs):
            continue
        last = found[-1]["name"] if found else ""
        before = rules.before(release, environment) if environment.after is not None or not found else last
        if environment.start == "manual" or before in held or (held and environment.after is None):
            held.add(environment.name)
        else:
            found.append(settings_of(pipeline, release, environment, before, event))
    return found


def infrastructure(pipeline: Pipeline, event: Event) -> dict[str, Any]:
    """Returns the settings of each environment that has infrastructure, whatever the event releases; empty for none."""
    release = pipeline.release
    listed = [settings_of(pipeline, release, each, "", event) for each in release.environments] if release else []
    found = {each["name"]: each for each in listed if "infrastructure" in each}
    return {"names": list(found), "environments": found} if found else {}


def attests(pipeline: Pipeline, event: Event) -> bool:
    """Tells whether the build attests. GitHub stores attestations of public repositories for everyone."""
    return event.public if pipeline.build.attest == "auto" else pipeline.build.attest == "true"


def settings_of(pipeline: Pipeline, release: Release, environment: Environment, before: str, event: Event) -> dict[str, Any]:
    """Returns the settings of one environment, as deploy.yml and rollback.yml take them: the actions' inputs by name."""
    found = effective(release, environment)
    migrate, gate = found.pop("migrate", None), found.pop("gate", None)
    infrastructure = found.pop("infrastructure", None)
    health = found.pop("health", {})
    urls = found.pop("urls", {})
    rollback = found.pop("require-rollback", "recorded")
    services = [
        {
            "name": name,
            "image": service.image,
            "repository": pipeline.images[service.image].repository,
            "url": urls.get(name, ""),
            "health": [dict(each) for each in health.get(name, service.health or ())],
        }
        for name, service in pipeline.services.items()
    ]
    settings: dict[str, Any] = {
        "name": environment.name,
        "app": pipeline.app or event.repository,
        "require-attestation": "true" if attests(pipeline, event) else "false",
        "source-refs": list(release.refs) or [f"refs/heads/{event.default_branch}" if event.default_branch else "refs/heads/*"],
        "require-passed-in": before,
        "services": services,
        **registry(pipeline, event),
        "approval-lasts": "24h",
        "timeout-minutes": 45 + waiting(found),
        "engine": "command",
        **found,
        "runs-on": runner(found.get("runs-on") or pipeline.runs_on),
        "gate-timeout": (gate and gate.timeout) or "5m",
        "gate-stable-for": (gate and gate.stable_for) or "0s",
    }
    if infrastructure is not None:
        settings["infrastructure"] = tools.settings(infrastructure)
        if "timeout-minutes" not in found:
            settings["timeout-minutes"] += settings["infrastructure"]["timeout-minutes"]
    if migrate is not None:
        schema = "alembic" if migrate.schema_command is None else migrate.schema_command
        settings |= {
            "migrate-service": migrate.service,
            "migrate-command": migrate.command,
            "migrate-timeout": migrate.timeout or "20m",
            "allow-contract": bool(migrate.allow_contract),
            "backup-command": migrate.backup_command or "",
            # Not `schema-command`: run-migrations-oneshot has an input of that name with another meaning.
            "migrate-schema-service": migrate.service if schema else "",
            "migrate-schema-command": schema,
        }
    # No rollback goes behind a contract migration.
    settings["require-rollback"] = "false" if settings.get("allow-contract") else rollback
    for name, value in settings.items():
        if isinstance(value, tuple):
            # A command may have line breaks, which part the entries of other lists.
            settings[name] = list(value) if name == "smoke" else "\n".join(value)
    return settings


def runner(labels: Sequence[str]) -> str | list[str]:
    """Returns what `runs-on` takes: one label, or a list of them."""
    return labels[0] if len(labels) == 1 else list(labels)


def without_nothing(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values by key, without those that the file does not give."""
    return {
        name.replace("_", "-"): list(value) if isinstance(value, tuple) else value
        for name, value in values.items()
        if value not in (None, (), {})
    }
