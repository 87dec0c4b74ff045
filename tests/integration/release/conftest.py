from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.harness.release import ROOT, release


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of the project: what a release is made of is what is committed."""
    folder = tmp_path_factory.mktemp("clone") / "project"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", ROOT, folder], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def tree(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release") / "tree"
    release(clone, "build", "1.2.3", str(folder))
    return folder
