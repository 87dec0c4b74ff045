"""What a rule is, and what its check can answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

from cicd_actions.workflows.place import Place

if TYPE_CHECKING:
    from cicd_actions.pipeline_audit.facts import Facts


class Tier(str, Enum):
    """How bad a broken rule is, worst first."""

    CRITICAL = "critical"
    MAJOR = "major"
    MINOR = "minor"

    def __str__(self) -> str:
        return self.value

    @property
    def rank(self) -> int:
        return list(Tier).index(self)

    @property
    def days(self) -> int:
        """Days in which it has to be fixed: at once, this sprint (14 days), or within two sprints (28 days)."""
        return {Tier.CRITICAL: 0, Tier.MAJOR: 14, Tier.MINOR: 28}[self]

    @property
    def sla(self) -> str:
        """The same in words."""
        return {Tier.CRITICAL: "fix now", Tier.MAJOR: "fix this sprint", Tier.MINOR: "fix within two sprints"}[self]


@dataclass(frozen=True)
class Broken:
    """The rule is broken at a place. `key` names the thing for the fingerprint where the message may change."""

    place: Place
    message: str
    fix: str = ""
    via: tuple[Place, ...] = ()
    key: str = ""


@dataclass(frozen=True)
class Unknown:
    """It could not be determined whether the rule is kept."""

    reason: str
    place: Place | None = None


@dataclass(frozen=True)
class NotApplicable:
    """The pipeline has nothing that the rule is about."""

    reason: str


NO_DEPLOY = NotApplicable(
    "No workflow of this repository deploys a service. Where one does, write `deploys: true` in .github/cicd.yml."
)


@dataclass(frozen=True)
class Held:
    """The rule is kept, and this shows it."""

    evidence: str
    place: Place | None = None


Answer: TypeAlias = "Broken | Unknown | NotApplicable | Held"
Check: TypeAlias = "Callable[[Facts], Iterable[Answer]]"


class Status(str, Enum):
    """What a rule's answers come to."""

    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    PASS = "pass"
    NOT_APPLICABLE = "not applicable"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Rule:
    """One rule. `title` is the rule in one sentence; `fix` is YAML or shell to paste; the examples are files by path."""

    id: str
    tier: Tier
    title: str
    why: str
    fix: str
    check: Check
    bad: Mapping[str, str]
    good: Mapping[str, str]
    note: str = ""
    """What the check counts, and what it leaves out."""
    of_deploys: bool = False
    """Whether it is about deploys only: it does not apply to a repository without one."""


@dataclass
class Result:
    """A rule with the answers of its check."""

    rule: Rule
    answers: list[Answer] = field(default_factory=list)

    @cached_property
    def broken(self) -> list[Broken]:
        return list(dict.fromkeys(answer for answer in self.answers if isinstance(answer, Broken)))

    @cached_property
    def status(self) -> Status:
        if self.broken:
            return Status.FAIL
        if any(isinstance(answer, Unknown) for answer in self.answers):
            return Status.INCONCLUSIVE
        if any(isinstance(answer, Held) for answer in self.answers):
            return Status.PASS
        return Status.NOT_APPLICABLE if self.answers else Status.PASS

    @property
    def said(self) -> str:
        """The evidence or the reason in one sentence."""
        for kind in (Unknown, Held, NotApplicable):
            for answer in self.answers:
                if isinstance(answer, kind):
                    return answer.evidence if isinstance(answer, Held) else answer.reason
        return ""


def judge(rule: Rule, facts: Facts) -> Result:
    """Returns the answers of a rule's check."""
    if rule.of_deploys and not facts.deploying:
        return Result(rule, [NO_DEPLOY])
    return Result(rule, list(dict.fromkeys(rule.check(facts))))
