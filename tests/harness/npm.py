"""Fetches one file of an npm package, and keeps it between runs: schemas and libraries that serve the tests as oracles."""

from __future__ import annotations

import os
import tarfile
import tempfile
from pathlib import Path

from tests.harness.installing import fetched

ADAPTIVE_CARDS = ("adaptivecards@3.0.6", "package/dist/adaptivecards.js")
"""Microsoft's own reader of adaptive cards (MIT)."""

SARIF = ("@microsoft/jest-sarif@1.0.0-beta.0", "package/lib/schemas/sarif-2.1.0-rtm.5.json")
"""The schema of SARIF 2.1.0 (OASIS), as Microsoft packs it."""


def file(package: str, member: str) -> Path:
    """Returns the file's path, outside the tree. Raises `CalledProcessError` when npm cannot fetch the package."""
    path = Path(tempfile.gettempdir()) / f"cicd-actions-{package.replace('/', '-')}-{Path(member).name}"
    if not path.exists():
        with tempfile.TemporaryDirectory() as folder:
            fetched("npm", "pack", "--silent", package, cwd=Path(folder))
            (archive,) = Path(folder).glob("*.tgz")
            with tarfile.open(archive) as packed:
                content = packed.extractfile(member)
                assert content is not None
                partial = path.with_name(f"{path.name}.{os.getpid()}")
                partial.write_bytes(content.read())
        partial.replace(path)
    return path
