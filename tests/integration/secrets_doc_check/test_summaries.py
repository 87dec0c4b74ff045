"""The summaries of secrets-doc-check, as a person reads them: tests/golden/secrets-doc-check/."""

from __future__ import annotations

from pathlib import Path

import pytest

from cicd_actions.secrets_doc_check.action import ACTION
from tests.harness.golden import Golden
from tests.integration.secrets_doc_check.conftest import Check, fill

WORKFLOW = """\
on: push
jobs:
  deploy:
    runs-on: ubuntu-latest
    environment: production
    steps:
      - run: ./deploy
        env:
          DATABASE_URL: ${{ secrets.DATABASE_URL }}
          SENTRY_DSN: ${{ secrets.SENTRY_DSN }}
          REGION: ${{ vars.REGION }}
"""
DOCUMENTED = """\
# Secrets

| name | what for |
| --- | --- |
| `DATABASE_URL` | where the application keeps its data |
| `SENTRY_DSN` | where errors are reported |
| `REGION` | the region that is deployed to |
"""


@pytest.mark.parametrize("case", ["pass", "fail", "inconclusive"])
def test_summary_of_secrets_doc_check_is_the_kept_one(case: str, repository: Path, check: Check, golden: Golden) -> None:
    document = "\n".join(line for line in DOCUMENTED.splitlines() if case != "fail" or "SENTRY" not in line)
    fill(repository, {".github/workflows/deploy.yml": WORKFLOW, "SECRETS.md": document})
    # The API is not there: what is set is not known.
    asked = {"fail-on": "unset", "github-token": "t"} if case == "inconclusive" else {}
    variables = {"GITHUB_REPOSITORY": "org/app", "GITHUB_API_URL": "http://127.0.0.1:1"} if asked else {}
    report = check(asked, **variables)
    assert report.verdict == case
    golden.report(f"secrets-doc-check/{case}", report, ACTION)
