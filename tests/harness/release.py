"""Builds releases for the tests: what a release is made of is what is committed, so first there is a commit."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def release(repository: Path, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tools.release", *words],
        cwd=repository,
        capture_output=True,
        text=True,
        check=check,
        stdin=subprocess.DEVNULL,
    )


def git(repository: Path, *words: str) -> str:
    who = ["-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *who, "-C", repository, *words], capture_output=True, text=True, check=True).stdout.strip()


def released(folder: Path) -> Path:
    """The release tree of the work tree as it is, committed or not, built in `folder`."""
    source = folder / "source"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():  # not one that is deleted in the work tree only
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, source / name)
    git(folder, "init", "--quiet", str(source))
    git(source, "add", "--all", "--force")
    git(source, "commit", "--quiet", "--message", "as it is")
    release(source, "build", "0.0.0", str(folder / "tree"))
    return folder / "tree"
