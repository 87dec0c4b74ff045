"""The example's SECRETS.md is made by `write`, and holds everything that the example uses."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from cicd_actions.toolkit.verdict import Verdict
from tests.integration.secrets_doc_check.conftest import Check, names

EXAMPLE = Path(__file__).parents[3] / "examples" / "two-lane"
STRICT = {"code": "auto", "fail-on": "undocumented\nincomplete\nunused", "check-write": "SECRETS.md"}


@pytest.fixture
def example(repository: Path) -> Path:
    """A copy of what git knows of the example: nothing that a build left behind."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=EXAMPLE, check=True, capture_output=True, text=True
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (EXAMPLE / name).is_file():
            (repository / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(EXAMPLE / name, repository / name)
    return repository


def test_it_is_made_complete_and_up_to_date(example: Path, check: Check) -> None:
    report = check(STRICT)
    assert report.findings == []
    assert report.verdict is Verdict.PASS


def test_a_new_use_is_noticed(example: Path, check: Check) -> None:
    path = example / ".github/workflows/pipeline.yml"
    path.write_text(path.read_text() + "      NEW_ONE: ${{ secrets.NEW_ONE }}\n")
    report = check(STRICT)
    assert report.verdict is Verdict.FAIL
    assert "+- `NEW_ONE`: read by the secret `NEW_ONE` of" in repr(report.blocks)
    assert names(check({**STRICT, "check-write": ""}), "undocumented") == ["NEW_ONE"]


def test_the_code_is_looked_at(example: Path, check: Check) -> None:
    path = example / "apps/api/src/two_lane_api/readiness.py"
    path.write_text(path.read_text() + "\nimport os\n\nNEW_SETTING = os.environ['NEW_SETTING']\n")
    assert names(check({"code": "auto", "docs": "SECRETS.md"}), "undocumented") == ["NEW_SETTING"]


@pytest.mark.parametrize("change", sorted(path.stem for path in (EXAMPLE / "infra/local/changes").glob("*.patch")))
def test_a_change_of_the_demo_documents_what_it_adds(example: Path, check: Check, change: str) -> None:
    """Each is to be stopped where the demo says, and by nothing before."""
    subprocess.run(["git", "apply", f"infra/local/changes/{change}.patch"], cwd=example, check=True)
    report = check(STRICT)
    assert report.findings == []
    assert report.verdict is Verdict.PASS
