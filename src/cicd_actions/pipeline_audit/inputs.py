"""The inputs of pipeline-audit."""

from __future__ import annotations

from dataclasses import dataclass

from cicd_actions.toolkit.grammar import boolean, choice, lines, optional, string
from cicd_actions.toolkit.inputs import declare

OVERDUE = "overdue"
ACCEPTED = ".github/pipeline-audit.yml"
BASELINE = ".github/pipeline-audit.json"


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What is audited, what is accepted, and what fails. Paths start at the repository's root."""

    fail_on: str = declare(
        choice(OVERDUE, "critical", "major", "minor"),
        "What fails: `overdue` (critical findings, and others whose SLA has passed), or every open finding of at least this"
        " tier: `critical`, `major` or `minor`. Critical findings always fail.",
        default=OVERDUE,
    )
    acknowledge: str = declare(
        string,
        "YAML file of accepted findings: a list of `rule`, `file`, `reason` and `expires`. Default:"
        " `.github/pipeline-audit.yml`, where this repository has it.",
    )
    baseline: str = declare(
        string,
        "JSON file of known findings with the day on which each was first seen: their SLA counts from then. Default:"
        " `.github/pipeline-audit.json`, where this repository has it.",
    )
    write_baseline: str = declare(string, "JSON file to write the open findings to, as the next baseline. Default: none.")
    base: str = declare(
        string,
        "Commit or branch that the change starts from: findings about migrations are those of the change. Default: the base"
        " of the pull request.",
    )
    zizmor: str = declare(
        string,
        "`auto` runs zizmor when it is on the PATH, `off` does not, and a path names the SARIF that it wrote.",
        default="auto",
    )
    github_token: str = declare(
        string,
        "Token that reads called workflows of other repositories (Contents), environments (Actions) and the default token's"
        " permissions (Administration). Rules about settings are inconclusive without it.",
        secret=True,
    )
    repositories: tuple[str, ...] = declare(
        lines(string),
        "Repositories to audit instead of this one, one per line: folders of checkouts, or `owner/name` with a `github-token`.",
    )
    fix: bool = declare(
        boolean,
        "Write a patch (the output `patch`) for what is safe to write: time limits, permissions, concurrency, and pins."
        " Nothing is changed.",
        default="false",
    )
    pins: str | None = declare(
        optional(string),
        "File of commit SHAs that `fix` pins actions to, one per line: `docker/build-push-action@v6 <40 hex digits>`.",
    )
