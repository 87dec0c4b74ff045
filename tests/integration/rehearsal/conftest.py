from __future__ import annotations

from collections.abc import Iterator

import docker
import pytest

from rehearsal.world import World, beside
from tests.harness import postgres
from tests.harness.stack import Images


@pytest.fixture(scope="session")
def world(swarm: docker.DockerClient, images: Images) -> Iterator[World]:
    """The tests' engine, with a PostgreSQL."""
    with postgres.running(listen="0.0.0.0") as server, beside(swarm, images, server) as made:
        yield made
