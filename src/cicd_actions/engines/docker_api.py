"""The Docker Engine's API as `swarm` and `docker` need it: errors in our words, image digests, logs as lines.

https://docs.docker.com/reference/api/engine/version/v1.41/ (the oldest engine that is tested against).
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
import urllib3
from docker import errors as sdk

from cicd_actions.engines import docker_ends
from cicd_actions.engines.docker_client import Client, Untrusted, connected
from cicd_actions.engines.patience import answered
from cicd_actions.engines.protocol import EngineUnreachable, Evidence, Image, ImageMissing, LoginNeeded, WrongDigest
from cicd_actions.engines.reference import reference
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import ActionError, Failed, UnusableInput
from cicd_actions.toolkit.lines import LAST, Line, Lines
from cicd_actions.toolkit.retry import Retry
from cicd_actions.toolkit.runtime import Runtime

T = TypeVar("T")
Json = dict[str, Any]

TIDY = 10.0
"""Seconds that an answer may take when the deadline is over: what was begun still has to be taken away."""

SECOND = 1_000_000_000
"""Docker counts durations in nanoseconds."""

# A Swarm's own "not found" comes as a 500, and so does an image's user that its files do not have.
_NOT_FOUND = re.compile(r"code = NotFound|^(?:network|secret|config|service) \S+ not found|unable to find (?:user|group) ")

_LOGIN = re.compile(
    r"no basic auth credentials|\bunauthorized\b|authentication required|authorization (?:failed|token has expired)"
    r"|access denied|access to the resource is denied|(?<!permission )\bdenied: ",
    re.IGNORECASE,
)
"""A registry's refusal of a login, or of none, as the engine passes it on: the codes UNAUTHORIZED and DENIED of the protocol
(https://distribution.github.io/distribution/spec/api/#errors-2), the engine's own words without a login for basic
authentication, and those of a token that has expired."""

_SECRET_NAME = re.compile(
    r"PASSWORD|PASSWD|SECRET|TOKEN|CREDENTIAL|PRIVATE|DSN|(?:^|_)(?:API|ACCESS|SIGNING)_?KEY", re.IGNORECASE
)


class DockerApi:
    """One engine, reached as Docker's own client reaches it (DOCKER_HOST, DOCKER_TLS_VERIFY, DOCKER_CERT_PATH; also ssh).

    `deadline` is that of the engine's call under way: set it first. No call waits longer for an answer.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.deadline = Deadline(float("inf"), runtime.clock)
        self._client: Client | None = None
        self.interrupted = False
        """Whether the engine did not answer at some time: it may have been restarted."""

    @property
    def client(self) -> Client:
        """The client; connected at its first use. Raises `EngineUnreachable`, and `UnusableInput` when it is not let in."""
        if self._client is None:
            with self.asking("reach the Docker Engine"):
                try:
                    self._client = connected(self.runtime.variables, self._patience)
                except Untrusted as error:
                    raise UnusableInput(
                        self.runtime.redactor(f"This runner and the Docker Engine do not trust each other: {error}"),
                        cause=f"It is looked for at {self._host}.",
                        fix=error.fix,
                    ) from None
        return self._client

    def _patience(self, longest: float) -> float:
        left = self.deadline.remaining
        return min(longest, max(left, 1.0)) if left > 0 else min(longest, TIDY)

    @property
    def _host(self) -> str:
        """Where the engine is, for people."""
        host = self.runtime.variables.get("DOCKER_HOST") or "the default socket"
        password = _password(host)
        if password:
            self.runtime.redactor.add(password)
        return self.runtime.redactor(host)

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()

    @contextmanager
    def asking(self, what: str) -> Iterator[None]:
        """Turn what the library raises into our errors; `what` completes "could not …". `docker.errors.NotFound` passes."""
        try:
            yield
        except sdk.NotFound:
            raise
        except sdk.APIError as error:
            refused = error.response is not None and error.response.status_code < 500
            if refused or _NOT_FOUND.search(str(error.explanation)):
                raise Failed(f"The Docker Engine refused to {what}: {error.explanation}") from None
            raise EngineUnreachable(f"The Docker Engine could not {what}: {error.explanation}") from None
        except (sdk.DockerException, requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            cause = f"The Docker Engine at {self._host} did not answer."
            raise EngineUnreachable(
                self.runtime.redactor(f"Could not {what}: {error}"),
                cause=cause,
                fix="Check that it runs and that DOCKER_HOST, DOCKER_TLS_VERIFY and DOCKER_CERT_PATH of this step are right.",
            ) from None

    def retried(self, what: str, call: Callable[[], T], deadline: Deadline) -> T:
        """A call that may be made twice, again and again while the engine does not answer (it may be restarting)."""

        def ask() -> T:
            try:
                with self.asking(what):
                    return call()
            except EngineUnreachable:
                self.interrupted = True
                raise

        return answered(ask, deadline, self.runtime)

    def local_image(self, name: str) -> Json | None:
        """What the engine itself has under that name; `None` when it has nothing."""
        try:
            with self.asking(f"look at the image {name}"):
                found: Json = self.client.inspect_image(name)
                return found
        except sdk.NotFound:
            return None

    def resolve(self, image: str, deadline: Deadline) -> Image:
        """Ask the registry, through the engine, which digest a reference is. Raises `ImageMissing`, `EngineUnreachable`.

        An image that was built on this engine and never pushed is known by its own id.
        """
        if re.fullmatch(r"sha256:[0-9a-f]{64}", image):
            return self._by_id(image)
        parts = reference(image)
        again = Retry(
            f"ask the registry for {image}",
            lambda error: isinstance(error, EngineUnreachable) and not isinstance(error, LoginNeeded),
            deadline,
            self.runtime,
            attempts=3,
        )
        try:
            digest = again(lambda: self._digest(image, parts.registry))
            if parts.digest not in {"", digest}:
                raise WrongDigest(parts.registry, image, digest)
            return Image(parts.repository, digest)
        except WrongDigest:
            raise
        except (sdk.NotFound, Failed, EngineUnreachable) as error:
            here = self.local_image(image)
            away = isinstance(error, EngineUnreachable)
            if here is not None:
                return replace(self._local(parts.repository, parts.digest, here, image), local=not away)
            if away:
                raise
            raise ImageMissing(
                f"The image {image} is not there.",
                cause=f"The registry {parts.registry} says: {_explanation(error)}",
                fix="A private repository that the login may not read looks the same: check `docker login` for it.",
            ) from None

    def _digest(self, image: str, registry: str) -> str:
        with self.asking(f"ask the registry for {image}"), self._logged_in(image, registry):
            return str(self.client.inspect_distribution(image)["Descriptor"]["digest"])

    @contextmanager
    def _logged_in(self, image: str, registry: str) -> Iterator[None]:
        """Raises `LoginNeeded` where the registry refuses the login. The engine answers with 401, 403, 404 or 500 then."""
        try:
            yield
        except sdk.APIError as error:
            said = _explanation(error)
            if _LOGIN.search(said):
                raise LoginNeeded(registry, image, self.runtime.redactor(said)) from None
            raise

    def _by_id(self, image: str) -> Image:
        if self.local_image(image) is None:
            raise ImageMissing(
                f"The image {image} is not on this engine.", cause="It was never pushed, and is known by its id only."
            )
        return Image(image, image, opaque=True)

    def _local(self, repository: str, digest: str, here: Json, image: str) -> Image:
        known = [entry.partition("@")[2] for entry in here.get("RepoDigests") or [] if entry.partition("@")[0] == repository]
        if digest in known:
            self.runtime.log(f"{image}: the registry does not answer for it; this engine has it.")
            return Image(repository, digest)
        if known and not digest:
            self.runtime.log(f"{image}: the registry does not answer for it; this engine has it as {known[0]}.")
            return Image(repository, known[0])
        self.runtime.log(f"{image}: no registry has it; it is on this engine only, and is deployed by its id.")
        return Image(str(here["Id"]), str(here["Id"]), opaque=True)

    def pull(self, image: Image, deadline: Deadline) -> None:
        """Have the image on this engine. Raises `ImageMissing`, `LoginNeeded`, `EngineUnreachable`."""
        if self.local_image(image.pinned) is not None:
            return
        registry = reference(image.pinned).registry if not image.opaque else ""
        try:
            with self.asking(f"pull {image.pinned}"), self._logged_in(image.pinned, registry):
                for step in self.client.pull(image.name, tag=image.digest, stream=True, decode=True):
                    if "error" in step:
                        if _LOGIN.search(str(step["error"])):
                            raise LoginNeeded(registry, image.pinned, self.runtime.redactor(str(step["error"])))
                        raise EngineUnreachable(f"The Docker Engine could not pull {image.pinned}: {step['error']}")
                    deadline.check(f"pulling {image.pinned}")
        except sdk.NotFound as error:
            raise ImageMissing(f"The image {image.pinned} is not there.", cause=_explanation(error)) from None

    def container(self, name: str) -> Json | None:
        """A container's whole state; `None` when this engine has none of that name or id."""
        try:
            with self.asking(f"look at the container {name}"):
                found: Json = self.client.inspect_container(name)
                return found
        except sdk.NotFound:
            return None

    def remember_secrets(self, variables: list[str], image: Json | None) -> None:
        """Mask what looks like a secret in variables that a job takes over from a service (`NAME=value`).

        Not every value: a service's commit or log level, masked, would make the report unreadable. Masked are values of
        names such as PASSWORD, TOKEN or API_KEY, and URLs with a password in them.
        """
        own = set(((image or {}).get("Config") or {}).get("Env") or [])
        for variable in variables:
            name, _, value = variable.partition("=")
            if variable in own or not value:
                continue
            password = _password(value)
            if password or _SECRET_NAME.search(name):
                self.runtime.redactor.add(value)
            if password:
                self.runtime.redactor.add(password)

    def evidence(self, container: str, *, reason: str = "", lines: int = 50) -> Evidence:
        """What a container on this engine said: its health checks' last output and its last lines."""
        state = self.container(container)
        if state is None:
            return Evidence(
                reason=reason, log="The container is gone, or runs on another node: its lines cannot be read from here."
            )
        said = " ".join(part for part in (reason, docker_ends.reason(state)) if part)
        log = last_lines(self, "/containers/{0}/logs", container, lines)
        return Evidence(reason=said, health=docker_ends.health(state), log=log)


class Log:
    """A container's or a service's log, read in turns: each `pass_on` hands over the lines that are new since the last.

    Reading in turns, not following: an engine that restarts, or a service's log (whose following never ends), costs nothing.
    Each turn ends at its deadline, for a program may write faster than its log can be read. After the bounds of `Lines`,
    only the last lines are read.
    """

    def __init__(self, api: DockerApi, path: str, name: str, *, tail: int | None = None) -> None:
        self._api = api
        self._path = path
        self._name = name
        self._tail: int | str = "all" if tail is None else tail
        self._since = datetime.fromtimestamp(0, timezone.utc)
        self._passed: Counter[tuple[str, str]] = Counter()
        self._lines: dict[str, Lines] = {}
        self._behind = False

    def pass_on(self, on_line: Line, until: Deadline, *, last: bool = False) -> None:
        """Hands over the new lines by `until`; with `last` also one that no newline ended. A removed container has no new ones.

        Raises `EngineUnreachable`.
        """
        had = until.remaining
        whole = Deadline(had / 2, self._api.runtime.clock) if last else until
        # A turn that had its time and did not reach the end: another one does not reach it either.
        complete = not (last and self._behind) and self._read(on_line, whole, self._tail)
        self._behind = not complete and (self._behind or had >= LAST_WORDS)
        if last and not complete:
            # The end of the log says how the job ended. Reading it backwards is cheap: half of the time is enough.
            self._close()
            on_line("stdout", "… the output is too long: a part is left out here …")
            self._read(on_line, until, LAST)
        if last:
            self._close()

    def _read(self, on_line: Line, until: Deadline, tail: int | str) -> bool:
        """Whether the end of the log was reached."""
        if any(lines.full for lines in self._lines.values()):
            return False
        params = {"stdout": 1, "stderr": 1, "timestamps": 1, "tail": tail, "since": int(self._since.timestamp())}
        seen: Counter[tuple[str, str]] = Counter()
        complete = True
        try:
            with (
                self._api.asking(f"read the log of {self._name}"),
                contextlib.closing(self._api.client.frames(self._path, self._name, params)) as frames,
            ):
                for stream, content in frames:
                    stamp, _, text = content.decode("utf-8", "replace").partition(" ")
                    seen[stream, stamp] += 1
                    if seen[stream, stamp] > self._passed[stream, stamp]:
                        self._passed[stream, stamp] += 1
                        lines = self._lines.setdefault(stream, Lines(stream, on_line, self._api.runtime.redactor))
                        # Lines longer than 16 KiB come in pieces, of which only the last ends in a newline.
                        lines.feed(text)
                        complete = not lines.full
                    if until.expired or not complete:
                        complete = False
                        break
        except sdk.NotFound:
            pass  # the rest of the lines went with the container
        if seen:
            # The two streams are written by two threads of the engine, so the newest stamp need not come last.
            self._since = max(self._since, _time(max(stamp for _, stamp in seen)) - timedelta(seconds=2))
            self._passed = Counter({key: count for key, count in self._passed.items() if _time(key[1]) >= self._since})
        return complete

    def _close(self) -> None:
        for lines in self._lines.values():
            lines.close()
        self._lines = {}


LAST_WORDS = 2.0
"""Seconds for the last lines of a log: a cancelled run has 7.5 in all."""


def last_lines(api: DockerApi, path: str, name: str, count: int) -> str:
    """Returns the last lines of a log, also of one that grows faster than it is read.

    Some logging drivers cannot be read. That must not hide the failure that the lines would explain.
    """
    kept: deque[str] = deque(maxlen=count)
    until = Deadline(LAST_WORDS, api.runtime.clock)
    try:
        Log(api, path, name, tail=count).pass_on(lambda _stream, text: kept.append(text), until, last=True)
    except ActionError as error:
        kept.append(error.what)
    return "\n".join(kept)


def _time(stamp: str) -> datetime:
    """A log's timestamp: RFC 3339 with nanoseconds; seconds are enough here."""
    return datetime.strptime(stamp[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)


def _password(value: str) -> str:
    try:
        return urlsplit(value).password or ""
    except ValueError:
        return ""


def _explanation(error: Exception) -> str:
    return str(getattr(error, "explanation", None) or getattr(error, "what", None) or error)
