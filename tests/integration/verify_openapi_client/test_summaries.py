"""The summaries of verify-openapi-client, as a person reads them: tests/golden/verify-openapi-client/."""

from __future__ import annotations

import sys

import pytest

from tests.harness.golden import Golden
from tests.integration.verify_openapi_client.conftest import ITEM, Project, spec


@pytest.mark.parametrize("case", ["pass", "fail", "inconclusive"])
def test_summary_of_verify_openapi_client_is_the_kept_one(case: str, project: Project, golden: Golden) -> None:
    summary = project.temp / "summary.md"
    project.variables["GITHUB_STEP_SUMMARY"] = str(summary)
    base = project.git("rev-parse", "--short=12", "HEAD").strip()
    if case == "fail":
        changed = {**ITEM, "properties": {"id": {"type": "integer"}, "title": {"type": "string"}}}
        project.write("openapi.json", spec(Item={**changed, "required": ["title"]}))
    project.commit("change the backend")
    inputs = {"base_ref": "f" * 40, "fail_on": "breaking"} if case == "inconclusive" else {"base_ref": "HEAD~1"}
    summary.write_text("")
    ended = project.run(**inputs)
    assert ended.verdict == case, ended.log
    golden.hold(f"verify-openapi-client/{case}", summary.read_text(), base=base, python=sys.executable)
