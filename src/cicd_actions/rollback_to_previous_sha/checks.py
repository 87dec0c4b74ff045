"""Checks, before anything changes, that a rollback can be done: the records, what runs, the images, the database."""

from __future__ import annotations

import difflib
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from cicd_actions.engines.protocol import Engine, EngineUnreachable, Image, ImageMissing, Running, ServiceMissing, Target
from cicd_actions.engines.registry import Registry
from cicd_actions.engines.staged_protocol import Stage
from cicd_actions.github import attestations
from cicd_actions.github.client import GitHub
from cicd_actions.github.commits import Comparison, compare
from cicd_actions.github.history import History, Release
from cicd_actions.github.inputs import AttestationInputs
from cicd_actions.github.records import Records
from cicd_actions.github.release_record import Record, digest_of, lock_in_full
from cicd_actions.roll_out.inputs import Wanted
from cicd_actions.rollback_to_previous_sha.inputs import CheckInputs
from cicd_actions.rollback_to_previous_sha.plan import Facts, Left, Move, Plan, images, leaving, target
from cicd_actions.rollback_to_previous_sha.schema_guard import Guard, Question, SchemaRefused
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import ActionError, Failed, Inconclusive, UnusableInput
from cicd_actions.toolkit.runtime import Runtime


@dataclass(frozen=True)
class Means:
    """Whom the checks ask: the engine, the records on GitHub; and until when. `release` are the release's variables."""

    engine: Engine
    records: Records
    deadline: Deadline
    runtime: Runtime
    release: Mapping[str, str]


NO_IMAGE_COMMAND = "`image-command` is not set"
"""Why the user's own programs do not tell whether an image exists."""

COMMITS_TIME = 5.0
"""Seconds for the list of commits that are taken back: it is for people, and nothing waits longer for it."""


def what_runs(engine: Engine, services: Sequence[Wanted], deadline: Deadline) -> dict[str, Running]:
    """Returns what runs of each service. Raises `ServiceMissing`, `EngineUnreachable`."""
    names = [each.service for each in services]
    running = engine.running(names, deadline)
    missing = [name for name in names if name not in running]
    # The user's programs may not report a service that is down; rolling it out is what they are for.
    if missing and not engine.own_programs:
        raise ServiceMissing(
            f"Cannot roll back {', '.join(missing)}: this {engine.name} engine has no such service.",
            fix="Correct its name in `services`. For Swarm, the input `stack` stands before it.",
        )
    return {name: running.get(name, Running(name)) for name in names}


def read_facts(
    records: Records,
    environment: str,
    running: Mapping[str, Running],
    current_sha: str = "",
    to_sha: str = "",
    staged: Mapping[str, Stage] | None = None,
) -> Facts:
    """Returns the records back to the release to roll back to. Raises what `GitHub` raises.

    A stage counts only beside the release that it was prepared for: others have been rolled out past an older one.
    """
    beside = {name: each.target for name, each in (staged or {}).items() if each.before == running[name].image}

    def chosen(history: History) -> tuple[Left, Release] | None:
        facts = Facts(environment, running, history, beside)
        try:
            left = leaving(facts, current_sha)
            return left, target(facts, left, to_sha)
        except ActionError:
            return None

    def usable(history: History) -> bool:
        return chosen(history) is not None

    def enough(history: History) -> bool:
        found = chosen(history)
        # A record of a part is laid over older ones, so they are read until every service has its image.
        if found is None or len(found[1].sources) < len(running):
            return False
        # What no record read so far brought may be what a rollback brought that was killed before it could record anything.
        return found[0].release is not None

    try:
        return Facts(environment, running, records.history(environment, enough, usable, or_kept=True), beside)
    except UnusableInput as error:
        # In an incident, a token that GitHub does not accept is one more reason why nothing is known.
        raise Inconclusive(error.what, cause=error.cause, fix=error.fix) from None


def refuse_unrecorded(records: Records, facts: Facts) -> None:
    """Raises `Failed` for an environment without any record, where another one has some and almost the same name."""
    history = facts.history
    if history.records or history.passed_over or history.apps:
        return
    try:
        names = records.environments()
    except ActionError:
        return
    lowered = {name.lower(): name for name in names}
    close = difflib.get_close_matches(facts.environment.lower(), lowered, 1, cutoff=0.8)
    if close:
        raise Failed(
            f"Cannot roll back: {facts.environment} has no record.",
            cause=f"These environments have some: {', '.join(names[:10])}.",
            fix=f"    with:\n      environment: {lowered[close[0]]}",
        )


def next_good(records: Records, facts: Facts, left: Left, to: Release) -> str:
    """Returns the commit of the newest release that passed, other than these two; empty where there is none, or no answer."""

    def others(history: History) -> list[Release]:
        good = history.good(facts.services)
        return [each for each in good if not left.is_of(each) and each.identity != to.identity]

    try:
        history = records.history(facts.environment, lambda history: bool(others(history)))
    except ActionError:
        return ""
    return next((each.sha for each in others(history)), "")


def found_images(
    engine: Engine, wanted: Mapping[str, str], deadline: Deadline, runtime: Runtime
) -> tuple[dict[str, Image], list[str]]:
    """Returns every image at its recorded digest, and what could not be checked.

    Where the engine cannot tell whether an image exists, its registry is asked for the digest. Raises `ImageMissing` that names
    all missing ones, `EngineUnreachable`.
    """
    found: dict[str, Image] = {}
    unverified: list[str] = []
    missing: list[ImageMissing] = []
    for service, image in wanted.items():
        try:
            found[service] = engine.resolve(image, deadline)
            if not found[service].exists:
                found[service] = _asked_of_registry(found[service], deadline, runtime)
        except ImageMissing as error:
            missing.append(error)
            continue
        except EngineUnreachable as error:
            if service not in found:
                raise
            why = f"{NO_IMAGE_COMMAND}, and the registry does not tell. {error.what}" if engine.own_programs else error.what
            unverified.append(f"whether the image {image} of {service} exists: {why}")
            continue
        if not found[service].exists:
            why = NO_IMAGE_COMMAND if engine.own_programs else "this engine cannot tell"
            unverified.append(f"whether the image {image} of {service} exists: {why}")
    if missing:
        raise ImageMissing(
            "\n".join(dict.fromkeys(error.what for error in missing)),
            cause="An image of the release to roll back to was deleted, so it cannot run again.",
            fix="Keep the images of the last releases in the registry. Now deploy a commit that fixes the problem, or roll back"
            " to an older release:\n\n    with:\n      to-sha: <full commit sha>",
        )
    return found, unverified


def _asked_of_registry(image: Image, deadline: Deadline, runtime: Runtime) -> Image:
    if not digest_of(image.name):
        return image

    registry = Registry(runtime)
    try:
        return replace(image, digest=registry.resolve(image.name, deadline).digest, exists=True)
    finally:
        registry.close()


def commits(github: GitHub, runtime: Runtime, from_sha: str, to_sha: str) -> Comparison | None:
    """Returns the commits that are taken back; `None` when GitHub did not say in time."""
    if not from_sha:
        return None
    quick = GitHub(github.token, github.repository, runtime, runtime.deadline(COMMITS_TIME), github.url, attempts=1)
    try:
        found = compare(quick, to_sha, from_sha, commits=100)
    except ActionError as error:
        runtime.log(f"The commits that are taken back are not listed: {error.what}")
        return None
    return None if found.status == "unknown" else found


def plan(
    inputs: CheckInputs,
    services: Sequence[Wanted],
    means: Means,
    facts: Facts,
    left: Left,
    to: Release,
    *,
    next_release: Running | None = None,
) -> Plan:
    """Returns the plan, with everything checked that can be checked before anything changes.

    `next_release` is what `schema-service` is about to run; without it the rollback is planned from what runs now. The plan
    says what could not be checked, and whether the schema guard refuses it. Raises `ImageMissing`, `Inconclusive`,
    `UnusableInput`.
    """
    wanted, without = images(to, services, opaque=means.engine.opaque_images)
    found, unverified = found_images(means.engine, wanted, means.deadline, means.runtime)
    made = Plan(
        app=means.records.name,
        environment=facts.environment,
        left=left,
        to=to,
        moves=tuple(Move(name, image, facts.running[name], to.sources[name].sha) for name, image in found.items()),
        without=tuple(without),
        taken_back=commits(means.records.github, means.runtime, left.sha, to.sha),
        unverified=tuple(unverified),
    )
    service = inputs.schema_service
    if service and service not in found:
        raise UnusableInput(
            f"`schema-service` is {service}, which is not one of the services that are rolled back ({', '.join(found)}).",
            fix=f"    with:\n      schema-service: {next(iter(found), 'api')}",
        )
    beside = facts.staged.get(service)  # it has migrated the database
    known = Running(service, beside.image.pinned, sha=beside.sha) if beside else facts.running.get(service)
    now = next_release or known
    asked = Question(facts, left, to, found, now, pending=next_release is not None)
    try:
        schema = Guard(inputs, asked, means.engine, means.deadline, means.runtime, means.release).answer()
    except SchemaRefused as error:
        return replace(made, refused=error)
    return replace(
        made,
        stays=schema.stays,
        schema=schema.said,
        database=schema.database,
        unverified=(*made.unverified, *((schema.unverified,) if schema.unverified else ())),
    )


def attested(inputs: AttestationInputs, made: Plan, github: GitHub, deadline: Deadline, runtime: Runtime) -> Plan:
    """Returns the plan, refused where an image that is about to run has no attestation of its build, if one is required.

    What could not be determined is unverified. Raises `UnusableInput`.
    """
    policy = attestations.policy(inputs, github.repository)
    if policy is None:
        return made
    for move in made.moves:  # also what runs already: it may be rolled out again, and is recorded
        try:
            found = attestations.verify(move.reference, move.sha, policy, github.token, runtime, deadline)
            made = replace(made, attestations={**made.attestations, move.service: found.id})
        except attestations.Unattested as error:
            return made if made.refused else replace(made, refused=error)
        except Inconclusive as error:
            made = replace(made, unverified=(*made.unverified, f"who built the image of {move.service}: {error.what}"))
    return made


def lock(records: Records, environment: str, runtime: Runtime) -> Record | None:
    """Returns the lock that a rollback passes through, if any. A rollback never waits for an answer to this."""
    try:
        found = records.lock(environment)
    except ActionError as error:
        runtime.log(f"Could not determine whether {environment} is locked: {error.what}")
        return None
    if found is None or not found.locks(time.time()):
        return None
    runtime.log(f"{environment} is locked, and a rollback passes through: {lock_in_full(found)}")
    return found


def examine(engine: Engine, moves: Iterable[Move], deadline: Deadline) -> None:
    """Raises `Refused` for a service that the engine cannot replace without losing something, and what the engine raises."""
    for move in moves:
        engine.examine(Target(move.service, move.image, move.sha), move.now, deadline)


def refuse(inputs: CheckInputs, made: Plan) -> None:
    """Raises what the schema guard refused, and `Inconclusive` for what was not checked, unless `allow-unverified` is set."""
    if made.refused is not None:
        raise made.refused
    if made.unverified and not inputs.allow_unverified:
        ask = "Let a program say whether an image exists:\n\n    with:\n      image-command: ./infra/exists.sh {image}\n\n"
        raise Inconclusive(
            "Could not check everything that a rollback needs: " + "; ".join(made.unverified) + ".",
            cause="A rollback to an image that is not there, or that does not fit the database, makes things worse.",
            fix=(ask if any(NO_IMAGE_COMMAND in each for each in made.unverified) else "")
            + "Check it by hand. Then, to go on without this check:\n\n    with:\n      allow-unverified: true",
        )


def refuse_engine(engine: Engine, roll_out_command: object) -> None:
    """Raises `Failed` for an engine that has no means to roll back."""
    if engine.own_programs and roll_out_command is None:
        raise Failed(
            "Cannot roll back: the engine `command` has no `roll-out-command`.",
            fix="    with:\n      roll-out-command: ./infra/rollout.sh {service} {image} {sha} {environment}",
        )
