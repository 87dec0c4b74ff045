"""On a real Docker Engine, plain and as a Swarm: the program in an image, its environment, its end."""

from __future__ import annotations

import secrets
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.harness.alembic_project import Project
from tests.harness.migrating_image import Release, release_with_alembic
from tests.harness.postgres import PASSWORD
from tests.harness.stack import Images
from tests.integration.run_migrations_oneshot.conftest import Database, Migrating

pytestmark = [pytest.mark.docker, pytest.mark.postgres, pytest.mark.network]


@pytest.fixture(scope="session")
def release(images: Images, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    with release_with_alembic(images, tmp_path_factory.mktemp("image")) as made:
        yield made


@pytest.fixture(params=["docker", pytest.param("swarm", marks=pytest.mark.swarm)])
def engine(request: pytest.FixtureRequest) -> str:
    if request.param == "swarm":
        request.getfixturevalue("swarm")
    return str(request.param)


@pytest.fixture
def nothing(tmp_path: Path) -> Project:
    """The project is in the image."""
    return Project(tmp_path / "nothing")


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_applies_from_an_image_of_the_example(
    engine: str, driver: str, database: Database, release: Release, nothing: Project, migrate: Migrating
) -> None:
    inputs: dict[str, Any] = {"engine": engine, "image": release.image, "working_directory": "/projects/api", "job_command": ""}
    url = database.url(driver, host=release.host)

    first = migrate(nothing, url, **inputs)
    second = migrate(nothing, url, **inputs)

    assert (first.status, first.applied) == ("applied", ["0001", "0002", "0003", "0004", "0005"]), first.text + first.log
    assert second.status == "up-to-date"
    assert database.revision == ["0005"]
    assert release.left() == []
    assert f"Image: {release.image}" in first.text


def test_a_failing_migration(engine: str, database: Database, release: Release, nothing: Project, migrate: Migrating) -> None:
    ended = migrate(
        nothing,
        database.url("psycopg", host=release.host),
        engine=engine,
        image=release.image,
        working_directory="/projects/failing",
        job_command="",
    )

    assert (ended.status, ended.applied) == ("failed", ["r1"]), ended.text + ended.log
    assert 'relation "nowhere" does not exist' in ended.report.headline
    assert "Nothing of r2 stays" in ended.text
    assert "Traceback (most recent call last" in ended.text
    assert release.left() == []


def test_the_time_is_over(engine: str, database: Database, release: Release, nothing: Project, migrate: Migrating) -> None:
    ended = migrate(
        nothing,
        database.url("psycopg", host=release.host),
        engine=engine,
        image=release.image,
        working_directory="/projects/slow",
        job_command="",
        timeout="2s",
    )

    assert (ended.status, ended.verdict) == ("failed", "fail"), ended.text + ended.log
    assert ended.report.headline.startswith("The deadline passed: migration r")
    assert database.sessions == 0, ended.text + ended.log
    assert release.left() == []


def test_cancelled(engine: str, database: Database, release: Release, nothing: Project, migrate: Migrating) -> None:
    program = migrate.start(
        nothing,
        database.url("psycopg", host=release.host),
        engine=engine,
        image=release.image,
        working_directory="/projects/slow",
        job_command="",
        env="API_TOKEN",
        variables={"API_TOKEN": "tok-1234567890"},
    )
    program.log.until("r2 Do r2", 90)
    database.until("EXISTS (SELECT FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)' AND state = 'active')")
    running = release.left()
    assert len(running) == 1
    inspected = running[0].attrs
    for place in ("Args", "Path"):
        assert "tok-1234567890" not in str(inspected[place])
        assert PASSWORD not in str(inspected[place])
    assert PASSWORD not in str(inspected["Config"]["Labels"])

    program.signal(signal.SIGINT)

    # How long that takes is in benchmarks/migrations.py.
    assert program.wait() == 130, program.log.getvalue()
    assert program.outputs["reason"].endswith(
        "Migration r2 was running. Its session in the database was ended."
        " The database is at r1 (base (nothing applied) → r1). Nothing of r2 stays."
    ), program.log.getvalue()
    assert database.sessions == 0
    assert release.left() == []


def test_the_environment_of_the_service(database: Database, release: Release, nothing: Project, migrate: Migrating) -> None:
    network = release.client.networks.create(f"m{secrets.token_hex(4)}", driver="bridge")
    network.reload()
    host = network.attrs["IPAM"]["Config"][0]["Gateway"]
    name = f"api{secrets.token_hex(4)}"
    url = database.url("psycopg", host=host)
    service = release.client.containers.run(
        release.image, ["sleep", "600"], name=name, detach=True, network=network.name, environment={"DATABASE_URL": url}
    )
    try:
        ended = migrate(nothing, "", engine="docker", image=release.image, service=name, job_command="")
    finally:
        service.remove(force=True)
        network.remove()
    assert (ended.status, ended.applied) == ("applied", ["r1", "r2"]), ended.text + ended.log
    assert PASSWORD not in ended.text + ended.log


def test_a_service_that_is_not_there_yet(database: Database, release: Release, nothing: Project, migrate: Migrating) -> None:
    url = database.url("psycopg", host=release.host)
    ended = migrate(nothing, url, engine="docker", image=release.image, service=f"no{secrets.token_hex(4)}", job_command="")
    assert (ended.status, ended.applied) == ("applied", ["r1", "r2"]), ended.text + ended.log
    assert "There is no service" in ended.log


def test_an_image_without_alembic(
    engine: str, database: Database, release: Release, nothing: Project, migrate: Migrating
) -> None:
    ended = migrate(nothing, database.url(host=release.host), engine=engine, image=release.bare, job_command="")
    assert (ended.status, ended.verdict) == ("failed", "fail")
    assert ended.report.headline == "The image has no Alembic.", ended.text + ended.log


def test_a_launcher_that_the_image_does_not_have(
    engine: str, database: Database, release: Release, nothing: Project, migrate: Migrating
) -> None:
    ended = migrate(
        nothing,
        database.url(host=release.host),
        engine=engine,
        image=release.image,
        job_command="",
        command="no-such-launcher run alembic upgrade head",
    )
    assert (ended.status, ended.verdict) == ("failed", "fail")
    assert "no-such-launcher" in ended.text + ended.log


def test_an_image_that_is_missing(
    engine: str, database: Database, release: Release, nothing: Project, migrate: Migrating
) -> None:
    missing = release.image.partition("@")[0] + "@sha256:" + "0" * 64
    ended = migrate(nothing, database.url(host=release.host), engine=engine, image=missing, job_command="")
    assert (ended.status, ended.verdict) == ("failed", "fail")
    assert ended.report.findings[0].rule == "run-migrations-oneshot/image-missing"


def test_an_engine_that_does_not_answer(database: Database, release: Release, nothing: Project, migrate: Migrating) -> None:
    ended = migrate(
        nothing,
        database.url(),
        engine="docker",
        image=release.image,
        job_command="",
        variables={"DOCKER_HOST": "tcp://127.0.0.1:9", "CICD_ACTIONS_TESTS": "1"},
    )
    assert (ended.status, ended.verdict) == ("failed", "inconclusive")


def test_two_jobs_at_once(database: Database, release: Release, nothing: Project, migrate: Migrating) -> None:
    url = database.url("psycopg", host=release.host)

    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(lambda _: migrate(nothing, url, engine="docker", image=release.image, job_command=""), range(2)))

    assert [one.verdict for one in runs] == ["pass", "pass"], [one.text + one.log for one in runs]
    assert sorted(one.applied for one in runs) == [[], ["r1", "r2"]]
    assert release.left() == []
