"""run-migrations-oneshot on a Docker Engine against the bare `docker run IMAGE alembic upgrade head`, PostgreSQL beside it.

Targets: at most 0.7 s more than the bare command where two migrations are pending, on a machine on which `python3 -c pass`
takes 10 ms, scaled to this one; at most 1.5 times the bare command where nothing is. The rounds alternate, so that what else
the machine does falls on both alike.

And a cancellation in the middle of a statement, on the engine `command`, on Docker, and as a Swarm job: at most 5 s from the
signal until the statement is ended in the database, the container is gone and the revision is reported, in the slowest round.

Needs a Docker Engine that may become a Swarm's manager, docker-registry and PostgreSQL's server programs.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Instead of this folder, whose files are named after actions, and one of them like a module of Python.
sys.path[:1] = [str(ROOT), str(ROOT / "src")]

import docker  # noqa: E402 - the path had to be set first

from tests.harness.alembic_project import NEWEST, Project, python_with  # noqa: E402
from tests.harness.engine import Registry  # noqa: E402
from tests.harness.migrating_image import TABLE, Release, release_with_alembic  # noqa: E402
from tests.harness.postgres import Postgres  # noqa: E402
from tests.harness.stack import Images  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS", "7"))
OVERHEAD = 0.7
RATIO = 1.5
CANCELLED = 5.0
CANCELLATIONS = 3
PASS = 0.010
"""Seconds of `python3 -c pass` on the machine that the target is for."""


def seconds(words: list[str], environment: dict[str, str]) -> float:
    started = time.perf_counter()
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{words[:4]} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return time.perf_counter() - started


class Measure:
    """One database a round and side: `pending` starts with an empty one, the second run of each finds nothing to do."""

    def __init__(self, release: Release, server: Postgres, scratch: Path) -> None:
        self.release = release
        self.server = server
        self.scratch = scratch

    def bare(self, url: str) -> float:
        words = [
            "docker",
            "run",
            "--rm",
            "-e",
            "DATABASE_URL",
            self.release.image,
            "python3",
            "-m",
            "alembic",
            "upgrade",
            "head",
        ]
        return seconds(words, {**os.environ, "DATABASE_URL": url})

    def action(self, url: str) -> float:
        words = [sys.executable, "-m", "cicd_actions", "run-migrations-oneshot", "--engine", "docker", "--image"]
        environment = {**os.environ, "DATABASE_URL": url, "RUNNER_TEMP": str(self.scratch), "PYTHONPATH": str(ROOT / "src")}
        return seconds([*words, self.release.image], environment)

    def rounds(self) -> dict[str, list[float]]:
        names = ("bare pending", "action pending", "bare nothing", "action nothing", "python3 -c pass")
        found: dict[str, list[float]] = {name: [] for name in names}
        for at in range(ROUNDS + 1):
            found["python3 -c pass"].append(seconds([sys.executable, "-I", "-S", "-c", "pass"], dict(os.environ)))
            sides = [("bare", self.bare), ("action", self.action)]
            for name, run in sides if at % 2 else sides[::-1]:
                database = f"b{uuid.uuid4().hex[:12]}"
                self.server.sql(f"CREATE DATABASE {database}")
                url = self.server.url(database, "psycopg", host=self.release.host)
                pending, nothing = run(url), run(url)
                if at:  # the first round warms caches up
                    found[f"{name} pending"].append(pending)
                    found[f"{name} nothing"].append(nothing)
        return found

    def cancellation(self, options: list[str], host: str) -> float:
        """Seconds from the signal to the end of the program, which has said by then where the database is."""
        database = f"b{uuid.uuid4().hex[:12]}"
        self.server.sql(f"CREATE DATABASE {database}")
        url = self.server.url(database, "psycopg", host=host)
        environment = {**os.environ, "DATABASE_URL": url, "RUNNER_TEMP": str(self.scratch), "PYTHONPATH": str(ROOT / "src")}
        environment["PATH"] = f"{python_with(NEWEST)}:{environment['PATH']}"
        words = [sys.executable, "-m", "cicd_actions", "run-migrations-oneshot", *options]
        with (self.scratch / "cancelled.log").open("w+") as log:
            process = subprocess.Popen(words, env=environment, stdout=log, stderr=log)
            working = "query = 'SELECT pg_sleep(600)' AND state = 'active' AND datname = current_database()"
            self.server.until(f"EXISTS (SELECT FROM pg_stat_activity WHERE {working})", database, 60)
            started = time.perf_counter()
            process.send_signal(signal.SIGINT)
            process.wait(60)
            took = time.perf_counter() - started
            log.seek(0)
            said = log.read()
        self.server.until(f"NOT EXISTS (SELECT FROM pg_stat_activity WHERE {working})", database, 0)
        if "The database is at r1" not in said or self.release.left():
            raise SystemExit(f"The cancellation left something, or did not say where the database is:\n{said}")
        return took

    def cancellations(self) -> dict[str, list[float]]:
        folder = self.scratch / "slow"
        folder.mkdir()
        Project(folder).revision("r1", TABLE).revision("r2", "op.execute('SELECT pg_sleep(600)')")
        image = ["--image", self.release.image, "--working-directory", "/projects/slow"]
        sides = {
            "command": (["--engine", "command", "--image", "app@1", "--job-command", f"env -C {folder}"], "127.0.0.1"),
            "docker": (["--engine", "docker", *image], self.release.host),
            "swarm": (["--engine", "swarm", *image], self.release.host),
        }
        return {name: [self.cancellation(*side) for _ in range(CANCELLATIONS)] for name, side in sides.items()}


def main() -> int:
    client = docker.from_env()
    if client.info()["Swarm"]["LocalNodeState"] != "active":
        client.swarm.init(advertise_addr="127.0.0.1", listen_addr="127.0.0.1:2377")
    with tempfile.TemporaryDirectory(prefix="cicd-actions-bench-") as name:
        scratch = Path(name)
        scratch.chmod(0o755)
        for folder in ("postgres", "image", "registry"):
            (scratch / folder).mkdir()
        registry, server = Registry(scratch / "registry"), Postgres(scratch / "postgres", listen="*")
        registry.start()
        images = Images(client, registry.address)
        try:
            server.start()
            with release_with_alembic(images, scratch / "image") as release:
                measure = Measure(release, server, scratch)
                cancelled = measure.cancellations()
                found = measure.rounds()
        finally:
            server.stop()
            images.close()
            registry.stop()
    middle = {name: statistics.median(values) for name, values in found.items()}
    for name, values in found.items():
        print(f"{name:16} median {middle[name]:6.2f} s   (from {min(values):.2f} to {max(values):.2f}, {len(values)} rounds)")
    overhead = middle["action pending"] - middle["bare pending"]
    ratio = middle["action nothing"] / middle["bare nothing"]
    scale = max(middle["python3 -c pass"] / PASS, 1.0)
    print(f"two pending: {overhead:+.2f} s over the bare command (at most {OVERHEAD} s, here {OVERHEAD * scale:.2f} s)")
    print(f"nothing pending: {ratio:.2f} times the bare command (at most {RATIO})")
    for name, values in cancelled.items():
        print(f"cancelled, {name:8} at most {max(values):5.2f} s of {CANCELLED} s   ({len(values)} rounds)")
    slowest = max(max(values) for values in cancelled.values())
    return 0 if overhead <= OVERHEAD * scale and ratio <= RATIO and slowest <= CANCELLED else 1


if __name__ == "__main__":
    sys.exit(main())
