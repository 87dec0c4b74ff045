"""pipeline-audit as a step runs it: a separate process on a checkout with history, beside zizmor and a stand-in for GitHub."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from cicd_actions.pipeline_audit import zizmor
from cicd_actions.toolkit.background import Background
from tests.fakes.github import FakeGitHub, deployments, settings
from tests.fakes.github.openapi import document
from tests.fakes.github.settings import Names
from tests.harness import action
from tests.unit.pipeline_audit.cases import CALLED, KUBECTL, STATUS, UNDO, calls, ci, deploy, staged

ROOT = Path(__file__).resolve().parents[3]


MARKUP = """\
on: push
jobs:
  '<b>::error::x</b>|`#1 @x':
    runs-on: x
    steps:
      - run: kubectl apply -f '`|</td>::set-output name=x::y'
"""


def fill(root: Path, files: dict[str, str], *, date: str = "2026-01-01T00:00:00Z") -> None:
    for path, text in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")
    who = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
    environment = os.environ | {"GIT_COMMITTER_DATE": date, "GIT_AUTHOR_DATE": date}
    for words in (["init", "-q"], ["add", "-A"], [*who, "commit", "-qm", "x"]):
        subprocess.run(["git", *words], cwd=root, check=True, env=environment)


def audit(root: Path, **inputs: str) -> action.Ended:
    given = {"zizmor": "off"} | {name.replace("_", "-"): text for name, text in inputs.items()}
    variables = {name: given.pop(name) for name in [*given] if name.startswith("GITHUB-") or name == "PATH"}
    return action.run("pipeline-audit", given, root, **{name.replace("-", "_"): text for name, text in variables.items()})


def rules(ended: action.Ended) -> set[str]:
    return {one["rule"].removeprefix("pipeline-audit/") for one in ended.findings}


def test_age_of_a_line_decides_whether_a_major_finding_fails(tmp_path: Path) -> None:
    text = staged(f"pytest\n{KUBECTL}\n{STATUS}", f"{KUBECTL}\n{STATUS}\nkubectl rollout undo x")
    fill(tmp_path, {".github/workflows/d.yml": text})
    ended = audit(tmp_path)
    assert ended.code == 1
    assert (ended.outputs["critical"], ended.outputs["verdict"]) == ("0", "fail")
    assert int(ended.outputs["overdue"]) >= 1
    report = json.loads(Path(ended.outputs["report"]).read_text())
    group = next(one for one in report["findings"] if one["rule"] == "cancellable-deploy")
    assert (group["since"], group["due"]) == ("2026-01-01", "2026-01-15")


def test_baseline_written_today_lets_old_findings_wait_for_their_sla(tmp_path: Path) -> None:
    fill(tmp_path, {".github/workflows/a.yml": ci("pytest")})
    assert audit(tmp_path).code == 1
    first = audit(tmp_path, write_baseline="known.json", baseline="")
    known = json.loads((tmp_path / "known.json").read_text())
    assert len(known["findings"]) == int(first.outputs["major"]) + int(first.outputs["minor"])
    for entry in known["findings"].values():
        entry["since"] = "2999-01-01"
    (tmp_path / "known.json").write_text(json.dumps(known))
    assert audit(tmp_path, baseline="known.json").code == 0
    (tmp_path / "known.json").rename(tmp_path / ".github" / "pipeline-audit.json")
    assert audit(tmp_path).code == 0


def test_accepted_findings_are_read_from_their_usual_file(tmp_path: Path) -> None:
    fill(tmp_path, {".github/workflows/d.yml": deploy(KUBECTL, STATUS, UNDO)})
    assert audit(tmp_path, fail_on="critical").code == 1
    entry = "- rule: no-staging\n  reason: It moves.\n  expires: 2999-01-01\n"
    (tmp_path / ".github" / "pipeline-audit.yml").write_text(entry)
    assert audit(tmp_path, fail_on="critical").code == 0


def test_zizmor_findings_are_carried_once_with_their_ids(tmp_path: Path) -> None:
    text = ci("uses: some/thing@v1", "echo ${{ github.event.pull_request.title }}")
    fill(tmp_path, {".github/workflows/a.yml": text})
    path = f"{ROOT / '.build' / 'venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    ended = audit(tmp_path, zizmor="auto", PATH=path)
    assert "zizmor/template-injection" in rules(ended)
    assert "unpinned-action" in rules(ended)
    assert "zizmor/unpinned-uses" not in rules(ended)


def test_zizmor_started_by_a_script_is_ended_with_what_holds_its_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "checkout" / ".github" / "workflows").mkdir(parents=True)
    pid, script = tmp_path / "pid", tmp_path / "bin" / "zizmor"
    script.parent.mkdir()
    script.write_text(f"#!/bin/sh\nsetsid sh -c 'echo $$ > {pid}; exec sleep 600' &\nexec sleep 600\n")
    script.chmod(0o755)
    os.mkfifo(pid)
    monkeypatch.setattr(zizmor, "TIMEOUT", 0.1)
    run = zizmor.start(tmp_path / "checkout", {"PATH": f"{script.parent}:/usr/bin:/bin"})
    got_away = int(Background(pid.read_text).result(60))
    try:
        assert Background(run.findings).result(30) is None
        assert run.why == "zizmor did not end within 0.1 s"
    finally:
        os.kill(got_away, signal.SIGKILL)


def test_cancelled_audit_does_not_wait_for_git(tmp_path: Path) -> None:
    fill(tmp_path, {".github/workflows/ci.yml": MARKUP})
    git, pids = tmp_path / "bin" / "git", tmp_path / "pids"
    git.parent.mkdir()
    git.write_text(
        f"#!/bin/sh\ncase $* in *' blame '*) echo $$ > {pids}; exec sleep 600 ;; esac\nexec {shutil.which('git')} \"$@\"\n"
    )
    git.chmod(0o755)
    os.mkfifo(pids)
    step = action.Step("pipeline-audit", {"zizmor": "off"}, tmp_path, PATH=f"{git.parent}:{os.environ['PATH']}")
    blaming = int(Background(pids.read_text).result(60))
    try:
        step.cancel()
        assert step.end(20).code == 130
    finally:
        os.kill(blaming, signal.SIGKILL)


def test_zizmor_sarif_that_is_handed_in_is_read(tmp_path: Path) -> None:
    place = {"physicalLocation": {"artifactLocation": {"uri": ".github/workflows/a.yml"}, "region": {"startLine": 3}}}
    result = {"ruleId": "zizmor/artipacked", "level": "warning", "message": {"text": "persists"}, "locations": [place]}
    fill(tmp_path, {".github/workflows/a.yml": ci("pytest"), "z.sarif": json.dumps({"runs": [{"results": [result]}]})})
    assert "zizmor/artipacked" in rules(audit(tmp_path, zizmor="z.sarif"))
    assert audit(tmp_path, zizmor="missing.sarif").code == 2


@pytest.mark.parametrize(("protected", "status"), [(True, "pass"), (False, "fail")])
def test_reviewers_are_read_from_github(protected: bool, status: str, tmp_path: Path) -> None:
    fill(tmp_path, {".github/workflows/d.yml": deploy(KUBECTL, STATUS, UNDO)})
    with FakeGitHub(document=document()) as github:
        known = settings.repository(github, "org/app")
        known.environments["production"] = Names([])
        if protected:
            known.protected.add("production")
        token = github.token(actions="read")
        ended = audit(tmp_path, github_token=token, **{"GITHUB-API-URL": github.url, "GITHUB-REPOSITORY": "org/app"})
    report = json.loads(Path(ended.outputs["report"]).read_text())
    assert next(one["status"] for one in report["rules"] if one["id"] == "unapproved-production") == status


def test_many_checkouts_are_ranked_in_one_table_and_one_document(tmp_path: Path) -> None:
    fill(tmp_path / "good", {".github/workflows/a.yml": ci("pytest")})
    fill(tmp_path / "bad", {".github/workflows/d.yml": deploy(KUBECTL)})
    ended = audit(tmp_path, repositories="good\nbad", fail_on="critical")
    assert (ended.code, ended.outputs["reason"]) == (1, "1 of 2 repositories fail.")
    whole = json.loads(Path(ended.outputs["report"]).read_text())
    assert {one["name"]: one["deploys"] for one in whole["repositories"]} == {"good": False, "bad": True}
    assert audit(tmp_path, repositories="no/such").code == 2


HEAD, PINNED = "a" * 40, "b" * 40


def published(github: FakeGitHub, name: str, files: dict[str, str], commit: str = HEAD) -> None:
    """A repository on the stand-in whose newest commit has these files."""
    settings.repository(github, name).files |= {f"{path}@{commit}": text for path, text in files.items()}
    deployments.kept(github, name).commits["HEAD"] = deployments.Commit(commit)


def test_repositories_by_name_are_fetched_at_one_commit_and_ranked(tmp_path: Path) -> None:
    stack = {"Dockerfile": "FROM x\nCMD alembic upgrade head && uvicorn app\n", "docs/notes.md": "x", "link.sh": "/etc/passwd"}
    with FakeGitHub(document=document()) as github:
        published(github, "org/good", {".github/workflows/a.yml": ci("pytest")})
        build = f"docker build -t ghcr.io/org/api:$GITHUB_SHA --push .\n{KUBECTL}"
        published(github, "org/bad", {".github/workflows/d.yml": deploy(build)} | stack)
        settings.repository(github, "org/bad").links.add("link.sh")
        settings.repository(github, "org/bad").environments["production"] = Names([])
        token = github.token(contents="read", actions="read")
        ended = audit(
            tmp_path,
            repositories="org/good\norg/bad\norg/gone",
            github_token=token,
            fail_on="critical",
            **{"GITHUB-API-URL": github.url, "GITHUB-STEP-SUMMARY": str(tmp_path / "summary.md")},
        )
    assert ended.code == 1, ended.log
    assert ended.outputs["reason"] == "1 of 3 repositories fail. 1 could not be audited."
    whole = json.loads(Path(ended.outputs["report"]).read_text())
    assert {one["name"]: one["deploys"] for one in whole["repositories"]} == {"org/good": False, "org/bad": True}
    assert [one["name"] for one in whole["failed"]] == ["org/gone"]
    bad = next(one for one in whole["repositories"] if one["name"] == "org/bad")
    broken = {one["rule"] for one in bad["findings"]}
    # The Dockerfile was read, and the environment's reviewers were asked for.
    assert {"startup-migration", "unapproved-production"} <= broken
    fetched = {call.arguments["path"] for call in github.calls if "contents" in call.path}
    assert fetched == {".github/workflows/a.yml", ".github/workflows/d.yml", "Dockerfile"}
    assert all(call.query["ref"] == HEAD for call in github.calls if "contents" in call.path)
    table = (tmp_path / "summary.md").read_text()
    assert table.index("org/bad") < table.index("org/good") < table.index("org/gone")


def test_called_workflow_of_another_repository_is_read_with_a_token(tmp_path: Path) -> None:
    called = f"org/shared/.github/workflows/roll.yml@{PINNED}"
    text = "on:\n  push: {branches: [main]}\npermissions: {contents: read}\njobs:\n  prod:\n    uses: " + called + "\n"
    fill(tmp_path, {".github/workflows/d.yml": text})
    with FakeGitHub(document=document()) as github:
        published(github, "org/shared", {".github/workflows/roll.yml": CALLED.replace("${{ inputs.target }}", "prod")}, PINNED)
        token = github.token(contents="read")
        read = audit(tmp_path, github_token=token, **{"GITHUB-API-URL": github.url, "GITHUB-REPOSITORY": "org/app"})
    blind = audit(tmp_path)
    message = next(one["message"] for one in read.findings if one["rule"].endswith("/unverified-deploy"))
    assert "Called from .github/workflows/d.yml:5." in message
    assert "unverified-deploy" not in rules(blind)


def test_composite_action_of_another_repository_is_read_with_a_token(tmp_path: Path) -> None:
    fill(tmp_path, {".github/workflows/d.yml": deploy(f"uses: org/tools/ship@{PINNED}\nwith:\n  tag: latest")})
    composite = "runs:\n  using: composite\n  steps:\n    - "
    outer = composite + "uses: $/inner\n      with: {tag: '${{ inputs.tag }}'}\n"
    inner = composite + "run: kubectl set image deployment/x x=x/x:${{ inputs.tag }}\n      shell: bash\n"
    head = "inputs: {tag: {required: true}}\n"
    with FakeGitHub(document=document()) as github:
        published(github, "org/tools", {"ship/action.yml": head + outer, "inner/action.yml": head + inner}, PINNED)
        token = github.token(contents="read")
        read = audit(tmp_path, github_token=token, **{"GITHUB-API-URL": github.url, "GITHUB-REPOSITORY": "org/app"})
    message = next(one["message"] for one in read.findings if one["rule"].endswith("/mutable-image-tag"))
    assert "`x/x:latest`: the tag `latest` moves" in message


def test_patch_applies_and_the_findings_are_gone(tmp_path: Path) -> None:
    text = "name: CI\non: pull_request\njobs:\n  a:\n    runs-on: x\n    steps:\n      - run: pytest\n"
    fill(tmp_path, {".github/workflows/a.yml": text})
    ended = audit(tmp_path, fix="true")
    subprocess.run(["git", "apply", ended.outputs["patch"]], cwd=tmp_path, check=True)
    gone = {"no-timeout", "broad-token", "stale-ci-runs"}
    assert gone <= rules(ended)
    assert not gone & rules(audit(tmp_path))


def test_callers_are_told_in_the_message(tmp_path: Path) -> None:
    fill(tmp_path, calls("staging", "production"))
    ended = audit(tmp_path)
    message = next(one["message"] for one in ended.findings if one["rule"].endswith("unverified-deploy"))
    assert "Called from .github/workflows/deploy.yml:" in message


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [*a]",
        "jobs: " + "[" * 2000,
        "on: push\njobs:\n  a: {steps: [{run: '" + "$(" * 5000 + "'}]}\n",
        "on: push\njobs: {a: &x {runs-on: y, steps: [{run: a}]}, " + ", ".join(f"b{n}: *x" for n in range(500)) + "}\n",
        "\x00\x01",
        "",
        "on: push\njobs:\n  a:\n    uses: ./.github/workflows/a.yml\n",
        MARKUP,
    ],
)
def test_hostile_workflow_ends_with_a_verdict(text: str, tmp_path: Path) -> None:
    fill(tmp_path, {".github/workflows/a.yml": text})
    ended = audit(tmp_path)
    assert ended.code in {0, 1, 3}, ended.log
    assert "Traceback" not in ended.log
    assert not [line for line in ended.log.splitlines() if line.startswith("::")]


def test_links_out_of_the_repository_are_not_read(tmp_path: Path) -> None:
    outside = tmp_path / "outside.yml"
    outside.write_text(deploy(KUBECTL))
    root = tmp_path / "repo"
    fill(root, {".github/workflows/a.yml": ci("pytest")})
    (root / ".github" / "workflows" / "b.yml").symlink_to(outside)
    (root / "Dockerfile").symlink_to("/etc/passwd")
    ended = audit(root)
    assert ended.code in {1, 3}
    assert "no-rollback" not in rules(ended)
    assert "unread" in rules(ended)
