"""A repository that has copied a recipe, and the actions that run its programs there as a deploy does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cicd_actions.pipeline_file.reading import load
from tests.harness.action import ROOT, Ended, run

RECIPES = ROOT / "recipes"


class Recipe:
    """The recipe's programs in a folder with a commit; `environment` fills the commands of its pipeline file."""

    def __init__(
        self, folder: Path, name: str, environment: str, file: str = "cicd.yml", more: Mapping[str, str] | None = None
    ) -> None:
        self.folder, self.environment = folder, environment
        # A version manager's `python3` would put its own programs before the test's.
        programs = folder.with_name(f"{folder.name}-bin")
        programs.mkdir()
        (programs / "python3").symlink_to(Path(sys.executable).resolve())
        self.variables = {"PATH": os.environ["PATH"], **(more or {})}
        self.variables["PATH"] = f"{programs}:{self.variables['PATH']}"
        shutil.copytree(RECIPES / name / "deploy", folder / "deploy", dirs_exist_ok=True)
        release = load(RECIPES / name / file).release
        assert release
        self.commands: dict[str, str | None] = {
            "roll-out-command": release.roll_out_command,
            "running-command": release.running_command,
            "image-command": release.image_command,
            "job-command": release.job_command,
        }
        self.git("init", "--quiet")

    def git(self, *words: str) -> str:
        """Runs git there."""
        identity = ("-c", "user.name=test", "-c", "user.email=test@example.org")
        done = subprocess.run(["git", *identity, *words], cwd=self.folder, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def commit(self, message: str = "a change") -> str:
        """Returns the SHA of a new commit of everything."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")

    def rolls_out(self, sha: str, services: Mapping[str, str], **more: str) -> Ended:
        """Runs `roll-out` with the recipe's commands."""
        lines = "\n".join(f"{service}={image}" for service, image in services.items())
        inputs = {"engine": "command", **self.commands, "services": lines, "sha": sha, "environment": self.environment, **more}
        return run("roll-out", {name: str(text) for name, text in inputs.items() if text}, self.folder, **self.variables)

    def program(self, command: str, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Runs one of the commands by itself, with further arguments."""
        filled = (self.commands[command] or "").replace("{environment}", self.environment)
        return subprocess.run(
            [*(word for word in filled.split() if not word.startswith("{")), *words],
            cwd=self.folder,
            env={**os.environ, **self.variables, **more},
            capture_output=True,
            text=True,
            check=False,
        )

    def running(self) -> dict[str, Any]:
        """What the recipe says that runs."""
        done = self.program("running-command")
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found
