"""`bin/cicd-actions` as a job starts it: on a copy of the checkout, under surroundings that are not kind to it."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def start(launcher: Path, *words: str, **variables: str) -> subprocess.Popen[str]:
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "REQUESTS_"))}
    kept |= {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    return subprocess.Popen(
        [launcher, *words],
        env=kept | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a source checkout needs, prepared by two starts at the same time."""
    folder = tmp_path_factory.mktemp("a checkout with späces")
    for part in ("bin", "src", "requirements"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    runs = [start(folder / "bin" / "cicd-actions", "--help") for _ in range(2)]
    for run in runs:
        out, err = run.communicate(timeout=300)
        assert (run.returncode, err) == (0, ""), "two starts at once both succeed, quietly"
        assert out.startswith("usage: cicd-actions NAME")
    return folder


def test_it_prepares_itself_once(checkout: Path) -> None:
    (prepared,) = (path for path in (checkout / ".cache" / "dependencies").iterdir() if path.is_dir())
    before = prepared.stat().st_mtime_ns
    run = start(checkout / "bin" / "cicd-actions", "--help", PIP_INDEX_URL="http://127.0.0.1:9/", PIP_NO_INDEX="1")
    run.communicate(timeout=60)
    assert run.returncode == 0, "the second start needs no installation"
    assert prepared.stat().st_mtime_ns == before


def test_it_is_found_through_a_link(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to(checkout / "bin" / "cicd-actions")
    (tmp_path / "two").symlink_to("one")
    run = start(tmp_path / "two", "--help")
    out, _ = run.communicate(timeout=60)
    assert out.startswith("usage:")


def test_a_hostile_environment_does_not_reach_it(checkout: Path, tmp_path: Path) -> None:
    poison = "raise SystemExit('poisoned')"
    for name in ("httpx.py", "github.py", "asyncio.py", "usercustomize.py", "sitecustomize.py", "startup.py"):
        (tmp_path / name).write_text(poison)
    files = {name: tmp_path / name for name in ("GITHUB_ENV", "GITHUB_PATH")}
    for file in files.values():
        file.write_text("")
    run = subprocess.run(
        [checkout / "bin" / "cicd-actions", "--help"],
        cwd=tmp_path,
        env={
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "HOME": str(tmp_path / "no-such-home"),
            "PYTHONPATH": str(tmp_path),
            "PYTHONSTARTUP": str(tmp_path / "startup.py"),
            "PYTHONHOME": "/nonexistent",
            "PYTHONDONTWRITEBYTECODE": "1",
            "VIRTUAL_ENV": str(tmp_path),
            "LC_ALL": "C",
            "RUNNER_TEMP": str(tmp_path / "runner temp"),
            **{name: str(file) for name, file in files.items()},
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert all(file.read_text() == "" for file in files.values())
    assert not (tmp_path / "no-such-home").exists()
    assert (tmp_path / "runner temp" / "cicd-actions-pycache").is_dir()


def test_no_python_is_one_clear_line(tmp_path: Path) -> None:
    for tool in ("sh", "readlink", "dirname"):
        found = shutil.which(tool)
        assert found
        (tmp_path / tool).symlink_to(found)
    run = subprocess.run(
        [ROOT / "bin" / "cicd-actions", "health-gate"], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert run.returncode == 2
    assert run.stderr.startswith("cicd-actions needs Python 3.10 or newer, and PATH has no python3")
    assert run.stderr.count("\n") == 1


def test_an_old_python_is_one_clear_line() -> None:
    launch = ROOT / "bin" / "launch.py"
    # The newest syntax that the oldest Python 3 in use (3.4, and later ones) understands.
    ast.parse(launch.read_text(), feature_version=(3, 4))
    pretend = f"import sys; sys.version_info = (3, 9, 1); exec(compile(open({str(launch)!r}).read(), {str(launch)!r}, 'exec'))"
    run = subprocess.run([sys.executable, "-I", "-S", "-c", pretend], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "needs Python 3.10 or newer" in run.stderr
    assert run.stderr.count("\n") == 1


def test_what_cannot_be_installed_is_said_and_leaves_nothing_half_made(tmp_path: Path) -> None:
    for part in ("bin", "src", "requirements"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    run = start(tmp_path / "bin" / "cicd-actions", "--help", PIP_NO_INDEX="1", PIP_FIND_LINKS="")
    out, err = run.communicate(timeout=120)
    assert (run.returncode, out) == (2, "")
    assert "its dependencies could not be installed" in err
    assert [path for path in (tmp_path / ".cache" / "dependencies").iterdir() if path.is_dir()] == []
