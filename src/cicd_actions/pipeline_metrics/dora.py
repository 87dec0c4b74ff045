"""The DORA metrics, from records alone: a repository without records has none, and none are guessed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from cicd_actions.pipeline_metrics.facts import Facts, Release, by_environment


@dataclass(frozen=True)
class Deployment:
    """A release that was deployed. `failed` says that it failed its gate or was rolled back later, `back` at which time."""

    at: int
    sha: str
    run: int
    app: str
    passed: bool
    failed: bool
    back: int = 0


def deployments(facts: Facts, environment: str) -> list[Deployment]:
    """Returns the deployments of an environment, oldest first. Adopted releases and rollbacks are not deployments."""
    found: list[Deployment] = []
    for releases in by_environment(facts.releases.values(), environment).values():
        own: list[Deployment] = []
        for each in releases:
            if each.kind == "release":
                own.append(Deployment(each.at, each.sha, each.run, each.app, each.passed, failed=not each.passed))
            elif each.kind == "rollback":
                _take_back(own, each)
        found += own
    return sorted(found, key=lambda each: (each.at, each.sha))


def _take_back(own: list[Deployment], rollback: Release) -> None:
    """Marks the deployment that a rollback left: a quarantine names it, the record of a rollback that passed its target."""
    passed = [number for number in range(len(own) - 1, -1, -1) if own[number].passed]
    left = next((number for number in passed if rollback.passed or own[number].sha == rollback.sha), None)
    if left is None or own[left].failed or (rollback.passed and own[left].sha == rollback.sha):
        return
    own[left] = replace(own[left], failed=True, back=rollback.at)


def lead_times(facts: Facts, environment: str) -> Iterator[tuple[int, int]]:
    """Yields for each commit that a release brought the time at which it passed, and the seconds since the commit."""
    for releases in by_environment(facts.releases.values(), environment).values():
        before = ""
        for each in releases:
            if not each.passed:
                continue
            changes = facts.changes.get((before, each.sha)) if each.kind == "release" else None
            before = each.sha
            for time in changes.times if changes else ():
                yield each.at, max(0, each.at - time)


def restores(facts: Facts, environment: str) -> Iterator[tuple[int, int]]:
    """Yields the end of each outage, and its seconds: from the first failed gate to the next record that passed."""
    for releases in by_environment(facts.releases.values(), environment).values():
        failed = 0
        for each in releases:
            if each.passed and failed:
                yield each.at, each.at - failed
                failed = 0
            elif not each.passed and each.kind == "release" and not failed:
                failed = each.at
