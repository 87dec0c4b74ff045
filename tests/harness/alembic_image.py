"""An image of the tests' app with Alembic and a project of migrations in it."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from tests.harness.alembic_project import NEWEST, python_with
from tests.harness.engine import BASE
from tests.harness.stack import SOURCES, Built, Images, new_sha

_RECIPE = """\
ARG BASE
FROM ${BASE}
COPY lib /opt/lib
ENV PYTHONPATH=/opt/lib
COPY app.py /app.py
COPY project /srv
WORKDIR /srv
ARG SHA
LABEL org.opencontainers.image.revision=${SHA}
ENV VERSION=${SHA}
HEALTHCHECK --interval=500ms --timeout=5s --retries=3 CMD curl -fsS "http://127.0.0.1:8000/health" || exit 1
CMD ["python3", "/app.py"]
"""

ALEMBIC = "python3 -m alembic"
"""How Alembic is started in the image."""


def build(images: Images, project: Path, name: str = "app") -> Built:
    """Build and push a release whose migrations are in `project`. The base image's Python is Debian's 3.11."""
    sha = new_sha()
    tag = f"{images.prefix}/{name}:{sha}"
    packages = python_with(NEWEST, "3.11").parent / "lib/python3.11/site-packages"
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        recipe = tarfile.TarInfo("Dockerfile")
        recipe.size = len(_RECIPE)
        tar.addfile(recipe, io.BytesIO(_RECIPE.encode()))
        tar.add(packages, "lib", filter=lambda entry: None if entry.name.endswith("__pycache__") else entry)
        tar.add(project, "project")
        tar.add(SOURCES / "app.py", "app.py")
    images.send(context, tag, {"BASE": BASE, "SHA": sha})
    return Built(tag.rpartition(":")[0], sha, images.push(tag))
