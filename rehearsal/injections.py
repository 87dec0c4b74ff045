"""What a fault injects into a trial, by name. Each is undone when the trial is over."""

from __future__ import annotations

import contextlib
import threading
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from docker import errors

from rehearsal.job import Job
from rehearsal.place import Place
from tests.fakes.github import deployments
from tests.harness.releases import REPOSITORY
from tests.harness.stack import Built

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


@dataclass
class Running:
    """A trial while it runs. `start` makes the job of a release; `undo` is what ends an injection."""

    place: Place
    new: Built
    start: Callable[[Built], Job]
    undo: ExitStack
    job: Job | None = None
    others: list[tuple[Built, Job]] = field(default_factory=list)


def cancel(trial: Running) -> None:
    assert trial.job is not None
    trial.job.cancel()


def runner_lost(trial: Running) -> None:
    assert trial.job is not None
    trial.job.kill()


def another_deploy(trial: Running) -> None:
    other = trial.place.world.releases.build("api", {})
    kept = deployments.kept(trial.place.github, REPOSITORY)
    deployments.commits(trial.place.github, REPOSITORY, [*kept.commits, other.sha])
    job = trial.start(other)
    trial.others.append((other, job))
    thread = threading.Thread(target=job.run)
    thread.start()
    trial.undo.callback(thread.join)


def engine_restart(trial: Running) -> None:
    daemon = trial.place.world.daemon
    assert daemon is not None
    daemon.stop()
    daemon.start()


def registry_down(trial: Running) -> None:
    registry, client = trial.place.world.registry, trial.place.world.client
    assert registry is not None
    for name in (trial.new.tagged, trial.new.pinned):
        with contextlib.suppress(errors.ImageNotFound):
            client.images.remove(name, force=True)
    registry.stop()
    trial.undo.callback(registry.start)


def previous_image_deleted(trial: Running) -> None:
    place = trial.place
    address, _, path = place.old.repository.partition("/")
    url = f"http://{address}/v2/{path}/manifests/{place.old.digest}"
    request = urllib.request.Request(url, method="DELETE", headers={"Accept": MANIFEST})
    with urllib.request.urlopen(request):
        trial.undo.callback(place.world.images.push, place.old.tagged)


def github_down(trial: Running) -> None:
    trial.place.github.fail(status=503, times=1_000_000)
    trial.undo.callback(trial.place.github.faults.clear)


def table_read(trial: Running) -> None:
    server, database = trial.place.world.postgres, trial.place.database
    held = "LOCK TABLE items IN ACCESS SHARE MODE"
    session = server.session("BEGIN", held, "SELECT pg_sleep(600)", database=database)
    trial.undo.callback(session.wait)
    ours = "application_name = 'somebody-else' AND query LIKE '%pg_sleep(600)' AND pid <> pg_backend_pid()"
    trial.undo.callback(server.sql, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {ours}")
    server.until(f"EXISTS (SELECT FROM pg_stat_activity WHERE {ours})", database)


def older(trial: Running) -> None:
    kept = deployments.kept(trial.place.github, REPOSITORY)
    kept.commits.clear()
    deployments.commits(trial.place.github, REPOSITORY, [trial.new.sha, trial.place.old.sha])


def image_missing(trial: Running) -> None:
    trial.new = replace(trial.new, digest=f"sha256:{'0' * 64}")


INJECTIONS: dict[str, Callable[[Running], None]] = {
    "another deploy": another_deploy,
    "cancel": cancel,
    "engine restart": engine_restart,
    "GitHub down": github_down,
    "image missing": image_missing,
    "older": older,
    "previous image deleted": previous_image_deleted,
    "registry down": registry_down,
    "runner lost": runner_lost,
    "table read": table_read,
}
