"""Proves who wrote a record.

Anyone with `deployments: write` can create a Deployment that looks like a record. A record counts when its signature fits the
key of the environment. Without a key it counts when the expected App created it, and the run it names exists in this
repository, with that commit, on an allowed ref, of an allowed workflow file, and not for a pull request.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from cicd_actions.github.client import GitHub, segment
from cicd_actions.github.errors import NotFound, Permission
from cicd_actions.github.inputs import BOT, RecordInputs
from cicd_actions.github.release_record import NotARecord, Record, payload_of, time_of
from cicd_actions.toolkit.errors import Inconclusive
from cicd_actions.toolkit.grammar import is_whole
from cicd_actions.toolkit.json_values import members
from cicd_actions.toolkit.printable import shortened, visible
from cicd_actions.toolkit.runtime import Runtime

RUNS = Permission("Actions", "read", job="actions")

MOST_RUNS = 20
"""Runs that one action asks GitHub about. Each costs a request; the last good release needs one to three of them."""

STALEST = 900.0
"""Seconds between the time a record names and the time GitHub created it: one request and clock skew, since each attempt to
write a record is signed with its own time. A signed payload that somebody copies into a new Deployment later is older."""

SKEW = 60.0
"""Seconds that the times of a run and of a Deployment may contradict each other; GitHub keeps both to the second."""

SHORTEST_KEY = 16
"""Bytes below which a key draws a warning: 128 bits, as 16 random bytes have them."""

_MAKE_A_KEY = "Make one of at least 16 characters: openssl rand -hex 32"

_LARGEST_EVENT = 32 * 1024 * 1024


class Unproven(NotARecord):
    """A record whose writer is not proven; the text says why."""


class TooManyRuns(Inconclusive):
    """The records name more workflow runs than one action asks GitHub about."""


@dataclass(frozen=True)
class Trust:
    """What counts as proof. `key` is empty where records are not signed; `repository` is the repository's id."""

    key: bytes = field(default=b"", repr=False)
    repository: str = ""
    app: str = BOT
    refs: tuple[str, ...] = ()
    workflows: tuple[str, ...] = ()

    @classmethod
    def of(cls, inputs: RecordInputs, runtime: Runtime) -> Trust:
        """Returns what the inputs ask for. Raises `UnusableInput` for a key that is not set."""
        variables = runtime.variables
        key = b""
        if inputs.record_key:
            key = runtime.environment.secret(inputs.record_key, input="record-key").encode()
            runtime.environment.withhold(inputs.record_key)
            if len(key) < SHORTEST_KEY:
                runtime.command("warning", f"The key in {inputs.record_key} is too short to prove a record. {_MAKE_A_KEY}")
        named = inputs.records_refs or (variables.get("GITHUB_REF_NAME"), default_branch(variables))
        # A run names its branch or tag without the prefix.
        refs = tuple(ref.removeprefix("refs/heads/").removeprefix("refs/tags/") for ref in named if ref)
        return cls(key, variables.get("GITHUB_REPOSITORY_ID", ""), inputs.records_app, refs, inputs.records_workflows)

    def signed(self, record: Record) -> dict[str, Any]:
        """Returns the payload, with its signature where there is a key."""
        payload = record.payload()
        return {**payload, "mac": self._mac(payload, record.task.value)} if self.key else payload

    def fits(self, payload: Mapping[str, Any], task: str) -> bool:
        """Tells whether the signature of a payload fits the key, this repository and the Deployment's task."""
        given = payload.get("mac")
        try:
            return isinstance(given, str) and given.isascii() and hmac.compare_digest(given, self._mac(payload, task))
        except RecursionError:  # it could just be read: no record is nested like that
            return False

    def _mac(self, payload: Mapping[str, Any], task: str) -> str:
        """Returns HMAC-SHA256 over a canonical form.

        The repository, the task, the app and the environment are part of it, so that a record cannot be replayed elsewhere.
        """
        covered = {key: value for key, value in payload.items() if key != "mac"}
        covered["environment"] = str(payload.get("environment", "")).lower()
        form = {"repository": self.repository, "task": task, "payload": covered}
        text = json.dumps(form, sort_keys=True, separators=(",", ":"))
        return hmac.new(self.key, text.encode(), hashlib.sha256).hexdigest()


@dataclass
class Proofs:
    """Proves records, and asks GitHub about each run once."""

    github: GitHub
    trust: Trust
    known: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Runs that were read already, by their number: GitHub is not asked about them."""
    _runs: dict[str, dict[str, Any] | None] = field(default_factory=dict, init=False, repr=False)

    def of(self, deployment: Mapping[str, Any], record: Record) -> str:
        """Returns what proves the record. Raises `Unproven`, and what `GitHub` raises."""
        created = time_of(deployment.get("created_at"))
        if self.trust.key:
            payload = payload_of(deployment)
            if "mac" not in payload:
                raise Unproven("it is not signed, and `record-key` is set")
            if not self.trust.fits(payload, record.task.value):
                raise Unproven("its signature does not fit the key of `record-key`, this repository and its task")
            written = time_of(record.at)
            if created is None or written is None or abs(created - written) > STALEST:
                raise Unproven("its signed time is not the time at which GitHub created it: it was copied")
            return "signed with `record-key`"
        try:
            self._creator(deployment)
            return self._run(record, created)
        except Unproven as reason:
            if "mac" in payload_of(deployment):
                raise Unproven(f"{reason}. It is signed: set `record-key`") from None
            raise

    def of_this_run(self, deployment: Mapping[str, Any], record: Record) -> str:
        """Returns why a record that this step wrote will not count, as far as that is known without a request.

        Empty where nothing speaks against it. `deployment` is GitHub's answer to the writer.
        """
        variables = self.github.runtime.variables
        event, path = variables.get("GITHUB_EVENT_NAME"), variables.get("GITHUB_WORKFLOW_REF", "")
        created = deployment.get("created_at")
        run: dict[str, Any] = {
            "event": event,
            "head_branch": variables.get("GITHUB_REF_NAME"),
            "path": f".github/{path.partition('/.github/')[2]}",
            # A commit of another repository comes with a pull request alone.
            "repository": {},
            "head_repository": {},
            "head_sha": record.sha,  # `deployment_record.start` warns of another commit before anything moves
            "created_at": created,
        }
        try:
            if self.trust.key:
                self.of(deployment, record)
            else:
                self._creator(deployment)
                if not is_whole(record.run.id):
                    raise Unproven("it names no workflow run")
                if event and path:  # programs that stand in for GitHub's runner may not set them
                    self._judge(record, time_of(created), run)
        except Unproven as reason:
            return str(reason)
        return ""

    def _creator(self, deployment: Mapping[str, Any]) -> None:
        expected = self.trust.app
        creator, app = deployment.get("creator"), deployment.get("performed_via_github_app")
        login = members(creator).get("login")
        slug = members(app).get("slug")
        # A person's token that an App issued names the App too, so the creator decides where there is one.
        if (login if login is not None else f"{slug}[bot]") != f"{expected}[bot]" or (slug is not None and slug != expected):
            wrote = _short(login or slug or "an account that no longer exists")
            raise Unproven(f"{wrote} created it, and not the App `{expected}` (input `records-app`)")

    def _run(self, record: Record, created: float | None) -> str:
        number = record.run.id
        if not is_whole(number):
            raise Unproven("it names no workflow run")
        run = self._asked(number)
        if run is None:
            raise Unproven(f"the run {number} that it names does not exist in this repository")
        self._judge(record, created, run)
        return f"run {number} of {_path(run)} on {run.get('head_branch')}"

    def _judge(self, record: Record, created: float | None, run: Mapping[str, Any]) -> None:
        number = record.run.id
        event, ref, path = str(run.get("event")), str(run.get("head_branch") or ""), _path(run)
        if event.startswith("pull_request"):
            raise Unproven(f"the run {number} that it names was for a pull request ({_short(event)})")
        home, head = run.get("repository"), run.get("head_repository")
        if not (isinstance(home, dict) and isinstance(head, dict) and home.get("id") == head.get("id")):
            raise Unproven(f"the run {number} that it names has its commit from another repository")
        if not any(fnmatchcase(ref, pattern) for pattern in self.trust.refs):
            allowed = ", ".join(f"`{each}`" for each in self.trust.refs) or "none"
            raise Unproven(f"the run {number} that it names is on `{_short(ref)}` (input `records-refs` allows {allowed})")
        if not path.startswith(".github/workflows/") or (self.trust.workflows and path not in self.trust.workflows):
            raise Unproven(f"the run {number} that it names is of `{_short(path)}` (input `records-workflows`)")
        # A rollback and an adopted release are of older commits than their runs; `History` holds them to other records.
        if record.kind == "release" and run.get("head_sha") != record.sha:
            raise Unproven(f"the run {number} that it names is of another commit")
        begun, ended = time_of(run.get("created_at")), time_of(run.get("updated_at"))
        over = run.get("status") == "completed" and ended is not None and created is not None and created > ended + SKEW
        if begun is None or created is None or created < begun - SKEW or over:
            raise Unproven(f"it was not created while the run {number} that it names was at work")

    def _asked(self, number: str) -> Mapping[str, Any] | None:
        if number in self.known:
            return self.known[number]
        if number not in self._runs:
            if len(self._runs) >= MOST_RUNS:
                raise TooManyRuns(
                    f"Could not prove the records: they name more than {MOST_RUNS} workflow runs.",
                    cause="Without a key GitHub has to be asked about each run that a record names.",
                    fix="Sign the records:\n\n    with:\n      record-key: RECORD_KEY",
                )
            try:
                found = self.github.get(
                    f"{self.github.repo}/actions/runs/{segment(number)}", f"read the run {number}", needs=RUNS
                )
            except NotFound:
                found = None
            self._runs[number] = found if isinstance(found, dict) else None
        return self._runs[number]


def default_branch(variables: Mapping[str, str]) -> str:
    """Returns the default branch by the event that started the run; empty where the event does not name it."""
    try:
        path = Path(variables["GITHUB_EVENT_PATH"])
        if path.stat().st_size > _LARGEST_EVENT:
            return ""
        event: Any = json.loads(path.read_bytes())
        branch = event["repository"]["default_branch"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""
    return branch if isinstance(branch, str) else ""


def _path(run: Mapping[str, Any]) -> str:
    """Returns the path of a run's workflow file; GitHub may add `@ref` to it."""
    return str(run.get("path") or "").partition("@")[0]


def _short(text: object) -> str:
    return shortened(visible(str(text)), 100)
