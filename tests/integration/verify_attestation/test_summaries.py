"""The summaries of verify-attestation, as a person reads them: tests/golden/verify-attestation/."""

from __future__ import annotations

from pathlib import Path

import pytest

from cicd_actions.verify_attestation.action import ACTION
from tests.fakes.gh import Gh
from tests.harness.golden import Golden
from tests.unit.verify_attestation.test_verify_attestation import DIGEST, SHA, verified


@pytest.mark.parametrize("case", ["pass", "fail", "inconclusive"])
def test_summary_of_verify_attestation_is_the_kept_one(case: str, tmp_path: Path, golden: Golden) -> None:
    gh = Gh(tmp_path)
    if case != "fail":
        gh.attest(DIGEST, SHA)
    if case == "inconclusive":
        gh.fail("network")
    golden.report(f"verify-attestation/{case}", verified(gh), ACTION)
