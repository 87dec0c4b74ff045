"""The files that a deploy applies: Compose files and manifests."""

from __future__ import annotations

from bisect import bisect_left

from cicd_actions.pipeline_audit import startup
from cicd_actions.pipeline_audit.effects import COMPOSE, KUBERNETES, SWARM
from cicd_actions.pipeline_audit.facts import Facts


def manifests(facts: Facts) -> list[str]:
    """The Kubernetes manifests that a deploy applies."""
    found: list[str] = []
    folders: set[str] = set()
    for _, _, effect in facts.pipeline.deploys:
        if effect.platform is not KUBERNETES:
            continue
        for file in effect.files:
            path = file.rstrip("/")
            if path in facts.repository.paths:
                found.append(path)
            elif path not in {"", ".", "-"} and path not in folders:
                folders.add(path)
                paths = facts.repository.tree.paths
                start, stop = bisect_left(paths, f"{path}/"), bisect_left(paths, f"{path}0")
                found += [one for one in paths[start:stop] if one.endswith((".yml", ".yaml"))]
    return list(dict.fromkeys(found))[:200]


def compose_files(facts: Facts) -> list[str]:
    """The Compose files that a deploy applies."""
    deploys = [effect for _, _, effect in facts.pipeline.deploys if effect.platform in {COMPOSE, SWARM}]
    named = [_in_repository(facts, file) for effect in deploys for file in effect.files]
    files = [path for path in named if path]
    if deploys and not any(effect.files for effect in deploys):
        files += [path for path in facts.repository.named("docker-compose.y*ml", "compose.y*ml") if "/" not in path]
    return [path for path in dict.fromkeys(files) if not startup.DEVELOPMENT.search(path)]


def _in_repository(facts: Facts, file: str) -> str:
    if file in facts.repository.paths:
        return file
    name = file.rpartition("/")[2]
    near = facts.repository.by_name.get(name, [])
    return near[0] if len(near) == 1 else ""
