"""The three lists: uses, documented entries, and what is set."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum

from cicd_actions.workflows.place import Place

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""What GitHub accepts as the name of a secret or variable. GitHub ignores the case and keeps upper case:
https://docs.github.com/actions/reference/secrets-reference#naming-your-secrets"""

GIVEN = frozenset({"GITHUB_TOKEN"})
"""Secrets that GitHub makes itself."""

SWITCHES = frozenset({"ACTIONS_STEP_DEBUG", "ACTIONS_RUNNER_DEBUG"})
"""Names that the runner itself reads."""

_SYSTEM = frozenset(
    "CI COLUMNS DISPLAY EDITOR HOME HOSTNAME IFS LANG LANGUAGE LINES LOGNAME MAIL NO_COLOR OLDPWD PAGER PATH PS1 PS2 PS4 PWD"
    " SHELL SHLVL TEMP TERM TMP TMPDIR TZ USER VIRTUAL_ENV VISUAL"
    " APPDATA COMSPEC LOCALAPPDATA PROGRAMDATA PROGRAMFILES SYSTEMROOT USERPROFILE WINDIR"
    " COMP_CWORD COMP_KEY COMP_LINE COMP_POINT COMP_TYPE COMP_WORDBREAKS COMP_WORDS".split()  # bash sets these for a completion
)
_SYSTEM_STEMS = ("GITHUB_", "RUNNER_", "ACTIONS_", "BASH_", "LC_", "XDG_", "_")
"""With `_` in front, a name is a private agreement of two programs."""


def of_the_system(name: str) -> bool:
    """Returns whether the system, the shell, GitHub's runner or a calling program sets the variable."""
    return name in _SYSTEM or name.startswith(_SYSTEM_STEMS)


_CODE = re.compile(r"[A-Z]{1,3}[0-9]{3,}")


def may_be_a_setting(name: str) -> bool:
    """Returns whether an entry of a document can mean a setting of the project.

    It cannot where it is a variable of the system, or the code of a linter's rule, such as `E203`.
    """
    return not of_the_system(name) and not _CODE.fullmatch(name)


REPOSITORY = "repository"
ORGANISATION = "organisation"
DEPENDABOT = "Dependabot"


class Kind(str, Enum):
    """What a name stands for: a secret or a variable of GitHub, or an environment variable that code reads."""

    SECRET = "secret"
    VARIABLE = "variable"
    SETTING = "setting"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Use:
    """One use of a name.

    `environments` are those of the job (`None`: the file does not tell which). `via` are the calls that lead here, from
    the workflow that starts. `interface`: only callers outside this repository hand the name in. `aside`: a use in a test,
    or a plain text in code, which needs no documentation but keeps a documented name from being unused. `passes`: the use
    only hands the name on to a called workflow, whose own uses are listed too. `untrusted`: runs for pull requests of
    forks, and of Dependabot, reach the use with an empty value. `reads` says what takes the value, where the file names it.
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
    passes: bool = False
    untrusted: bool = False
    dependabot: bool = False
    reads: str = ""

    @property
    def required(self) -> bool:
        return not self.optional and not self.aside

    @property
    def levels(self) -> tuple[str, ...]:
        """Where the name has to be set for this use: `repository`, `environment NAME`, `Dependabot`; none if unknown."""
        if self.dependabot:
            return (DEPENDABOT,)
        if self.environments is None:
            return ()
        return tuple(f"environment {name}" for name in self.environments) or (REPOSITORY,)


def levels(uses: list[Use]) -> list[str]:
    """Returns where a name has to be set for all these uses, the repository first; each place once."""
    # What only hands a name on needs it where the called workflow reads it.
    reading = [use for use in uses if not use.passes] or uses
    found = {level for use in reading if use.kind is not Kind.SETTING for level in use.levels}
    return sorted(found, key=lambda level: (level != REPOSITORY, level))


def home(uses: list[Use]) -> str:
    """Returns where a name lives for all these uses, as a document says it."""
    # Where only the run tells the environment, the repository's own value serves each of them.
    return " and ".join(levels(uses)) or "repository, or the environment that the job names when it runs"


class Missing(str, Enum):
    """What an entry does not say."""

    PURPOSE = "its purpose"
    WHERE = "where it lives"
    HOW = "how to set it"

    def __str__(self) -> str:
        return self.value


class Subject(str, Enum):
    """What the text around an entry is about, and so whether the name counts although nothing uses it."""

    GITHUB = "secrets and variables on GitHub"
    SECRETS = "secrets, which may live elsewhere"
    SETTINGS = "settings of a program"
    OTHER = "anything"


@dataclass(frozen=True)
class Entry:
    """A name in the documentation. `missing` is empty for a complete one.

    `section` is the part of the document that lists the name: its path and headings. `todo`: the generated entry still has
    its placeholder, so it documents nothing. `example`: the entry stands in an example dotenv file, which tells where a
    setting lives, but nothing about GitHub.
    """

    name: str
    place: Place
    missing: tuple[Missing, ...] = ()
    subject: Subject = Subject.GITHUB
    section: str = ""
    environments: tuple[str, ...] = ()
    todo: bool = False
    example: bool = False


@dataclass(frozen=True)
class Setting:
    """A name that is set on GitHub. `level` is `repository`, `organisation`, `Dependabot`, or `environment NAME`."""

    kind: Kind
    name: str
    level: str


@dataclass
class Column:
    """The third list: what is set, and which levels could not be read (with the reason)."""

    settings: list[Setting] = field(default_factory=list)
    unknown: dict[tuple[Kind, str], str] = field(default_factory=dict)
    """By kind and level."""
    looked: bool = False
