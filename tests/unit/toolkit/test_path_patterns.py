"""Path patterns: what they match, held against a slow matcher and against git, and that no pattern takes long."""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cicd_actions.toolkit.path_patterns import path_pattern


@pytest.mark.parametrize(
    ("glob", "path", "matches"),
    [
        ("**/*.md", "README.md", True),
        ("**/*.md", "apps/api/deep/NOTES.md", True),
        ("**/*.md", "apps/api/notes.mdx", False),
        ("*.md", "docs/README.md", False),
        ("docs/**", "docs/a/b.png", True),
        ("docs/**", "docs2/a", False),
        ("docs/", "docs/a/b.png", True),
        ("LICENSE", "LICENSE", True),
        ("LICENSE", "apps/LICENSE", False),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        ("a.c", "abc", False),
        ("a**/c", "a1/b/c", True),
        ("a**/c", "ac", False),
        ("**", "any/thing\nwith a newline", True),
        ("[x]", "[x]", True),
    ],
)
def test_pattern(glob: str, path: str, matches: bool) -> None:
    assert bool(path_pattern(glob).fullmatch(path)) is matches


@given(st.text(alphabet="abc/.[](){}+^$\\-", max_size=12))
def test_a_pattern_without_wildcards_means_itself(path: str) -> None:
    if path.endswith("/"):
        path += "x"
    assert path_pattern(path).fullmatch(path)
    assert not path_pattern(path).fullmatch(path + "y")


def slowly(glob: str, path: str) -> bool:
    """The rules as they are told, each way tried."""

    @functools.cache
    def rest(at: int, here: int) -> bool:
        if at == len(glob):
            return here == len(path)
        more = [*range(here, len(path) + 1)]
        if glob.startswith("**/", at) and (at == 0 or glob[at - 1] == "/"):
            return any(rest(at + 3, end) for end in more if end == here or path[end - 1] == "/")
        if glob.startswith("**", at):
            return any(rest(at + 2, end) for end in more)
        if glob[at] == "*":
            return any(rest(at + 1, end) for end in more if "/" not in path[here:end])
        fits = here < len(path) and (path[here] == glob[at] or (glob[at] == "?" and path[here] != "/"))
        return fits and rest(at + 1, here + 1)

    if glob.endswith("/"):
        glob += "**"
    return rest(0, 0)


@given(
    st.lists(st.sampled_from(["*", "**", "**/", "/", "?", "a", "b", "a/"]), max_size=9).map("".join),
    st.lists(st.text(alphabet="ab/", max_size=10), max_size=20),
)
@example("**a**/b", ["xaab", "xaa/b"])
@example("**a*b", ["a/ab"])
def test_matches_what_the_rules_say(glob: str, paths: list[str]) -> None:
    pattern = path_pattern(glob)
    assert [path for path in paths if pattern.fullmatch(path)] == [path for path in paths if slowly(glob, path)]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    subprocess.run(["git", "init", "--quiet", folder], check=True)
    names = [*"ab", "ab", "ba", "aba"]
    paths = {
        *(f"{one}.x" for one in names),
        *(f"{one}/{two}.x" for one in names for two in names),
        *(f"{one}/{two}/{three}.x" for one in "ab" for two in names for three in names),
    }
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()
    subprocess.run(["git", "-C", folder, "add", "--all"], check=True)
    return folder


@given(parts=st.lists(st.sampled_from(["**", "*", "a", "a*", "?b", "*b*"]), min_size=1, max_size=4))
def test_matches_what_git_matches(repository: Path, parts: list[str]) -> None:
    """Where git has the same rules: `**` alone between slashes."""

    def listed(*words: str) -> list[str]:
        command = ["git", "-C", str(repository), "ls-files", "--", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()

    glob = "/".join([*parts, "*.x"])
    pattern = path_pattern(glob)
    assert [path for path in listed() if pattern.fullmatch(path)] == listed(f":(glob){glob}")


@pytest.mark.parametrize("wildcards", ["**/", "**/a/", "*a", "**a", "**a*", "**/*a/", "?*"])
def test_no_number_of_wildcards_takes_long(wildcards: str) -> None:
    """A search of all ways would not end: within a folder, or across folders."""
    pattern = path_pattern(wildcards * 60 + "x")
    assert not [path for path in ("a" * 200 + "y", "a/" * 200 + "a" * 200 + "y") if pattern.fullmatch(path)]
