"""The inputs of health-gate and the keys of its targets: the one place that defines their grammar and defaults."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from cicd_actions.health_gate import urls
from cicd_actions.health_gate.rules import (
    JsonRule,
    VersionSource,
    header_rule,
    json_rule,
    patterns,
    stated,
    version_source,
)
from cicd_actions.toolkit import grammar
from cicd_actions.toolkit.grammar import (
    NotUnderstood,
    StatusSet,
    argv,
    boolean,
    choice,
    duration,
    lines,
    number,
    optional,
    status_set,
    string,
    text_block,
    whole,
)
from cicd_actions.toolkit.inputs import Declaration, declarations, declare

SHORTEST_PAUSE = 0.01

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A method or the name of a header (RFC 9110, section 5.6.2)."""


def _duration_from(least: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        seconds = grammar.duration(text)
        if seconds < least:
            raise NotUnderstood(f"`{text}` is too short", example="2s")
        return seconds

    return parse


def _named_url(text: str) -> tuple[str, str]:
    """`name=URL`, or a URL alone: the name, or nothing, and the URL as it was written."""
    found = re.fullmatch(r"([\w][\w .-]*)=(.*)", text)
    if found:
        return found[1].strip(), found[2].strip()
    name, _, url = text.strip().rpartition(" ")
    name = name.rstrip(" :")
    if re.fullmatch(r"[\w][\w .-]*", name) and re.fullmatch(r"[a-z]+://\S+", url):
        raise NotUnderstood(f"`{text}` is neither a URL nor `name=URL`", example=f"{name}={url}")
    return "", text


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not _TOKEN.fullmatch(name.strip()):
        # The line is not repeated: without its colon, it may be a token.
        raise NotUnderstood("a line is not `Name: value`", example="Authorization: Bearer $TOKEN")
    if name.strip().lower() in {"host", "content-length", "transfer-encoding", "connection"}:
        raise NotUnderstood(f"the gate sets the header {name.strip()} itself; a host goes into the key `host` of a target")
    return name.strip(), value.strip()


def _method(text: str) -> str:
    if _TOKEN.fullmatch(text.strip()) and text.strip().upper() != "CONNECT":
        return text.strip().upper()
    raise NotUnderstood(f"`{text}` is not a method that can be sent", example="POST")


def _place(text: str) -> tuple[str, int]:
    """`host:port`, or `unix:/path`: the path stands for the host then, and no name of a host begins with a slash."""
    if text.strip().startswith("unix:"):
        path = text.strip().removeprefix("unix:")
        # Linux and macOS keep a socket's path in 108 and 104 bytes, the final zero included (sys/un.h).
        if not path.startswith("/") or "\0" in path or len(path.encode()) > 103:
            raise NotUnderstood(
                f"`{text}` is not `unix:` and an absolute path of at most 103 bytes", example="unix:/run/app.sock"
            )
        return path, 0
    return urls.host_port(text)


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What the gate is told."""

    url: tuple[tuple[str, str], ...] = declare(
        lines(_named_url),
        "URLs to probe, one per line; `name=URL` names one in the report, `tcp://host:port` only connects."
        " `$NAME` is expanded from the environment (`$$` is a dollar sign).",
    )
    targets: str = declare(
        text_block,
        "Targets as a YAML list, or the path of a file with one."
        " Each has a `url` or a `command`, and its keys override the inputs of the same name.",
    )
    expect_status: StatusSet = declare(status_set, "Statuses that are healthy: `200`, `200,204`, `2xx`.", default="200")
    expect_json: tuple[JsonRule, ...] = declare(
        stated(lines(json_rule), '$.status == "ok"'),
        'Rules for the JSON body, one per line, such as `$.status == "ok"`. The README of health-gate lists the operators.',
        blank=False,
    )
    expect_body: tuple[re.Pattern[str], ...] = declare(
        stated(patterns, "ready"),
        "Regular expressions (Python's), one per line, that must all match somewhere in the body's first 1 MiB.",
        blank=False,
    )
    expect_version: str = declare(
        stated(string, "${{ github.sha }}"),
        "Version that must answer, usually the full commit SHA. The gate compares the whole value.",
        blank=False,
    )
    version_from: VersionSource | None = declare(
        optional(version_source),
        "Place of the version in an answer: `json:$.version` or `header:X-Version`."
        " Default: `json:$.version` when a version is expected.",
    )
    replicas: int = declare(
        whole(1, 10000),
        "Number of replicas behind the target's addresses. The gate makes as many fresh connections as it takes to meet"
        " each replica with a chance of 99.9 %.",
        default="1",
    )
    timeout: float = declare(_duration_from(0.001), "Deadline of the whole gate.", default="5m")
    request_timeout: float = declare(
        _duration_from(0.001),
        "Longest time for one probe, from the name's look-up to the end of the body.",
        default="5s",
    )
    interval: float = declare(
        _duration_from(SHORTEST_PAUSE),
        "Longest pause between two probes of a target. The first pauses last an eighth of a second.",
        default="2s",
    )
    consecutive_successes: int = declare(whole(1, 100000), "Right answers in a row that make a target healthy.", default="1")
    stable_for: float = declare(
        duration,
        "Time for which every answer must stay right after the first pass. A wrong answer starts it over.",
        default="0s",
    )
    flake_budget: int = declare(
        whole(0, 100000), "Transport errors to forgive within a streak. A wrong answer is never forgiven.", default="0"
    )
    max_latency: float | None = declare(
        optional(duration), "Longest time that a right answer may take, connection included: `500ms`."
    )
    headers: tuple[tuple[str, str], ...] = declare(
        lines(_header),
        "Headers to send, one `Name: value` per line; a redirect to another origin does not get them."
        " `$NAME` is expanded from the environment and its value masked.",
    )
    ca_file: str = declare(string, "PEM file of certificates to trust besides the system's.")
    allow_redirects: bool = declare(
        boolean, "Follow up to 10 redirects. Otherwise a redirect is an answer: a login page is not healthy.", default="false"
    )
    allow_insecure_redirects: bool = declare(
        boolean, "Follow redirects from https to http. Anyone on the way can forge an answer in plain text.", default="false"
    )
    allow_cached: bool = declare(
        boolean,
        "Judge answers of a cache that stored them before the gate began, or at an unknown time. They prove nothing about the"
        " service now.",
        default="false",
    )
    metric_url: str = declare(
        string,
        "URL of a Prometheus server, or of any page that is a number. The gate samples it through `stable-for` once all"
        " targets passed a first time.",
    )
    metric_query: str = declare(string, "PromQL of an instant query. Default: read `metric-url` as it is.")
    metric_max: float | None = declare(optional(number), "Highest healthy value of the metric: `0.01`.")
    metric_min: float | None = declare(optional(number), "Lowest healthy value of the metric: `0.99`.")
    metric_no_data: str = declare(
        choice("inconclusive", "pass", "fail"),
        "Verdict on a metric without data (an empty result or NaN): `inconclusive`, `pass` or `fail`.",
        default="inconclusive",
    )
    report: str = declare(string, "Path for a JSON report of everything that the gate saw. Missing folders are created.")


def _key(parse: Callable[[str], object], meaning: str, default: str = "") -> Declaration:
    return Declaration(parse, meaning, default)


OF_TARGETS: dict[str, Declaration] = {
    "name": _key(string, "Name in the report. Default: the URL without its scheme, or the program's name."),
    "url": _key(string, "URL to probe, or `tcp://host:port`, which is healthy when it accepts and keeps a connection."),
    "command": _key(
        optional(argv), "Program to run instead, as a list of words. Exit code 0 is healthy; its output is the body."
    ),
    "method": _key(_method, "Method to send.", default="GET"),
    "body": _key(text_block, "Body to send. `$NAME` is expanded from the environment and its value masked."),
    "host": _key(optional(urls.host_header), "Host header and TLS name. Default: the URL's host."),
    "connect-to": _key(optional(_place), "`address:port` or `unix:/path` to connect to instead of the URL's host."),
    "expect-header": Declaration(
        stated(lines(header_rule), "Content-Type =~ json"),
        "Rules for headers, one per line: `Name == value`, `Name != value`, `Name =~ pattern`.",
        blank=False,
    ),
    "client-cert": _key(string, "PEM file of the client certificate."),
    "client-key": _key(string, "PEM file of its key. Default: the key in `client-cert`."),
    "verify-tls": _key(boolean, "Check the server's certificate.", default="true"),
    "critical": _key(boolean, "`false`: a target that fails only warns.", default="true"),
    "wrong-version-for": _key(optional(duration), "Time after which the same wrong version fails the gate early: `90s`."),
}
"""The keys that only a target has, not the action."""

OF_THE_GATE = frozenset({"url", "targets", "report"})
"""Inputs that no target has in common with the others."""

OF_METRICS = frozenset({"metric-url", "metric-query", "metric-max", "metric-min"})
"""Inputs that make one metric for all targets. As keys of a target they make a metric for that target."""

KEYS: dict[str, Declaration] = {
    **{name: each for name, each in declarations(Inputs).items() if name not in OF_THE_GATE},
    **OF_TARGETS,
}
"""How each key of a target is read, and what it is when neither the target nor an input says it."""
