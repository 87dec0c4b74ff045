"""The inputs of pipeline-metrics."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cicd_actions.github.inputs import RecordInputs
from cicd_actions.pipeline_metrics.thresholds import Threshold, rate, threshold
from cicd_actions.toolkit.grammar import NotUnderstood, boolean, choice, duration, lines, string, whole
from cicd_actions.toolkit.inputs import declare


def repository(text: str) -> str:
    """Reads `owner/name`. Raises `NotUnderstood`."""
    if not re.fullmatch(r"[A-Za-z0-9-]+/[A-Za-z0-9._-]+", text) or text.rpartition("/")[2] in {".", ".."}:
        raise NotUnderstood(f"`{text[:200]}` is not a repository", example="octo-org/shop")
    return text


@dataclass(frozen=True, kw_only=True)
class Inputs(RecordInputs):
    """What is collected, what is computed, and where it goes."""

    github_token: str = declare(
        string,
        "A token with `actions: read`, and for the figures of releases and pull requests `deployments: read`, `contents: read`"
        " and `pull-requests: read`. For other repositories: an App's.",
        secret=True,
        action_default="${{ github.token }}",
    )
    repositories: tuple[str, ...] = declare(
        lines(repository), "Repositories, one `owner/name` per line. Default: the repository of this run."
    )
    days: int = declare(whole(1, 400), "The number of days whose runs, releases and pull requests count.", default="90")
    environment: str = declare(string, "The environment whose records count for the DORA metrics.", default="production")
    workflows: tuple[str, ...] = declare(
        lines(string),
        "Patterns of workflow names or files that count, one per line: `.github/workflows/ci.yml`. Default: all.",
    )
    branches: tuple[str, ...] = declare(
        lines(string), "Patterns of branches that count, one per line: `main`, `release/*`. Default: all."
    )
    details: str = declare(
        choice("failed", "all", "none"),
        "Whose jobs are read, at a request each: runs that failed or were run again (`failed`), `all` runs, or `none`.",
        default="failed",
    )
    request_budget: int = declare(
        whole(1, 15_000),
        "How many requests one run of the action makes at most; the report says what it left out.",
        default="200",
    )
    store: str = declare(
        string,
        "A folder that keeps what was collected, so that the next run asks for news only. Keep it with `actions/cache` or on a"
        " branch.",
    )
    per_person: bool = declare(
        boolean, "Also count merged pull requests per person. Only for teams that agreed to it.", default="false"
    )
    rates: tuple[tuple[str, float], ...] = declare(
        lines(rate),
        "The price of a minute by runner label, one pattern per line: `ubuntu-*=0.006`. The first that fits counts.",
    )
    fail_on: tuple[Threshold, ...] = declare(
        lines(threshold),
        "What fails the check, one condition per line: `success-rate < 95%`, `duration-p90 > 15m`. Too few samples make"
        " it inconclusive.",
    )
    dashboard: str = declare(string, "A folder for the dashboard: one page, `index.html`, that needs no network.")
    export: str = declare(
        string,
        "A folder for the figures as files: `figures.json`, `figures.csv`, `runs.csv`, and `metrics.txt` in OpenMetrics form.",
    )
    pushgateway: str = declare(
        string, "The URL of a Prometheus Pushgateway that takes the figures. `$NAME` is expanded from the environment."
    )
    otlp: str = declare(
        string,
        "The URL of an OpenTelemetry collector's HTTP endpoint for traces: `https://otel.example.com/v1/traces`. New runs go"
        " there. `$NAME` is expanded.",
    )
    headers: tuple[str, ...] = declare(
        lines(string),
        "Headers of the requests to `pushgateway` and `otlp`, one `Name: value` per line; `$NAME` is expanded.",
    )
    timeout: float = declare(duration, "How long the action may take, including waiting for rate limits.", default="10m")
