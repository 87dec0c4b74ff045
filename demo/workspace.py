"""A demo's own folder: a fresh copy of the example as a git repository, the actions as act reads them, state and logs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import yaml

from demo.export import PLACEHOLDER_SHA, REPOSITORY, export
from demo.plan import files
from demo.third_party import repositories
from demo.tools import SetupError, Tools

WORKFLOW = ".github/workflows/pipeline.yml"
KEPT = 5
"""Folders of earlier demos that stay for reading."""
DAY = 86_400.0


class Workspace:
    """Everything of one demo is below `folder`; two demos have two folders.

    *quick* names the releases whose lanes run no checks: `both`, the `first`, or none.

    `postgres` is `host:port` of a database server for the lane that migrates, empty for none.
    """

    def __init__(self, root: Path, tools: Tools, postgres: str = "", *, quick: str = "") -> None:
        self.root = root
        self.example = root / "examples" / "two-lane"
        self.postgres = postgres
        self.quick = quick
        self.tools = tools
        self.folder = root / ".demo" / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
        self.app = self.folder / "app"
        self.actions = self.folder / "actions"
        self.logs = self.folder / "logs"
        self.state = self.folder / "state"
        self.environment = {**tools.environment, "TWO_LANE_STATE": str(self.state)}

    def create(self) -> None:
        """Copy the example and the actions. Nothing is committed yet."""
        self.folder.mkdir(parents=True)
        self.state.mkdir()
        self.logs.mkdir()
        for name in tracked(self.example):
            target = self.app / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(self.example / name, target)
        if self.quick:
            described = self.app / ".github" / "cicd.yml"
            described.write_text(without_checks(described.read_text(encoding="utf-8")), encoding="utf-8")
        self.git("init", "--quiet", "--initial-branch=main")
        # act asks for it: the jobs' `github.repository` is made of it.
        self.git("remote", "add", "origin", "https://github.com/org/two-lane.git")
        self.run("uv", "lock", "--quiet", cwd=self.app / "apps" / "api")
        export(self.root, self.actions)

    def repositories(self) -> dict[str, Path]:
        """What act takes from this machine instead of from GitHub."""
        return {
            f"{REPOSITORY}@{PLACEHOLDER_SHA}": self.actions,
            **repositories([*files(self.app / WORKFLOW, self.actions), *self.actions.glob(".github/actions/*/action.yml")]),
        }

    def change(self, name: str) -> None:
        """Make one of the example's own changes in its work tree: `feature`, or one that breaks something."""
        self.run(sys.executable, "infra/local/break.py", name, cwd=self.app)

    def commit(self, message: str) -> str:
        self.git("add", "--all")
        identity = ["-c", "user.name=Demo", "-c", "user.email=demo@example.com"]
        self.git(*identity, "commit", "--quiet", "--message", message)
        return self.git("rev-parse", "HEAD").strip()

    def git(self, *words: str) -> str:
        return self.run("git", *words, cwd=self.app if self.app.exists() else self.folder)

    def tidy(self) -> None:
        """Remove what is large and can be made again; logs, reports and the copy of the example stay, for a few demos."""
        for name in ("act", "state/releases", "state/runtimes"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        for name in ("apps/api/.venv", "apps/web/node_modules"):
            shutil.rmtree(self.app / name, ignore_errors=True)
        others = sorted(path for path in self.folder.parent.iterdir() if path != self.folder)
        # One without a report was interrupted, or runs right now.
        finished = [path for path in others if (path / "report.md").is_file() or time.time() - path.stat().st_mtime > DAY]
        for path in finished[: max(0, len(finished) - KEPT)]:
            shutil.rmtree(path, ignore_errors=True)

    def run(self, *command: str, cwd: Path, variables: Mapping[str, str] | None = None) -> str:
        """What the program printed on stdout. *variables* come on top of the demo's own. Raises SetupError when it fails."""
        # A separate session: a second Ctrl-C at the terminal must not end the stopping of the environments.
        environment = {**self.environment, **(variables or {})}
        done = subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, start_new_session=True
        )
        if done.returncode:
            said = (done.stderr or done.stdout).strip()[-3000:]
            raise SetupError(f"`{' '.join(command)}` ended with {done.returncode}:\n{said}")
        return done.stdout


def tracked(folder: Path) -> list[str]:
    """The files of *folder* as git has them, with what is new and not ignored."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    if done.returncode:
        raise SetupError("The demo copies the files that git knows: run it in a clone of the repository.")
    return [name for name in done.stdout.decode().split("\0") if name and (folder / name).is_file()]


def without_checks(pipeline: str) -> str:
    """Returns the pipeline file with one check in each lane that does nothing: the checks take most of a demo's time."""
    described = yaml.safe_load(pipeline)
    for lane in described["lanes"].values():
        lane["checks"] = {"none": "true"}
    return yaml.safe_dump(described, sort_keys=False)


def answer(url: str) -> tuple[int, bytes, Mapping[str, str]]:
    """Status, body and headers (names in lower case) of a GET to a local address; status 0 when nothing answers."""
    request = urllib.request.Request(url)  # noqa: S310 - the demo's own addresses
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as response:
            return response.status, response.read(), {name.lower(): value for name, value in response.headers.items()}
    except urllib.error.HTTPError as error:
        return error.code, error.read(), {}
    except OSError:
        return 0, b"", {}
