"""No JSON that GitHub may answer makes an action stop at an error that it does not expect."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TESTS = (
    *("unit/github", "unit/notify", "unit/pipeline", "integration/deployment_record", "integration/notify"),
    *("integration/pipeline_metrics", "integration/secrets_doc_check", "integration/verify_openapi_client/test_comment.py"),
    *("integration/pipeline_audit/test_action.py", "integration/rollback/test_revert.py"),
)
"""Those that ask GitHub's stand-in, and need no engine."""

# The plugin is there before pytest could rewrite the assertions of what it imports.
OPTIONS = "-q -n0 --tb=no -p no:cacheprovider -p tests.harness.odd_answers -W ignore::pytest.PytestAssertRewriteWarning".split()


@pytest.mark.nightly
def test_no_altered_answer_of_github_is_an_unexpected_error() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *OPTIONS, *(f"tests/{each}" for each in TESTS)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    told = ended.stdout.partition("= odd answers =")[2]
    number, defects = re.findall(r"^(\d+) answers altered, (\d+) unexpected errors", told, re.MULTILINE)[0]
    assert int(number) > 100, ended.stdout
    assert defects == "0", told
