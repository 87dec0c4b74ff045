"""The inputs of scan-gate."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from cicd_actions.pipeline_audit.inputs import OVERDUE
from cicd_actions.pipeline_audit.rules.definition import Tier
from cicd_actions.scan_gate.reports import Expected, expected
from cicd_actions.scan_gate.scan import SEVERITIES
from cicd_actions.toolkit.grammar import NotUnderstood, boolean, choice, duration, is_whole, lines, string
from cicd_actions.toolkit.inputs import declare

ACCEPTED = ".github/scan-gate.yml"
BASELINE = ".github/scan-gate.json"

T = TypeVar("T")


def _pairs(known: tuple[str, ...], value: Callable[[str, str], T], example: str) -> Callable[[str], dict[str, T]]:
    """Returns a parser of lines `WORD: VALUE`."""

    def parse(text: str) -> dict[str, T]:
        found: dict[str, T] = {}
        for line in text.splitlines():
            word, _, rest = (part.strip() for part in line.partition(":"))
            if not word:
                continue
            if word not in known:
                raise NotUnderstood(f"`{word[:100]}` is not one of {', '.join(known)}", example=example)
            found[word] = value(word, rest)
        return found

    return parse


def _days(word: str, text: str) -> int:
    if not is_whole(text):
        raise NotUnderstood(f"`{text[:100]}` is not a number of days", example=f"{word}: 14")
    return int(text)


def _tier(word: str, text: str) -> Tier:
    try:
        return Tier(text)
    except ValueError:
        raise NotUnderstood(f"`{text[:100]}` is not a tier (critical, major, minor)", example=f"{word}: major") from None


def _image(text: str) -> str:
    if not re.fullmatch(r"(\S+@)?sha256:[0-9a-f]{64}", text):
        raise NotUnderstood(f"`{text[:200]}` names no digest", example=f"ghcr.io/org/app@sha256:{'0' * 64}")
    return text


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Which reports are judged, what is accepted, and what fails. Paths start at the repository's root."""

    reports: tuple[Expected, ...] = declare(
        lines(expected),
        "Reports of the scanners, one per line: `PATH`, `SCANNER: PATH` or `SCANNER: PATH of FILE`. Every report has to be"
        " there: one that is missing is a scan that did not run.",
        required=True,
    )
    images: tuple[str, ...] = declare(
        lines(_image),
        "Images that are deployed, one per line, by digest. Each needs a report, and findings of other images fail nothing."
        " Default: every image that has a report.",
    )
    hygiene: bool = declare(
        boolean,
        "Read the configuration of `images` in their registry: one that runs as root, has no HEALTHCHECK, migrates at its start"
        " or is built on `latest` is a finding.",
        default="false",
    )
    fail_on: str = declare(
        choice(OVERDUE, "critical", "major", "minor"),
        "What fails: `overdue` (findings whose SLA has passed), or every open finding of at least this tier.",
        default=OVERDUE,
    )
    fail_on_new: str = declare(
        choice("critical", "major", "minor"),
        "The least tier of a new finding that fails a pull request.",
        default="major",
    )
    only_new: str = declare(
        choice("auto", "true", "false"),
        "Whether only findings fail that the baseline does not know. Default: in pull requests and merge queues.",
        default="auto",
    )
    unfixed: str = declare(
        choice("warn", "fail"),
        "What a finding does for which the scanner says that no fix exists. It never excuses a finding that is new.",
        default="warn",
    )
    tiers: dict[str, Tier] = declare(
        _pairs(SEVERITIES, _tier, "critical: critical\nhigh: major"),
        "The tier of each severity, one per line: `critical`, `high`, `medium`, `low`, `unknown` and `secret`. Default:"
        " critical and secret are critical, high and unknown are major, the rest minor.",
    )
    sla: dict[str, int] = declare(
        _pairs(tuple(tier.value for tier in Tier), _days, "critical: 0\nmajor: 14\nminor: 28"),
        "Days in which the findings of a tier have to be fixed, one tier per line; 0 is at once. Default: critical 0,"
        " major 14, minor 28.",
    )
    acknowledge: str = declare(
        string,
        "YAML file of accepted findings: a list of `rule` (an advisory or a rule), `package` or `file`, `reason` and"
        " `expires`. Default: `.github/scan-gate.yml`, where this repository has it.",
    )
    baseline: str = declare(
        string,
        "JSON file of known findings with the day on which each was first seen. Default: `.github/scan-gate.json`, where this"
        " repository has it.",
    )
    write_baseline: str = declare(string, "JSON file to write the findings to, as the next baseline. Default: none.")
    store: str = declare(
        string,
        "JSON file that keeps the days between runs: read where it exists, and written. It stands for `baseline` and"
        " `write-baseline` where a cache or an artifact carries it.",
    )
    max_age: float = declare(duration, "How old a report may be that says when it was made.", default="24h")
    database_max_age: float = declare(
        duration, "How old the database of a scanner may be, where its report says when it was built.", default="120h"
    )
    comment: bool = declare(
        boolean, "Keep one comment on the pull request up to date; needs `pull-requests: write`.", default="false"
    )
    github_token: str = declare(string, "Token that writes the comment.", secret=True, action_default="${{ github.token }}")
