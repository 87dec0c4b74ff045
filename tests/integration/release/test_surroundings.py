"""The built tree under surroundings that are not kind: no network, poisoned variables and folders, nothing writable.

Each run happens in a mount namespace in which the tree is read-only, and in a network namespace with nothing but loopback.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.release import ROOT
from tools.pythons import available

NAMES = sorted(path.parent.name for path in ROOT.glob("actions/*/action.yml"))
POISON = "raise SystemExit('poisoned')"

# A service beside the gate, both in the empty network; then the gate itself, as the action's step starts it.
GATED = """
set -eu
ip link set lo up
mount --bind "$1" "$1"
mount -o remount,ro,bind "$1"
umask 077
python3 -I "$2" the-release "$RUNNER_TEMP/address" >/dev/null 2>&1 &
while [ ! -s "$RUNNER_TEMP/address" ]; do sleep 0.05; done
url=$(sed s/^url=// "$RUNNER_TEMP/address")
set +e
export INPUTS="{\\"url\\": \\"$url/ready\\", \\"expect-version\\": \\"the-release\\", \\"timeout\\": \\"20s\\"}"
"$1/bin/cicd-actions" health-gate
code=$?
kill %1
exit $code
"""
HELP = """
set -eu
mount --bind "$1" "$1"
mount -o remount,ro,bind "$1"
umask 077
exec "$1/bin/cicd-actions" "$2" --help
"""


OWN = (sys.version_info[0], sys.version_info[1])
PYTHONS = {f"{major}.{minor}": path for (major, minor), path in sorted({**available(), OWN: Path(sys.executable)}.items())}
"""Every supported Python available, one of each version; at least the one that runs the tests."""


class Job:
    """A job's folders, with a tree whose path has spaces and letters beyond ASCII, and everything poisoned."""

    def __init__(self, folder: Path, tree: Path, python: Path) -> None:
        self.tree = folder / "_actions with späces" / "cicd-actions"
        shutil.copytree(tree, self.tree)
        self.workspace, self.temporary, tools = folder / "work tree", folder / "temp", folder / "tools"
        for made in (self.workspace, self.temporary, tools):
            made.mkdir()
        (tools / "python3").symlink_to(python)
        for name in ("httpx", "github", "docker", "yaml", "h11", "cicd_actions", "sitecustomize", "usercustomize", "startup"):
            (self.workspace / f"{name}.py").write_text(POISON)
        self.files = {
            name: self.temporary / name for name in ("GITHUB_ENV", "GITHUB_PATH", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")
        }
        for file in self.files.values():
            file.write_text("")
        poisoned = str(self.workspace)
        self.variables = {
            "PATH": f"{tools}:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(folder / "no such home"),
            "LC_ALL": "C",
            "GITHUB_ACTIONS": "true",
            "RUNNER_TEMP": str(self.temporary),
            "PYTHONPATH": poisoned,
            "PYTHONHOME": "/nonexistent",
            "PYTHONSTARTUP": f"{poisoned}/startup.py",
            "PYTHONUSERBASE": poisoned,
            "PYTHONINSPECT": "1",
            "PYTHONWARNINGS": "error",
            "VIRTUAL_ENV": poisoned,
            "UV_PROJECT": poisoned,
            "UV_PYTHON": "/nonexistent",
            "PIP_TARGET": poisoned,
            "PIP_REQUIRE_VIRTUALENV": "1",
            **{name: str(file) for name, file in self.files.items()},
        }

    def run(self, script: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
        namespaces = ["unshare", "--net", "--mount", "--propagation", "private"]
        return subprocess.run(
            [*namespaces, "bash", "-c", script, "bash", self.tree, *words],
            cwd=self.workspace,
            env=self.variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def untouched(self) -> None:
        assert not Path(self.variables["HOME"]).exists()
        assert {path.name for path in self.workspace.iterdir() if path.read_text() != POISON} == set()
        assert all(self.files[name].read_text() == "" for name in ("GITHUB_ENV", "GITHUB_PATH"))


@pytest.fixture(params=list(PYTHONS))
def job(request: pytest.FixtureRequest, tmp_path: Path, tree: Path) -> Job:
    if os.geteuid() != 0:
        pytest.skip("namespaces are made by root only")
    return Job(tmp_path, tree, PYTHONS[request.param])


def test_promise_nothing_of_the_jobs_surroundings_is_changed(job: Job) -> None:
    done = job.run(GATED, ROOT / "tests" / "self_test" / "server.py")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "health-gate: pass" in done.stdout
    assert "verdict<<" in job.files["GITHUB_OUTPUT"].read_text()
    job.untouched()


def test_every_action_starts(job: Job) -> None:
    for name in NAMES:
        done = job.run(HELP, name)
        assert (done.returncode, done.stderr) == (0, ""), name
        assert done.stdout.startswith(f"usage: cicd-actions {name}")
    job.untouched()


@pytest.mark.parametrize(("url", "rule"), [("https://api.example.com/", "unresolved"), ("http://192.0.2.1/", "no-network")])
def test_an_action_that_needs_the_network_says_so(tmp_path: Path, tree: Path, url: str, rule: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("namespaces are made by root only")
    job = Job(tmp_path, tree, Path(sys.executable))
    job.variables["INPUTS"] = json.dumps({"url": url, "timeout": "1s"})
    done = job.run('"$1/bin/cicd-actions" health-gate')
    assert done.returncode == 3
    assert f"health-gate/{rule}" in done.stdout
    assert "inconclusive" in job.files["GITHUB_OUTPUT"].read_text()
