"""What is looked at before anything changes: the records, what runs, whether every image is there."""

from __future__ import annotations

from collections.abc import Mapping

from cicd_actions.engines.protocol import Engine, Image, ImageMissing, Running, ServiceMissing
from cicd_actions.github.client import GitHub
from cicd_actions.github.comparison import Comparison, compare
from cicd_actions.github.history import History
from cicd_actions.github.records import Records
from cicd_actions.github.release_record import Record
from cicd_actions.rollback_to_previous_sha import plan as plans
from cicd_actions.rollback_to_previous_sha.inputs import Inputs
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import ActionError, Inconclusive, UnusableInput
from cicd_actions.toolkit.runtime import Runtime

COMMITS_TIME = 5.0
"""Seconds for the list of commits that are taken back: it is for people, and nothing waits longer for it."""


def what_runs(engine: Engine, inputs: Inputs, deadline: Deadline) -> dict[str, Running]:
    """Raises `ServiceMissing`, `EngineUnreachable`."""
    names = [each.service for each in inputs.services]
    running = dict(engine.running(names, deadline))
    missing = [name for name in names if name not in running]
    # The user's own programs may say nothing of a service that is down; rolling it out is what they are for.
    if missing and not engine.opaque_images:
        raise ServiceMissing(
            f"There is no service {', '.join(missing)} on this {engine.name} engine, so it cannot go back.",
            fix="Correct its name in `services`; for Swarm, the input `stack` stands before it.",
        )
    return running | {name: Running(name) for name in missing}


def read_records(records: Records, inputs: Inputs, running: Mapping[str, Running]) -> History:
    """The records back to the release that is gone back to. Raises what `GitHub` raises."""
    runs = plans.identity(running)

    def enough(history: History) -> bool:
        if inputs.to_sha:
            return bool(history.of_sha(inputs.to_sha))
        left = plans.leaving(running, history, inputs.current_sha)
        return bool(left or runs) and history.last_good(not_sha=left, not_services=runs or None) is not None

    try:
        return records.history(inputs.environment, enough)
    except UnusableInput as error:
        # A token that GitHub does not accept: in the middle of an incident it is one more reason why nobody can tell.
        raise Inconclusive(error.what, cause=error.cause, fix=error.fix) from None


def found_images(engine: Engine, wanted: Mapping[str, str], deadline: Deadline) -> tuple[dict[str, Image], list[str]]:
    """Every image at its recorded digest, and what could not be checked.

    Raises `ImageMissing` that names all which are not there, `EngineUnreachable`.
    """
    found: dict[str, Image] = {}
    unverified: list[str] = []
    missing: list[ImageMissing] = []
    for service, image in wanted.items():
        try:
            found[service] = engine.resolve(image, deadline)
        except ImageMissing as error:
            missing.append(error)
            continue
        if not found[service].exists:
            unverified.append(f"whether the image {image} of {service} exists (this engine cannot tell)")
    if missing:
        raise ImageMissing(
            "\n".join(error.what for error in missing),
            cause="An image of the release to go back to was deleted, so it cannot run again. Nothing was changed.",
            fix="Let the registry keep the images of the last releases that passed. Now: go forward, or go further back with"
            " `to-sha`.",
        )
    return found, unverified


def commits(github: GitHub, runtime: Runtime, from_sha: str, to: Record) -> Comparison | None:
    """The commits that are taken back; `None` when that could not be asked in time."""
    if not from_sha:
        return None
    quick = GitHub(github.token, github.repository, runtime, runtime.deadline(COMMITS_TIME), github.url, attempts=1)
    try:
        found = compare(quick, to.sha, from_sha, commits=100)
    except ActionError as error:
        runtime.log(f"The commits that are taken back are not listed: {error.what}")
        return None
    return None if found.status == "unknown" else found


def running_of(engine: Engine, services: list[str], deadline: Deadline) -> dict[str, Running]:
    """What runs of services that only the record names. Raises `ServiceMissing`, `EngineUnreachable`."""
    if not services:
        return {}
    running = dict(engine.running(services, deadline))
    missing = [name for name in services if name not in running]
    if missing and not engine.opaque_images:
        raise ServiceMissing(
            f"The release to go back to has the service {', '.join(missing)}, which this {engine.name} engine has not.",
            fix="Create it again (`docker stack deploy`, `kubectl apply`), and start this once more.",
        )
    return running | {name: Running(name) for name in missing}
