"""How people write about secrets: what counts as documented, what the text above a list says, and what counts as unused."""

from __future__ import annotations

import pytest

from cicd_actions.secrets_doc_check.documentation import scan
from cicd_actions.secrets_doc_check.inventory import Row, compare
from cicd_actions.secrets_doc_check.model import Column, Kind, Missing, Use
from cicd_actions.secrets_doc_check.rules import State
from cicd_actions.workflows.place import Place

PLACE = Place(".github/workflows/ci.yml", 1)


def rows(text: str, *used: str, path: str = "README.md", code: bool = False) -> dict[str, Row]:
    uses = [Use(Kind.SECRET, name, PLACE) for name in used]
    return {row.name: row for row in compare(uses, scan(path, text), Column(), {}, code=code)}


ABOVE = (
    "Add the following secrets to your repository (**Settings → Secrets → Actions**):\n\n- `KEY` — the shop's key\n",
    "1. Fork it\n2. Add the following secrets to your repository:\n   - `KEY`: the shop's key\n",
    "## Configure GitHub Secrets\n\n| Name | Value |\n| --- | --- |\n| `KEY` | the shop's key |\n",
    "## Secrets\n\nGo to Settings → Actions → New repository secret\n\n### Optional\n\n- [ ] **KEY**\n  - Description: a key\n",
    "### Required Secrets\n\nAdd these secrets to your repository.\n\n```\nKEY - the shop's key\n```\n",
    "### GitHub Secrets (Settings → Secrets):\n\n```\nOTHER: x\nKEY: [the shop's key]\n```\n",
    "**GitHub Secrets** (Settings → Secrets):\n\n```\nOTHER\nKEY - the shop's key\n```\n",
    "3. **GitHub Secrets**:\n    *   Add the secrets to the repository:\n        *   `KEY`: the shop's key\n",
)


@pytest.mark.parametrize("text", ABOVE, ids=range(len(ABOVE)))
def test_compare_list_below_a_text_that_says_where_and_how_is_complete(text: str) -> None:
    assert rows(text, "KEY")["KEY"].states == set()


def test_scan_text_above_a_list_ends_with_its_section() -> None:
    text = "## A\n\nAdd these secrets to the repository.\n\n- ONE: the first\n\n## B\n\n- TWO: the second\n"
    missing = {entry.name: entry.missing for entry in scan("README.md", text)}
    assert missing == {"ONE": (), "TWO": (Missing.WHERE, Missing.HOW)}


SETTINGS = "## Environment Variables\n\n| Variable | Description |\n| --- | --- |\n| `PORT` | where it listens |\n"


@pytest.mark.parametrize(
    ("text", "used", "code", "unused"),
    [
        (SETTINGS, (), False, ()),
        (SETTINGS, (), True, ("PORT",)),
        ("## Required Secrets\n\n- `WORKER_KEY`: of the worker\n", (), False, ()),
        ("## Required Secrets\n\n- `WORKER_KEY`: of the worker\n- `KEY`: of the shop\n", ("KEY",), False, ("WORKER_KEY",)),
        ("## GitHub Secrets\n\n- `KEY`: of the shop\n\n## Worker Secrets\n\n- `WORKER_KEY`: x\n", ("KEY",), False, ()),
        ("## GitHub Secrets\n\n- `OLD_KEY`: of the shop\n", (), False, ("OLD_KEY",)),
        ("## Deployment Workflows\n\n- `staging`: on each push\n", (), False, ()),
    ],
)
def test_compare_name_that_nothing_uses_is_unused_only_where_github_keeps_it(
    text: str, used: tuple[str, ...], code: bool, unused: tuple[str, ...]
) -> None:
    found = rows(text, *used, code=code)
    assert tuple(name for name, row in found.items() if State.UNUSED in row.states) == unused


def test_compare_name_in_a_secrets_file_that_nothing_uses_is_unused() -> None:
    assert rows("# What we need\n\n- OLD_KEY: of the shop\n", path="SECRETS.md")["OLD_KEY"].states == {State.UNUSED}
