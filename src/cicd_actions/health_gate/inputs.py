"""The inputs of health-gate."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cicd_actions.health_gate.expectations import JsonRule, VersionSource, json_rule, pattern, version_source
from cicd_actions.health_gate.targets import SHORTEST_PAUSE, duration_from, header
from cicd_actions.toolkit.grammar import (
    StatusSet,
    boolean,
    duration,
    lines,
    number,
    optional,
    status_set,
    string,
    text_block,
    whole,
)
from cicd_actions.toolkit.inputs import declare


def named_url(text: str) -> tuple[str, str]:
    """`name=URL`, or a URL alone: the name, or nothing, and the URL as it was written."""
    found = re.fullmatch(r"([\w][\w .-]*)=(.*)", text)
    return (found[1].strip(), found[2].strip()) if found else ("", text)


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What the gate is told. All but `url`, `targets` and `report` can stand on a target as well."""

    url: tuple[tuple[str, str], ...] = declare(
        lines(named_url),
        "What to probe, one URL per line; `name=URL` names it in the report."
        " `$NAME` is expanded from the environment (`$$` is a dollar sign).",
    )
    targets: str = declare(
        text_block,
        "Targets as a YAML list, or the path of a file with one."
        " Each has a `url` (or a `command`), and any of these inputs as its keys.",
    )
    expect_status: StatusSet = declare(status_set, "Statuses that are healthy: `200`, `200,204`, `2xx`.", default="200")
    expect_json: tuple[JsonRule, ...] = declare(
        lines(json_rule),
        'What the JSON body has to hold, one per line: `$.status == "ok"`.'
        " A JSONPath (RFC 9535), one of `==` `!=` `<` `<=` `>` `>=`, a JSON value.",
    )
    expect_body: re.Pattern[str] | None = declare(
        optional(pattern), "Regular expression (Python's) that has to be found in the body's first 1 MiB."
    )
    expect_version: str = declare(
        string, "The version that has to answer, usually the full commit SHA. The whole value has to be the same."
    )
    version_from: VersionSource | None = declare(
        optional(version_source),
        "Where an answer says its version: `json:$.version` (also when only `expect-version` is given) or `header:X-Version`.",
    )
    timeout: float = declare(duration_from(0.001), "The deadline of the whole gate.", default="5m")
    request_timeout: float = declare(
        duration_from(0.001),
        "The longest one probe may take, from the look-up of the name to the end of the body.",
        default="5s",
    )
    interval: float = declare(
        duration_from(SHORTEST_PAUSE),
        "The longest pause between two probes of a target; the first ones are tens of milliseconds.",
        default="2s",
    )
    consecutive_successes: int = declare(whole(1, 100000), "Right answers in a row that make a target healthy.", default="1")
    stable_for: float = declare(
        duration,
        "Keep probing on fresh connections this long after the first pass."
        " One wrong answer, say of an old replica, starts it over.",
        default="0s",
    )
    flake_budget: int = declare(
        whole(0, 100000), "Transport errors that are forgiven within a streak. A wrong answer never is.", default="0"
    )
    max_latency: float | None = declare(
        optional(duration), "The longest a right answer may take, connection included: `500ms`."
    )
    headers: tuple[tuple[str, str], ...] = declare(
        lines(header),
        "Headers to send, one `Name: value` per line. `$NAME` is expanded from the environment, and its value masked."
        " They are not sent to another origin that a redirect leads to.",
    )
    ca_file: str = declare(string, "PEM file of certificates to trust besides the system's.")
    allow_redirects: bool = declare(
        boolean, "Follow redirects, 10 at most. Otherwise one is an answer: a login page is not healthy.", default="false"
    )
    metric_url: str = declare(
        string,
        "Where to read a metric, such as an error rate, once all targets passed a first time: a Prometheus server, or a URL"
        " that answers a number. It is sampled, and has to hold, through `stable-for`.",
    )
    metric_query: str = declare(string, "PromQL of an instant query. Without it `metric-url` is asked as it is.")
    metric_max: float | None = declare(optional(number), "The highest value of the metric that is healthy: `0.01`.")
    report: str = declare(string, "Path for a JSON report of everything that was seen.")
