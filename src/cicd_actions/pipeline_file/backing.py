"""Containers that lanes need: what is known of usual images, and what the runner is told to start."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from cicd_actions.pipeline_file.lanes import Backing


@dataclass(frozen=True)
class Known:
    """An image that many use: its port, a command that succeeds once it is ready, and what it needs to start."""

    port: int
    health: str
    env: Mapping[str, str] = field(default_factory=dict)


_MYSQL = {"MYSQL_ALLOW_EMPTY_PASSWORD": "yes", "MARIADB_ALLOW_EMPTY_ROOT_PASSWORD": "yes"}
KNOWN: Mapping[str, Known] = {
    "postgres": Known(5432, "pg_isready --username postgres", {"POSTGRES_HOST_AUTH_METHOD": "trust"}),
    "pgvector": Known(5432, "pg_isready --username postgres", {"POSTGRES_HOST_AUTH_METHOD": "trust"}),
    "postgis": Known(5432, "pg_isready --username postgres", {"POSTGRES_HOST_AUTH_METHOD": "trust"}),
    "redis": Known(6379, "redis-cli ping"),
    "valkey": Known(6379, "valkey-cli ping"),
    "mysql": Known(3306, "mysqladmin ping --host 127.0.0.1", _MYSQL),
    "mariadb": Known(3306, "healthcheck.sh --connect --innodb_initialized", _MYSQL),
    "mongo": Known(27017, "mongosh --quiet --eval quit()"),
    "rabbitmq": Known(5672, "rabbitmq-diagnostics --quiet ping"),
}
"""By the last word of the repository: `docker.io/library/postgres:17` is `postgres`."""

UNQUOTABLE = re.compile(r"[\"\\`$\r\n]")
"""What would end, or change, the quotes around a health command: the runner splits the options of a container itself."""


def known(image: str) -> Known | None:
    """Returns what is known of an image, by its repository's last word."""
    repository = image.partition("@")[0]
    return KNOWN.get(repository.rpartition("/")[2].partition(":")[0])


def port(backing: Backing) -> int | None:
    """Returns the port of a container, `None` where neither the file nor the image tells it."""
    usual = known(backing.image)
    return int(backing.port) if backing.port else usual.port if usual else None


def container(backing: Backing) -> dict[str, object]:
    """Returns what GitHub's `services` says of the container. The runner chooses a free port of the machine."""
    usual = known(backing.image)
    found: dict[str, object] = {"image": backing.image, "ports": [f"{port(backing)}/tcp"]}
    if env := {**(usual.env if usual else {}), **backing.env}:
        found["env"] = env
    health = backing.health or (usual.health if usual else "")
    if health:
        pace = "--health-interval 2s --health-timeout 5s --health-retries 30"
        found["options"] = f'--health-cmd "{health}" {pace}'
    return found
