"""The release is published as publish.yml does it: its scripts in their order, a failure at every step, and a second run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from cicd_actions.toolkit.yaml12 import plain, read
from tests.fakes.gh import Gh
from tests.harness.release import ROOT, git

WORKFLOW = ROOT / ".github" / "workflows" / "publish.yml"
VERSION = "1.2.3"


def job(name: str) -> dict[str, Any]:
    found: Any = plain(read(WORKFLOW.read_text("utf-8")).root)
    return dict(found["jobs"][name])


class Publishing:
    """A repository, its checkout in the job, and what the job's steps see."""

    def __init__(self, folder: Path, clone: Path, tree: Path) -> None:
        self.hub, self.work, self.temp = folder / "org" / "cicd-actions.git", folder / "work", folder / "temp"
        self.hub.parent.mkdir(parents=True)
        subprocess.run(["git", "clone", "--quiet", "--bare", "--shared", clone, self.hub], check=True, capture_output=True)
        subprocess.run(["git", "clone", "--quiet", "--shared", self.hub, self.work], check=True, capture_output=True)
        self.temp.mkdir()
        # As it is in the work tree, committed or not.
        shutil.copy(ROOT / "tools" / "release" / "publish.py", self.work / "tools" / "release")
        self.gh = Gh(folder)
        key = folder / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True, capture_output=True)
        self.signers = folder / "signers"
        self.signers.write_text(f"release@users.noreply.github.com {key.with_suffix('.pub').read_text()}")
        self._outputs = folder / "outputs"
        self._variables = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "GIT_"))},
            "PATH": self.gh.path, "RUNNER_TEMP": str(self.temp), "GITHUB_OUTPUT": str(self._outputs), "VERSION": VERSION,
            "GITHUB_REPOSITORY": "org/cicd-actions", "KEY": key.read_text(),
            "TOKEN": "t0ken-of-the-app", "GH_TOKEN": "t0ken-of-the-app",
            "SERVER": f"file://{folder}", "REPOSITORY": "org/cicd-actions",
        }  # fmt: skip
        self.said = ""
        self.made = self.candidate(tree)

    def candidate(self, tree: Path) -> subprocess.CompletedProcess[str]:
        """What the job `build` hands over."""
        bundle = str(self.temp / "candidate" / "release.bundle")
        program = ["python3", "tools/release/publish.py", "candidate", VERSION, str(tree), bundle]
        return subprocess.run(program, cwd=self.work, env=self._variables, capture_output=True, text=True, check=False)

    @property
    def commit(self) -> str:
        lines = self._outputs.read_text().splitlines()
        return next(line.removeprefix("commit=") for line in reversed(lines) if line.startswith("commit="))

    def run(self, fail: str = "") -> str:
        """Runs every script of the job `publish`. Returns the name of the step that failed; empty for none.

        *fail* names the step at whose end the job is lost, or the verb of gh that fails.
        """
        self.gh.stop(fail)
        for step in job("publish")["steps"]:
            if "run" not in step:
                continue
            variables = {**self._variables, "COMMIT": self.commit}
            # It did its work, and the job was lost: the worst moment.
            script = f"{step['run']}\nfalse" if step["name"] == fail else step["run"]
            done = subprocess.run(
                ["/bin/bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
                cwd=self.work, env=variables, capture_output=True, text=True, check=False,
            )  # fmt: skip
            if done.returncode:
                self.said = done.stdout + done.stderr
                return str(step["name"])
        return ""


def test_release_that_failed_at_any_step_is_finished_by_the_next_run(clone: Path, tree: Path, tmp_path: Path) -> None:
    """Each run fails one step later than the one before, so each begins with what the others left."""
    release = Publishing(tmp_path, clone, tree)
    assert release.made.returncode == 0, release.made.stderr
    scripts = [step["name"] for step in job("publish")["steps"] if "run" in step]
    for fail in [*scripts[:-2], "create", "upload", "edit", scripts[-2], "api", scripts[-1]]:
        verbs = {"create": scripts[-2], "upload": scripts[-2], "edit": scripts[-2], "api": scripts[-1]}
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
