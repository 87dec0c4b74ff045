"""An image with Alembic, every driver, and several projects; built once, from the base image and wheels."""

from __future__ import annotations

import io
import secrets
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker

from tests.harness.alembic_project import NEWEST, ROOT, Project
from tests.harness.engine import BASE
from tests.harness.installing import fetched, uv
from tests.harness.stack import Images
from tests.harness.warm_python import ALEMBIC

EXAMPLE = ROOT / "examples/two-lane/apps/api"
TABLE = "op.create_table('items', sa.Column('id', sa.Integer, primary_key=True))"
INDEX = (
    "with op.get_context().autocommit_block():\n    op.create_index('ix_items', 'items', ['id'], postgresql_concurrently=True)"
)


@dataclass(frozen=True)
class Release:
    """An image with Alembic and projects in `/projects`, `api` being the example's. `bare` has Python only. `host` is how
    containers see this machine."""

    image: str
    bare: str
    host: str
    client: docker.DockerClient

    def left(self) -> list[Any]:
        """Jobs of these images that are still there."""
        listed = self.client.containers.list(all=True, ignore_removed=True)
        return [one for one in listed if one.attrs["Config"]["Image"] in {self.image, self.bare}]


@contextmanager
def release_with_alembic(images: Images, folder: Path) -> Iterator[Release]:
    """Build and push it; removed from the engine at the end. `folder` is empty, and the build's context."""
    Project(_new(folder / "projects/sync")).revision("r1", TABLE).revision("r2", INDEX, message="Index the items")
    Project(_new(folder / "projects/slow")).revision("r1", TABLE).revision("r2", "op.execute('SELECT pg_sleep(600)')")
    Project(_new(folder / "projects/failing")).revision("r1", TABLE).revision(
        "r2", "op.execute('ALTER TABLE nowhere ADD x int')"
    )
    # For the base image's Python, whatever runs these tests.
    words = [uv(), "pip", "install", "--quiet", "--target", str(folder / "site"), "--python-version", "3.11"]
    words += ["--python-platform", "x86_64-unknown-linux-gnu", "--only-binary", ":all:", *NEWEST]
    fetched(*words, "-r", str(EXAMPLE / "pyproject.toml"), "--extra", "psycopg")
    shutil.copytree(EXAMPLE / "src/two_lane_api", folder / "site/two_lane_api", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(EXAMPLE / "alembic.ini", _new(folder / "projects/api"))
    (folder / "Dockerfile").write_text(
        f"FROM {BASE}\nCOPY site /usr/local/lib/python3.11/dist-packages\nCOPY projects /projects\nWORKDIR /projects/sync\n"
        # What Alembic imports is compiled once, or each job would do it.
        f"RUN useradd app && python3 -c 'import {', '.join(ALEMBIC)}, two_lane_api'\nUSER app\n"
    )
    client = images.client
    prefix = f"{images.registry}/m{secrets.token_hex(3)}"
    pinned = {}
    for name, path in (("app", folder), ("bare", None)):
        tag = f"{prefix}/{name}:1"
        if path is None:
            client.images.get(BASE).tag(tag)
        else:
            context = io.BytesIO()
            with tarfile.open(fileobj=context, mode="w") as tar:
                tar.add(path, arcname=".")
            context.seek(0)
            client.images.build(fileobj=context, custom_context=True, tag=tag, rm=True, forcerm=True)
        pinned[name] = f"{prefix}/{name}@{images.push(tag)}"
    gateway = client.networks.get("bridge").attrs["IPAM"]["Config"][0].get("Gateway", "172.17.0.1")
    try:
        yield Release(pinned["app"], pinned["bare"], gateway, client)
    finally:
        for name in pinned:
            client.images.remove(f"{prefix}/{name}:1", force=True)


def _new(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder
