"""Findings of several scanners are one where they are the same, in any order."""

from __future__ import annotations

import random
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.scan_gate.identity import Group, groups, package_name
from cicd_actions.scan_gate.scan import Category, Reported

SOURCE = {"a.py": ["import os", "os.system(x)", "os.system(x)", "y = 1"]}


def line(file: str, number: int) -> str:
    lines = SOURCE.get(file, [])
    return lines[number - 1] if 0 < number <= len(lines) else ""


def vulnerability(*names: str, package: str = "lodash", scanner: str = "npm") -> Reported:
    return Reported(scanner, Category.DEPENDENCY, names, "high", "x", package=package)


def code(rule: str, at: int, scanner: str = "bandit", print_: str = "", file: str = "a.py") -> Reported:
    return Reported(scanner, Category.CODE, (rule,), "high", "x", file, at, print_=print_)


def keys(found: Sequence[Group]) -> list[tuple[str, ...]]:
    return [group.keys for group in found]


IDS = st.sampled_from(
    ["CVE-2021-1", "CVE-2021-2", "GHSA-aaaa-bbbb-cccc", "ghsa-AAAA-bbbb-cccc", "PYSEC-2021-9", "DSA-1", "RHSA-2"]
)
RECORDS = st.builds(
    lambda ids, package, scanner: vulnerability(*ids, package=package, scanner=scanner),
    st.lists(IDS, min_size=1, max_size=3, unique=True),
    st.sampled_from(["lodash", "Lodash", "zope.interface", "zope-interface"]),
    st.sampled_from(["npm", "trivy"]),
)


@given(st.lists(RECORDS, max_size=6), st.randoms(use_true_random=False))
def test_groups_of_vulnerabilities_cover_each_report_once_in_any_order(reported: list[Reported], chance: random.Random) -> None:
    found = groups(reported, line)
    shuffled = list(reported)
    chance.shuffle(shuffled)
    assert keys(groups(shuffled, line)) == keys(found)
    assert sorted(map(repr, (one for group in found for one in group.reported))) == sorted(map(repr, set(reported)))
    # No finding hides another: a key belongs to one group, and a group to one package.
    every = [key for group in found for key in group.keys]
    assert len(every) == len(set(every))
    for group in found:
        assert len({package_name(one.package) for one in group.reported}) == 1
        assert {key.partition("\0")[2] for key in group.keys} == {package_name(group.reported[0].package)}


@given(st.lists(RECORDS, min_size=1, max_size=6))
def test_reporting_everything_twice_changes_no_group(reported: list[Reported]) -> None:
    assert keys(groups([*reported, *reported], line)) == keys(groups(reported, line))


def test_alias_that_one_scanner_knows_joins_the_others_findings() -> None:
    found = groups(
        [vulnerability("CVE-2021-1"), vulnerability("GHSA-aaaa-bbbb-cccc", "CVE-2021-1"), vulnerability("GHSA-aaaa-bbbb-cccc")],
        line,
    )
    assert keys(found) == [("CVE-2021-1\0lodash", "GHSA-aaaa-bbbb-cccc\0lodash")]


def test_advisory_of_a_distribution_joins_no_cves() -> None:
    found = groups([vulnerability("CVE-2021-1", "DSA-1"), vulnerability("CVE-2021-2", "DSA-1")], line)
    assert len(found) == 2


def test_advisory_of_several_cves_is_none_of_them() -> None:
    found = groups(
        [vulnerability("npm-1", "CVE-2021-1", "CVE-2021-2"), vulnerability("CVE-2021-1"), vulnerability("CVE-2021-2")], line
    )
    assert len(found) == 3


def test_vulnerability_of_two_packages_is_two_findings() -> None:
    assert len(groups([vulnerability("CVE-2021-1"), vulnerability("CVE-2021-1", package="lodash-es")], line)) == 2


def test_code_finding_of_two_scanners_on_a_line_is_one() -> None:
    found = groups([code("B605", 2), code("S605", 2, "ruff"), code("B605", 2, print_="abc")], line)
    assert keys(found) == [("B605\0a.py\0os.system(x)\x001",)]


def test_code_finding_stays_the_same_when_lines_move() -> None:
    before = groups([code("B605", 2), code("B605", 3)], line)
    moved = groups([code("B605", 12), code("B605", 13)], lambda file, number: line(file, number - 10))
    assert keys(before) == keys(moved)
    assert len(before) == 2


def test_code_finding_in_a_file_that_is_not_there_uses_the_scanners_fingerprint() -> None:
    found = groups([code("B1", 5, print_="h=1", file="gone.py"), code("B1", 9, print_="h=2", file="gone.py")], line)
    assert keys(found) == [("B1\0gone.py\0h=1\x001",), ("B1\0gone.py\0h=2\x001",)]


def test_secret_is_known_by_nothing_of_its_line() -> None:
    secret = Reported("gitleaks", Category.SECRET, ("github-pat",), "secret", "x", "a.py", 2, part="c0ffee")
    assert keys(groups([secret], line)) == [("github-pat\0a.py\0c0ffee\x001",)]
