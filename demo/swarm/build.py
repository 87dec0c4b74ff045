"""Build a service of the example as an image and push it: the `build-command` of the demo's pipeline on Swarm.

Run in a checkout of the example. Everything is downloaded here, by this machine's own settings; the build itself needs no
network. The last line on stdout is a JSON object with the `digest`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import docker

from cicd_actions.engines.protocol import REVISION
from demo.swarm.images import build, push
from demo.tools import SetupError
from demo.workspace import tracked


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", required=True, help="image to build on, which the engine has")
    parser.add_argument("--python", required=True, help="version of the base's Python, 3.11")
    parser.add_argument("--machine", required=True, help="architecture of the base, x86_64")
    parser.add_argument("service", choices=["api", "web"])
    parser.add_argument("image", help="repository, without a tag")
    parser.add_argument("sha", help="full commit SHA")
    chosen = parser.parse_args()
    client = docker.from_env(timeout=300)
    try:
        with tempfile.TemporaryDirectory() as name:
            files = api(Path(name), chosen.python, chosen.machine) if chosen.service == "api" else web(chosen.sha)
            tag = f"{chosen.image}:{chosen.sha}"
            arguments = {"BASE": chosen.base, "RELEASE_SHA": chosen.sha}
            build(client, chosen.service, tag, files, arguments, {REVISION: chosen.sha})
            digest = push(client, tag)
    except SetupError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    finally:
        client.close()
    sys.stdout.write(json.dumps({"service": chosen.service, "image": tag, "digest": digest}) + "\n")
    return 0


def api(folder: Path, python: str, machine: str) -> dict[str, Path]:
    """The api's sources, and exactly the dependencies of its lock file, for the image's Python."""
    project = Path("apps", "api")
    requirements = folder / "requirements.txt"
    run("uv", "export", "--quiet", "--frozen", "--no-dev", "--no-emit-project", "--output-file", str(requirements), cwd=project)
    words = ["uv", "pip", "install", "--quiet", "--require-hashes", "--requirement", str(requirements), "--target", "site"]
    words += ["--python-version", python, "--python-platform", f"{machine}-unknown-linux-gnu", "--only-binary", ":all:"]
    run(*words, cwd=folder)
    # Byte code comes along from uv's cache; that of this machine's Python is of no use to another one.
    for path in folder.glob("site/**/*.pyc"):
        if f".cpython-{python.replace('.', '')}." not in path.name:
            path.unlink()
    for name in tracked(project):
        if name == "alembic.ini" or name.startswith("src/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(project / name, folder / name)
    return {name: folder / name for name in ("site", "src", "alembic.ini")}


def web(sha: str) -> dict[str, Path]:
    """The built page, by the example's own engine, and what serves it."""
    made = json.loads(run(sys.executable, "infra/local/engine.py", "build", "web", sha, cwd=Path()))
    release = Path(os.environ["TWO_LANE_STATE"], "releases", "web", made["digest"].removeprefix("sha256:"))
    return {"dist": release / "dist", "web": Path("infra", "web")}


def run(*words: str, cwd: Path) -> str:
    done = subprocess.run(words, cwd=cwd, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SetupError(f"`{' '.join(words[:3])} …` ended with {done.returncode}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
