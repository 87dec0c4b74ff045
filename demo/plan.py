"""The jobs of a pipeline before it runs, read from its workflow files: a job that never started can be told only from here."""

from __future__ import annotations

from pathlib import Path

from cicd_actions.toolkit.yaml12 import Mapping, Scalar, read
from demo.export import REPOSITORY


def jobs(workflow: Path, actions: Path) -> list[str]:
    """All jobs by the names that act gives them, in the order of the files.

    Where GitHub shows the whole way to a job, `pipeline / verify / api`, act keeps the last two names, `verify / api`.
    """
    return [" / ".join(way[-2:]) for way in ways(workflow, actions)]


def ways(workflow: Path, actions: Path) -> list[tuple[str, ...]]:
    """The names from a job that calls a workflow down to the job itself."""
    root = read(workflow.read_text(encoding="utf-8")).root
    found = root.get("jobs") if isinstance(root, Mapping) else None
    found_ways: list[tuple[str, ...]] = []
    for key, job in found.entries if isinstance(found, Mapping) else []:
        if not isinstance(job, Mapping):
            continue
        label, uses = job.get("name"), job.get("uses")
        name = label.text if isinstance(label, Scalar) and "${{" not in label.text else key.text
        if isinstance(uses, Scalar) and uses.text.startswith(f"{REPOSITORY}/"):
            called = uses.text.removeprefix(f"{REPOSITORY}/").partition("@")[0]
            found_ways += [(name, *inner) for inner in ways(actions / called, actions)]
        else:
            found_ways.append((name,))
    return found_ways
