"""The release is published as publish.yml does it: its scripts in their order, a failure at every step, and a second run."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

from cicd_actions.toolkit.yaml12 import plain, read
from tests.harness.release import git
from tests.integration.release.publishing import VERSION, WORKFLOW, Publishing, job


def test_release_that_failed_at_any_step_is_finished_by_the_next_run(clone: Path, tree: Path, tmp_path: Path) -> None:
    """Each run fails one step later than the one before, so each begins with what the others left."""
    release = Publishing(tmp_path, clone, tree)
    assert release.made.returncode == 0, release.made.stderr
    scripts = [step["name"] for step in job("publish")["steps"] if "run" in step]
    for fail in [*scripts[:-2], "create", "upload", "list", "edit", scripts[-2], "api", scripts[-1]]:
        verbs = {**dict.fromkeys(("create", "upload", "list", "edit"), scripts[-2]), "api": scripts[-1]}
        assert release.run(fail) == verbs.get(fail, fail), release.said
    release.gh.immutable(False)
    assert release.run() == "It can never change"
    release.gh.immutable(True)
    assert release.run() == "", release.said
    assert release.gh.release() == {"draft": False, "assets": [f"cicd-actions-{VERSION}.tar.gz", "sbom.cdx.json"]}
    commit = git(release.hub, "rev-parse", f"v{VERSION}^{{commit}}")
    assert git(release.hub, "rev-parse", "release") == commit == release.commit
    assert git(release.hub, "log", "-1", "--format=%P", commit) == git(release.work, "rev-parse", "HEAD")
    # Commit and tag are signed, and hold the tree.
    allowed = ["-c", "gpg.format=ssh", "-c", f"gpg.ssh.allowedSignersFile={release.signers}"]
    for what in (["verify-commit", "release"], ["verify-tag", f"v{VERSION}"]):
        subprocess.run(["git", *allowed, "-C", release.hub, *what], check=True, capture_output=True)
    assert git(release.hub, "rev-parse", f"{commit}^{{tree}}") == git(release.work, "rev-parse", "refs/heads/candidate^{tree}")
    assert not (release.temp / "signing-key").exists()
    # What a consumer makes of the pinned commit is what was attested.
    words: list[str] = ["git", "-C", str(release.hub), "archive", "--format=tar", release.commit]
    pinned = subprocess.run(words, check=True, capture_output=True)
    assert pinned.stdout == (release.temp / "release.tar").read_bytes()
    # Other files under the same version are refused.
    other = tmp_path / "other"
    other.mkdir()
    (other / "release.json").write_text("{}")
    release.candidate(other)
    assert release.run() == "Sign and push commit and tag"
    assert "exists already with other files" in release.said
    assert git(release.hub, "rev-parse", f"v{VERSION}^{{commit}}") == commit


def test_nothing_is_built_or_pushed_where_a_tag_pins_the_image() -> None:
    image = job("image")
    last = image["steps"][-1]
    assert (last["name"], last.get("if")) == ("Everyone can pull it", None)
    assert {step.get("if") for step in image["steps"][:-1]} == {"needs.start.outputs.digest == ''"}
    assert image["outputs"]["action-digest"].startswith("${{ needs.start.outputs.digest || ")
    assert set(job("start")["permissions"].values()) == {"read"}, "what reads the tag has no right to write"


def test_jobs_with_rights_are_protected_and_the_token_meets_no_build() -> None:
    found: Any = plain(read(WORKFLOW.read_text("utf-8")).root)
    for name, each in found["jobs"].items():
        writes = {scope for scope, level in each.get("permissions", {}).items() if level == "write"}
        assert not writes or each.get("environment") == "release", name
        assert name == "start" or "start" in each["needs"], "every job is behind the check of the branch"
    assert set(found["jobs"]["publish"]["needs"]) == set(found["jobs"]) - {"publish"}, "everything comes before the push"
    steps = job("publish")["steps"]
    at = next(number for number, step in enumerate(steps) if "create-github-app-token" in step.get("uses", ""))
    assert "publish.py push" in steps[at + 1]["run"], "the token is minted right before it is used"
    assert not any(re.search(r"^\s*make\b", step.get("run", ""), re.MULTILINE) for step in steps)
