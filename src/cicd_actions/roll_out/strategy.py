"""The inputs that say how traffic moves to a release, and the steps of a canary."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import ClassVar

from cicd_actions.toolkit.grammar import NotUnderstood, choice, duration, lines, string, text_block
from cicd_actions.toolkit.inputs import declare

_STEP = re.compile(r"(?P<percent>[0-9]{1,2}(?:\.[0-9]+)?) ?% +(?P<requests>[0-9]{1,9}) +requests? +within +(?P<within>\S+)")
_EXAMPLE = "10% 1000 requests within 30m"


@dataclass(frozen=True)
class Step:
    """One step: the share of the traffic in percent, the requests that are needed, and seconds in which they have to come."""

    percent: float
    requests: int
    within: float

    def __str__(self) -> str:
        return f"{self.percent:g} %"


def step(text: str) -> Step:
    """Reads `10% 1000 requests within 30m`. Raises `NotUnderstood`."""
    match = _STEP.fullmatch(text.strip())
    if not match or not 0 < float(match["percent"]) < 100:
        raise NotUnderstood(f"`{text[:80]}` is not a share, a number of requests and a time", example=_EXAMPLE)
    return Step(float(match["percent"]), int(match["requests"]), duration(match["within"]))


def steps(text: str) -> tuple[Step, ...]:
    """Reads one step a line, each with a larger share than the one before. Raises `NotUnderstood`."""
    found = lines(step)(text)
    shares = [each.percent for each in found]
    if not found or sorted(set(shares)) != shares:
        raise NotUnderstood("each step needs a larger share than the one before", example=_EXAMPLE)
    return found


def unsafe_migrations(text: str) -> tuple[str, ...]:
    """Reads the output `applied` of run-migrations-oneshot and returns each revision that is not known to be `expand`.

    Raises `NotUnderstood`.
    """
    if not text.strip():
        return ()
    try:
        found = json.loads(text)
        return tuple(str(each["revision"]) for each in found if each.get("phase") != "expand")
    except (ValueError, TypeError, KeyError, AttributeError):
        raise NotUnderstood(
            "it is not the output `applied` of run-migrations-oneshot",
            example='[{"revision": "0005", "phase": "expand"}]',
        ) from None


@dataclass(frozen=True, kw_only=True)
class StrategyInputs:
    """How traffic moves; `class Inputs(StrategyInputs)`."""

    GROUP: ClassVar[str] = "How traffic moves"

    strategy: str = declare(
        choice("rolling", "blue-green", "canary"),
        "How traffic moves: `rolling` replaces replica by replica, `blue-green` switches all of it at once to a release that"
        " stands beside the old one, `canary` a share at a time. Without `proxy`, Swarm does"
        " only `canary`, and Docker only `blue-green`.",
        default="rolling",
    )
    steps: tuple[Step, ...] = declare(
        steps,
        "`canary`: the steps, one per line. A step ends when the new release is proven harmless at this share of the traffic.",
        default="10% 1000 requests within 30m\n50% 1000 requests within 30m",
    )
    bake: float = declare(
        duration,
        "`blue-green` and `canary`: how long the old release stands beside the new one that has all of the traffic.",
        default="10m",
    )
    promote: str = declare(
        choice("automatic", "manual", "staged", "abandon"),
        "`manual` leaves the stage, after the steps, for another job. That one sets `staged`, which promotes the stage that it"
        " finds, and fails without one, or `abandon`, which removes it.",
        default="automatic",
    )
    stage_lasts: float = declare(duration, "How long a stage may wait for `promote: staged`.", default="24h")
    on_inconclusive: str = declare(
        choice("abandon", "hold", "promote"),
        "What a step does at its limit without a verdict: `abandon` removes the stage, `hold` leaves it without traffic, and"
        " `promote` goes on.",
        default="abandon",
    )
    stage_targets: str = declare(
        text_block,
        "Targets of health-gate, as a YAML list, that are right before each step, and before the new release gets any traffic."
        " `{SERVICE.address}` stands for the address of each of its replicas, `{sha}` for the commit.",
    )
    prometheus: str = declare(
        string,
        "The address of a Prometheus, such as `http://prometheus:9090`, for the queries below. `$NAME` is expanded.",
    )
    latency_query: str = declare(
        string,
        '`canary`: the query of the bucket series of latencies: `http_request_duration_seconds_bucket{service="{service}"}`.'
        " `{service}` stands for `NAME-next` and for `NAME`, `{sha}` for the commit of each release.",
    )
    requests_query: str = declare(
        string,
        "The query of the counters of all requests, which Kubernetes needs for a canary:"
        ' `http_requests_total{pod=~"{service}-[a-z0-9]+-[a-z0-9]{5}"}`. It replaces the counters of the proxy.',
    )
    errors_query: str = declare(
        string, 'The same for the requests that failed: `http_requests_total{…,code=~"5.."}`. It goes with `requests-query`.'
    )
    migrations: tuple[str, ...] = declare(
        unsafe_migrations,
        "The output `applied` of run-migrations-oneshot. `blue-green` and `canary` are refused unless each migration is"
        " `expand`, because two releases share the database.",
    )
