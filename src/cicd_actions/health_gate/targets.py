"""What is probed: one typed object for each target, made from its settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from cicd_actions.health_gate.expectations import Expectations
from cicd_actions.health_gate.judge import Rules, connections
from cicd_actions.health_gate.rules import version_source
from cicd_actions.health_gate.schedule import HURRIED
from cicd_actions.health_gate.settings import TCP, Settings
from cicd_actions.health_gate.urls import Url, bracketed
from cicd_actions.toolkit import grammar
from cicd_actions.toolkit.grammar import StatusSet
from cicd_actions.toolkit.inputs import as_yaml


@dataclass(frozen=True)
class Trust:
    """Which certificates to trust, and which one to send. Paths of PEM files; empty for none."""

    ca_file: str = ""
    client_cert: str = ""
    client_key: str = ""
    verify: bool = True


@dataclass(frozen=True, eq=False, repr=False)
class HttpRequest:
    """What an HTTP probe sends, and where. `host` is the Host header and the TLS name; `connect_to` replaces the address.

    A `connect_to` that begins with a slash is the path of a Unix socket. `redirected` says that a redirect led to a host that
    the input does not name.
    """

    url: Url
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    host: str = ""
    connect_to: tuple[str, int] | None = None
    trust: Trust = field(default_factory=Trust)
    allow_redirects: bool = False
    allow_insecure_redirects: bool = False
    allow_cached: bool = False
    redirected: bool = False


@dataclass(frozen=True, eq=False, repr=False)
class Metric:
    """The healthy values of a metric, bounds included, and the verdict on no data: `inconclusive`, `pass` or `fail`."""

    least: float | None = None
    most: float | None = None
    no_data: str = "inconclusive"

    def __contains__(self, value: float) -> bool:
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)

    def __str__(self) -> str:
        bounds = [f"at least {self.least:g}"] if self.least is not None else []
        bounds += [f"at most {self.most:g}"] if self.most is not None else []
        return f"a value of {' and '.join(bounds)}"


@dataclass(frozen=True, eq=False, repr=False)
class Target:
    """One thing to gate: a `request`, a `tcp` host and port to connect to, or a `command`.

    With a `metric` the request's answer is a number. `after` names the targets that must pass a first time before this
    one is probed. Times in seconds.
    """

    name: str
    request: HttpRequest | None = None
    tcp: tuple[str, int] | None = None
    command: tuple[str, ...] = ()
    metric: Metric | None = None
    expectations: Expectations = field(default_factory=Expectations)
    rules: Rules = field(default_factory=Rules)
    request_timeout: float = 5.0
    interval: float = 2.0
    timeout: float = 300.0
    critical: bool = True
    after: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """Returns what is probed, for people; without credentials."""
        if self.tcp:
            return f"tcp://{bracketed(self.tcp[0])}:{self.tcp[1]}"
        return str(self.request.url) if self.request else " ".join(self.command)


def target(settings: Settings, name: str) -> Target:
    """Returns an HTTP target, a TCP target or a command. Raises `UnusableInput`."""
    command: tuple[str, ...] = settings("command") or ()
    if command:
        return Target(name, command=command, expectations=_expectations(settings, status=None), **_pace(settings))
    place = settings.tcp()
    if place:
        return _tcp(settings, name, place)
    if settings("client-key") and not settings("client-cert"):
        raise settings.unusable("client-key", "it needs `client-cert` beside it")
    return Target(
        name,
        _request(settings, settings.url("url")),
        expectations=_expectations(settings, status=settings("expect-status")),
        **_pace(settings, replicas=settings("replicas")),
    )


def _tcp(settings: Settings, name: str, place: tuple[str, int]) -> Target:
    for key in ("expect-version", "version-from", "expect-json", "expect-body", "expect-header", "wrong-version-for"):
        if settings(key) not in (None, "", ()):
            problem = f"the target `{name}` only connects, so no answer says whether it holds; clear it on this target"
            fix = f"- {as_yaml('url', f'{TCP}{bracketed(place[0])}:{place[1]}')}\n  {as_yaml(key, '')}"
            raise settings.unusable(key, problem, fix=fix)
    expectations = Expectations(max_latency=settings("max-latency"))
    return Target(name, tcp=place, expectations=expectations, **_pace(settings, replicas=settings("replicas")))


def metric(settings: Settings, name: str, after: tuple[str, ...], *, headers: bool) -> Target:
    """Returns a metric to sample. `headers` says whether the target's headers may go to the metric's server.

    Raises `UnusableInput`.
    """
    bounds = Metric(settings("metric-min"), settings("metric-max"), settings("metric-no-data"))
    if bounds.least is None and bounds.most is None:
        raise settings.unusable("metric-max", "`metric-url` needs it or `metric-min`", "0.01")
    if bounds.least is not None and bounds.most is not None and bounds.least > bounds.most:
        raise settings.unusable("metric-min", f"it is above `metric-max` ({bounds.most:g})", f"{bounds.most:g}")
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
        allow_insecure_redirects=settings("allow-insecure-redirects"),
        allow_cached=settings("allow-cached"),
    )
    status: StatusSet = grammar.status_set("200")
    return Target(name, request, metric=bounds, expectations=Expectations(status=status), after=after, **_pace(settings))


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
        allow_insecure_redirects=settings("allow-insecure-redirects"),
        allow_cached=settings("allow-cached"),
    )


def _trust(settings: Settings) -> Trust:
    return Trust(settings("ca-file"), settings("client-cert"), settings("client-key"), settings("verify-tls"))


_WITH_VERSION = """\
- url: https://api.example.com/health/ready
  expect-version: ${{ github.sha }}
  wrong-version-for: 90s"""


def _expectations(settings: Settings, status: StatusSet | None) -> Expectations:
    version = settings("expect-version")
    if settings("wrong-version-for") is not None and not version:
        raise settings.unusable(
            "wrong-version-for", "it needs `expect-version`: no version is wrong without one", fix=_WITH_VERSION
        )
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


def _pace(settings: Settings, replicas: int = 1) -> dict[str, Any]:
    timeout, stable_for = settings("timeout"), settings("stable-for")
    fresh = connections(replicas)  # the fewest: several addresses need more, and only a look-up shows how many there are
    for why, least in (
        (f"`stable-for` alone takes {stable_for:g} s", stable_for),
        (f"`replicas` takes {fresh} connections, which need at least {(fresh - 1) * HURRIED:g} s", (fresh - 1) * HURRIED),
    ):
        if timeout <= least:
            problem = f"it is {timeout:g} s, but {why}, so the gate could never pass"
            raise settings.unusable("timeout", problem, f"{least * 2 + 60:.0f}s")
    return {
        "rules": Rules(
            settings("consecutive-successes"),
            stable_for,
            settings("flake-budget"),
            settings("wrong-version-for"),
            replicas,
        ),
        "request_timeout": settings("request-timeout"),
        "interval": settings("interval"),
        "timeout": timeout,
        "critical": settings("critical"),
    }
