"""The inputs of roll-out."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cicd_actions.engines.staged_inputs import StagedInputs
from cicd_actions.roll_out.strategy import StrategyInputs
from cicd_actions.toolkit.grammar import NotUnderstood, boolean, duration, lines, string
from cicd_actions.toolkit.inputs import declare

_SERVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}(/[A-Za-z0-9][A-Za-z0-9-]{0,62})?")
_EXAMPLE = "api=ghcr.io/org/api@sha256:…\nweb=ghcr.io/org/web:4f2c…"


@dataclass(frozen=True)
class Wanted:
    """One line `service=image`; the image is not parsed yet."""

    service: str
    image: str


def wanted(text: str) -> Wanted:
    """Reads one line. Raises `NotUnderstood`."""
    service, equals, image = (part.strip() for part in text.partition("="))
    if not equals or not image:
        raise NotUnderstood(f"`{text[:200]}` is not of the form service=image", example=_EXAMPLE)
    return Wanted(service_name(service), image)


def service_name(text: str) -> str:
    """Reads a service's name: letters, digits, `.`, `_`, `-`; on Kubernetes `workload/container`. Raises `NotUnderstood`."""
    if not _SERVICE.fullmatch(text):
        raise NotUnderstood(f"`{text[:100]}` is not the name of a service (letters, digits, `.`, `_`, `-`)", example="api")
    return text


def services(text: str) -> tuple[Wanted, ...]:
    """Reads all lines, each service once. Raises `NotUnderstood`."""
    found = lines(wanted)(text)
    names = [each.service for each in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise NotUnderstood(f"`{twice[0]}` is named twice", example=_EXAMPLE)
    return found


@dataclass(frozen=True, kw_only=True)
class _Release:
    services: tuple[Wanted, ...] = declare(
        services,
        "The services of the release, one per line: `service=image@sha256:…` or `service=image:<sha>`, on Kubernetes also"
        " `service/container=…`. The digest of a tag is deployed, and `latest` or no tag is refused.",
        required=True,
    )
    order: tuple[str, ...] = declare(
        lines(service_name), "The services in the order in which they move, one per line. Default: the order of `services`."
    )
    sha: str = declare(
        string,
        "The full commit SHA of the release, stored as a label of the service. Default: the tag, where it is a full SHA.",
    )
    timeout: float = declare(duration, "The time limit of the whole roll-out.", default="10m")
    revert_timeout: float = declare(
        duration, "The time limit of the revert after a service failed, counted separately.", default="5m"
    )
    allow_empty: bool = declare(
        boolean,
        "Lets a service pass that runs no replica (scaled to 0, or global without a matching node). Without it such a"
        " roll-out is inconclusive, because nothing proves the image.",
        default="false",
    )


@dataclass(frozen=True, kw_only=True)
class Inputs(StagedInputs, StrategyInputs, _Release):
    """Names the release, where it runs, and how traffic moves to it."""

    @property
    def waiting(self) -> float:
        """Returns the seconds that the strategy itself may wait, beside `timeout`."""
        steps = sum(step.within for step in self.steps) if self.strategy == "canary" else 0.0
        return steps + self.bake if self.strategy != "rolling" else 0.0
