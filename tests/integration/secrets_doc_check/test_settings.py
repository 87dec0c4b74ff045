"""What is set, asked of the stand-in for GitHub's API with tokens of every kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.report import CodeBlock, Details, Paragraph, Report, Table
from cicd_actions.toolkit.verdict import Verdict
from tests.fakes.github import FakeGitHub, settings
from tests.fakes.github.openapi import document
from tests.fakes.github.settings import Names
from tests.integration.secrets_doc_check.conftest import Check, fill, names

WORKFLOW = """\
on: push
jobs:
  deploy:
    runs-on: ubuntu-latest
    environment: production
    steps:
      - run: deploy
        env:
          IN_ENVIRONMENT: ${{ secrets.IN_ENVIRONMENT }}
          IN_REPOSITORY: ${{ secrets.IN_REPOSITORY }}
          IN_ORGANISATION: ${{ vars.IN_ORGANISATION }}
          NOWHERE: ${{ secrets.NOWHERE }}
          OPTIONAL: ${{ secrets.OPTIONAL || 'x' }}
          MIXED_UP: ${{ secrets.MIXED_UP }}
          DATABASE_URL: ${{ secrets.DATABASE_URL }}
  test:
    runs-on: ubuntu-latest
    steps:
      - run: echo ${{ secrets.IN_ENVIRONMENT }}
"""


@pytest.fixture
def github() -> Iterator[FakeGitHub]:
    with FakeGitHub(document=document()) as fake:
        known = settings.repository(fake, "org/app")
        known.own.secrets += ["IN_REPOSITORY", "DATABASE_URI", "LEFT_OVER"]
        known.own.variables |= {"MIXED_UP": "a value that no reader may see"}
        known.organisation.variables |= {"IN_ORGANISATION": "x", "OF_OTHERS": "y"}
        known.environments["production"] = Names(["IN_ENVIRONMENT"])
        yield fake


@pytest.fixture
def ask(repository: Path, check: Check, github: FakeGitHub) -> Check:
    fill(repository, {".github/workflows/deploy.yml": WORKFLOW})

    def start(token: str, fail_on: str = "unset", **inputs: str) -> Report:
        told = {"github-token": token, "fail-on": fail_on, **{name.replace("_", "-"): text for name, text in inputs.items()}}
        return check(told, GITHUB_API_URL=github.url, GITHUB_REPOSITORY="org/app")

    return start


@pytest.fixture
def token(github: FakeGitHub) -> str:
    return github.token(secrets="read", actions_variables="read", environments="read")


def shown(report: Report) -> str:
    """Everything the report says, as text."""
    return repr((report.headline, report.blocks, report.findings, report.outputs))


def test_each_level_is_looked_at(ask: Check, token: str) -> None:
    report = ask(token)
    assert report.verdict is Verdict.FAIL
    # IN_ENVIRONMENT is set in production, but one job uses it without naming that environment.
    assert names(report, "unset") == ["DATABASE_URL", "IN_ENVIRONMENT", "MIXED_UP", "NOWHERE"]
    assert names(report, "unused") == ["DATABASE_URI", "LEFT_OVER"]
    messages = {found.message for found in report.findings if found.rule.endswith("/unset")}
    assert any("`NOWHERE` is empty here: it is not set (environment production)" in message for message in messages)
    assert any("Set as a variable, used as a secret" in message for message in messages)
    assert any("Set DATABASE_URI, used DATABASE_URL" in message for message in messages)
    assert any("Set in the environment production, which the job does not name" in message for message in messages)
    (fix,) = {found.fix for found in report.findings if found.rule.endswith("/unset") and "NOWHERE" in found.message}
    assert fix == "    gh secret set NOWHERE --env production"


def test_values_are_never_told(ask: Check, token: str) -> None:
    assert "no reader may see" not in shown(ask(token))


def test_the_table_tells_where_a_name_is_set(ask: Check, token: str) -> None:
    report = ask(token)
    folded = next(block for block in report.blocks if isinstance(block, Details) and block.title.startswith("Where they are"))
    (table,) = folded.blocks
    assert isinstance(table, Table)
    told = {row[0].text: row[4] for row in table.rows if hasattr(row[0], "text")}
    assert told["IN_REPOSITORY"] == "repository"
    assert told["IN_ORGANISATION"] == "organisation"
    assert told["IN_ENVIRONMENT"] == "environment production; not set: repository"


@pytest.mark.parametrize("fail_on", ["undocumented", "unset"])
def test_without_permission_it_is_unknown(ask: Check, github: FakeGitHub, repository: Path, fail_on: str) -> None:
    fill(
        repository,
        {
            "SECRETS.md": "".join(
                f"- {name}: x\n"
                for name in (
                    "IN_ENVIRONMENT",
                    "IN_REPOSITORY",
                    "IN_ORGANISATION",
                    "NOWHERE",
                    "OPTIONAL",
                    "MIXED_UP",
                    "DATABASE_URL",
                )
            )
        },
    )
    report = ask(github.token(contents="read", kind="job"), fail_on=fail_on)
    assert names(report, "unset") == []
    assert report.verdict is (Verdict.INCONCLUSIVE if fail_on == "unset" else Verdict.PASS)
    assert "GITHUB_TOKEN can never have it" in shown(report), str(report.outputs["report"])
    assert "the token lacks the permission `Secrets: read`" in shown(report)


def test_without_a_token_unset_is_inconclusive_and_says_why(repository: Path, check: Check) -> None:
    fill(repository, {".github/workflows/deploy.yml": WORKFLOW})
    report = check({"fail-on": "unset"})
    assert report.verdict is Verdict.INCONCLUSIVE
    assert isinstance(report.blocks[0], Paragraph)
    assert "No `github-token` was given" in str(report.blocks[0].text)


def test_one_missing_permission_leaves_the_rest_known(ask: Check, github: FakeGitHub) -> None:
    report = ask(github.token(secrets="read", environments="read"))
    assert report.verdict is Verdict.FAIL
    assert "NOWHERE" in names(report, "unset")
    assert any(isinstance(block, Details) and "unknown" in block.title for block in report.blocks)
    assert "lacks the permission `Variables: read`" in shown(report)


def test_an_environment_that_does_not_exist_is_unknown(ask: Check, github: FakeGitHub, token: str) -> None:
    settings.repository(github, "org/app").environments.clear()
    report = ask(token)
    assert "list the secrets of the environment `production`: GitHub answers 404" in shown(report)


def test_the_input_names_the_environments_to_ask_for(ask: Check, github: FakeGitHub, token: str) -> None:
    ask(token, environments="production\nstaging/eu ü")
    asked = {call.arguments["environment_name"] for call in github.calls if "environment_name" in call.arguments}
    assert asked == {"production", "staging/eu ü"}


def test_github_that_is_down_is_asked_once(ask: Check, github: FakeGitHub, token: str) -> None:
    github.fail("GET", "", times=1000, status=503)
    report = ask(token, fail_on="nothing")
    assert report.verdict is Verdict.PASS
    assert github.calls == []
    assert 1000 - github.faults[0].times == 5, shown(report)


def test_a_token_that_is_refused_is_an_unusable_input(ask: Check) -> None:
    with pytest.raises(UnusableInput, match="does not accept the token"):
        ask("ghs_expired")


def test_a_token_without_a_repository(repository: Path, check: Check) -> None:
    with pytest.raises(UnusableInput, match="GITHUB_REPOSITORY"):
        check({"github-token": "x"})


def test_the_lines_to_paste_are_there(ask: Check, token: str) -> None:
    report = ask(token, fail_on="undocumented")
    (command,) = [block for block in report.blocks if isinstance(block, CodeBlock)]
    assert command.text == "bin/cicd-actions secrets-doc-check --write SECRETS.md"
    line = "- `NOWHERE`: what it is for. Lives in: environment production. How: `gh secret set NOWHERE --env production`."
    # The findings say it in the summary; a comment on a pull request has no findings.
    assert [line in finding.fix for finding in report.findings if "`NOWHERE`" in finding.message].count(True) == 1
    assert line in str(report.outputs["report"])
