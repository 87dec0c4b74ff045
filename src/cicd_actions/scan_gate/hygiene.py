"""Reads what an image's configuration says of itself, from the registry, whatever Dockerfile or tool made it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from cicd_actions.engines.registry import Registry
from cicd_actions.pipeline_audit.commands import effects_of
from cicd_actions.pipeline_audit.effects import Kind
from cicd_actions.pipeline_audit.shell import commands
from cicd_actions.scan_gate.judgement import HYGIENE
from cicd_actions.scan_gate.scan import Category, Reported, Scan
from cicd_actions.toolkit.errors import ActionError
from cicd_actions.toolkit.runtime import Runtime

DEADLINE = 60.0
"""Seconds for all images."""

BASE = "org.opencontainers.image.base.name"
"""https://github.com/opencontainers/image-spec/blob/main/annotations.md"""


def scans(images: Sequence[str], runtime: Runtime) -> list[Scan]:
    """Returns a scan for each image; one that the registry does not give proves nothing."""
    registry, deadline = Registry(runtime), runtime.deadline(DEADLINE)
    found: list[Scan] = []
    try:
        for image in dict.fromkeys(images):
            scan = Scan(HYGIENE, image, images=frozenset({image.rpartition("@")[2]}), of_image=True)
            found.append(scan)
            if "@" not in image:
                scan.problems.append("its repository is not named: write `repository@sha256:…`")
                continue
            try:
                read = registry.configurations(image, deadline)
            except ActionError as error:
                scan.problems.append(error.what.rstrip("."))
                continue
            if not read:
                scan.problems.append("it has no configuration: it is not a container image")
            repository = image.partition("@")[0]
            told = {each for configuration in read for each in _findings(configuration)}
            for rule, grade, message in sorted(told):
                scan.reported.append(
                    Reported(HYGIENE, Category.CODE, (rule,), grade, f"{repository} {message}", print_=repository, fixable=True)
                )
    finally:
        registry.close()
    return found


def _findings(configuration: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yields rule, severity and message."""
    config = configuration.get("config")
    config = config if isinstance(config, dict) else {}
    user = str(config.get("User") or "").partition(":")[0]
    if user in {"", "0", "root"}:
        yield "runs-as-root", "high", "runs as root: add `USER` to its Dockerfile"
    check = config.get("Healthcheck")
    test = check.get("Test") if isinstance(check, dict) else None
    if not isinstance(test, list) or not test or test[0] == "NONE":
        yield "no-healthcheck", "low", "has no HEALTHCHECK, so Docker and Swarm count a started process as healthy"
    labels = config.get("Labels")
    base = str(labels.get(BASE, "")) if isinstance(labels, dict) else ""
    if base and "@" not in base and (base.endswith(":latest") or not re.search(r":[^/]+$", base)):
        yield "latest-base", "low", f"is built on {base[:200]}, which can be another image tomorrow: name a version or a digest"
    words = [str(word) for key in ("Entrypoint", "Cmd") if isinstance(config.get(key), list) for word in config[key]]
    found = commands(shlex.join(words))
    migrating = [one for one in found if any(effect.kind is Kind.MIGRATE for effect in effects_of(one))]
    # An image that migrates and does nothing else is a job.
    if migrating and any(one not in migrating and one.program not in _SHELLS for one in found):
        yield "migrates-at-start", "high", "migrates when it starts, once for each replica: run run-migrations-oneshot instead"


_SHELLS = {"sh", "bash", "ash", "dash", "exec", "set", "tini", "dumb-init"}
