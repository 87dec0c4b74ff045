"""Holds what a record says, as a value and as the JSON payload of a GitHub Deployment."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from enum import Enum
from typing import Any

from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.grammar import is_whole
from cicd_actions.toolkit.printable import shortened, visible
from cicd_actions.toolkit.verdict import Verdict

SCHEMA = 1
PAYLOAD_LIMIT = 8 * 1024
"""Bytes of a payload as JSON: our own limit. GitHub documents none; a page of a hundred records stays below 1 MiB."""

MAC_ROOM = 100
"""Bytes that the signature adds to a payload: its key, its quotes and 64 hexadecimal digits."""

_REASON_LIMIT = 300
_SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_DIGEST = re.compile(r"(?:^|@)(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$")
_RUN_URL = re.compile(r"https?://[^/]+/(?P<repository>[^/]+/[^/]+)/actions/runs/[0-9]+(?:/attempts/[0-9]+)?")


class Task(str, Enum):
    """The tasks of our Deployments; those of other tools have other names."""

    PASSED = "cicd-actions:passed"
    QUARANTINED = "cicd-actions:quarantined"
    DEPLOY = "cicd-actions:deploy"
    """For people: it carries statuses and has no verdict."""

    LOCK = "cicd-actions:lock"
    """Forbids or allows deploys: the newest of the kinds `lock` and `unlock` counts. The kind `rollback` ends deploys that
    wait since before it."""

    def __str__(self) -> str:
        return self.value


ABANDONED = "abandoned"
"""The kind of a record with the task `Task.DEPLOY` that ends a staged deploy: its stage is gone, so nothing of it runs."""

LOCKS = ("lock", "unlock", "rollback")
"""The kinds of records with the task `Task.LOCK`."""

RELEASES = ("release", "rollback", "adopt", ABANDONED)
"""The kinds of all other records. Each is proven in another way, so one of another kind would not be proven at all."""


class NotARecord(ValueError):
    """A Deployment, or its payload, that is not one of ours."""


def is_sha(text: str) -> bool:
    """Returns whether the text is a full commit SHA: 40 hexadecimal digits in lower case (64 in a SHA-256 repository)."""
    return bool(_SHA.fullmatch(text))


def digest_of(image: str) -> str:
    """Returns the digest that `image` ends with (`repository@sha256:…`, or the bare digest); empty when it has none."""
    match = _DIGEST.search(image)
    return match[1] if match else ""


def marked(image: str) -> str:
    """Returns what tells one image from another: its digest, else the whole opaque id."""
    return digest_of(image) or image


@dataclass(frozen=True)
class Revision:
    """One migration that a release applied. `phase` is `expand`, `contract`, or empty where it is not known."""

    revision: str
    phase: str = ""
    message: str = ""


@dataclass(frozen=True)
class Run:
    """The workflow run that wrote the record."""

    id: str = ""
    attempt: str = ""
    url: str = ""
    actor: str = ""

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> Run:
        """Reads it from the variables that GitHub sets in every step."""
        actor = variables.get("GITHUB_TRIGGERING_ACTOR") or variables.get("GITHUB_ACTOR", "")
        run = cls(variables.get("GITHUB_RUN_ID", ""), variables.get("GITHUB_RUN_ATTEMPT", ""), actor=actor)
        return replace(run, url=run.page(variables))

    def page(self, variables: Mapping[str, str]) -> str:
        """Returns the URL of the run on this server and in this repository; empty where its id is not a number.

        It is made of the numbers alone, so that a record cannot lead elsewhere.
        """
        repository = variables.get("GITHUB_REPOSITORY", "")
        server = variables.get("GITHUB_SERVER_URL", "").rstrip("/")
        if not (server and repository and is_whole(self.id)):
            return ""
        url = f"{server}/{repository}/actions/runs/{self.id}"
        return f"{url}/attempts/{self.attempt}" if is_whole(self.attempt) else url

    @property
    def repository(self) -> str:
        """Returns the repository as it was called when the run wrote the record, from the run's URL; empty without one."""
        match = _RUN_URL.fullmatch(self.url)
        return match["repository"] if match else ""


@dataclass(frozen=True)
class Record:
    """A release in an environment, and what became of it.

    `services` has for each service what the engine deploys: `repository@sha256:…`, a bare digest, or an opaque id.
    `revisions` are the migrations that this deploy applied, oldest first; `revisions_dropped` counts older ones that did not
    fit. `schema` holds the database's revisions after them (several when the history has several heads; empty when unknown).
    `kind` is one of `RELEASES`, and `ABANDONED` of `Task.DEPLOY` alone; of `Task.LOCK`, which names no services, one of
    `LOCKS`. `until` is the time at which a lock ends; empty for one that only an unlock ends. `deployment` is the id of the
    Deployment with task `cicd-actions:deploy` that this record ends. `attestations` has the id of each service's attestation,
    where it was verified. `id` is 0 until GitHub gave one, and `at` is empty until `Records.write` sends the record.
    """

    task: Task
    app: str
    environment: str
    sha: str
    services: Mapping[str, str]
    verdict: str = ""
    reason: str = ""
    kind: str = "release"
    revisions: tuple[Revision, ...] = ()
    revisions_dropped: int = 0
    schema: tuple[str, ...] = ()
    run: Run = field(default_factory=Run)
    deployment: int = 0
    attestations: Mapping[str, str] = field(default_factory=dict)
    until: str = ""
    at: str = field(default="", compare=False)
    id: int = field(default=0, compare=False)

    @property
    def judged(self) -> bool:
        """Whether the record is a verdict on a release: it passed, or it failed and is quarantined."""
        return self.task in _VERDICTS

    def locks(self, now: float) -> bool:
        """Whether this record forbids deploys at a time, in seconds since 1970."""
        return self.task is Task.LOCK and self.kind == "lock" and (not self.until or now < (time_of(self.until) or 0.0))

    @property
    def identity(self) -> frozenset[tuple[str, str]]:
        """Returns what the release is made of: the digest of each service, else its opaque id.

        A quarantine holds for the whole set, never for one digest: a web image that did not change belongs to the release that
        failed *and* to the one to roll back to.
        """
        return frozenset((service, marked(image)) for service, image in self.services.items())

    def payload(self) -> dict[str, Any]:
        """Returns the payload, below `PAYLOAD_LIMIT` with its signature.

        It drops what does not fit: messages and attestations first, then the oldest expand migrations. Raises `UnusableInput`
        when the services alone are too many.
        """
        limit = PAYLOAD_LIMIT - MAC_ROOM
        trimmed = replace(self, reason=shortened(visible(self.reason), _REASON_LIMIT))
        if _size(_as_json(trimmed)) >= limit:
            bare = tuple(replace(each, message="") for each in trimmed.revisions)
            trimmed = replace(trimmed, revisions=bare, attestations={})
        while _size(_as_json(trimmed)) >= limit:
            kept = list(trimmed.revisions)
            # A contract migration is the rollback floor: it is the last to go.
            oldest = next((at for at, each in enumerate(kept) if each.phase != "contract"), 0)
            if not kept:
                raise UnusableInput(
                    f"The record of {len(self.services)} services is larger than {PAYLOAD_LIMIT // 1024} KiB.",
                    cause="A record names every service with its image, and the names are too long together.",
                    fix="Give bare digests:\n\n    services: |\n      api=sha256:…",
                )
            del kept[oldest]
            trimmed = replace(trimmed, revisions=tuple(kept), revisions_dropped=trimmed.revisions_dropped + 1)
        return _as_json(trimmed)


def who(record: Record) -> str:
    """Returns who started the run that wrote the record, as text from outside."""
    return shortened(visible(record.run.actor), 60) or "Somebody"


def described(record: Record) -> str:
    """Returns what a record stands for, as GitHub's list of deployments shows it. It has text from outside."""
    if record.task is Task.LOCK:
        what = "rollback announced" if record.kind == "rollback" else f"{record.kind}ed"
        return f"{record.app} {what} by {record.run.actor or 'somebody'}"
    if record.kind == ABANDONED:
        return f"{record.app} {record.sha[:12]} stage abandoned"
    words = {Task.PASSED: "passed its gate", Task.QUARANTINED: "failed its gate", Task.DEPLOY: "deploying"}
    what = f"{record.app} {record.sha[:12]} {words[record.task]}"
    return what if record.kind == "release" else f"{what} ({record.kind})"


def lock_described(record: Record) -> str:
    """Returns who locked, when and why, as a sentence. All of it is text from outside."""
    return f"{who(record)} locked it at {record.at}: {shortened(visible(record.reason), _REASON_LIMIT)}"


def lock_in_full(record: Record) -> str:
    """Returns `lock_described` and the run's URL as the record has it, for text in which nothing is a link."""
    return lock_described(record) + (f" ({record.run.url})" if record.run.url else "")


def _as_json(record: Record) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "schema": SCHEMA,
        "app": record.app,
        "environment": record.environment,
        "sha": record.sha,
        "services": dict(record.services),
        "verdict": record.verdict,
        "reason": record.reason,
        "kind": record.kind,
        "revisions": [_without_empty(vars(revision)) for revision in record.revisions],
        "revisions-dropped": record.revisions_dropped,
        "database": list(record.schema),
        "run": _without_empty(vars(record.run)),
        "deployment": record.deployment,
        "attestations": dict(record.attestations),
        "until": record.until,
        "at": record.at,
    }
    return {key: value for key, value in whole.items() if value or key == "services"}


def _without_empty(fields: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in fields.items() if value}


def _size(payload: Mapping[str, Any]) -> int:
    return len(json.dumps(payload).encode())


def now() -> str:
    """Returns the time in UTC to the second, as GitHub writes it."""
    return written(time.time())


def written(seconds: float) -> str:
    """Returns a time in seconds since 1970 as GitHub writes it, in UTC. Raises `ValueError` beyond the year 9999."""
    try:
        return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, OSError) as error:
        raise ValueError(str(error)) from None


def time_of(text: object) -> float | None:
    """Returns the seconds since 1970 of a time as GitHub writes it; `None` for anything else, and without a time zone."""
    try:
        found = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        return None
    return found.timestamp() if found.tzinfo else None


def read(deployment: object) -> Record:
    """Returns the record that a Deployment of the API holds.

    Raises `NotARecord` when the Deployment is another tool's, or its fields contradict each other.
    """
    found = _object(deployment, "the deployment")
    try:
        task = Task(_text(found, "task"))
    except ValueError:
        raise NotARecord("another tool's task") from None
    fields = payload_of(found)
    if fields.get("schema") != SCHEMA:
        raise NotARecord(f"its payload has schema {fields.get('schema')!r}, not {SCHEMA}")
    services = _object(fields.get("services"), "services")
    record = Record(
        task=task,
        app=_text(fields, "app"),
        environment=_text(fields, "environment"),
        sha=_text(fields, "sha"),
        services={_own_text(name): _own_text(image) for name, image in services.items()},
        verdict=_text(fields, "verdict"),
        reason=_text(fields, "reason"),
        kind=_text(fields, "kind") or "release",
        revisions=tuple(_revision(each) for each in _list(fields, "revisions")),
        revisions_dropped=_whole(fields, "revisions-dropped"),
        schema=tuple(_own_text(each) for each in _list(fields, "database")),
        run=Run(**{key: _text(_object(fields.get("run", {}), "run"), key) for key in ("id", "attempt", "url", "actor")}),
        deployment=_whole(fields, "deployment"),
        attestations={
            _own_text(name): _own_text(id_) for name, id_ in _object(fields.get("attestations", {}), "attestations").items()
        },
        until=_text(fields, "until"),
        at=_text(fields, "at"),
        id=_whole(found, "id"),
    )
    # The Deployment's own SHA is GitHub's word for which commit was meant; a payload that differs was not written by us.
    if not is_sha(record.sha) or record.sha != _text(found, "sha"):
        raise NotARecord("its payload names another commit than the Deployment")
    if task is Task.LOCK and (record.kind not in LOCKS or (record.until and time_of(record.until) is None)):
        raise NotARecord("it neither locks nor unlocks nor announces a rollback, or does not say until when")
    if task is not Task.LOCK and (record.kind not in RELEASES or (record.kind == ABANDONED and task is not Task.DEPLOY)):
        raise NotARecord("its kind does not fit its task")
    if task in _VERDICTS and (not record.services or record.verdict != _VERDICTS[task]):
        raise NotARecord("its verdict does not fit its task, or it names no services")
    return record


def payload_of(deployment: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a Deployment's payload. GitHub keeps what it was sent: an object, or the text of one. Raises `NotARecord`."""
    payload = deployment.get("payload")
    if isinstance(payload, str):
        try:
            payload = json.loads(payload)
        except (ValueError, RecursionError):
            raise NotARecord("its payload is not JSON") from None
    return _object(payload, "the payload")


_VERDICTS = {Task.PASSED: Verdict.PASS.value, Task.QUARANTINED: Verdict.FAIL.value}


def _revision(value: object) -> Revision:
    fields = _object(value, "a revision")
    return Revision(_text(fields, "revision"), _text(fields, "phase"), _text(fields, "message"))


def _object(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise NotARecord(f"{what} is not an object")
    return value


def _text(fields: Mapping[str, Any], key: str) -> str:
    value = fields.get(key, "")
    if not isinstance(value, str):
        raise NotARecord(f"`{key}` is not text")
    return value


def _own_text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise NotARecord("a name or an image that is not text")
    return value


def _whole(fields: Mapping[str, Any], key: str) -> int:
    value = fields.get(key, 0)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise NotARecord(f"`{key}` is not a number")
    return value


def _list(fields: Mapping[str, Any], key: str) -> Sequence[Any]:
    value = fields.get(key, [])
    if not isinstance(value, list):
        raise NotARecord(f"`{key}` is not a list")
    return value
