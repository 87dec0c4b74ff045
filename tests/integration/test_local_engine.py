"""The example's local engine, for real: releases built from the example, run as processes, and stopped."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.harness.installing import fetched

EXAMPLE = Path(__file__).parents[2] / "examples" / "two-lane"
BIN = Path(sys.executable).parent
OLD, NEW, CRASHES, HANGS = (letter * 40 for letter in "abcd")
PATIENCE = 60.0

pytestmark = [
    pytest.mark.network,
    pytest.mark.node,
    pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js to build the web page"),
]


@dataclass
class Engine:
    """Calls infra/local/engine.py of one work tree, on one state folder."""

    tree: Path
    state: Path
    images: dict[tuple[str, str], str] = field(default_factory=dict)

    def command(self, *arguments: str) -> list[str]:
        return ["python3", str(self.tree / "infra" / "local" / "engine.py"), *arguments]

    def environment(self, given: Mapping[str, str]) -> dict[str, str]:
        path = f"{BIN}:{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "TWO_LANE_STATE": str(self.state), **given}

    def run(self, *arguments: str, code: int = 0, **given: str) -> str:
        """Its stdout, or its stderr where it has to fail with *code*."""
        done = subprocess.run(
            self.command(*arguments), env=self.environment(given), capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stderr + done.stdout
        return done.stderr if code else done.stdout

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments), env=self.environment({}), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def build(self, service: str, sha: str) -> str:
        built = json.loads(self.run("build", service, sha))
        assert built["service"] == service
        assert built["image"] == f"local/{service}@{built['digest']}"
        self.images[service, sha] = built["image"]
        return str(built["image"])

    def roll_out(self, environment: str, sha: str, service: str = "api", *options: str, code: int = 0) -> str:
        return self.run("roll-out", *options, service, self.images[service, sha], sha, environment, code=code)

    def job(self, environment: str, *argv: str, code: int = 0, **given: str) -> str:
        return self.run("job", "api", self.images["api", OLD], OLD, environment, "--", *argv, code=code, **given)

    def running(self, environment: str) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = json.loads(self.run("running", environment))
        return found

    def url(self, environment: str, service: str = "api") -> str:
        return str(json.loads(self.run("urls", environment))[service])

    def records(self, environment: str, pattern: str = "*.json") -> list[Path]:
        return sorted((self.state / "environments" / environment / "processes").glob(pattern))


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The example copied into a separate repository, four releases of its api and two of its page."""
    tree = tmp_path_factory.mktemp("example")
    names = subprocess.run(["git", "ls-files", "-z", "--", "."], cwd=EXAMPLE, capture_output=True, text=True, check=True)
    for name in filter(None, names.stdout.split("\0")):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(EXAMPLE / name, tree / name)
    subprocess.run(["git", "init", "-q"], cwd=tree, check=True)
    fetched(BIN / "uv", "lock", "--quiet", cwd=tree / "apps" / "api")
    engine = Engine(tree, tmp_path_factory.mktemp("state"))
    for sha in (OLD, NEW):
        engine.build("api", sha)
        engine.build("web", sha)
    program = tree / "apps" / "api" / "src" / "two_lane_api" / "__main__.py"
    good = program.read_text(encoding="utf-8")
    for sha, broken in ((CRASHES, "raise SystemExit('no such thing')\n"), (HANGS, "import time\ntime.sleep(3600)\n")):
        program.write_text(broken, encoding="utf-8")
        engine.build("api", sha)
    program.write_text(good, encoding="utf-8")
    yield engine
    engine.run("stop")
    assert ours(engine.state) == []


@pytest.fixture
def environment(engine: Engine, request: pytest.FixtureRequest) -> Iterator[str]:
    """A separate name; whatever the test did, nothing is left when it is stopped."""
    name = re.sub(r"\W+", "-", str(request.node.name).removeprefix("test_"))[-60:].strip("-_")
    yield name
    engine.run("stop", name)
    assert ours(engine.state / "environments" / name) == []


def ours(folder: Path) -> list[str]:
    """The command lines of all processes that have to do with *folder*."""
    needle = str(folder).encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            line = (process / "cmdline").read_bytes()
            if needle in line or needle in (process / "environ").read_bytes():
                found.append(line.replace(b"\0", b" ").decode(errors="replace"))
    return [line for line in found if line and "engine.py" not in line and "pytest" not in line]


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


def get(url: str) -> tuple[int, str, Any]:
    """Status, body and headers, on a fresh connection."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 (of our own, on this machine)
            return answer.status, answer.read().decode(), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), error.headers


def alive(record: Path) -> bool:
    return Path(f"/proc/{json.loads(record.read_text(encoding='utf-8'))['pid']}").exists()


# --- building


def test_a_release_is_named_by_its_content(engine: Engine) -> None:
    image = engine.images["web", OLD]
    assert engine.build("web", OLD) == image
    assert engine.images["web", NEW] != image, "the commit is part of what it is"
    assert engine.run("exists", image).strip() == image.partition("@")[2]
    assert engine.run("exists", f"local/web:{OLD}").strip() == image.partition("@")[2]
    assert engine.run("exists", "local/web@sha256:" + "0" * 64, code=1) == ""


def test_a_release_that_was_changed_is_refused(engine: Engine) -> None:
    image = engine.build("web", "e" * 40)
    folder = engine.state / "releases" / "web" / image.partition("sha256:")[2]
    page = folder / "dist" / "index.html"
    assert page.stat().st_mode & 0o222 == 0
    page.chmod(0o644)
    page.write_text("<h1>something else</h1>", encoding="utf-8")
    assert "was changed after it was built" in engine.run("exists", image, code=1)


def test_building_leaves_the_work_tree_alone(engine: Engine) -> None:
    status = ["git", "status", "--porcelain", "--ignored", "--untracked-files=all", "apps"]
    before = subprocess.run(status, cwd=engine.tree, capture_output=True, check=True).stdout
    engine.build("api", OLD)
    engine.build("web", OLD)
    assert subprocess.run(status, cwd=engine.tree, capture_output=True, check=True).stdout == before
    assert b"node_modules" not in before
    assert b".venv" not in before


# --- rolling out


def test_a_release_is_migrated_rolled_out_and_replaced_without_a_failed_request(engine: Engine, environment: str) -> None:
    engine.job(environment, "alembic", "upgrade", "head")
    engine.roll_out(environment, OLD)
    api, web = engine.url(environment), engine.url(environment, "web")
    status, body, headers = get(f"{api}/health/ready")
    assert (status, json.loads(body)["version"], headers["X-Version"]) == (200, OLD, OLD)
    assert engine.running(environment) == {
        "api": {"image": engine.images["api", OLD], "digest": engine.images["api", OLD].partition("@")[2], "sha": OLD}
    }
    assert get(web)[0] == 503, "nothing has been rolled out there yet, and it says so"

    seen: list[tuple[int, str]] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            status, _, headers = get(f"{api}/items")
            seen.append((status, headers["X-Version"]))

    clients = [threading.Thread(target=ask) for _ in range(3)]
    for client in clients:
        client.start()
    try:
        until(lambda: len(seen) > 20)
        engine.roll_out(environment, NEW)
        until(lambda: seen[-1][1] == NEW)
    finally:
        done.set()
        for client in clients:
            client.join()
    assert {status for status, _ in seen} == {200}
    assert {version for _, version in seen} == {OLD, NEW}
    assert engine.url(environment) == api
    assert len(engine.records(environment, "api-*.json")) == 1, "the old one is stopped"


def test_the_web_page_is_served_with_the_configuration_of_its_environment(engine: Engine, environment: str) -> None:
    engine.roll_out(environment, OLD, "web")
    web = engine.url(environment, "web")
    status, page, headers = get(f"{web}/")
    assert (status, headers["X-Version"], headers["Cache-Control"]) == (200, OLD, "no-cache")
    assert '<div id="app">' in page
    status, config, headers = get(f"{web}/config.json")
    assert json.loads(config) == {"apiUrl": engine.url(environment), "version": OLD, "environment": environment}
    assert headers["Cache-Control"] == "no-store"
    script = page.partition('src="/assets/')[2].partition('"')[0]
    status, _, headers = get(f"{web}/assets/{script}")
    assert (status, "immutable" in headers["Cache-Control"]) == (200, True)
    assert "javascript" in headers["Content-Type"]
    for outside in ("/../release.json", "/%2e%2e/release.json", "/..%2f..%2f..%2f..%2f..%2fetc/passwd", "/%00", "/no.png"):
        assert get(f"{web}{outside}")[0] == 404, outside


@pytest.mark.parametrize(
    ("sha", "options", "words"),
    [
        (CRASHES, (), ["ended with 1", "no such thing"]),
        (HANGS, ("--timeout", "1.5"), ["did not answer /health/live within 1.5 s"]),
    ],
    ids=["crashes", "hangs"],
)
def test_a_release_that_never_comes_up_leaves_the_old_one(
    engine: Engine, environment: str, sha: str, options: tuple[str, ...], words: list[str]
) -> None:
    engine.roll_out(environment, OLD)
    before = engine.records(environment)
    said = engine.roll_out(environment, sha, "api", *options, code=1)
    for word in [sha, "left alone", *words]:
        assert word in said
    assert engine.running(environment)["api"]["sha"] == OLD
    assert get(f"{engine.url(environment)}/health/live")[0] == 200
    assert engine.records(environment) == before
    assert all(alive(record) for record in before)


def test_two_roll_outs_at_once_wait_for_each_other(engine: Engine, environment: str) -> None:
    both = [engine.start("roll-out", "api", engine.images["api", sha], sha, environment) for sha in (OLD, NEW)]
    for one in both:
        _, said = one.communicate(timeout=PATIENCE)
        assert one.returncode == 0, said
    (record,) = engine.records(environment, "api-*.json")
    assert alive(record)
    running = engine.running(environment)["api"]["sha"]
    assert get(f"{engine.url(environment)}/health/live")[2]["X-Version"] == running


# --- interrupted


def test_a_roll_out_that_is_killed_leaves_what_stop_can_clean(engine: Engine, environment: str) -> None:
    engine.roll_out(environment, OLD)
    (old,) = engine.records(environment, "api-*.json")
    roll_out = engine.start("roll-out", "api", engine.images["api", HANGS], HANGS, environment)
    until(lambda: len(engine.records(environment, "api-*.json")) == 2)
    roll_out.kill()
    roll_out.communicate()
    (left,) = set(engine.records(environment, "api-*.json")) - {old}
    assert alive(left), "no process was there to stop it"
    assert get(f"{engine.url(environment)}/health/live")[2]["X-Version"] == OLD
    engine.run("stop", environment)
    assert engine.records(environment) == []
    assert ours(engine.state / "environments" / environment) == []


def test_the_next_roll_out_cleans_up_after_a_killed_one(engine: Engine, environment: str) -> None:
    roll_out = engine.start("roll-out", "api", engine.images["api", HANGS], HANGS, environment)
    until(lambda: engine.records(environment, "api-*.json"))
    roll_out.kill()
    roll_out.communicate()
    (left,) = engine.records(environment, "api-*.json")
    engine.roll_out(environment, NEW)
    assert not left.exists()
    assert len(engine.records(environment, "api-*.json")) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_roll_out_that_is_stopped_takes_its_release_along(engine: Engine, environment: str, number: signal.Signals) -> None:
    engine.roll_out(environment, OLD)
    before = engine.records(environment)
    roll_out = engine.start("roll-out", "api", engine.images["api", HANGS], HANGS, environment)
    until(lambda: len(engine.records(environment)) == len(before) + 1)
    roll_out.send_signal(number)
    _, said = roll_out.communicate(timeout=PATIENCE)
    assert (roll_out.returncode, number.name in said) == (128 + number, True)
    assert engine.records(environment) == before
    assert engine.running(environment)["api"]["sha"] == OLD


def test_a_process_that_was_stopped_before_it_began_never_begins(engine: Engine, tmp_path: Path) -> None:
    # What a process does that was forked just before a kill: its permission to start has been taken away.
    program = engine.tree / "infra" / "local" / "processes.py"
    argv = ["touch", str(tmp_path / "it-ran")]
    records = tmp_path / "processes"
    records.mkdir()
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(program), str(records), "api-1", *argv], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.strip()) == (1, "stopped before it began")
    assert not (tmp_path / "it-ran").exists()
    assert list(records.iterdir()) == []
    (records / "api-1.starting").touch()
    subprocess.run([sys.executable, "-I", "-S", str(program), str(records), "api-1", *argv], check=True)
    assert (tmp_path / "it-ran").exists()


def test_a_strangers_process_is_never_stopped(engine: Engine, environment: str) -> None:
    """Its pid is in a record, but of a process that ended long ago: the number was given to somebody else."""
    engine.roll_out(environment, OLD)
    (record,) = engine.records(environment, "api-*.json")
    written = json.loads(record.read_text(encoding="utf-8"))
    with subprocess.Popen(["sleep", "3600"]) as stranger:
        stale = record.with_name("api-0000000000000000.json")
        stale.write_text(json.dumps({**written, "pid": stranger.pid}), encoding="utf-8")
        engine.roll_out(environment, NEW)
        assert stranger.poll() is None
        stale.write_text(json.dumps({**written, "pid": stranger.pid}), encoding="utf-8")
        engine.run("stop", environment)
        assert stranger.poll() is None
        assert not stale.exists()
        stranger.kill()


def test_what_died_by_itself_is_not_said_to_run(engine: Engine, environment: str) -> None:
    engine.roll_out(environment, OLD)
    (record,) = engine.records(environment, "api-*.json")
    os.kill(json.loads(record.read_text(encoding="utf-8"))["pid"], signal.SIGKILL)
    until(lambda: engine.running(environment) == {})
    until(lambda: get(f"{engine.url(environment)}/health/live")[0] == 503)
    engine.roll_out(environment, OLD)
    assert get(f"{engine.url(environment)}/health/live")[0] == 200


def test_stop_ends_everything_and_the_addresses_stay(engine: Engine, environment: str) -> None:
    engine.roll_out(environment, OLD)
    engine.roll_out(environment, OLD, "web")
    urls = engine.run("urls", environment)
    engine.run("stop", environment)
    assert ours(engine.state / "environments" / environment) == []
    assert engine.running(environment) == {}
    engine.roll_out(environment, NEW)
    assert engine.run("urls", environment) == urls


# --- jobs and logs


def test_a_job_has_the_variables_of_its_environment_and_gives_back_its_exit_code(engine: Engine, environment: str) -> None:
    show = "import os; print(os.environ['GREETING'], os.environ['RELEASE_SHA'], os.environ['ENVIRONMENT'])"
    dotenv = "# comment\nexport GREETING=\"a 'quoted' one\"\nDATABASE_URL=sqlite:////elsewhere\n"
    out = engine.job(environment, "python", "-c", show, RELEASE_ENV=dotenv)
    assert out.strip() == f"a 'quoted' one {OLD} {environment}"
    hidden = "import os; print(sorted(set(os.environ) & {'GITHUB_TOKEN', 'RELEASE_ENV', 'TWO_LANE_STATE'}))"
    assert engine.job(environment, "python", "-c", hidden, GITHUB_TOKEN="t0ken", RELEASE_ENV=dotenv).strip() == "[]"
    engine.job(environment, "python", "-c", "raise SystemExit(7)", code=7)
    engine.job(environment, "python", "-c", "import os; os.kill(os.getpid(), 9)", code=137)
    assert "no-such-program" in engine.job(environment, "no-such-program", code=127)


def test_a_job_that_is_stopped_leaves_nothing(engine: Engine, environment: str) -> None:
    argv = ["sh", "-c", "sleep 3600 & sleep 3600"]
    job = engine.start("job", "api", engine.images["api", OLD], OLD, environment, "--", *argv)
    until(lambda: engine.records(environment, "job-*.json"))
    until(lambda: len([line for line in ours(engine.state) if line.startswith("sleep 3600")]) == 2)
    job.terminate()
    job.communicate(timeout=PATIENCE)
    assert job.returncode == 143
    assert engine.records(environment) == []
    assert [line for line in ours(engine.state) if line.startswith("sleep 3600")] == []


def test_logs_are_those_of_what_runs(engine: Engine, environment: str) -> None:
    assert engine.run("logs", "api", environment) == ""
    engine.roll_out(environment, OLD)
    get(f"{engine.url(environment)}/health/live?seven")
    until(lambda: "/health/live?seven" in engine.run("logs", "api", environment))
    assert len(engine.run("logs", "api", environment, "-n", "2").splitlines()) == 2


# --- what cannot be used


def test_what_cannot_be_used_is_said(engine: Engine) -> None:
    image = engine.images["api", OLD]
    assert "does not exist; build it first" in engine.run("roll-out", "api", "local/api:nope", OLD, "staging", code=1)
    assert "was built from" in engine.run("roll-out", "api", image, NEW, "staging", code=2)
    assert "is not of web" in engine.run("roll-out", "web", image, OLD, "staging", code=2)
    assert "not an image of this engine" in engine.run("exists", "docker.io/api:1", code=2)
    assert "no environment" in engine.run("running", "../elsewhere", code=2)
    assert "the service 'db' does not exist" in engine.run("build", "db", OLD, code=2)
    assert "TWO_LANE_STATE" in engine.run("stop", code=2, TWO_LANE_STATE="")
    bad = engine.run("job", "api", image, OLD, "staging", "--", "true", code=2, RELEASE_ENV='A=1\nPASSWORD="hunter2')
    assert "line 2" in bad
    assert "hunter2" not in bad
