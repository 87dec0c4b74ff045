from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from cicd_actions.toolkit.yaml12 import plain, read
from demo import third_party
from demo.export import PLACEHOLDER_SHA, export, for_act
from demo.plan import files, jobs
from demo.third_party import repositories

ROOT = Path(__file__).resolve().parents[3]
FILES = sorted((ROOT / ".github").glob("*/*.yml")) + sorted((ROOT / ".github").glob("*/*/*.yml"))
WORKFLOW = """\
# A comment with $/this and ./that
on: {workflow_call: {}}
jobs:
  a:
    environment:
      name: x
      deployment: false
    concurrency:
      group: y
      queue: max # a word
    steps:
      - uses: $/actions/health-gate # ours
      - uses:   "./.github/actions/x"
      - uses: actions/checkout@v1
        with: {deployment: false, queue: max}
      - run: |
          echo "uses: $/not-this"
        env:
          deployment: kept
  b:
    uses: ./.github/workflows/c.yml
"""


def test_only_what_act_does_not_know_is_rewritten() -> None:
    sha = "f" * 40
    expected = WORKFLOW.replace("      deployment: false\n    concurrency", "    concurrency").replace(
        "      queue: max # a word\n", ""
    )
    expected = expected.replace("uses: $/actions/health-gate #", f"uses: org/cicd-actions/actions/health-gate@{sha} #")
    expected = expected.replace('"./.github/actions/x"', f'"org/cicd-actions/.github/actions/x@{sha}"')
    expected = expected.replace("uses: ./.github/workflows/c.yml", f"uses: org/cicd-actions/.github/workflows/c.yml@{sha}")
    assert for_act(WORKFLOW, sha) == expected


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_our_files_change_in_these_lines_only(path: Path) -> None:
    before = path.read_text(encoding="utf-8")
    after = for_act(before)
    lost = [line.strip() for line in before.splitlines() if line not in after.splitlines()]
    known = (
        "uses: $/",
        "uses: ./",
        "- uses: $/",
        "deployment: false",
        "queue: max",
        "services: ${{ fromJSON(",
        "container: ${{ fromJSON(",
    )
    assert all(line.startswith(known) for line in lost), lost
    read(after)


def test_the_export_is_what_git_knows_and_the_work_tree_has(tmp_path: Path) -> None:
    root, target = tmp_path / "root", tmp_path / "target"
    (root / "actions" / "x").mkdir(parents=True)
    (root / "bin").mkdir()
    (root / "docs").mkdir()
    subprocess.run(["git", "init", "--quiet", str(root)], check=True)
    for name, text in {
        ".gitignore": "ignored\n",
        "actions/x/action.yml": "runs: {steps: [{uses: $/actions/y}]}\n",
        "actions/x/gone.py": "",
        "actions/x/ignored": "",
        "bin/run": "",
        "docs/page.md": "",
        "README.md": "",
    }.items():
        (root / name).write_text(text)
    subprocess.run(["git", "add", "--all"], cwd=root, check=True)
    (root / "actions" / "x" / "gone.py").unlink()
    (root / "actions" / "x" / "new.sh").write_text("#!/bin/sh\n")
    (root / "actions" / "x" / "new.sh").chmod(0o755)
    (root / ".cache" / "dependencies").mkdir(parents=True)
    export(root, target)
    found = sorted(path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file())
    assert found == ["actions/x/action.yml", "actions/x/new.sh"]
    assert (target / "actions" / "x" / "new.sh").stat().st_mode & 0o111
    assert PLACEHOLDER_SHA in (target / "actions" / "x" / "action.yml").read_text()
    programs = (target / "bin").resolve().parent
    assert (target / "src").resolve() == programs / "src"
    assert (programs / "bin" / "run").is_file()
    assert (programs / ".cache" / "dependencies").resolve() == (root / ".cache" / "dependencies").resolve()


def test_every_third_party_action_has_a_stand_in(tmp_path: Path) -> None:
    workflow = ROOT / "examples" / "two-lane" / ".github" / "workflows" / "pipeline.yml"
    export(ROOT, tmp_path)
    called = files(workflow, tmp_path)
    assert sorted(path.stem for path in called) == ["build", "deploy", "image", "pipeline", "release", "verify"]
    found = repositories([*called, *tmp_path.glob(".github/actions/*/action.yml")])
    assert found
    for reference, folder in found.items():
        assert (folder / "action.yml").is_file(), reference
        assert len(reference.partition("@")[2]) == 40


def test_one_without_a_stand_in_is_told(tmp_path: Path) -> None:
    (tmp_path / "w.yml").write_text("jobs: {a: {steps: [{uses: owner/unknown@v1}]}}\n")
    with pytest.raises(LookupError, match=r"w\.yml uses owner/unknown@v1"):
        repositories([tmp_path / "w.yml"])


def test_stand_ins_take_no_input_that_the_real_action_does_not() -> None:
    """A misspelt input would be dropped silently by GitHub as well as by a stand-in: what we give is spelled here once."""
    known = {
        "actions/checkout": {
            "ref", "path", "fetch-depth", "filter", "sparse-checkout", "sparse-checkout-cone-mode", "persist-credentials",
        },
        "actions/cache": {"path", "key"},
        "actions/cache/restore": {"path", "key"},
        "actions/cache/save": {"path", "key"},
        "actions/upload-artifact": {"name", "path", "if-no-files-found", "retention-days", "include-hidden-files", "overwrite"},
        "actions/download-artifact": {"name", "path"},
        "actions/attest": {"subject-checksums", "subject-name", "subject-digest", "sbom-path"},
        "actions/setup-node": {"node-version", "cache", "cache-dependency-path", "package-manager-cache"},
        "actions/setup-python": {"python-version", "cache", "cache-dependency-path"},
        "aquasecurity/trivy-action": {
            "scan-type", "scan-ref", "image-ref", "scanners", "format", "output", "skip-setup-trivy", "cache",
        },
        "astral-sh/setup-uv": {"version", "python-version", "working-directory", "enable-cache", "cache-dependency-glob"},
        "oven-sh/setup-bun": {"bun-version"},
        "pnpm/action-setup": {"version", "package_json_file"},
        "docker/login-action": {"registry", "username", "password"},
        "docker/setup-buildx-action": {"cache-binary"},
        "aws-actions/configure-aws-credentials": {"role-to-assume", "aws-region"},
        "azure/login": {"client-id", "tenant-id", "subscription-id"},
        "google-github-actions/auth": {"workload_identity_provider", "service_account"},
    }  # fmt: skip
    files = [
        ROOT / ".github" / "workflows" / f"{name}.yml" for name in ("verify", "release", "build", "image", "deploy", "rollback")
    ]
    for file in [*files, ROOT / ".github" / "actions" / "set-up-lane" / "action.yml"]:
        document = plain(read(file.read_text(encoding="utf-8")).root)
        assert isinstance(document, dict)
        for part in [*document.get("jobs", {}).values(), document.get("runs", {})]:
            for step in part.get("steps", []):
                action = step.get("uses", "").partition("@")[0]
                if action and not action.startswith("$/"):
                    assert set(step.get("with", {})) <= known[action], f"{file.name}: {action}"
    assert all((third_party.FOLDER / name / "action.yml").is_file() for name in known)


def test_the_plan_names_every_job_of_the_example(tmp_path: Path) -> None:
    export(ROOT, tmp_path)
    planned = jobs(ROOT / "examples" / "two-lane" / ".github" / "workflows" / "pipeline.yml", tmp_path)
    assert planned == [
        "verify / plan", "verify / lane", "verify / spec", "verify / client", "verify / scan", "verify / check",
        *(f"build {number} / build separately" for number in range(1, 5)),
        "release / build", "image / image", "image / sbom",
        *(
            f"environment {number} / {job}" for number in range(1, 5)
            for job in ("plan infrastructure", "ask for approval", "approve", "deploy")
        ),
    ]  # fmt: skip


def test_a_jobs_services_are_dropped_where_they_are_an_expression() -> None:
    before = "jobs:\n  a:\n    services: ${{ x }}\n    steps:\n      - with:\n          services: ${{ toJSON(job.services) }}\n"
    assert for_act(before) == before.replace("    services: ${{ x }}\n", "", 1)
