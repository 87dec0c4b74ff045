"""The jobs `start` and `publish` of publish.yml: their scripts, a repository on this disk, and a stand-in for gh."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from cicd_actions.toolkit.yaml12 import plain, read
from tests.fakes.gh import Gh
from tests.harness.release import ROOT, git, signing_key

WORKFLOW = ROOT / ".github" / "workflows" / "publish.yml"
VERSION = "1.2.3"
REF = "refs/heads/main"


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
        self.key = signing_key(folder / "key")
        self.signers = folder / "signers"
        self.signers.write_text(f"release@users.noreply.github.com {self.key.with_suffix('.pub').read_text()}")
        self._outputs = folder / "outputs"
        self._variables = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "GIT_"))},
            "PATH": self.gh.path, "RUNNER_TEMP": str(self.temp), "GITHUB_OUTPUT": str(self._outputs), "VERSION": VERSION,
            "GITHUB_REPOSITORY": "org/cicd-actions", "KEY": self.key.read_text(),
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
    def head(self) -> str:
        return git(self.work, "rev-parse", "HEAD")

    @property
    def commit(self) -> str:
        return self._output("commit")

    def _output(self, name: str) -> str:
        lines = self._outputs.read_text().splitlines()
        return next(line.removeprefix(f"{name}=") for line in reversed(lines) if line.startswith(f"{name}="))

    def start(self) -> str:
        """Runs every script of the job `start`. Returns the digest that a tag pins; empty for none, or where it failed."""
        self.said = ""
        variables = {"REF": REF, "DEFAULT": REF, "COMMIT": self.head, "GITHUB_REPOSITORY": "org/cicd-actions"}
        for step in job("start")["steps"]:
            if "run" not in step or ("digest != ''" in step.get("if", "") and not self._output("digest")):
                continue
            if step.get("id") != "names":
                variables["IMAGE"] = self._output("image")
            if "if" in step:
                variables["REFERENCE"] = f"{variables['IMAGE']}@{self._output('digest')}"
            done = self._ran(step["run"], variables)
            if done.returncode:
                self.said = done.stdout + done.stderr
                return ""
        return self._output("digest")

    def _ran(self, script: str, more: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            cwd=self.work, env={**self._variables, **more}, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def run(self, fail: str = "") -> str:
        """Runs every script of the job `publish`. Returns the name of the step that failed; empty for none.

        *fail* names the step at whose end the job is lost, or the verb of gh that fails.
        """
        self.gh.stop(fail)
        for step in job("publish")["steps"]:
            if "run" not in step:
                continue
            # It did its work, and the job was lost: the worst moment.
            script = f"{step['run']}\nfalse" if step["name"] == fail else step["run"]
            done = self._ran(script, {"COMMIT": self.commit})
            if done.returncode:
                self.said = done.stdout + done.stderr
                return str(step["name"])
        return ""
