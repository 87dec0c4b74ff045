"""Builds images from a Dockerfile of this folder and files of anywhere, and pushes them."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import docker

from demo.tools import SetupError

FOLDER = Path(__file__).parent
LABEL = "org.cicd-actions.demo"
"""Of which demo an image or a container is. What is built on an image that has it has it too."""


def build(
    client: docker.DockerClient,
    kind: str,
    tag: str,
    files: Mapping[str, Path],
    arguments: Mapping[str, str],
    labels: Mapping[str, str],
    *,
    network: str = "none",
) -> None:
    """Build `<kind>.Dockerfile` with these files and folders, by their names in the context. Raises SetupError.

    `network` is the engine's network that its steps may use.
    """
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        for name, path in {"Dockerfile": FOLDER / f"{kind}.Dockerfile", **files}.items():
            tar.add(path, arcname=name)
    context.seek(0)
    said: list[str] = []
    steps = client.api.build(
        fileobj=context,
        custom_context=True,
        tag=tag,
        rm=True,
        forcerm=True,
        decode=True,
        buildargs=dict(arguments),
        labels=dict(labels),
        network_mode=network,
    )
    for step in steps:
        said.append(step.get("stream", ""))
        if "error" in step:
            raise SetupError(f"The image {tag} could not be built: {step['error']}\n{''.join(said)[-2000:]}")


def push(client: docker.DockerClient, tag: str) -> str:
    """Push it; the digest that the registry gave. Raises SetupError."""
    repository, _, name = tag.rpartition(":")
    for step in client.api.push(repository, tag=name, stream=True, decode=True):
        if "error" in step:
            raise SetupError(f"{tag} could not be pushed: {step['error']}")
        if digest := (step.get("aux") or {}).get("Digest"):
            return str(digest)
    raise SetupError(f"{tag} was pushed, and the registry gave no digest")
