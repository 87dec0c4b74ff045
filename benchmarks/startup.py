"""From process start to the first request (health-gate) and to `--help` (every action), as a job starts them.

The tree is the one a release carries; `python3` is the first on PATH. *First* is a job's first action: no byte code is kept
yet; *later* ones find it under RUNNER_TEMP. Beside them: bare Python, curl, and `wait-on` (what the popular Node gates are
made of), where they are available.

Targets, for a machine on which `python3 -c pass` takes 10 ms, scaled to this one: health-gate's first request within 300 ms
in a job's first action and 120 ms after that; no `--help` above 120 ms then.
"""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 15


class Listener:
    """Accepts connections and notes when the first byte of a request came."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/"

    def first_request(self, words: list[str], env: dict[str, str]) -> float:
        """Milliseconds from the start of the program to its first byte."""
        started = time.perf_counter()
        process = subprocess.Popen(
            words, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
        )
        connection, _ = self.socket.accept()
        with connection:
            connection.recv(1)
            came = time.perf_counter()
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        process.wait(20)
        return (came - started) * 1000


def milliseconds(words: list[str], env: dict[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run(words, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - started) * 1000


def median(measure: Callable[[], float], rounds: int = ROUNDS) -> float:
    return statistics.median(measure() for _ in range(rounds))


def environment(temporary: Path) -> dict[str, str]:
    """The interpreter itself comes first: `python3` of a version manager is a shell script that takes longer than the gate."""
    words = ["python3", "-I", "-c", "import os, sys; print(os.path.realpath(sys.executable))"]
    python = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    (temporary / "bin").mkdir()
    (temporary / "bin" / "python3").symlink_to(python)
    path = f"{temporary / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(temporary), "RUNNER_TEMP": str(temporary / "runner")}


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        temporary = Path(name)
        tree = temporary / "tree"
        subprocess.run(
            [sys.executable, "-m", "tools.release", "build", "0.0.0", str(tree)],
            cwd=ROOT,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return measure(tree, temporary)


def measure(tree: Path, temporary: Path) -> int:
    env = environment(temporary)
    cache = Path(env["RUNNER_TEMP"])
    bare = median(lambda: milliseconds(["python3", "-I", "-S", "-c", "pass"], env))
    scale = max(bare / 10, 1.0)
    print(f"bare python3 -c pass          {bare:6.0f} ms   (targets scaled by {scale:.2f})")
    missed: list[str] = []

    def row(what: str, took: float, target: float | None = None) -> None:
        limit = "" if target is None else f"   target {target * scale:4.0f} ms"
        print(f"{what:<30}{took:6.0f} ms{limit}")
        if target is not None and took > target * scale:
            missed.append(what)

    listener = Listener()
    launcher = str(tree / "bin" / "cicd-actions")
    gate = [launcher, "health-gate", "--url", listener.url, "--timeout", "10s"]

    def first() -> float:
        shutil.rmtree(cache, ignore_errors=True)
        return listener.first_request(gate, env)

    row("health-gate, job's first", median(first, 7), 300)
    row("health-gate, later", median(lambda: listener.first_request(gate, env)), 120)
    for name in sorted(path.parent.name for path in tree.glob("*/action.yml")):
        words = [launcher, name, "--help"]
        milliseconds(words, env)
        row(f"{name} --help", median(lambda words=words: milliseconds(words, env)), 120)  # type: ignore[misc]
    if shutil.which("curl"):
        row("curl", median(lambda: listener.first_request(["curl", "-s", listener.url], env)))
    wait_on = install_wait_on(temporary)
    if wait_on:
        row(
            "wait-on (Node)",
            median(lambda: listener.first_request([*wait_on, listener.url.replace("http:", "http-get:")], env)),
        )
    for what in missed:
        print(f"missed: {what}")
    return 1 if missed else 0


def install_wait_on(temporary: Path) -> list[str]:
    """The npm package behind the popular Node gates, when npm is there."""
    if not shutil.which("npm"):
        return []
    done = subprocess.run(
        ["npm", "install", "--silent", "--no-save", "--prefix", temporary, "wait-on@9"], capture_output=True, check=False
    )
    program = temporary / "node_modules" / "wait-on" / "bin" / "wait-on"
    return ["node", str(program)] if done.returncode == 0 and program.exists() else []


if __name__ == "__main__":
    sys.exit(main())
