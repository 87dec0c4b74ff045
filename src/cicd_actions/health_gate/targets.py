"""What is probed: one typed object for each target, made from its settings."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote

from cicd_actions.health_gate import urls
from cicd_actions.health_gate.expectations import Expectations, header_rule, json_rule, pattern, version_source
from cicd_actions.health_gate.judge import Rules
from cicd_actions.health_gate.urls import Url
from cicd_actions.toolkit import grammar
from cicd_actions.toolkit.environment import Environment
from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.grammar import NotUnderstood, StatusSet, lines

T = TypeVar("T")

SHORTEST_PAUSE = 0.01


@dataclass(frozen=True)
class Trust:
    """Whom to trust, and as whom to appear. Paths of PEM files; empty for none."""

    ca_file: str = ""
    client_cert: str = ""
    client_key: str = ""
    verify: bool = True


@dataclass(frozen=True)
class HttpRequest:
    """What an HTTP probe sends, and where. `host` goes into the Host header and SNI; `connect_to` replaces the address.

    `redirected`: a server of another origin chose where it goes.
    """

    url: Url
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    host: str = ""
    connect_to: tuple[str, int] | None = None
    trust: Trust = field(default_factory=Trust)
    allow_redirects: bool = False
    redirected: bool = False


@dataclass(frozen=True)
class Target:
    """One thing to gate. It has a `request`, or a `command`; with `metric_max` the request's answer is a number.

    `after` names the targets that have to pass a first time before this one is probed. Times in seconds.
    """

    name: str
    request: HttpRequest | None
    command: tuple[str, ...] = ()
    metric_max: float | None = None
    expectations: Expectations = field(default_factory=Expectations)
    rules: Rules = field(default_factory=Rules)
    request_timeout: float = 5.0
    interval: float = 2.0
    timeout: float = 300.0
    critical: bool = True
    after: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """What is probed, for people; without credentials."""
        return str(self.request.url) if self.request else " ".join(self.command)


def duration_from(least: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        seconds = grammar.duration(text)
        if seconds < least:
            raise NotUnderstood(f"`{text}` is too short", example="2s")
        return seconds

    return parse


def _method(text: str) -> str:
    if re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", text.strip()) and text.strip().upper() != "CONNECT":
        return text.strip().upper()
    raise NotUnderstood(f"`{text}` is not a method that can be sent", example="POST")


def header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name.strip()):
        # The line is not repeated: whoever forgot the colon may have written a token.
        raise NotUnderstood("a line is not `Name: value`", example="Authorization: Bearer $TOKEN")
    if name.strip().lower() in {"host", "content-length", "transfer-encoding", "connection"}:
        raise NotUnderstood(f"the header {name.strip()} is the gate's own; a host goes into the key `host` of a target")
    return name.strip(), value.strip()


def _argv(text: str) -> tuple[str, ...]:
    from cicd_actions.toolkit.process import argv  # noqa: PLC0415 - few targets are commands; imports are start-up time

    return argv(text)


def _host(text: str) -> str:
    urls.parse(f"http://{text.strip()}/")
    return text.strip()


# The keys of a target, how each is read, and what it is when neither the target nor an input says it.
_KEYS: Mapping[str, tuple[Callable[[str], Any], str]] = {
    "expect-status": (grammar.status_set, "200"),
    "expect-json": (lines(json_rule), ""),
    "expect-body": (grammar.optional(pattern), ""),
    "expect-header": (lines(header_rule), ""),
    "expect-version": (grammar.string, ""),
    "version-from": (grammar.optional(version_source), ""),
    "wrong-version-for": (grammar.optional(grammar.duration), ""),
    "timeout": (duration_from(0.001), "5m"),
    "request-timeout": (duration_from(0.001), "5s"),
    "interval": (duration_from(SHORTEST_PAUSE), "2s"),
    "consecutive-successes": (grammar.whole(1, 100000), "1"),
    "stable-for": (grammar.duration, "0s"),
    "flake-budget": (grammar.whole(0, 100000), "0"),
    "max-latency": (grammar.optional(grammar.duration), ""),
    "headers": (lines(header), ""),
    "ca-file": (grammar.string, ""),
    "client-cert": (grammar.string, ""),
    "client-key": (grammar.string, ""),
    "verify-tls": (grammar.boolean, "true"),
    "allow-redirects": (grammar.boolean, "false"),
    "method": (_method, "GET"),
    "body": (grammar.text_block, ""),
    "host": (grammar.optional(_host), ""),
    "connect-to": (grammar.optional(urls.host_port), ""),
    "critical": (grammar.boolean, "true"),
    "url": (grammar.string, ""),
    "command": (grammar.optional(_argv), ""),
    "name": (grammar.string, ""),
    "metric-url": (grammar.string, ""),
    "metric-query": (grammar.string, ""),
    "metric-max": (grammar.optional(grammar.number), ""),
}

KEYS = frozenset(_KEYS)

_EXPANDED = frozenset({"url", "headers", "body", "metric-url"})


class Settings:
    """A target's keys, read one by one: its own text, or else what the inputs say, or else the default.

    `where` says in errors where the target stands.
    """

    def __init__(self, texts: Mapping[str, str], inputs: Mapping[str, Any], environment: Environment, where: str = "") -> None:
        self._texts = texts
        self._inputs = inputs
        self._environment = environment
        self._where = where

    def __call__(self, key: str) -> Any:
        """The value of the key. Raises `UnusableInput`."""
        parse, default = _KEYS[key]
        text = self._texts.get(key, "")
        # A key that is there and empty goes back to the default, whatever the input says.
        if key not in self._texts and key in self._inputs:
            value = self._inputs[key]
        else:
            try:
                value = parse(text if text.strip() else default)
            except NotUnderstood as error:
                raise self.unusable(key, f"{error}", error.example) from None
        return self._expanded(key, value) if key in _EXPANDED else value

    def _expanded(self, key: str, value: Any) -> Any:
        if isinstance(value, str):
            return self._environment.expand(value, input=key)
        # Lines are taken apart first, so that a value with a line's end cannot become a second header.
        expanded = tuple((name, self._environment.expand(text, input=key)) for name, text in value)
        for name, text in expanded:
            if not text.isprintable() or not text.isascii():
                raise self.unusable(
                    key, f"the value of the header {name} has a line's end or another character that no header has"
                )
        return expanded

    def url(self, key: str) -> Url:
        """The key's URL; its password, if it has one, is masked. Raises `UnusableInput`."""
        text = self(key)
        try:
            url = urls.parse(text)
        except NotUnderstood as error:
            raise self.unusable(key, f"{error}", error.example) from None
        self._environment.mask(url.password)
        return url

    def unusable(self, key: str, problem: str, example: str = "") -> UnusableInput:
        place = f"The key `{key}` of {self._where}" if self._where else f"The input `{key}`"
        if not example:
            fix = ""
        elif "\n" in example:
            fix = "Write instead:\n\n" + "\n".join(f"    {line}" for line in [f"{key}: |", *example.splitlines()])
        else:
            fix = f"Write instead:\n\n    {key}: {example}"
        return UnusableInput(f"{place} cannot be used: {problem}.", fix=fix)


def target(settings: Settings, name: str) -> Target:
    """An HTTP target or a command. Raises `UnusableInput`."""
    command: tuple[str, ...] = settings("command") or ()
    made = Target(
        name=name,
        request=None if command else _request(settings, settings.url("url")),
        command=command,
        expectations=_expectations(settings, status=None if command else settings("expect-status")),
        **_pace(settings),
    )
    if not command and settings("client-key") and not settings("client-cert"):
        raise settings.unusable("client-key", "it needs `client-cert` beside it")
    return made


def metric(settings: Settings, name: str, after: tuple[str, ...], *, headers: bool) -> Target:
    """A metric to be sampled. `headers` says whether the target's headers may go to the metric's server."""
    highest = settings("metric-max")
    if highest is None:
        raise settings.unusable("metric-max", "`metric-url` needs it", "0.01")
    url = settings.url("metric-url")
    query = settings("metric-query")
    if query:
        path, _, rest = url.target.partition("?")
        if not path.endswith("/api/v1/query"):
            path = f"{path.rstrip('/')}/api/v1/query"
        parts = [*([rest] if rest else []), f"query={quote(query, safe='')}"]
        url = Url(url.scheme, url.host, url.port, f"{path}?{'&'.join(parts)}", url.user, url.password)
    request = HttpRequest(
        url=url,
        headers=settings("headers") if headers else (),
        trust=_trust(settings),
        allow_redirects=settings("allow-redirects"),
    )
    status: StatusSet = grammar.status_set("200")
    return Target(
        name=name, request=request, metric_max=highest, expectations=Expectations(status=status), after=after, **_pace(settings)
    )


def _request(settings: Settings, url: Url) -> HttpRequest:
    return HttpRequest(
        url=url,
        method=settings("method"),
        headers=settings("headers"),
        body=settings("body").encode(),
        host=settings("host") or "",
        connect_to=settings("connect-to"),
        trust=_trust(settings),
        allow_redirects=settings("allow-redirects"),
    )


def _trust(settings: Settings) -> Trust:
    return Trust(settings("ca-file"), settings("client-cert"), settings("client-key"), settings("verify-tls"))


def _expectations(settings: Settings, status: StatusSet | None) -> Expectations:
    version = settings("expect-version")
    source = settings("version-from")
    return Expectations(
        status=status,
        json_rules=settings("expect-json"),
        header_rules=settings("expect-header"),
        body=settings("expect-body"),
        version=version,
        version_from=source or (version_source("json:$.version") if version else None),
        max_latency=settings("max-latency"),
    )


def _pace(settings: Settings) -> dict[str, Any]:
    timeout, stable_for = settings("timeout"), settings("stable-for")
    if timeout <= stable_for:
        raise settings.unusable(
            "timeout",
            f"it is {timeout:g} s, and `stable-for` alone takes {stable_for:g} s: the gate could never pass",
            f"{stable_for * 2 + 60:.0f}s",
        )
    return {
        "rules": Rules(settings("consecutive-successes"), stable_for, settings("flake-budget"), settings("wrong-version-for")),
        "request_timeout": settings("request-timeout"),
        "interval": settings("interval"),
        "timeout": timeout,
        "critical": settings("critical"),
    }
