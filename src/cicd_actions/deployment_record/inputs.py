"""The inputs of deployment-record."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from cicd_actions.deployment_record.freeze import Override, Window, override, window
from cicd_actions.engines.protocol import ENGINES
from cicd_actions.engines.staged_inputs import StageInputs
from cicd_actions.github.inputs import RecordInputs
from cicd_actions.github.release_record import Revision, time_of, written
from cicd_actions.health_gate.embedded import GateOptions
from cicd_actions.roll_out.inputs import Wanted, services
from cicd_actions.rollback_to_previous_sha.inputs import CheckInputs
from cicd_actions.rollback_to_previous_sha.inputs import Inputs as Rollback
from cicd_actions.toolkit.grammar import NotUnderstood, boolean, choice, duration, lines, string, whole
from cicd_actions.toolkit.inputs import declare, declared

_REVISIONS = '[{"revision": "0005", "phase": "expand", "message": "add a column"}]'


def revisions(text: str) -> tuple[Revision, ...]:
    """The JSON list that run-migrations-oneshot reports as `applied`; keys that it has besides these are passed over."""
    if not text.strip():
        return ()
    try:
        found = json.loads(text)
    except ValueError as error:
        raise NotUnderstood(f"it is not JSON ({error})", example=_REVISIONS) from None
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise NotUnderstood("it is not a JSON list of objects", example=_REVISIONS)
    return tuple(_revision(each) for each in found)


def _revision(fields: dict[str, object]) -> Revision:
    revision, phase, message = (fields.get(key) or "" for key in ("revision", "phase", "message"))
    if not isinstance(revision, str) or not revision:
        raise NotUnderstood("a migration has no `revision`", example=_REVISIONS)
    if not isinstance(phase, str) or phase not in {"expand", "contract", ""}:
        raise NotUnderstood(f"the phase of {revision} is neither `expand` nor `contract`", example=_REVISIONS)
    return Revision(revision, phase, str(message))


def attestations(text: str) -> dict[str, str]:
    """The JSON object that verify-attestation outputs. Raises `NotUnderstood`."""
    example = '{"api": "log:123456789"}'
    if not text.strip():
        return {}
    try:
        found = json.loads(text)
    except ValueError as error:
        raise NotUnderstood(f"it is not JSON ({error})", example=example) from None
    if not isinstance(found, dict) or not all(isinstance(id_, str) and 0 < len(id_) <= 100 for id_ in found.values()):
        raise NotUnderstood("it is not a JSON object of ids", example=example)
    return found


_LONGEST = 366 * 24 * 3600.0
"""Seconds of the longest lock that a duration gives."""


@dataclass(frozen=True)
class Until:
    """When a lock ends: `seconds` from now on, or at a `moment` in GitHub's form; neither for one that only `unlock` ends."""

    seconds: float = 0.0
    moment: str = ""


def until(text: str) -> Until:
    """Reads a duration, or a date and time with its zone. Raises `NotUnderstood`."""
    if not text.strip():
        return Until()
    try:
        seconds = time_of(text.strip().replace(" ", "T", 1))
        if seconds is not None:
            return Until(moment=written(seconds))
        found = duration(text)
    except ValueError:  # also of a time that UTC puts beyond the years 1 to 9999
        raise NotUnderstood(
            f"`{text.strip()[:100]}` is neither a duration nor a time with a zone", example="2026-12-24T18:00:00+01:00"
        ) from None
    if not 0 < found <= _LONGEST:
        raise NotUnderstood(f"`{text.strip()[:100]}` is not between a moment and a year", example="4h")
    return Until(found)


def database_revisions(text: str) -> tuple[str, ...]:
    """One or several revisions, separated by commas or white space."""
    return tuple(part for part in re.split(r"[,\s]+", text.strip()) if part)


@dataclass(frozen=True, kw_only=True)
class _Release:
    phase: str = declare(
        choice("start", "finish", "abandoned", "adopt", "verify-record", "lock", "unlock", "announce-rollback", "status"),
        "`start` before anything moves: refuses a commit that must not be deployed, and proves the rollback. `finish` after the"
        " gate: records the verdict. `abandoned`: ends a deploy whose stage was abandoned. `adopt`: gates and records what runs"
        " now. `verify-record`: shows which records count. `lock` and `unlock` forbid and allow deploys. `announce-rollback`"
        " ends the deploys that wait. `status`: shows what is recorded, since when, and locks.",
        required=True,
    )
    environment_url: str = declared(Rollback, "environment_url")
    sha: str = declare(
        string,
        "The full commit SHA. Default: the run's commit; for `adopt` the SHA that the running services are labelled with; for"
        " `verify-record` any.",
    )
    services: tuple[Wanted, ...] = declare(
        services,
        "The services of the release, one per line: `service=sha256:…`, `service=image@sha256:…`, or an id of"
        " your own programs."
        " For `adopt`: `service=repository`.",
    )
    verdict: str = declare(
        string,
        "`finish`: `pass`, `fail`, `staged` (it waits to be promoted), `abandoned` (its stage is gone), `inconclusive` or"
        " `cancelled`. Only `pass` and `fail` are recorded as verdicts.",
    )
    reason: str = declare(string, "`finish`: one sentence, such as the gate's `reason`. `lock`, `unlock`: why.")
    until: Until = declare(
        until,
        "`lock`: when it ends: a duration (`4h`), or a time with its zone (`2026-12-24T18:00:00+01:00`)."
        " Default: when it is unlocked.",
    )
    revisions: tuple[Revision, ...] = declare(
        revisions, "`finish`: the migrations that this deploy applied, as JSON: the output `applied` of run-migrations-oneshot."
    )
    database_revision: tuple[str, ...] = declare(
        database_revisions,
        "`finish`: the database's revision after them: the output `to-revision` of run-migrations-oneshot.",
    )
    attestations: dict[str, str] = declare(
        attestations, "`finish`: the attestation of each service's image, as JSON: the output of verify-attestation."
    )
    deployment_id: int = declare(
        whole(0), "`finish`: the output `deployment-id` of `start`. Default: the newest deploy of this run.", default="0"
    )
    github_token: str = declare(
        string,
        "A token with the permission `deployments: write`, `contents: read` for `start`, and `actions: read`. With"
        " `record-key`, `actions: read` is needed by `start` only, after a rollback was announced.",
        secret=True,
        action_default="${{ github.token }}",
    )
    freeze: tuple[Window, ...] = declare(
        lines(window),
        "`start`: times in which nothing is deployed, one per line: `CRON to CRON in ZONE: why`, such as"
        " `0 18 * * FRI to 0 6 * * MON in Europe/Berlin: the weekend`. A rollback passes through.",
    )
    freeze_override: Override | None = declare(
        override,
        "`start`: deploys through every freeze: `until TIME: why`, the time with its zone. The record keeps the reason.",
    )
    require_rollback: str = declare(
        choice("false", "true", "recorded"),
        "`start`: `true` refuses a release that could not be rolled back. `recorded` does so once a release is recorded here,"
        " so that a first deploy gets through.",
        default="false",
    )
    require_passed_in: str = declare(
        string, "`start`: an environment in which exactly these digests of this commit passed before: `staging`."
    )
    allow_older: bool = declare(
        boolean, "`start`: deploy a commit that is behind the recorded one, or whose order is not known.", default="false"
    )
    audit_url: str = declare(
        string,
        "Where each record is POSTed as one JSON line, for a compliance log. `$NAME` is expanded from the environment.",
    )
    audit_headers: tuple[str, ...] = declare(
        lines(string),
        "Headers of that request, one `Name: value` per line; `$NAME` is expanded: `Authorization: Bearer $AUDIT_TOKEN`.",
    )
    audit_required: bool = declare(
        boolean, "`start`: do not deploy when the audit line cannot be written. `finish`: say so, exit 3.", default="false"
    )
    timeout: float = declare(
        duration,
        "How long the action may take. The gate of `adopt` and the check of the rollback are not counted.",
        default="2m",
    )


@dataclass(frozen=True, kw_only=True)
class Inputs(StageInputs, GateOptions, CheckInputs, RecordInputs, _Release):
    """What is recorded; for `start` and `adopt` where it runs, and for `adopt` how it is gated."""

    engine: str = declare(
        choice("", *ENGINES),
        "`start`, `finish`, `adopt`: where the release runs: `swarm`, `kubernetes` (experimental), `docker` or `command`."
        " `start` checks the rollback there, `finish` that the release stays up.",
    )
    environment: str = declare(
        string, "The environment's name, such as `staging`. For `status`: one or more, one per line.", required=True
    )
