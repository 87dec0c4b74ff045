"""The whole action: inputs, verdicts, outputs, findings, and files that are meant to break it."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from cicd_actions import __main__ as program
from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.report import Details, Link, Table
from cicd_actions.toolkit.verdict import Verdict
from tests.integration.secrets_doc_check.conftest import Check, fill, names

ROOT = Path(__file__).parents[3]
WORKFLOW = """\
on: push
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - run: echo ${{ secrets.USED }}
"""
DOCUMENTED = "- USED: what for. Lives in: repository. How: ask.\n"


@pytest.fixture
def project(repository: Path) -> Path:
    fill(repository, {".github/workflows/ci.yml": WORKFLOW, "SECRETS.md": DOCUMENTED})
    return repository


def rules(check: Check, **inputs: str) -> dict[str, str]:
    report = check({name.replace("_", "-"): text for name, text in inputs.items()})
    return {found.rule.partition("/")[2]: f"{found.file}:{found.line}" for found in report.findings}


def test_a_documented_name_passes(project: Path, check: Check) -> None:
    report = check({"fail-on": "undocumented\nunused\nincomplete"})
    assert (report.verdict, report.findings) == (Verdict.PASS, [])
    assert report.headline == "1 name, nothing to do."


@pytest.mark.parametrize(
    ("docs", "state"),
    [("", "undocumented"), ("- USED: x\n", "incomplete"), (DOCUMENTED + "- SPARE: x. Repository. Ask.\n", "unused")],
)
def test_each_state_fails_only_when_it_is_named(project: Path, check: Check, docs: str, state: str) -> None:
    fill(project, {"SECRETS.md": docs})
    for other in ("undocumented", "unused", "incomplete", "nothing"):
        report = check({"fail-on": other})
        assert report.verdict is (Verdict.FAIL if other == state else Verdict.PASS)
        assert names(report, state) == (["SPARE"] if state == "unused" else ["USED"])
        (found,) = report.findings
        assert (found.severity.value == "error") == (other == state)


def test_an_annotation_stands_on_the_line_that_uses_it(project: Path, check: Check) -> None:
    fill(project, {"SECRETS.md": ""})
    (found,) = check().findings
    assert (found.file, found.line, found.column) == (".github/workflows/ci.yml", 6, 23)


def test_ignored_names_have_a_reason_and_must_exist(project: Path, check: Check) -> None:
    fill(project, {"SECRETS.md": ""})
    report = check({"ignore": "used: set by the platform\nOTHER: gone"})
    assert report.verdict is Verdict.PASS
    assert [found.rule for found in report.findings] == ["secrets-doc-check/idle-ignore"]
    assert "set by the platform" in repr(report.blocks)
    with pytest.raises(UnusableInput, match="not a name with a reason"):
        check({"ignore": "USED"})


@pytest.mark.parametrize(
    "inputs",
    [{"fail-on": "undocumentd"}, {"workflows": "../x.yml"}, {"docs": "/etc/*.md"}, {"code": "pyton: src/**"}, {"unknown": "x"}],
)
def test_inputs_that_cannot_be_used(project: Path, check: Check, inputs: dict[str, str]) -> None:
    with pytest.raises(UnusableInput):
        check(inputs)


def test_patterns_choose_the_files(project: Path, check: Check) -> None:
    fill(project, {"other/ci.yml": WORKFLOW.replace("USED", "ELSEWHERE"), "other/no.yml": WORKFLOW.replace("USED", "EXCLUDED")})
    assert names(check({"workflows": "other/*.yml\n!other/no.yml"}), "undocumented") == ["ELSEWHERE"]


def test_links_lead_to_the_lines(project: Path, check: Check) -> None:
    report = check({}, GITHUB_SERVER_URL="https://github.example", GITHUB_REPOSITORY="org/app", GITHUB_SHA="abc")
    (folded,) = [block for block in report.blocks if isinstance(block, Details)]
    (table,) = [block for block in folded.blocks if isinstance(block, Table)]
    links = [
        part.url for row in table.rows for cell in row if isinstance(cell, list) for part in cell if isinstance(part, Link)
    ]
    assert links == [
        "https://github.example/org/app/blob/abc/.github/workflows/ci.yml#L6",
        "https://github.example/org/app/blob/abc/SECRETS.md#L1",
    ]


def test_a_link_out_of_the_repository_is_not_followed(
    project: Path, check: Check, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "x.yml"
    outside.write_text(WORKFLOW.replace("USED", "FROM_OUTSIDE"))
    (project / ".github/workflows/link.yml").symlink_to(outside)
    (project / ".github/workflows/nothing.yml").symlink_to("nowhere")
    (project / "docs").mkdir()
    (project / "docs/git.md").symlink_to("../.git/config")
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    report = check()
    assert report.verdict is Verdict.INCONCLUSIVE
    assert "FROM_OUTSIDE" not in repr(report)
    told = {(found.rule.partition("/")[2], found.file) for found in report.findings}
    assert told == {
        ("outside-link", ".github/workflows/link.yml"),
        ("outside-link", ".github/workflows/nothing.yml"),
        ("outside-link", "docs/git.md"),
    }


def test_a_link_within_the_repository_is_read(project: Path, check: Check) -> None:
    fill(project, {"shared/one.yml": WORKFLOW.replace("USED", "THROUGH_A_LINK")})
    (project / ".github/workflows/link.yml").symlink_to("../../shared/one.yml")
    assert names(check(), "undocumented") == ["THROUGH_A_LINK"]


def test_a_huge_file_and_one_that_is_no_text_are_told(project: Path, check: Check) -> None:
    (project / ".github/workflows/huge.yml").write_text("# " + "x" * (1024 * 1024) + "\n" + WORKFLOW)
    (project / ".github/workflows/long.yml").write_text("# " + "x" * (600 * 1024) + "\n" + WORKFLOW)
    (project / "README.md").write_bytes(b"one\n\xff\xfe\n")
    os.mkfifo(project / ".github/workflows/pipe.yml")
    found = rules(check)
    assert found["too-large"] == ".github/workflows/huge.yml:1"
    assert found["broken-file"] == ".github/workflows/long.yml:1"
    assert found["unreadable-file"] == "README.md:2"
    assert found["outside-link"] == ".github/workflows/pipe.yml:1"


def test_files_that_git_ignores_are_passed_over(project: Path, check: Check) -> None:
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    fill(
        project, {".gitignore": "build/\n", "build/action.yml": "runs: {using: composite, steps: [{run: '${{ secrets.X }}'}]}"}
    )
    assert check().findings == []


def test_without_git_caches_are_passed_over(project: Path, check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    fill(project, {"node_modules/a/action.yml": "runs: x", ".venv/action.yml": "runs: x"})
    assert check().findings == []


def test_text_from_outside_cannot_act(project: Path) -> None:
    """Names of files, jobs and steps come from the author of the pull request."""
    evil = "x%0A::error::owned\\n::add-mask::a|<img src=x>"
    fill(
        project, {".github/workflows/ev|il`\n::error::x.yml": WORKFLOW.replace("build:", f'"{evil}":').replace("USED", "EVIL")}
    )
    summary, outputs = project / "summary", project / "outputs"
    stdout = io.StringIO()
    variables = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary), "GITHUB_OUTPUT": str(outputs)}
    assert program.run(["secrets-doc-check"], variables, stdout, io.StringIO()) == 1
    commands = [line for line in stdout.getvalue().splitlines() if line.startswith("::")]
    assert [line.partition(" ")[0] for line in commands] == ["::error"]
    assert "<img" not in summary.read_text()


def test_outputs_are_json_lists_and_the_report_a_table(project: Path) -> None:
    fill(project, {"SECRETS.md": "- SPARE: x\n"})
    stdout = io.StringIO()
    assert program.run(["secrets-doc-check", "--json"], {}, stdout, io.StringIO()) == 1
    outputs = json.loads(stdout.getvalue())["outputs"]
    assert json.loads(outputs["undocumented"]) == ["USED"]
    assert json.loads(outputs["unused"]) == ["SPARE"]
    assert (outputs["unset"], outputs["incomplete"], outputs["verdict"]) == ("[]", "[]", "fail")
    assert outputs["broken"] == "[]"
    assert outputs["report"].startswith("Read 1 workflow or action file, 1 document (SECRETS.md).\n\n| name | state |")


def test_a_repository_without_anything(repository: Path, check: Check) -> None:
    report = check()
    assert (report.verdict, report.headline) == (Verdict.PASS, "0 names, nothing to do.")


def _examples() -> list[tuple[int, dict[str, object]]]:
    text = (ROOT / "actions/secrets-doc-check/README.md").read_text()
    blocks = re.findall(r"^```yaml\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    steps = [step for block in blocks for step in yaml.safe_load(block)]
    return [(index, step) for index, step in enumerate(steps) if "cicd-actions" in step["uses"]]


@pytest.mark.parametrize(("index", "step"), _examples())
def test_the_examples_of_the_readme_run(project: Path, check: Check, index: int, step: dict[str, object]) -> None:
    inputs = step.get("with", {})
    assert isinstance(inputs, dict)
    inputs = {name: text for name, text in inputs.items() if name != "github-token"}
    if "check-write" in inputs:
        check({"write": inputs["check-write"]})
    # Without the token of the example it is not known what is set.
    expected = Verdict.INCONCLUSIVE if "unset" in inputs.get("fail-on", "") else Verdict.PASS
    assert check(inputs).verdict is expected


def test_there_are_examples() -> None:
    assert len(_examples()) == 4


def test_the_documentation_in_the_readme_is_complete(project: Path, check: Check) -> None:
    text = (ROOT / "actions/secrets-doc-check/README.md").read_text()
    (example,) = re.findall(r"^```markdown\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    used = ["DATABASE_URL", "REGISTRY_USER", "REGISTRY_PASSWORD", "SLACK_WEBHOOK"]
    references = " ".join(f"${{{{ secrets.{name} }}}}" for name in used)
    fill(project, {"SECRETS.md": example, ".github/workflows/ci.yml": WORKFLOW.replace("${{ secrets.USED }}", references)})
    report = check({"fail-on": "undocumented\nincomplete\nunused"})
    assert (report.verdict, report.findings) == (Verdict.PASS, [])


def test_a_declared_secret_with_a_hyphen_stands_for_the_callers_secret(project: Path, check: Check) -> None:
    """GitHub's own example of `on.workflow_call.secrets` declares `access-token`."""
    called = (
        "on:\n  workflow_call:\n    secrets:\n      access-token:\n        required: true\n        description: Reads\n"
        "jobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: x\n        env:\n"
        "          TOKEN: ${{ secrets.access-token }}\n"
    )
    caller = (
        "on: push\njobs:\n  a:\n    uses: ./.github/workflows/called.yml\n    secrets:\n"
        "      access-token: ${{ secrets.PACKAGES_TOKEN }}\n"
    )
    fill(project, {".github/workflows/called.yml": called})
    assert names(check({}), "broken") == []
    fill(project, {".github/workflows/caller.yml": caller})
    report = check({})
    assert names(report, "broken") == []
    assert "PACKAGES_TOKEN" in names(report, "undocumented")
