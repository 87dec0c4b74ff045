"""The inputs of deployment-record."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from cicd_actions.engines.inputs import EngineInputs
from cicd_actions.github.release_record import Revision
from cicd_actions.health_gate.embedded import GateOptions
from cicd_actions.roll_out.inputs import Wanted, services
from cicd_actions.toolkit.grammar import NotUnderstood, boolean, choice, duration, lines, string, whole
from cicd_actions.toolkit.inputs import declare

_REVISIONS = '[{"revision": "0005", "phase": "expand", "message": "add a column"}]'


def revisions(text: str) -> tuple[Revision, ...]:
    """The JSON list that run-migrations-oneshot reports as `applied`; keys that it has besides these are passed over."""
    if not text.strip():
        return ()
    try:
        found = json.loads(text)
    except ValueError as error:
        raise NotUnderstood(f"it is no JSON ({error})", example=_REVISIONS) from None
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise NotUnderstood("it is no JSON list of objects", example=_REVISIONS)
    return tuple(_revision(each) for each in found)


def _revision(fields: dict[str, object]) -> Revision:
    revision, phase, message = (fields.get(key) or "" for key in ("revision", "phase", "message"))
    if not isinstance(revision, str) or not revision:
        raise NotUnderstood("a migration has no `revision`", example=_REVISIONS)
    if phase not in {"expand", "contract", ""}:
        raise NotUnderstood(f"the phase of {revision} is neither `expand` nor `contract`", example=_REVISIONS)
    return Revision(revision, str(phase), str(message))


def web_url(text: str) -> str:
    """An `http` or `https` URL, or nothing. GitHub refuses any other as the URL of an environment."""
    url = text.strip()
    if url and (urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname):
        raise NotUnderstood(f"`{url[:200]}` is not the URL of a page", example="https://staging.example.com")
    return url


def database_revisions(text: str) -> tuple[str, ...]:
    """One or several revisions, separated by commas or white space."""
    return tuple(part for part in re.split(r"[,\s]+", text.strip()) if part)


@dataclass(frozen=True, kw_only=True)
class _Release:
    phase: str = declare(
        choice("start", "finish", "adopt"),
        "`start` before anything moves: refuses a commit that must not be deployed, and shows the deploy as in progress."
        " `finish` after the gate: records the verdict."
        " `adopt`: gates and records what runs now, where nothing is recorded yet.",
        required=True,
    )
    app: str = declare(string, "The application's name, where a repository has several. Empty: the repository.")
    environment_url: str = declare(web_url, "Where the environment is seen; GitHub shows it beside the deployment.")
    sha: str = declare(
        string, "The full commit SHA. Empty: the run's commit; for `adopt` the SHA that the running services are labelled with."
    )
    services: tuple[Wanted, ...] = declare(
        services,
        "The services of the release, one per line: `service=sha256:…`, `service=image@sha256:…`, or an id of"
        " your own programs."
        " For `adopt`: `service=repository`.",
    )
    verdict: str = declare(
        string, "`finish`: `pass`, `fail`, `inconclusive` or `cancelled`. Only `pass` and `fail` are recorded."
    )
    reason: str = declare(string, "`finish`: one sentence, such as the gate's `reason`.")
    revisions: tuple[Revision, ...] = declare(
        revisions, "`finish`: the migrations that this deploy applied, as JSON: the output `applied` of run-migrations-oneshot."
    )
    database_revision: tuple[str, ...] = declare(
        database_revisions,
        "`finish`: the database's revision after them: the output `to-revision` of run-migrations-oneshot.",
    )
    deployment_id: int = declare(
        whole(0), "`finish`: the output `deployment-id` of `start`. 0: the newest deploy of this run is looked up.", default="0"
    )
    github_token: str = declare(
        string,
        "A token with the permission `deployments: write`, and `contents: read` for `start`.",
        secret=True,
        action_default="${{ github.token }}",
    )
    require_passed_in: str = declare(
        string, "`start`: an environment in which exactly these digests of this commit passed before: `staging`."
    )
    allow_older: bool = declare(
        boolean, "`start`: deploy a commit that is behind the one recorded, or of which that cannot be told.", default="false"
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
    timeout: float = declare(duration, "How long the whole action may take, `adopt`'s gate not counted.", default="2m")


@dataclass(frozen=True, kw_only=True)
class Inputs(EngineInputs, GateOptions, _Release):
    """What is recorded, and for `adopt` where it runs and how it is gated."""

    engine: str = declare(
        choice("", "swarm", "kubernetes", "docker", "command"),
        "`adopt`: where the release runs: `swarm`, `kubernetes` (experimental), `docker` or `command`.",
    )
    environment: str = declare(string, "The environment's name, such as `staging`.", required=True)
