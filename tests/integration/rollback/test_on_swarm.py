"""Rollbacks on a real Swarm, with a real registry; GitHub is the stateful stand-in, PostgreSQL is PostgreSQL."""

from __future__ import annotations

import functools
import json
import secrets
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest

from tests.fakes.github import FakeGitHub, settings
from tests.fakes.github.openapi import document
from tests.harness import alembic_image
from tests.harness.alembic_project import Project
from tests.harness.load import Load
from tests.harness.postgres import Postgres, running
from tests.harness.releases import REPOSITORY
from tests.harness.site import Site
from tests.harness.stack import Built, Images, Stack

pytestmark = pytest.mark.swarm


@pytest.fixture
def site(tmp_path: Path, stack: Stack, images: Images) -> Iterator[Site]:
    with FakeGitHub(document=document()) as github:
        settings.repository(github, REPOSITORY)
        token = github.token(deployments="write", contents="read")
        yield Site(tmp_path, stack, images, github, token)


def test_under_load_not_one_request_fails(site: Site, images: Images) -> None:
    good, bad = images.app(), images.app()
    site.repository = good.repository
    site.serve(good)
    site.record(good, "pass")
    site.roll_out(bad)
    site.record(bad, "fail")
    with Load(site.url) as load:
        ended = site.roll_back()
    assert (ended.code, ended.verdict, ended.outputs["rolled-back"]) == (0, "pass", "true"), ended.log
    assert (ended.outputs["from-sha"], ended.outputs["to-sha"]) == (bad.sha, good.sha)
    assert not load.failures, load.failures
    assert set(load.answers) == {good.sha, bad.sha}
    assert site.stack.images_of("api") == {good.pinned}
    # The engine's own rollback was not armed: it would have led to the release that was left.
    spec = site.stack.client.services.get(f"{site.stack.name}_api").attrs["Spec"]
    assert spec["UpdateConfig"]["FailureAction"] != "rollback"
    assert spec["UpdateConfig"]["Order"] == "start-first"


def test_an_image_that_is_gone_stops_it_before_anything_moves(
    site: Site, images: Images, docker_client: docker.DockerClient
) -> None:
    good, bad = images.app(), images.app()
    site.repository = good.repository
    site.serve(good, replicas=1)
    site.record(good, "pass")
    site.roll_out(bad)
    site.record(bad, "fail")
    # As a registry's clean-up does: by digest, while the engine may still have a copy that another node has not.
    delete = [
        "curl",
        "-fsS",
        "-X",
        "DELETE",
        f"http://{images.registry}/v2/{good.repository.partition('/')[2]}/manifests/{good.digest}",
    ]
    subprocess.run(delete, check=True)
    for name in (good.tagged, good.pinned):
        subprocess.run(["docker", "image", "rm", "--force", name], check=False, capture_output=True)
    ended = site.roll_back()
    assert (ended.code, ended.verdict, ended.outputs["rolled-back"]) == (1, "fail", "false"), ended.log
    assert good.digest in ended.headline
    assert site.stack.images_of("api") == {bad.pinned}


def test_a_target_that_does_not_come_up_is_not_taken_back_itself(site: Site, images: Images) -> None:
    good, bad = images.app(), images.app(CRASH="1")
    site.repository = good.repository
    site.serve(good, replicas=1)
    # Recorded as good when it was: now it cannot start any more.
    site.record(bad, "pass")
    site.record(good, "fail")
    ended = site.roll_back(timeout="40s")
    assert (ended.code, ended.verdict, ended.outputs["rolled-back"]) == (1, "fail", "false"), ended.log
    assert ended.headline.endswith(" Begun, and not undone: api."), ended.headline
    assert "cannot start: no such table: items" in ended.summary
    assert (
        f"docker service update --with-registry-auth --label-add org.opencontainers.image.revision={bad.sha}" in ended.summary
    )
    assert f"--image {bad.pinned} {site.stack.name}_api" in ended.summary
    assert "What runs now" in ended.summary


@pytest.fixture(scope="module")
def postgres(swarm: docker.DockerClient) -> Iterator[tuple[Postgres, str]]:
    """A server that containers reach, and the address at which they do: the host's end of the Swarm's bridge."""
    host = swarm.networks.get("docker_gwbridge").attrs["IPAM"]["Config"][0]["Gateway"]
    with running(listen="0.0.0.0") as server:
        yield server, host


class Migrated(Site):
    """A site whose api has migrations, and its own database."""

    database: str
    server: Postgres
    address: str

    def upgrade(self, built: Built) -> None:
        """`alembic upgrade head` with the release's image, as the pipeline does before the roll-out."""
        words = ["docker", "run", "--rm", "--env", f"DATABASE_URL={self.address}", built.pinned]
        subprocess.run(
            [*words, *alembic_image.ALEMBIC.split(), "upgrade", "head"], check=True, capture_output=True, timeout=120
        )

    def columns(self) -> set[str]:
        query = "SELECT column_name FROM information_schema.columns WHERE table_name = 'items'"
        return {name for (name,) in self.server.sql(query, self.database)}

    def revision(self) -> str:
        return self.server.sql("SELECT version_num FROM alembic_version", self.database)[0][0]


@pytest.fixture
def migrated(site: Site, postgres: tuple[Postgres, str]) -> Migrated:
    server, host = postgres
    made = Migrated(site.folder, site.stack, site.images, site.github, site.token)
    made.server, made.database = server, f"d{secrets.token_hex(4)}"
    server.sql(f"CREATE DATABASE {made.database}")
    made.address = server.url(made.database, "psycopg", host=host)
    return made


FIRST = ("0001", 'op.execute("CREATE TABLE items (id int, name text)")', "")
EXPAND = ("0002", 'op.execute("ALTER TABLE items ADD COLUMN note text")', "")
CONTRACT = ("0003", 'op.execute("ALTER TABLE items DROP COLUMN name")', "contract")

Release = Callable[..., Built]


@pytest.fixture(scope="module")
def release(images: Images, tmp_path_factory: pytest.TempPathFactory) -> Release:
    """Makes a release with these revisions: id, what `upgrade` does, phase. Asked again it is the same one, unless `again`."""
    libraries = alembic_image.libraries(images)

    @functools.lru_cache(None)
    def make(*revisions: tuple[str, str, str], again: bool = False) -> Built:
        made = Project(tmp_path_factory.mktemp("project"))
        for revision, body, phase in revisions:
            made.revision(revision, body, phase=phase or None)
        return alembic_image.build(images, libraries, made.folder)

    return make


@pytest.mark.postgres
@pytest.mark.parametrize("recorded", [True, False])
def test_an_expand_migration_stays_applied(migrated: Migrated, release: Release, recorded: bool) -> None:
    old, new = release(FIRST), release(FIRST, EXPAND)
    migrated.repository = old.repository
    migrated.upgrade(old)
    # The service has the database's address, or it stands in the release's variables alone.
    line = f"DATABASE_URL={migrated.address}"
    migrated.serve(old, replicas=1, env=[line] if recorded else [])
    migrated.record(old, "pass", **({"database_revision": "0001"} if recorded else {}))
    migrated.upgrade(new)
    migrated.roll_out(new)
    applied = '[{"revision": "0002", "phase": "expand", "message": "Do 0002"}]'
    migrated.record(new, "fail", **({"revisions": applied, "database_revision": "0002"} if recorded else {}))
    file = {} if recorded else {"env_file_variable": "RELEASE_ENV"}
    ended = migrated.roll_back({"RELEASE_ENV": line}, schema_service="api", schema_command=alembic_image.ALEMBIC, **file)
    assert (ended.code, ended.verdict, ended.outputs["rolled-back"]) == (0, "pass", "true"), ended.log
    assert migrated.columns() == {"id", "name", "note"}
    assert migrated.revision() == "0002"
    plan = json.loads(Path(ended.outputs["plan"]).read_text())
    assert plan["migrations-that-stay"] == [{"revision": "0002", "phase": "expand", "message": "Do 0002"}]
    assert migrated.stack.images_of("api") == {old.pinned}
    assert not [each for each in migrated.stack.client.services.list() if "schema-guard" in each.name]


@pytest.mark.postgres
@pytest.mark.parametrize("recorded", [True, False])
def test_a_contract_migration_is_refused(migrated: Migrated, release: Release, recorded: bool) -> None:
    old = release(FIRST)
    safe, new = release(FIRST, EXPAND, CONTRACT), release(FIRST, EXPAND, CONTRACT, again=True)
    migrated.repository = old.repository
    migrated.upgrade(old)
    migrated.serve(old, replicas=1, env=[f"DATABASE_URL={migrated.address}"])
    migrated.record(old, "pass", **({"database_revision": "0001"} if recorded else {}))
    migrated.upgrade(safe)
    applied = '[{"revision": "0002", "phase": "expand"}, {"revision": "0003", "phase": "contract"}]'
    migrated.record(safe, "pass", **({"revisions": applied, "database_revision": "0003"} if recorded else {}))
    migrated.roll_out(new)
    migrated.record(new, "fail", **({"database_revision": "0003"} if recorded else {}))
    ended = migrated.roll_back(to_sha=old.sha, schema_service="api", schema_command=alembic_image.ALEMBIC)
    assert (ended.code, ended.verdict, ended.outputs["rolled-back"]) == (1, "fail", "false"), ended.log
    assert "0003" in ended.headline
    assert "contract migration" in ended.headline
    assert migrated.stack.images_of("api") == {new.pinned}
    assert migrated.revision() == "0003"
    assert (f"to-sha: {safe.sha}" in ended.log) == recorded
    # A release that knows the database's revision may be rolled back to.
    assert migrated.roll_back(schema_service="api", schema_command=alembic_image.ALEMBIC).outputs["to-sha"] == safe.sha
    assert migrated.stack.images_of("api") == {safe.pinned}
