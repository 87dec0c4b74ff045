"""An image of the tests' app with Alembic and a project of migrations in it."""

from __future__ import annotations

from pathlib import Path

from tests.harness.alembic_project import NEWEST, python_with
from tests.harness.engine import BASE
from tests.harness.stack import SOURCES, Built, Images, new_sha

# With its byte code: each start of Alembic would compile SQLAlchemy first, which takes ten times as long as the rest of it.
_LIBRARIES = f"FROM {BASE}\nCOPY lib /opt/lib\nENV PYTHONPATH=/opt/lib\n"

_RECIPE = """\
ARG LIBRARIES
FROM ${LIBRARIES}
COPY app.py /app.py
COPY project /srv
WORKDIR /srv
ARG SHA
LABEL org.opencontainers.image.revision=${SHA}
ENV VERSION=${SHA}
HEALTHCHECK --interval=500ms --timeout=30s --retries=3 CMD curl -fsS "http://127.0.0.1:8000/checked" || exit 1
CMD ["python3", "/app.py"]
"""

ALEMBIC = "python3 -m alembic"
"""How Alembic is started in the image."""


def libraries(images: Images) -> str:
    """Build what releases with Alembic stand on, on this engine only; its tag. The base image's Python is Debian's 3.11."""
    tag = f"{images.prefix}/libraries:1"
    environment = python_with(NEWEST, "3.11", compiled=True).parent
    images.make(tag, _LIBRARIES, {"lib": environment / "lib/python3.11/site-packages"}, {})
    return tag


def build(images: Images, on: str, project: Path, name: str = "app") -> Built:
    """Build and push a release whose migrations are in `project`, on an image with the libraries."""
    sha = new_sha()
    tag = f"{images.prefix}/{name}:{sha}"
    images.make(tag, _RECIPE, {"project": project, "app.py": SOURCES / "app.py"}, {"LIBRARIES": on, "SHA": sha})
    return Built(tag.rpartition(":")[0], sha, images.push(tag))
