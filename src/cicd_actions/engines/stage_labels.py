"""What is written down at a stage, so that any later run finds it: labels on Docker, annotations on Kubernetes."""

from __future__ import annotations

from collections.abc import Mapping

from cicd_actions.engines.protocol import REVISION, Image, Running, Target
from cicd_actions.engines.staged_protocol import Stage
from cicd_actions.toolkit.grammar import is_whole

STAGE = "org.cicd-actions.stage"
"""The label that names the service of which this is the next release."""

UNTIL = "org.cicd-actions.stage-until"
"""When the stage expires, in seconds since 1970. A stage without it has expired."""

DIVIDED_BY = "org.cicd-actions.stage-divided-by"
"""The label that says what divides the traffic on a Docker engine: `proxy`, `replicas` or `alias`."""

SUFFIX = "-next"
"""What the name of a stage ends in."""

_BEFORE = "org.cicd-actions.stage-before"
_BEFORE_SHA = "org.cicd-actions.stage-before-sha"
_RUN = "org.cicd-actions.stage-run"


def written(target: Target, before: Running, *, run: str, until: float) -> dict[str, str]:
    """Returns the labels of a stage."""
    return {
        STAGE: target.service,
        _BEFORE: before.image,
        _BEFORE_SHA: before.sha,
        _RUN: run,
        UNTIL: str(int(until)),
        **({REVISION: target.sha} if target.sha else {}),
    }


def read(service: str, image: str, labels: Mapping[str, str], percent: float, addresses: tuple[str, ...]) -> Stage:
    """Returns the stage of a service that has these labels and runs this image."""
    until = labels.get(UNTIL, "")
    return Stage(
        Target(service, _image(image), labels.get(REVISION, "")),
        before=labels.get(_BEFORE, ""),
        before_sha=labels.get(_BEFORE_SHA, ""),
        percent=percent,
        run=labels.get(_RUN, ""),
        until=float(until) if is_whole(until) else 0.0,
        addresses=addresses,
    )


def divided_by(labels: Mapping[str, str]) -> str:
    """Returns what divides the traffic between the service and the stage that has these labels."""
    return labels.get(DIVIDED_BY, "proxy")


def _image(text: str) -> Image:
    name, _, digest = text.partition("@")
    return Image(name, digest) if digest else Image(text, text, opaque=True)
