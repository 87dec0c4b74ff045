"""One environment of a rehearsal: two replicas behind a proxy on a Swarm, their database, and what GitHub has on record."""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import docker.types

from cicd_actions.github.proof import Trust
from cicd_actions.github.release_record import Record, Run, Task, now
from cicd_actions.pipeline import release_settings
from cicd_actions.pipeline.event import Event
from cicd_actions.pipeline_file import reading
from cicd_actions.pipeline_file.model import Pipeline
from rehearsal.faults import Fault
from rehearsal.releases import ALEMBIC
from rehearsal.world import World
from tests.fakes.github import FakeGitHub, deployments, settings
from tests.harness import staged
from tests.harness.releases import KEY, REPOSITORY
from tests.harness.stack import Built, Stack, fetch

ENVIRONMENT = "staging"
MEMORY = 120 * 1024 * 1024
SECOND = 1_000_000_000
SCHEMA = (
    "CREATE TABLE items (id serial PRIMARY KEY, name text)",
    "INSERT INTO items (name) VALUES ('a thing')",
    "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)",
    "INSERT INTO alembic_version VALUES ('r1')",
)


@dataclass
class Place:
    """`old` is what ran before: it passed its gate, and is recorded. `url` is where clients ask."""

    world: World
    stack: Stack
    inner: staged.Place
    database: str
    github: FakeGitHub
    old: Built

    @property
    def url(self) -> str:
        return self.inner.url.rstrip("/")

    @property
    def service(self) -> str:
        """The service's whole name on the engine."""
        return f"{self.stack.name}_{self.inner.service}"

    @property
    def database_url(self) -> str:
        return self.world.postgres.url(self.database, "psycopg", host=self.world.gateway)

    def recorded(self) -> None:
        """Has GitHub know the old release, which passed its gate."""
        number = len(deployments.kept(self.github, REPOSITORY).runs) + 1
        deployments.run(self.github, REPOSITORY, number, self.old.sha)
        images = {self.inner.service: self.old.pinned}
        passed = Record(
            Task.PASSED, REPOSITORY, ENVIRONMENT, self.old.sha, images, verdict="pass", at=now(), run=Run(str(number))
        )
        payload = Trust(key=KEY.encode(), repository="1").signed(passed)
        deployments.other_tool(
            self.github,
            REPOSITORY,
            ENVIRONMENT,
            self.old.sha,
            task=passed.task.value,
            payload=payload,
            creator="github-actions[bot]",
        )

    def settings(self, fault: Fault, release: Built) -> dict[str, Any]:
        """Returns what the plan of a pipeline file hands to the deploy of this environment."""
        pipeline = self.pipeline(fault, release)
        assert pipeline.release is not None  # see `pipeline`
        return release_settings.environments(pipeline, pipeline.release, self.event(release))[0]

    @staticmethod
    def event(release: Built) -> Event:
        """Returns the push of a release's commit."""
        return Event("push", "refs/heads/main", release.sha, REPOSITORY, "main")

    def pipeline(self, fault: Fault, release: Built) -> Pipeline:
        """Returns the pipeline file of a team that deploys to this environment."""
        targets = str(fault.release.get("stage-targets", "")).replace("SERVICE", self.inner.service)
        health = {"path": "/health/ready", "expect-json": '$.status == "ok"', "version-from": "json:$.version", "replicas": "2"}
        written: dict[str, Any] = {
            "version": 1,
            "lanes": {"api": {"checks": {"test": "true"}}},
            "images": {"api": {"repository": release.repository, "command": "true"}},
            "services": {self.inner.service: {"image": "api", "health": {**health, **fault.health}}},
            "release": {
                "engine": "swarm",
                "stack": self.stack.name,
                "monitor": "2s",
                "proxy": "proxy",
                "proxy-socket": staged.SOCKET,
                "roll-out-timeout": "60s",
                "gate": {"timeout": "15s", "stable-for": "4s"},
                **fault.release,
                **({"stage-targets": targets} if targets else {}),
                "urls": {self.inner.service: self.url},
                "environments": [{"name": ENVIRONMENT, "rehearse": True}, {"name": "production"}],
            },
        }
        if fault.migration is not None:
            command = f"{ALEMBIC} upgrade head"
            migrate = {"service": self.inner.service, "command": command, "schema-command": ALEMBIC, "timeout": "30s"}
            written["release"]["migrate"] = migrate
        return reading.parse(json.dumps(written))

    def serving(self, new: Built) -> str:
        """Returns which release runs and answers: `old`, `new`, or what else is there."""
        images = {task["Spec"]["ContainerSpec"]["Image"] for task in self.stack.tasks(self.inner.service)}
        up = self.stack.up(self.inner.service)
        answers = {fetch(self.inner.url) for _ in range(12)}
        if images == {self.old.pinned} and up == 2 and answers == {self.old.sha}:
            return "old"
        if images == {new.pinned} and up == 2 and answers == {new.sha}:
            return "new"
        names = {self.old.pinned: "old", new.pinned: "new"}
        running = "+".join(sorted(names.get(image, image) for image in images))
        told = ", ".join(sorted(answer[:12] if answer in (self.old.sha, new.sha) else answer for answer in answers))
        return f"{up} {'replica' if up == 1 else 'replicas'} of {running}, which answer {told[:120]}"

    def runs_old(self) -> bool:
        """Whether the engine runs the old release alone, and wants nothing else."""
        tasks = self.stack.tasks(self.inner.service)
        up = [task for task in tasks if task["Status"]["State"] == "running"]
        images = {task["Spec"]["ContainerSpec"]["Image"] for task in tasks}
        return images == {self.old.pinned} and len(up) == len(tasks) == 2

    def whole(self) -> bool:
        """Whether as many replicas run as are wanted."""
        return self.stack.up(self.inner.service) == len(self.stack.tasks(self.inner.service)) == 2

    def moving(self) -> bool:
        """Whether the engine still changes the service."""
        state = (self.world.client.services.get(self.service).attrs.get("UpdateStatus") or {}).get("State", "")
        return state in {"updating", "rollback_started"}

    def left(self) -> list[str]:
        """Returns what is there that a deploy should have removed."""
        client, name = self.world.client, self.stack.name
        kept = {self.service, f"{name}_proxy"}
        found = [f"service {each.name}" for each in client.services.list(filters={"name": name}) if each.name not in kept]
        joined = client.containers.list(all=True, ignore_removed=True, filters={"network": self.world.network})
        ours = [each for each in joined if self.database in str(each.attrs["Config"]["Env"])]
        found += [f"container {each.name}" for each in ours if "com.docker.swarm.service.name" not in each.labels]
        found += [f"volume {each.name}" for each in client.volumes.list() if name in each.name]
        found += [f"secret {each.name}" for each in client.secrets.list() if name in each.name]
        asked = "SELECT application_name, state FROM pg_stat_activity WHERE datname = current_database()"
        sessions = self.world.postgres.sql(f"{asked} AND pid <> pg_backend_pid() AND application_name <> 'app'", self.database)
        found += [f"session {' '.join(each)}" for each in sessions]
        locks = "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database WHERE locktype = 'advisory'"
        ((count,),) = self.world.postgres.sql(f"{locks} AND d.datname = current_database()", self.database)
        found += [f"{count} advisory locks"] if count != "0" else []
        kept_records = deployments.kept(self.github, REPOSITORY)
        for each in kept_records.deployments:
            states = [status["state"] for status in kept_records.statuses.get(each["id"], [])]
            if each["task"] == Task.DEPLOY.value and (not states or states[-1] == "in_progress"):
                found.append("record without an end")
        return found


@contextlib.contextmanager
def made(world: World, old: Built) -> Iterator[Place]:
    """Yields an environment that runs `old`, and is gone with the block."""
    database = f"d{secrets.token_hex(4)}"
    world.postgres.sql(f"CREATE DATABASE {database}")
    world.postgres.sql("; ".join(SCHEMA), database)
    stack = Stack(world.client, world.images, world.network)
    update = docker.types.UpdateConfig(parallelism=1, order="start-first", failure_action="rollback", monitor=2 * SECOND)
    url = world.postgres.url(database, "psycopg", host=world.gateway)
    try:
        with FakeGitHub() as github:
            settings.repository(github, REPOSITORY)
            settings.environment(github, REPOSITORY, ENVIRONMENT)
            inner = staged.on_swarm(
                stack,
                world.images,
                old.pinned,
                env=["SLOT={{.Task.Slot}}", f"DATABASE_URL={url}"],
                labels={"org.opencontainers.image.revision": old.sha},
                resources=docker.types.Resources(mem_limit=MEMORY),
                update_config=update,
                rollback_config=docker.types.RollbackConfig(parallelism=1, order="start-first", monitor=SECOND),
                restart_policy=docker.types.RestartPolicy("any", delay=SECOND),
            )
            place = Place(world, stack, inner, database, github, old)
            place.recorded()
            yield place
    finally:
        stack.close()
        with contextlib.suppress(Exception):
            world.postgres.sql(f"DROP DATABASE {database} WITH (FORCE)")
