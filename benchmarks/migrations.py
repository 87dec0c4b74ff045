"""run-migrations-oneshot on a Docker Engine against the bare `docker run IMAGE alembic upgrade head`, PostgreSQL beside it.

Targets: at most 0.7 s more than the bare command where two migrations are pending, on a machine on which `python3 -c pass`
takes 10 ms, scaled to this one; at most 1.5 times the bare command where nothing is. The rounds alternate, so that what else
the machine does falls on both alike.

Needs a Docker Engine, docker-registry and PostgreSQL's server programs.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# In the place of this folder, whose files are named after actions, and one of them like a module of Python.
sys.path[:1] = [str(ROOT), str(ROOT / "src")]

import docker  # noqa: E402 - the path had to be set first

from tests.harness.engine import Registry  # noqa: E402
from tests.harness.migrating_image import Release, release_with_alembic  # noqa: E402
from tests.harness.postgres import Postgres  # noqa: E402
from tests.harness.stack import Images  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS", "7"))
OVERHEAD = 0.7
RATIO = 1.5
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


def main() -> int:
    client = docker.from_env()
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
                found = Measure(release, server, scratch).rounds()
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
    return 0 if overhead <= OVERHEAD * scale and ratio <= RATIO else 1


if __name__ == "__main__":
    sys.exit(main())
