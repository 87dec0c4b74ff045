"""Changes the pipeline file of the demo's copy of the example to what this machine has: no containers for the lanes, the
addresses where the environments answer, and, on Swarm, images and stacks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cicd_actions.toolkit.yaml12 import plain, read

FILE = Path(".github", "cicd.yml")
GATE = "15s"
"""How long the demo's gate waits: a release that never becomes ready is told soon."""


STRATEGIES = ("canary", "blue-green")


def move_by(app: Path, strategy: str) -> None:
    """Has the next commit of *app* move its release by that strategy, at a pace for a demo."""
    path = app / FILE
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    found["release"] |= {"strategy": strategy, "proxy": "proxy", "bake": "5s"}
    if strategy == "canary":
        found["release"]["steps"] = ["50% 1000 requests within 5m"]
    path.write_text(json.dumps(found, indent=2) + "\n", "utf-8")


def check_again(app: Path, example: Path) -> None:
    """Gives the lanes of *app* the checks of the *example* back, which a quick first release did without."""
    path = app / FILE
    checked: Any = plain(read((example / FILE).read_text("utf-8")).root)
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    for name, lane in found["lanes"].items():
        lane["checks"] = checked["lanes"][name]["checks"]
    path.write_text(json.dumps(found, indent=2) + "\n", "utf-8")


def change(
    app: Path,
    urls: Mapping[str, Mapping[str, str]],
    images: Mapping[str, Mapping[str, str]] | None = None,
    release: Mapping[str, str] | None = None,
    postgres: str = "",
) -> None:
    """Rewrites the file in *app*. *urls* are by environment and service. *release* takes the place of the engine's keys.

    *postgres* is `host:port` of a server for the lane that migrates; empty for none.
    """
    path = app / FILE
    found: dict[str, Any] = plain(read(path.read_text("utf-8")).root)
    for lane in found["lanes"].values():
        # The demo needs no Docker: the api's tests run on SQLite, and without a cache.
        lane.pop("backing", None)
        env = dict(lane.get("env", {}))
        if postgres and "DATABASE_URL" in env:
            env["DATABASE_URL"] = env["DATABASE_URL"].replace("{postgres}", postgres)
        lane["env"] = {name: text for name, text in env.items() if "{" not in text}
    for name, image in (images or {}).items():
        found["images"][name] = dict(image)
    kept = found["release"]
    if release:
        kept = {name: value for name, value in kept.items() if not name.endswith("-command")} | dict(release)
    for environment in kept["environments"]:
        environment["urls"] = dict(urls[environment["name"]])
    found["release"] = {**kept, "gate": {"timeout": GATE}}
    path.write_text(json.dumps(found, indent=2) + "\n", "utf-8")  # JSON is YAML
