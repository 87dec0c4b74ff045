"""The workflow files by GitHub's own schema, with npm's `@actions/workflow-parser`, and by act's."""

from __future__ import annotations

import fcntl
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from demo.export import export
from tools.release.server import for_server

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


SERVICES = re.compile(r"^( {4}services: )\$\{\{ .* \}\}$", re.MULTILINE)
"""A job's containers that come from the plan. GitHub takes an expression there (a maintainer names it in actions/runner#336);
its language server's converter and zizmor know a mapping only."""


def literal(file: Path, folder: Path) -> Path:
    """A copy of the file whose services are a mapping."""
    target = folder / file.relative_to(ROOT)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(
        SERVICES.sub(rf"\1{{db: {{image: postgres@sha256:{'0' * 64}}}}}", file.read_text(encoding="utf-8")), encoding="utf-8"
    )
    return target


@pytest.mark.node
@pytest.mark.network
def test_github_understands_every_workflow(validator: Path, tmp_path: Path) -> None:
    copies = [literal(file, tmp_path) for file in FILES]
    copies += servers(tmp_path / "server")
    assert problems(validator, *copies) == {str(file): [] for file in copies}


def servers(folder: Path) -> list[Path]:
    """The reusable workflows as the tree for an Enterprise Server has them."""
    found = []
    for file in FILES:
        if "workflow_call:" in (text := file.read_text(encoding="utf-8")):
            copy = literal(file, folder)
            copy.write_text(SERVICES.sub(r"\1{db: {image: postgres}}", for_server(text, f"corp/actions@{'1' * 40}")))
            found.append(copy)
    return found


def test_a_servers_tree_has_nothing_that_a_server_does_not_have(tmp_path: Path) -> None:
    found = servers(tmp_path)
    assert len(found) > 5
    for file in found:
        keys = file.read_text(encoding="utf-8")
        assert not re.search(r"uses: \$/|\n *(deployment: false|queue: max|overwrite: true)\n|artifact@(?!.*v3-)", keys), (
            file.name
        )


@pytest.mark.node
@pytest.mark.network
@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("timeout-minutes: 5", "time-limit: 5", "Unexpected value 'time-limit'"),
        ("inputs.config", "inputs2.config", "Unrecognized named-value: 'inputs2'"),
        ("needs: plan", "needs: nothing", "depends on unknown job 'nothing'"),
    ],
)
def test_and_would_say_if_it_did_not(validator: Path, tmp_path: Path, right: str, wrong: str, said: str) -> None:
    copy = literal(ROOT / ".github" / "workflows" / "verify.yml", tmp_path)
    text = copy.read_text(encoding="utf-8")
    assert right in text
    copy.write_text(text.replace(right, wrong))
    ((_, found),) = problems(validator, copy).items()
    assert any(said in message for message in found), found


def test_zizmor_finds_nothing_in_what_it_cannot_read_as_it_is(tmp_path: Path) -> None:
    """`make lint` audits the rest; a file whose services are an expression is passed over there, with a warning."""
    for file in [*(ROOT / ".github").rglob("*.yml")]:
        literal(file, tmp_path)
    program = shutil.which("zizmor") or str(Path(sys.executable).parent / "zizmor")
    command = [
        program,
        "--offline",
        "--persona",
        "pedantic",
        "--config",
        str(ROOT / ".github" / "zizmor.yml"),
        "--no-progress",
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "No findings to report" in done.stdout, done.stdout
    assert "failed to validate" not in done.stderr, done.stderr


def test_act_understands_every_workflow_as_it_is_exported(tmp_path: Path) -> None:
    export(ROOT, tmp_path)
    program = shutil.which("act") or str(Path(sys.executable).parent / "act")
    files = sorted((tmp_path / ".github" / "workflows").glob("*.yml"))
    assert files
    for file in files:
        done = subprocess.run([program, "--validate", "--strict", "-W", str(file)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{file.name}: {done.stderr}"
        assert "level=error" not in done.stderr
