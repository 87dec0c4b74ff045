"""How fast health-gate starts, notices and scales, beside curl and a shell loop.

    python benchmarks/health_gate.py [--quick]

It runs the action as a release does: the machine's own `python3 -I -S`, the tree that a release carries, byte code in a
folder of the job's. Exit code 1 when a target is missed. Targets in time grow with `python3 -I -S -c pass`, which
takes 10 ms where they were set.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Instead of this folder, whose files are named after actions.
sys.path[:1] = [str(ROOT), str(ROOT / "src")]

from tests.harness.accepting import Accepting  # noqa: E402 - the path had to be set first

BARE = 0.010
ANSWER = b"HTTP/1.1 %d X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

missed: list[str] = []


def say(what: str, seconds: float, most: float | None = None) -> None:
    """Print a figure in milliseconds, and hold it to its target."""
    bad = most is not None and seconds > most
    target = "" if most is None else f"   target {most * 1000:.0f} ms{'  MISSED' if bad else ''}"
    print(f"  {what:<58}{seconds * 1000:8.1f} ms{target}", flush=True)
    if bad:
        missed.append(what)


@dataclass
class Server:
    """Answers with a status, and remembers when each request came in."""

    status: int = 200
    sock: socket.socket = field(default_factory=socket.socket)
    arrivals: list[tuple[float, int]] = field(default_factory=list)
    arrived: threading.Event = field(default_factory=threading.Event)

    def bind(self) -> Server:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind(("127.0.0.1", 0))
        return self

    def listen(self) -> Server:
        self.sock.listen(128)
        self._accepting = Accepting(self.sock, self._serve)
        return self

    def close(self) -> None:
        self._accepting.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.sock.getsockname()[1]}/health/ready"

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            self.arrivals.append((time.perf_counter(), self.status))
            connection.sendall(ANSWER % self.status)
            if self.status == 200:
                self.arrived.set()


@dataclass(frozen=True)
class Release:
    """A folder as a release has it, and where its byte code goes."""

    root: Path
    temporary: Path

    def command(self, *words: str) -> list[str]:
        return [str(self.root / "bin" / "cicd-actions"), "health-gate", *words]

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        # `python3` of a version manager is a shell script that takes longer than the gate.
        return {**kept, "RUNNER_TEMP": str(self.temporary), "PATH": f"{_python3().parent}:{os.environ['PATH']}"}


def _python3() -> Path:
    return Path("/usr/bin/python3") if Path("/usr/bin/python3").exists() else Path(sys.executable)


@contextlib.contextmanager
def release() -> Iterator[Release]:
    with tempfile.TemporaryDirectory(prefix="health-gate-bench-") as folder:
        root = Path(folder, "release")
        build = [sys.executable, "-m", "tools.release", "build", "0.0.0", str(root)]
        subprocess.run(build, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        yield Release(root, Path(folder, "temporary"))


def started_to_request(command: list[str], environment: dict[str, str], server: Server) -> float:
    server.arrived.clear()
    server.arrivals.clear()
    began = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert server.arrived.wait(30), "no request came"
    process.wait(30)
    return server.arrivals[0][0] - began


def start_up(made: Release, runs: int) -> float:
    """Returns how much slower than the machine of the targets this one is."""
    print("Start of the process to the first request on the wire (median)")
    server = Server().bind().listen()
    curl = [path] if (path := shutil.which("curl")) else []
    environment = made.environment()
    cold: list[float] = []
    for _ in range(max(3, runs // 4)):
        shutil.rmtree(made.temporary, ignore_errors=True)
        cold.append(started_to_request(made.command("--url", server.url), environment, server))
    times: dict[str, list[float]] = {"bare": [], "curl": [], "gate": [], "https": []}
    # In turns, so that a busy moment of the machine meets all of them.
    for _ in range(runs):
        began = time.perf_counter()
        subprocess.run([str(_python3()), "-I", "-S", "-c", "pass"], check=True)
        times["bare"].append(time.perf_counter() - began)
        if curl:
            times["curl"].append(started_to_request([*curl, "-s", server.url], environment, server))
        times["gate"].append(started_to_request(made.command("--url", server.url), environment, server))
    bare = statistics.median(times["bare"])
    slower = max(1.0, bare / BARE)
    say("python3 -I -S -c pass", bare)
    if curl:
        say("curl", statistics.median(times["curl"]))
    say("health-gate", statistics.median(times["gate"]), 0.120 * slower)
    say("health-gate, a job's first action (it compiles)", statistics.median(cold), 0.300 * slower)
    return slower


def detection(
    command: Callable[[str], list[str]], environment: dict[str, str], *, refused: bool, runs: int, report: Path | None = None
) -> tuple[list[float], list[float], int]:
    """Measures `runs` recoveries.

    Returns the seconds from each recovery to the request that sees it, the seconds between the two probes around it as the
    gate's `report` has them, and the most probes that a run needed.
    """
    delays: list[float] = []
    gaps: list[float] = []
    probes = 0
    chance = random.Random(7)  # noqa: S311 - the same moments in each run
    for _ in range(runs):
        server = Server(503).bind()
        if not refused:
            server.listen()
        wait = chance.uniform(0.3, 4.9)
        process = subprocess.Popen(command(server.url), env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        time.sleep(wait)
        healthy = time.perf_counter()
        server.status = 200
        if refused:
            server.listen()
        assert server.arrived.wait(30), "the recovery was not noticed"
        delays.append(next(at for at, status in server.arrivals if status == 200) - healthy)
        out, _ = process.communicate(timeout=30)
        if report:
            probes = max(probes, int(json.loads(out)["outputs"]["attempts"]))
            answers = json.loads(report.read_text("utf-8"))["targets"][0]["answers"]
            gaps += [(right["from-ms"] - wrong["to-ms"]) / 1000 for wrong, right in pairwise(answers)]
        server.close()
    return delays, gaps, probes


def at_any_moment(gaps: list[float]) -> float:
    """Returns the median delay of a recovery at a random moment of each of these gaps."""
    low, high = 0.0, max(gaps)
    while high - low > 0.0001:
        middle = (low + high) / 2
        low, high = (middle, high) if 2 * sum(min(middle / gap, 1) for gap in gaps) < len(gaps) else (low, middle)
    return high


def detections(made: Release, runs: int) -> None:
    """Measures the median delay of a detection.

    A delay is as likely to be 0 as a whole gap, so the median of a hundred of them is off by a tenth in one of three runs.
    The gaps themselves hardly differ: the target is held to the median over all moments in them. The measured median may be
    above it by twice its error at most, which an answer that is seen late would exceed.
    """
    print("Server healthy to the request that sees it (median; it comes up after 0.3 to 4.9 s)")
    environment = made.environment()
    report = made.temporary.with_name("report.json")
    for name, refused in (("503 before", False), ("connection refused before", True)):
        delays, gaps, probes = detection(
            lambda url: made.command("--json", "--report", str(report), "--url", url),
            environment,
            refused=refused,
            runs=runs,
            report=report,
        )
        first, _, third = statistics.quantiles(delays)
        error = (third - first) / (runs + 2) ** 0.5
        say(f"health-gate, {name} (at most {probes} probes)", at_any_moment(gaps), 0.070)
        say(f"    as measured, give or take {error * 1000:.1f} ms", statistics.median(delays), 0.070 + 2 * error)
        if probes > 40:
            missed.append(f"probes ({probes} > 40)")
    if shutil.which("curl"):
        loop = lambda url: ["sh", "-c", f"until curl -sf {url}; do sleep 2; done"]  # noqa: E731
        delays, _, _ = detection(loop, environment, refused=False, runs=max(3, runs // 4))
        say("until curl -sf …; do sleep 2; done", statistics.median(delays))


FARM = """
import asyncio, sys
async def main():
    slowest = float(sys.argv[1])
    async def serve(reader, writer):
        line = await reader.readline()
        await asyncio.sleep(slowest * (int(line.split(b'/')[1].split()[0]) % 100) / 99)
        writer.write(b'HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nok')
        await writer.drain()
        writer.close()
    server = await asyncio.start_server(serve, '127.0.0.1', 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


def many(made: Release, slower: float, number: int = 500, slowest: float = 1.0) -> None:
    print(f"{number} targets at once, whose answers take 0 to {slowest:g} s")
    with subprocess.Popen([str(_python3()), "-c", FARM, str(slowest)], stdout=subprocess.PIPE, text=True) as farm:
        assert farm.stdout is not None
        port = int(farm.stdout.readline())
        urls = "\n".join(f"http://127.0.0.1:{port}/{index}" for index in range(number))
        command = made.command("--json", "--url", urls)
        process = subprocess.Popen(command, env=made.environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        out, _ = process.communicate(timeout=60)
        outputs = json.loads(out)["outputs"]
        assert outputs["verdict"] == "pass", outputs["reason"]
        assert outputs["attempts"] == str(number), outputs["attempts"]
        say("the whole gate, by its own clock", int(outputs["elapsed-ms"]) / 1000, slowest + 1.0 * slower)
        farm.terminate()


def main() -> int:
    quick = "--quick" in sys.argv
    with release() as made:
        slower = start_up(made, 8 if quick else 24)
        if "--start-up" in sys.argv:
            return 1 if missed else 0
        detections(made, 6 if quick else 100)
        many(made, slower)
    for what in missed:
        print(f"missed: {what}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
