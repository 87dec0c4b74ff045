"""Judges the findings of all scans: tier, age against the SLA, what is accepted, what is deployed, what is new."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cicd_actions.pipeline_audit import life
from cicd_actions.pipeline_audit.inputs import OVERDUE
from cicd_actions.pipeline_audit.life import Acknowledgement, Item, State
from cicd_actions.pipeline_audit.rules.definition import Tier
from cicd_actions.scan_gate.identity import Group, package_name
from cicd_actions.scan_gate.scan import SEVERITIES, Category, Reported, Scan
from cicd_actions.workflows.place import Place

HYGIENE = "image"
"""The scanner of an image's own configuration: it stands for no other scan of the image."""

CLOCKS_APART = 600.0
"""Seconds by which the clock of the machine that scanned may be ahead."""

TIERS = {
    "critical": Tier.CRITICAL,
    "secret": Tier.CRITICAL,
    "high": Tier.MAJOR,
    "unknown": Tier.MAJOR,
    "medium": Tier.MINOR,
    "low": Tier.MINOR,
}


@dataclass(frozen=True)
class Policy:
    """What fails."""

    today: dt.date
    tiers: Mapping[str, Tier] = field(default_factory=lambda: dict(TIERS))
    sla: Mapping[str, int] = field(default_factory=dict)
    fail_on: str = OVERDUE
    fail_on_new: Tier = Tier.MAJOR
    only_new: bool = False
    unfixed_fails: bool = False
    images: frozenset[str] = frozenset()
    max_age: float = 86400.0
    database_max_age: float = 432000.0


@dataclass
class Found(Item):
    """One finding of one scanner or of several, with its life."""

    category: Category = Category.CODE
    names: tuple[str, ...] = ()
    package: str = ""
    version: str = ""
    fixed_in: tuple[str, ...] = ()
    fixable: bool | None = None
    deployed: bool = True
    scanners: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    url: str = ""

    @property
    def fingerprint(self) -> str:
        return self.fingerprints[0]

    @property
    def fingerprints(self) -> tuple[str, ...]:
        return tuple(life.fingerprint(self.category.value, key) for key in self.keys)

    def is_of(self, rule: str, file: str, package: str) -> bool:
        if self.package and package and package_name(package) != package_name(self.package):
            return False
        # Of an advisory of several CVEs a single one is not the whole.
        own = {key.partition("\0")[0] for key in self.keys} | {name for name in self.names if not name.startswith("CVE-")}
        named = rule.casefold() in {name.casefold() for name in own}
        return named and file in {"", *self.files} and (not package or bool(self.package))


@dataclass
class Judged:
    """The scans with everything that was found."""

    scans: Sequence[Scan]
    items: list[Found]
    policy: Policy
    compared: bool
    """Whether there was a baseline to compare with."""
    expired: list[Acknowledgement] = field(default_factory=list)
    unused: list[Acknowledgement] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    """Digests of deployed images that no scan is of."""

    @property
    def open(self) -> list[Found]:
        return [item for item in self.items if item.state is State.OPEN]

    @property
    def problems(self) -> list[tuple[str, str, str]]:
        """Scanner, report, and why the scan proves nothing."""
        found = [(scan.scanner, scan.path, why) for scan in self.scans for why in dict.fromkeys(scan.problems)]
        return found + [("image scan", digest, "no report is of this image") for digest in self.missing]

    def fails(self, item: Found) -> bool:
        policy = self.policy
        if item.state is not State.OPEN or not item.deployed:
            return False
        if policy.only_new:
            return not item.known and item.tier.rank <= policy.fail_on_new.rank
        if item.fixable is False and not policy.unfixed_fails:
            return False
        if policy.fail_on == OVERDUE:
            return item.overdue(policy.today)
        return item.tier.rank <= Tier(policy.fail_on).rank

    @property
    def failing(self) -> list[Found]:
        return [item for item in self.items if self.fails(item)]


def found(group: Group, scans_of: Mapping[Reported, Sequence[Scan]], policy: Policy) -> Found:
    """Returns a group of reports as one finding: the worst severity, every fix, every place."""
    reported = group.reported
    # `unknown` says nothing against a scanner that knows.
    grades = {one.severity for one in reported}
    graded = [policy.tiers[word] for word in SEVERITIES if word in (grades - {"unknown"} or grades)]
    tier = min(graded, key=lambda each: each.rank)
    places = sorted({(one.file, one.line) for one in reported if one.file}) or [("", 0)]
    fixed = tuple(dict.fromkeys(version for one in reported for version in one.fixed_in))
    states = {one.fixable for one in reported}
    accepted = [one.accepted for one in reported]
    package = next((one.package for one in reported if one.package), "")
    item = Found(
        rule=group.names[0],
        tier=tier,
        place=Place(*places[0]),
        message=_message(group, package, fixed),
        fix=f"Update {package} to {', or to '.join(fixed)}." if package and fixed else "",
        via=tuple(Place(*each) for each in places[1:]),
        sla=policy.sla.get(tier.value),
        category=group.category,
        names=group.names,
        package=package,
        version=", ".join(dict.fromkeys(one.version for one in reported if one.version)),
        fixed_in=fixed,
        fixable=True if True in states else None if None in states else False,
        deployed=any(one.deployed and _deployed(scan, policy) for one in reported for scan in scans_of[one]),
        scanners=tuple(sorted({one.scanner for one in reported})),
        files=tuple(dict.fromkeys(file for file, _ in places if file)),
        keys=group.keys,
        url=next((one.url for one in reported if one.url), ""),
    )
    if all(accepted):
        item.state, item.reason = State.ALLOWED, accepted[0]
    return item


def _deployed(scan: Scan, policy: Policy) -> bool:
    return not policy.images or not scan.of_image or bool(scan.images & policy.images)


def _message(group: Group, package: str, fixed: Sequence[str]) -> str:
    said = max((one.message for one in group.reported), key=lambda text: (bool(text), -len(text)), default="").rstrip(".")
    said = said or group.names[0]
    if not package:
        return f"{said}."
    versions = ", ".join(dict.fromkeys(one.version for one in group.reported if one.version))
    head = f"{package} {versions}".strip()
    fix = f" Fixed in {', '.join(fixed)}." if fixed else ""
    return f"{head}: {said}.{fix}"


def examine(scans: Sequence[Scan], policy: Policy, now: dt.datetime) -> list[str]:
    """Adds to each scan why its age makes it worthless. Returns the deployed images that no scan is of."""
    for scan in scans:
        for what, when, most in (
            ("the report", scan.at, policy.max_age),
            ("the vulnerability database", scan.database, policy.database_max_age),
        ):
            if when is not None and (when - now).total_seconds() > CLOCKS_APART:
                scan.problems.append(f"{what} is of {when:%Y-%m-%d %H:%M}, which has not come yet")
            if when is not None and (now - when).total_seconds() > most:
                hours = (now - when).total_seconds() / 3600
                scan.problems.append(f"{what} is {hours:.0f} h old, and {most / 3600:g} h are the most")
    scanned = {digest for scan in scans for digest in scan.images if scan.scanner != HYGIENE}
    return sorted(policy.images - scanned)
