"""One audit of one checkout: the facts, the rules' answers, and the findings with their lives."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path

from cicd_actions.pipeline_audit import expansion, zizmor
from cicd_actions.pipeline_audit.facts import Carried, Facts, Settings
from cicd_actions.pipeline_audit.inputs import OVERDUE
from cicd_actions.pipeline_audit.life import Acknowledgement, Ages, Item, State, acknowledge, allow
from cicd_actions.pipeline_audit.repository import Repository
from cicd_actions.pipeline_audit.rules.catalogue import RULES
from cicd_actions.pipeline_audit.rules.definition import Result, Status, Tier, judge
from cicd_actions.toolkit import git
from cicd_actions.workflows.place import Place
from cicd_actions.workflows.repository_files import Fetch
from cicd_actions.workflows.tree import Tree

DIFF_TIMEOUT = 30.0


@dataclass
class Audit:
    """What was found in one repository. `unread` are files that could not be read: nothing passes with one of them."""

    facts: Facts
    results: dict[str, Result]
    items: list[Item]
    today: dt.date
    unread: list[tuple[Place, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    bare: list[tuple[Place, str]] = field(default_factory=list)
    """Comments that allow a rule without a reason: they allow nothing."""
    expired: list[Acknowledgement] = field(default_factory=list)

    @property
    def open(self) -> list[Item]:
        return [item for item in self.items if item.state is State.OPEN]

    def failing(self, fail_on: str) -> list[Item]:
        """The findings that fail the check."""
        if fail_on == OVERDUE:
            return [item for item in self.open if item.overdue(self.today)]
        return [item for item in self.open if item.tier.rank <= Tier(fail_on).rank or item.tier is Tier.CRITICAL]

    def accepted(self) -> dict[str, str]:
        """The reason for each broken rule whose findings are all allowed or acknowledged."""
        found: dict[str, str] = {}
        by_rule: dict[str, list[Item]] = {}
        for item in self.items:
            by_rule.setdefault(item.rule, []).append(item)
        for id_, result in self.results.items():
            mine = by_rule.get(id_)
            if result.status is Status.FAIL and mine and all(item.state is not State.OPEN for item in mine):
                found[id_] = f"accepted: {mine[0].reason}"
        return found


@dataclass(frozen=True)
class Options:
    """What is known from outside of the checkout."""

    name: str = ""
    base: str = ""
    fetch: Fetch | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    sarif: Sequence[Carried] | None = None
    run_zizmor: bool = True
    accepted: Sequence[Acknowledgement] = ()
    baseline: Mapping[str, dt.date] = field(default_factory=dict)


def read(root: Path, options: Options) -> tuple[Facts, zizmor.Run]:
    """Starts zizmor, reads the model beside it, and returns both: the rules are judged when the settings are known."""
    running = zizmor.start(root, options.variables) if options.run_zizmor else zizmor.Run(why="zizmor is switched off")
    try:
        tree = Tree(root)
        repository = Repository(tree, options.name or tree.origin(), options.fetch)
        facts = Facts(expansion.build(repository), changed=changed(root, options.base))
    except BaseException:
        running.stop()
        raise
    return facts, running


def judged(facts: Facts, running: zizmor.Run, options: Options, settings: Settings | None, today: dt.date) -> Audit:
    """Judges every rule, and gives each finding its life."""
    facts.settings = settings
    facts.zizmor = list(options.sarif) if options.sarif is not None else running.findings()
    results = {id_: judge(rule, facts) for id_, rule in RULES.items()}
    items = [
        Item(id_, result.rule.tier, one.place, one.message, one.fix or result.rule.fix, result.rule.why, one.via, one.key)
        for id_, result in results.items()
        for one in result.broken
    ]
    told = {(item.rule, item.place.file, line) for item in items for line in (item.place.line, 0)}
    items += [
        Item(
            f"zizmor/{one.id}",
            zizmor.tier(one),
            one.place,
            one.message,
            f"See {one.url}" if one.url else "",
            key=f"{one.message}",
        )
        for one in facts.zizmor or []
        if not _said(one, told)
    ]
    audit = Audit(facts, results, items, today, unread=_unread(facts))
    if facts.zizmor is None:
        audit.notes.append(f"{running.why[:1].upper()}{running.why[1:]}: this audit's own checks stand in for it.")
    audit.bare = allow(items, facts.repository)
    audit.expired = acknowledge(items, options.accepted, today)
    for item in items:
        item.since = options.baseline.get(item.fingerprint)
        item.known = item.since is not None
    ages = Ages(facts.repository.tree.root)
    ages.fill(items)
    if ages.shallow:
        audit.notes.append(
            "The checkout is shallow, so the age of findings is not known: check out with `fetch-depth: 0`, or keep a baseline."
        )
    return audit


def _said(one: Carried, told: AbstractSet[tuple[str, str, int]]) -> bool:
    """Whether a rule of ours says it already, by rule, file and line (0: anywhere in the file)."""
    if one.id == "unpinned-uses":
        return ("unpinned-action", one.place.file, one.place.line) in told
    return one.id == "excessive-permissions" or (
        one.id == "dangerous-triggers" and ("untrusted-checkout", one.place.file, 0) in told
    )


def _unread(facts: Facts) -> list[tuple[Place, str]]:
    found = [
        (Place(file.path, one.line, one.column), one.message)
        for file in facts.pipeline.files
        for one in file.problems
        if one.unread
    ]
    told = [*facts.repository.tree.findings, *facts.repository.files.findings]
    found += [(Place(one.file, one.line or 1), one.message) for one in told if one.file.startswith(".github/")]
    return list(dict.fromkeys(found))


def changed(root: Path, base: str) -> frozenset[str] | None:
    """Returns the files of the change since `base`; `None` when there is no base, or git does not know it."""
    if not base or base.startswith("-"):
        return None
    for reference in (base, f"origin/{base}"):
        words = git.command("diff", "--name-only", "-z", "--no-renames", "--no-ext-diff", f"{reference}...HEAD", "--")
        try:
            done = subprocess.run(
                words, cwd=root, env=git.variables(os.environ), capture_output=True, timeout=DIFF_TIMEOUT, check=False
            )
        except (OSError, subprocess.SubprocessError):
            return None
        if done.returncode == 0:
            return frozenset(name for name in done.stdout.decode("utf-8", "replace").split("\0") if name)
    return None
