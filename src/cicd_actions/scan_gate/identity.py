"""Decides which reported findings are the same, whatever scanner reports them and in whatever order.

- A vulnerability is its advisory and its package; a Go package is one with the module that it is in. Ids that any report
  calls aliases of each other are one advisory. Ids that stand for several vulnerabilities, such as those of distributions
  (DSA, RHSA, USN), join nothing.
- A finding in code is its rule, its file and the text of its line, so it stays the same when lines move. The n-th finding of
  a rule on equal lines of a file keeps its number.
- A secret is its rule, its file, its commit and its number. Nothing of the line is used, not even a hash: a hash of a weak
  secret gives the secret away.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from cicd_actions.scan_gate.scan import Category, Reported

_EQUIVALENT = re.compile(r"(CVE|GHSA|PYSEC|RUSTSEC|OSV|MAL|GO|BIT|npm|SNYK|SONATYPE)-.+", re.IGNORECASE)
_ORDER = ("CVE", "GHSA")

Line = Callable[[str, int], str]
"""Returns the text of a line of a file; empty where it is not available."""


@dataclass(frozen=True)
class Group:
    """Reports of one finding. `keys` tell it apart; the first is preferred, and a store may know it by any of them."""

    category: Category
    keys: tuple[str, ...]
    names: tuple[str, ...]
    reported: tuple[Reported, ...]


def groups(reported: Iterable[Reported], line: Line) -> list[Group]:
    """Returns the findings, each with everything that was reported of it, in an order of their keys alone."""
    all_ = sorted(set(reported), key=_order)
    found = [*_dependencies([one for one in all_ if one.category is Category.DEPENDENCY])]
    found += _code([one for one in all_ if one.category is Category.CODE], line)
    found += _secrets([one for one in all_ if one.category is Category.SECRET])
    return sorted(found, key=lambda group: group.keys)


def _order(one: Reported) -> tuple[str, ...]:
    return tuple(f"{part:09}" if isinstance(part, int) else str(part) for part in vars(one).values())


def package_name(name: str) -> str:
    """Returns a package's name as registries compare it: PEP 503 for letters and separators; npm's scopes stay."""
    return re.sub(r"[-_.]+", "-", name.strip().lower())


def _name(id_: str) -> str:
    id_ = id_.strip()
    # GitHub's ids are written in small letters after the prefix, and databases differ in that.
    return f"GHSA-{id_[5:].lower()}" if id_.upper().startswith("GHSA-") else id_.upper() if id_[:4].upper() == "CVE-" else id_


class _Aliases:
    """Which ids are one advisory: a union of everything that the reports say."""

    def __init__(self) -> None:
        self._above: dict[str, str] = {}

    def root(self, id_: str) -> str:
        while (above := self._above.get(id_, id_)) != id_:
            self._above[id_] = self._above.get(above, above)
            id_ = above
        return id_

    def join(self, ids: Sequence[str]) -> None:
        for one in ids[1:]:
            first, second = sorted((self.root(ids[0]), self.root(one)))
            if first != second:
                self._above[second] = first


def _dependencies(reported: Sequence[Reported]) -> Iterable[Group]:
    aliases = _Aliases()
    named = {one: [_name(id_) for id_ in one.names] for one in reported}
    for ids in named.values():
        aliases.join(_same(ids))
    together: dict[tuple[str, str], list[Reported]] = defaultdict(list)
    for one, ids in named.items():
        together[package_name(one.package), aliases.root(_same(ids)[0])].append(one)
    for package, root in sorted(together, reverse=True):
        # `golang.org/x/text/language` is a package of the module `golang.org/x/text`.
        above = package.rpartition("/")[0]
        while above and (above, root) not in together:
            above = above.rpartition("/")[0]
        if above:
            together[above, root] += together.pop((package, root))
    for (package, _), members in together.items():
        names = tuple(sorted({id_ for one in members for id_ in named[one]}, key=_rank))
        same = sorted({id_ for one in members for id_ in _same(named[one])}, key=_rank)
        yield Group(Category.DEPENDENCY, tuple(f"{id_}\0{package}" for id_ in same), names, tuple(members))


def _same(ids: Sequence[str]) -> list[str]:
    """Returns the ids of a record that are one advisory. One that names several CVEs is none of them, only itself."""
    several = sum(id_.startswith("CVE-") for id_ in ids) > 1
    return ([] if several else [id_ for id_ in ids if _EQUIVALENT.fullmatch(id_)]) or [ids[0]]


def _rank(id_: str) -> tuple[int, str]:
    prefix = id_.partition("-")[0]
    order = _ORDER.index(prefix) if prefix in _ORDER else len(_ORDER) + (not _EQUIVALENT.fullmatch(id_))
    return order, id_


_SAME_AS_BANDIT = re.compile(r"S(\d{3})")


def rule_name(one: Reported) -> str:
    """Returns the rule as acknowledgements name it: ruff's copies of bandit's rules are bandit's."""
    rule = one.names[0]
    match = _SAME_AS_BANDIT.fullmatch(rule) if one.scanner == "ruff" else None
    return f"B{match[1]}" if match else rule


def _code(reported: Sequence[Reported], line: Line) -> Iterable[Group]:
    by_line: dict[tuple[str, str, int, str], list[Reported]] = defaultdict(list)
    for one in reported:
        # Findings without a line have nothing but their own prints, or their messages, to tell them apart.
        apart = "" if one.line else one.print_ or one.message
        by_line[rule_name(one), one.file, one.line, apart].append(one)
    numbers: dict[tuple[str, str, str], int] = defaultdict(int)
    for (rule, file, at, apart), members in sorted(by_line.items(), key=lambda each: each[0]):
        text = " ".join(line(file, at).split()) if at else ""
        text = text or apart or min((one.print_ for one in members if one.print_), default="") or members[0].message
        number = numbers[rule, file, text] = numbers[rule, file, text] + 1
        yield Group(Category.CODE, (f"{rule}\0{file}\0{text}\0{number}",), (rule,), tuple(members))


def _secrets(reported: Sequence[Reported]) -> Iterable[Group]:
    by_line: dict[tuple[str, str, str, int], list[Reported]] = defaultdict(list)
    for one in reported:
        by_line[one.names[0], one.file, one.part, one.line].append(one)
    numbers: dict[tuple[str, str, str], int] = defaultdict(int)
    for (rule, file, commit, _), members in sorted(by_line.items(), key=lambda each: each[0]):
        number = numbers[rule, file, commit] = numbers[rule, file, commit] + 1
        yield Group(Category.SECRET, (f"{rule}\0{file}\0{commit}\0{number}",), (rule,), tuple(members))
