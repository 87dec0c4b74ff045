"""CODEOWNERS, by the rules and examples of GitHub's documentation."""

from __future__ import annotations

import pytest

from cicd_actions.notify.owners import of_paths

FILE = """
# a comment
*                       @org/everyone
*.js                    @js-owner  # an inline comment
/build/logs/            @doctocat
docs/*                  docs@example.com
apps/                   @octocat
/docs/                  @doctocat
/apps/github
**/logs                 @octo-org/logs
/with\\ space/a.txt      @space
!negated.txt            @unread
[ab].txt                @unread
/broken/                not-an-owner
"""


@pytest.mark.parametrize(
    ("path", "owners"),
    [
        ("README.md", ["@org/everyone"]), ("src/deep/a.js", ["@js-owner"]), ("build/logs/x/y.txt", ["@octo-org/logs"]),
        ("apps/x.py", ["@octocat"]), ("web/apps/x.py", ["@octocat"]), ("docs/a.md", ["@doctocat"]), ("apps/github", []),
        ("apps/github/x.py", []), ("deep/logs/a/b", ["@octo-org/logs"]), ("with space/a.txt", ["@space"]),
        ("negated.txt", ["@org/everyone"]), ("a.txt", ["@org/everyone"]), ("broken/x", ["@org/everyone"]),
    ],
)  # fmt: skip
def test_last_pattern_that_matches_names_the_owners(path: str, owners: list[str]) -> None:
    assert of_paths(FILE, [path]) == owners


def test_star_below_a_folder_owns_its_files_alone() -> None:
    file = "docs/* docs@example.com"
    assert of_paths(file, ["docs/a.md"]) == ["docs@example.com"]
    assert of_paths(file, ["docs/deep/a.md"]) == of_paths(file, ["x/docs/a.md"]) == []


def test_owners_of_most_paths_come_first_and_each_once() -> None:
    assert of_paths("*.py @a @b @a\n*.js @c", ["1.js", "1.py", "2.py"]) == ["@a", "@b", "@c"]


def test_pattern_from_outside_cannot_stall() -> None:
    assert of_paths("/" + "*a" * 30 + " @a\n/" + "**/" * 9 + "b @b", ["a" * 5000 + "/" * 50]) == []
