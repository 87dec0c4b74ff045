"""The three lists: uses, documented entries, and what is set."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum

from cicd_actions.toolkit.findings import Severity

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""What GitHub accepts as the name of a secret or variable (it does not mind the case, and keeps upper case):
https://docs.github.com/actions/reference/secrets-reference#naming-your-secrets"""

GIVEN = frozenset({"GITHUB_TOKEN"})
"""Secrets that GitHub makes itself."""

SWITCHES = frozenset({"ACTIONS_STEP_DEBUG", "ACTIONS_RUNNER_DEBUG"})
"""Names that the runner itself reads: nobody else needs to use them."""


class Kind(str, Enum):
    """What a name stands for: a secret or a variable of GitHub, or an environment variable that code reads."""

    SECRET = "secret"  # noqa: S105 - a word, no password
    VARIABLE = "variable"
    SETTING = "setting"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, order=True)
class Place:
    """A place in the repository; lines and columns count from 1."""

    file: str
    line: int
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Use:
    """One use of a name.

    `environments` are those of the job (`None`: the file does not say which). `via` are the calls that lead here, from the
    workflow that starts. `interface` says that only callers outside of this repository can hand it in. A use `aside` (in a
    test, or as a mere text in code) asks for no documentation, but what is documented is not unused because of it.
    """

    kind: Kind
    name: str
    place: Place
    job: str = ""
    step: str = ""
    environments: tuple[str, ...] | None = ()
    optional: bool = False
    via: tuple[Place, ...] = ()
    interface: bool = False
    aside: bool = False


class Missing(str, Enum):
    """What an entry does not say."""

    PURPOSE = "its purpose"
    WHERE = "where it lives"
    HOW = "how to set it"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Entry:
    """A name in the documentation. `missing` is empty for a complete one.

    `certain` says that it stands where secrets are listed; elsewhere a word in capitals may be anything, and counts only
    when the name is used.
    """

    name: str
    place: Place
    missing: tuple[Missing, ...] = ()
    certain: bool = True
    environments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Setting:
    """A name that is set on GitHub. `level` is `repository`, `organisation`, or `environment NAME`."""

    kind: Kind
    name: str
    level: str


@dataclass
class Column:
    """The third list: what is set, and which parts of it could not be looked at (with the reason)."""

    settings: list[Setting] = field(default_factory=list)
    unknown: dict[tuple[Kind, str], str] = field(default_factory=dict)
    """By kind and level."""
    looked: bool = False


@dataclass(frozen=True)
class Remark:
    """Something that was found in a file beside the three lists.

    `unread` says that something could not be looked at: it is an error, and nothing passes with it.
    """

    rule: str
    message: str
    place: Place
    fix: str = ""
    unread: bool = False
    notice: bool = False

    @property
    def severity(self) -> Severity:
        return Severity.ERROR if self.unread else Severity.NOTICE if self.notice else Severity.WARNING
