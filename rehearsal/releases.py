"""Builds the releases of a rehearsal: the same app, each with its own migrations and its own fault."""

from __future__ import annotations

import io
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.harness.alembic_project import Project, python_with
from tests.harness.engine import BASE
from tests.harness.stack import Built, Images, new_sha

FOLDER = Path(__file__).parent / "image"
PACKAGES = ("alembic>=1.16", "sqlalchemy>=2.0.40", "psycopg[binary]>=3.2")
ALEMBIC = "python3 -m alembic"
"""How Alembic is started in the image."""

FIRST = """
op.create_table('items', sa.Column('id', sa.Integer, primary_key=True), sa.Column('name', sa.Text))
op.execute("INSERT INTO items (name) VALUES ('a thing')")
"""
"""The schema of the release that runs before."""

MIGRATIONS = {
    "": "op.add_column('items', sa.Column('note', sa.Text))",
    "slow": "op.execute('SELECT pg_sleep(4)')\nop.add_column('items', sa.Column('note', sa.Text))",
    "failing": "op.execute('ALTER TABLE items ADD COLUMN note text')\nop.execute('ALTER TABLE nowhere ADD COLUMN x int')",
    "dropping": "op.drop_column('items', 'name')",
}
"""The second migration, by kind. The usual one is an expand, as most are."""


def packages() -> Path:
    """Returns the folder of what the image needs beside Debian's Python. It is downloaded once."""
    return python_with(PACKAGES, "3.11", compiled=True).parent / "lib/python3.11/site-packages"


class Releases:
    """Builds and pushes releases. `repository` is the last part of the image's name."""

    def __init__(self, images: Images) -> None:
        self.images = images
        self._base = ""

    def build(
        self,
        name: str,
        variables: Mapping[str, str],
        migration: str | None = None,
        phase: str | None = None,
        *,
        push: bool = True,
    ) -> Built:
        """Builds a release with the fault's variables; `migration` is one of MIGRATIONS, `None` for the first schema alone."""
        sha = new_sha()
        tag = f"{self.images.prefix}/{name}:{sha}"
        recipe = [f"FROM {self._on()}", "COPY project /srv"]
        recipe += [f"LABEL org.opencontainers.image.revision={sha}", f"ENV VERSION={sha}"]
        recipe += [f"ENV {key}={value}" for key, value in variables.items()]
        with tempfile.TemporaryDirectory() as folder:
            project = Project(Path(folder, "project")).revision("r1", FIRST, message="Create the items")
            if migration is not None:
                project.revision("r2", MIGRATIONS[migration], message="Add a note", phase=phase)
            self._build("\n".join(recipe), tag, {"project": Path(folder, "project")})
        return Built(tag.rpartition(":")[0], sha, self.images.push(tag) if push else "")

    def _on(self) -> str:
        if not self._base:
            tag = f"{self.images.prefix}/base:1"
            recipe = (FOLDER / "Dockerfile").read_text().replace("${BASE}", BASE).replace("ARG BASE\n", "")
            self._build(recipe, tag, {"lib": packages(), "app.py": FOLDER / "app.py"})
            self.images.push(tag)
            self._base = tag
        return self._base

    def _build(self, recipe: str, tag: str, files: Mapping[str, Path]) -> None:
        context = io.BytesIO()
        with tarfile.open(fileobj=context, mode="w") as tar:
            entry = tarfile.TarInfo("Dockerfile")
            entry.size = len(recipe.encode())
            tar.addfile(entry, io.BytesIO(recipe.encode()))
            for name, path in files.items():
                tar.add(path, name, filter=lambda each: None if each.name.endswith("__pycache__") else each)
        self.images.send(context, tag, {})
