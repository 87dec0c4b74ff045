"""The life of a finding: allowed in its line, acknowledged until a day, known from a baseline, and its age against its SLA."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import re
import subprocess
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from cicd_actions.pipeline_audit.repository import Repository
from cicd_actions.pipeline_audit.rules.definition import Tier
from cicd_actions.toolkit import git
from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.yaml12 import Mapping, Node, NotYaml, Scalar, read
from cicd_actions.toolkit.yaml12 import Sequence as YamlSequence
from cicd_actions.workflows.place import Place

LONGEST = 1024 * 1024
LONGEST_BASELINE = 16 * LONGEST
MOST_BLAMED = 50
"""Files that git is asked about: the worst findings first."""


class State(str, Enum):
    """What became of a finding."""

    OPEN = "open"
    ALLOWED = "allowed"
    ACKNOWLEDGED = "acknowledged"

    def __str__(self) -> str:
        return self.value


@dataclass
class Item:
    """One finding with its life. `since` is the day it began, where that is known; `reason` says why it is accepted."""

    rule: str
    tier: Tier
    place: Place
    message: str
    fix: str = ""
    why: str = ""
    via: tuple[Place, ...] = ()
    key: str = ""
    state: State = State.OPEN
    reason: str = ""
    since: dt.date | None = None
    known: bool = False
    """Whether the baseline has it."""
    sla: int | None = None
    """Days in which it has to be fixed; without them, those of its tier. 0: at once."""

    @property
    def fingerprint(self) -> str:
        """The same while the finding stays, though lines move."""
        return fingerprint(self.rule, self.place.file, self.key or self.message)

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """Every fingerprint that a baseline may know it by; the first one is its own."""
        return (self.fingerprint,)

    @property
    def days(self) -> int:
        return self.tier.days if self.sla is None else self.sla

    @property
    def due(self) -> dt.date | None:
        return None if self.since is None else self.since + dt.timedelta(days=self.days)

    def overdue(self, today: dt.date) -> bool:
        """Tells whether it is open, and its deadline passed. One that has to be fixed at once always is."""
        if self.state is not State.OPEN:
            return False
        return self.days == 0 or (self.due is not None and today > self.due)

    def is_of(self, rule: str, file: str, package: str) -> bool:
        """Tells whether an acknowledgement of the rule, the file and the package (empty: any) means it."""
        return self.rule == rule and file in {"", self.place.file} and not package


def fingerprint(*parts: str) -> str:
    """Returns a hash of what tells one finding from another."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()[:32]


_ALLOW = re.compile(r"(?:#|//|<!--)[ \t]*pipeline-audit:[ \t]*allow[ \t]+([a-z/,-]+)(.*)")
_REASON = re.compile(r"[ \t]*(?:—|–|--|-|:)[ \t]*(\S.*)")


def allow(items: Iterable[Item], repository: Repository) -> list[tuple[Place, str]]:
    """Marks what a comment in the line, or in the comment lines right above it, allows. Returns comments without a reason."""
    lines: dict[str, list[str]] = {}
    bare: dict[Place, str] = {}
    for item in items:
        if item.place.file not in lines:
            lines[item.place.file] = (repository.text(item.place.file) or "").splitlines()
        for number, names, reason in _comments(lines[item.place.file], item.place.line):
            if item.rule not in names:
                continue
            if reason:
                item.state, item.reason = State.ALLOWED, reason
            else:
                bare[Place(item.place.file, number)] = item.rule
    return list(bare.items())


def _comments(lines: Sequence[str], line: int) -> Iterable[tuple[int, set[str], str]]:
    """The comments that count for a line, from 1: in it, in the comment lines right above, and for line 1 in those below."""
    numbers = [line]
    above = line - 1
    while 0 < above <= len(lines) and lines[above - 1].lstrip().startswith("#"):
        numbers.append(above)
        above -= 1
    below = 1
    while line == 1 and below <= len(lines) and lines[below - 1].lstrip().startswith("#"):
        below += 1
        numbers.append(below)
    for number in numbers:
        match = _ALLOW.search(lines[number - 1]) if 0 < number <= len(lines) else None
        if match:
            reason = _REASON.match(match[2])
            yield number, set(match[1].split(",")), reason[1].removesuffix("-->").strip() if reason else ""


# acknowledge

_KEYS = {"rule", "file", "package", "fingerprint", "reason", "expires"}
EXAMPLE = """Write a list such as:

    - rule: no-staging
      file: .github/workflows/deploy.yml   # optional
      reason: Staging moves to the new cluster in March.
      expires: 2027-03-31"""


@dataclass(frozen=True)
class Acknowledgement:
    """One accepted finding: its rule and file, or its fingerprint, the reason, and the last day on which it holds."""

    reason: str
    expires: dt.date
    line: int
    rule: str = ""
    file: str = ""
    fingerprint: str = ""
    package: str = ""

    def covers(self, item: Item) -> bool:
        if self.fingerprint:
            return self.fingerprint in item.fingerprints
        return item.is_of(self.rule, self.file, self.package)


def acknowledgements(path: Path, shown: str, known: Iterable[str] | None, example: str = EXAMPLE) -> list[Acknowledgement]:
    """Reads the file of accepted findings. `known` are the rules; `None` takes every rule, such as those of scanners.

    Raises `UnusableInput` for anything that is not clear.
    """
    text = _read(path, shown, "acknowledge")
    try:
        root = read(text).root
    except NotYaml as error:
        raise UnusableInput(f"The file {shown} of the input `acknowledge` is not YAML: {error}.", fix=example) from None
    if root is None:
        return []
    if not isinstance(root, YamlSequence):
        raise UnusableInput(f"{shown}:{root.line}: the accepted findings have to be a list.", fix=example)
    rules = None if known is None else set(known)
    return [_entry(item, shown, rules, example) for item in root.items]


def _entry(node: Node, shown: str, rules: set[str] | None, example: str) -> Acknowledgement:
    if not isinstance(node, Mapping):
        raise UnusableInput(f"{shown}:{node.line}: an accepted finding has `rule`, `reason` and `expires`.", fix=example)
    for key, _ in node.entries:
        if key.text not in _KEYS:
            raise UnusableInput(f"{shown}:{key.line}: the key `{key.text}` is unknown.", fix=example)
    texts = {key.text: value.text.strip() for key, value in node.entries if isinstance(value, Scalar)}
    for name in ("reason", "expires"):
        if not texts.get(name):
            raise UnusableInput(f"{shown}:{node.line}: `{name}` is missing.", fix=example)
    rule = texts.get("rule", "")
    if not rule and not texts.get("fingerprint"):
        raise UnusableInput(f"{shown}:{node.line}: `rule` is missing.", fix=example)
    if rule and rules is not None and rule not in rules and not rule.startswith("zizmor/"):
        raise UnusableInput(f"{shown}:{node.line}: there is no rule `{rule}`.", fix=example)
    try:
        expires = dt.date.fromisoformat(texts["expires"])
    except ValueError:
        raise UnusableInput(f"{shown}:{node.line}: `expires` is not a date: {texts['expires']}.", fix=example) from None
    file, print_, package = (texts.get(name, "") for name in ("file", "fingerprint", "package"))
    return Acknowledgement(texts["reason"], expires, node.line, rule, file, print_, package)


def acknowledge(items: Iterable[Item], accepted: Iterable[Acknowledgement], today: dt.date) -> list[Acknowledgement]:
    """Marks what is accepted today. Returns the entries that have expired and still cover a finding."""
    late: list[Acknowledgement] = []
    entries = list(accepted)
    for item in items:
        covering = [one for one in entries if one.covers(item)]
        holding = next((one for one in covering if today <= one.expires), None)
        if item.state is State.OPEN and holding is not None:
            item.state, item.reason = State.ACKNOWLEDGED, f"{holding.reason} (until {holding.expires})"
        elif item.state is State.OPEN:
            late += covering
    return list(dict.fromkeys(late))


# baseline


Entries = dict[str, dict[str, str]]
"""What a baseline says of each finding, by fingerprint: `rule`, `file`, and `since`, the day on which it was first seen."""


def entries(path: Path, shown: str, action: str = "pipeline-audit", name: str = "baseline") -> Entries:
    """Reads a baseline. Raises `UnusableInput`."""
    text = _read(path, shown, name, LONGEST_BASELINE)
    try:
        found = json.loads(text)["findings"]
        return {
            str(print_): {
                "rule": str(entry.get("rule", "")),
                "file": str(entry.get("file", "")),
                "since": str(dt.date.fromisoformat(entry["since"])),
            }
            for print_, entry in found.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UnusableInput(
            f"The file {shown} of the input `{name}` is not a baseline.",
            fix=f"Write it with:\n\n    cicd-actions {action} --write-baseline .github/{action}.json",
        ) from None


def baseline(path: Path, shown: str) -> dict[str, dt.date]:
    """Reads a baseline: the day on which each finding was first seen, by fingerprint. Raises `UnusableInput`."""
    return {print_: dt.date.fromisoformat(entry["since"]) for print_, entry in entries(path, shown).items()}


def baseline_text(items: Iterable[Item], today: dt.date, kept: Entries | None = None) -> str:
    """Returns a baseline of the findings, and of `kept` ones: sorted, one a line, so that its diffs can be read."""
    found = (kept or {}) | {
        print_: {"rule": item.rule, "file": item.place.file, "since": str(item.since or today)}
        for item in items
        for print_ in item.fingerprints
    }
    lines = [
        f"    {json.dumps(print_)}: {json.dumps(entry)}"
        for print_, entry in sorted(found.items(), key=lambda one: (one[1]["rule"], one[1]["file"], one[0]))
    ]
    return '{\n  "findings": {\n' + ",\n".join(lines) + "\n  }\n}\n"


def _read(path: Path, shown: str, name: str, longest: int = LONGEST) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(longest + 1)
    except OSError as error:
        raise UnusableInput(f"Could not read {shown}, the file of the input `{name}`: {error.strerror}.") from None
    if len(content) > longest:
        raise UnusableInput(f"The file {shown} of the input `{name}` is longer than {longest // 1024} KiB.")
    return content.decode("utf-8", "replace").removeprefix("\ufeff")


# age


@dataclass
class Ages:
    """When lines were written, as git knows it."""

    root: Path
    shallow: bool = False
    _known: dict[str, dict[int, dt.date]] = field(default_factory=dict)

    def fill(self, items: Sequence[Item]) -> None:
        """Sets `since` of the open findings that the baseline does not know: the day on which their line was committed."""
        asked: dict[str, set[int]] = {}
        for item in sorted(items, key=lambda one: one.tier.rank):
            if item.since is None and item.state is State.OPEN and (item.place.file in asked or len(asked) < MOST_BLAMED):
                asked.setdefault(item.place.file, set()).add(item.place.line)
        if not asked:
            return
        told = self._git(["rev-parse", "--is-shallow-repository"])
        if told is None:
            return
        self.shallow = told.strip() == "true"
        if self.shallow:
            return
        pool = ThreadPoolExecutor(os.cpu_count())
        try:
            self._known = dict(zip(asked, pool.map(self._blamed, asked, asked.values()), strict=True))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # a cancelled run does not wait for git
        for item in items:
            if item.since is None and item.state is State.OPEN:
                item.since = self._known.get(item.place.file, {}).get(item.place.line)

    def _blamed(self, file: str, lines: set[int]) -> dict[int, dt.date]:
        wanted = sorted(line for line in lines if line > 0)[:50]
        told = self._blame(file, wanted)
        if told is None:  # git refuses all ranges where one begins behind the end of the file
            last = self._length(file)
            told = self._blame(file, [line for line in wanted if line <= last])
        found: dict[int, dt.date] = {}
        dates: dict[str, dt.date] = {}
        commit, line = "", 0
        for text in (told or "").splitlines():
            head = re.match(r"([0-9a-f]{40}) \d+ (\d+)", text)
            if head:
                commit, line = head[1], int(head[2])
                if commit in dates:
                    found[line] = dates[commit]
            elif text.startswith("committer-time ") and commit.strip("0"):
                dates[commit] = dt.datetime.fromtimestamp(int(text.split()[1]), dt.timezone.utc).date()
                found[line] = dates[commit]
        return found

    def _blame(self, file: str, lines: list[int]) -> str | None:
        ranges = [word for line in lines for word in ("-L", f"{line},{line}")]
        return self._git(["blame", "--porcelain", *ranges, "--", file]) if lines else ""

    def _length(self, file: str) -> int:
        """Returns how many lines a file that git knows has; 0 where it knows none. The name may be foreign: git opens it."""
        told = self._git(["--literal-pathspecs", "grep", "--no-color", "-a", "-z", "-c", "-e", "", "--", file]) or ""
        count = told.rpartition("\0")[2].strip()
        return int(count) if re.fullmatch(r"[0-9]{1,9}", count) else 0

    def _git(self, words: list[str]) -> str | None:
        try:
            done = subprocess.run(
                git.command(*words), cwd=self.root, env=git.variables(os.environ), capture_output=True, timeout=30, check=False
            )
        except (OSError, ValueError, subprocess.SubprocessError):  # ValueError: a name that no file can have
            return None
        return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None
