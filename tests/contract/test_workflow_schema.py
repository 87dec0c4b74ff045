"""The workflow files by GitHub's own schema, with npm's `@actions/workflow-parser`, and by act's."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from demo.export import export

ROOT = Path(__file__).resolve().parents[2]
FILES = [
    *(ROOT / ".github" / "workflows").glob("*.yml"),
    *(ROOT / "examples" / "two-lane" / ".github" / "workflows").glob("*.yml"),
]
PACKAGES = ["@actions/workflow-parser@0.3.61", "esbuild@0.28.2"]
SCRIPT = Path(__file__).parent / "workflow_schema" / "validate.mjs"


@pytest.fixture(scope="session")
def validator() -> Path:
    """GitHub's parser as one file for Node.js; made once below `.build`, because its package cannot be imported as it is."""
    folder = ROOT / ".build" / "workflow-parser-0.3.61"
    folder.mkdir(parents=True, exist_ok=True)
    bundle = folder / "validate.cjs"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "node_modules" / ".bin" / "esbuild").exists():
            npm = ["npm", "install", "--no-fund", "--no-audit", "--ignore-scripts", "--loglevel=error", "--prefix", str(folder)]
            subprocess.run([*npm, *PACKAGES], check=True, capture_output=True, timeout=300)
        shutil.copy(SCRIPT, folder / SCRIPT.name)
        bundler = [
            str(folder / "node_modules" / ".bin" / "esbuild"),
            SCRIPT.name,
            "--bundle",
            "--platform=node",
            "--format=cjs",
        ]
        subprocess.run([*bundler, f"--outfile={bundle}", "--log-level=error"], cwd=folder, check=True, timeout=60)
    return bundle


def problems(validator: Path, *files: Path) -> dict[str, list[str]]:
    done = subprocess.run(["node", str(validator), *map(str, files)], check=True, capture_output=True, text=True, timeout=60)
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


@pytest.mark.node
@pytest.mark.network
def test_github_understands_every_workflow(validator: Path) -> None:
    assert problems(validator, *FILES) == {str(file): [] for file in FILES}


@pytest.mark.node
@pytest.mark.network
@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("timeout-minutes: 5", "time-limit: 5", "Unexpected value 'time-limit'"),
        ("inputs.api-directory", "inputs2.api-directory", "Unrecognized named-value: 'inputs2'"),
        ("needs: changes", "needs: nothing", "depends on unknown job 'nothing'"),
    ],
)
def test_and_would_say_if_it_did_not(validator: Path, tmp_path: Path, right: str, wrong: str, said: str) -> None:
    text = (ROOT / ".github" / "workflows" / "two-lane.yml").read_text(encoding="utf-8")
    assert right in text
    (tmp_path / "wrong.yml").write_text(text.replace(right, wrong))
    ((_, found),) = problems(validator, tmp_path / "wrong.yml").items()
    assert any(said in message for message in found), found


def test_act_understands_every_workflow_as_it_is_exported(tmp_path: Path) -> None:
    export(ROOT, tmp_path)
    program = shutil.which("act") or str(Path(sys.executable).parent / "act")
    files = sorted((tmp_path / ".github" / "workflows").glob("*.yml"))
    assert files
    for file in files:
        done = subprocess.run([program, "--validate", "--strict", "-W", str(file)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{file.name}: {done.stderr}"
        assert "level=error" not in done.stderr
