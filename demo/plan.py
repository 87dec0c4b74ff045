"""The jobs of a pipeline before it runs, read from its workflow files: a job that never started is known only from here."""

from __future__ import annotations

from pathlib import Path

from cicd_actions.toolkit.yaml12 import Mapping, Scalar, read
from demo.export import REPOSITORY


def jobs(workflow: Path, actions: Path) -> list[str]:
    """All jobs by the names that act gives them, in the order of the files.

    Where GitHub shows the whole way to a job, `pipeline / verify / api`, act keeps the last two names, `verify / api`.
    """
    return [" / ".join(way[-2:]) for way in ways(workflow, actions)]


def files(workflow: Path, actions: Path) -> list[Path]:
    """The workflow and all of ours that it calls, directly or through another."""
    found = [workflow]
    for called in {called for _, called in read_jobs(workflow, actions) if called}:
        found += [file for file in files(called, actions) if file not in found]
    return found


def ways(workflow: Path, actions: Path) -> list[tuple[str, ...]]:
    """The names from a job that calls a workflow down to the job itself."""
    found: list[tuple[str, ...]] = []
    for name, called in read_jobs(workflow, actions):
        found += [(name, *inner) for inner in ways(called, actions)] if called else [(name,)]
    return found


def read_jobs(workflow: Path, actions: Path) -> list[tuple[str, Path | None]]:
    """Each job's name and the workflow of ours that it calls."""
    root = read(workflow.read_text(encoding="utf-8")).root
    jobs_of = root.get("jobs") if isinstance(root, Mapping) else None
    found: list[tuple[str, Path | None]] = []
    for key, job in jobs_of.entries if isinstance(jobs_of, Mapping) else []:
        if not isinstance(job, Mapping):
            continue
        label, uses = job.get("name"), job.get("uses")
        name = label.text if isinstance(label, Scalar) and "${{" not in label.text else key.text
        ours = isinstance(uses, Scalar) and uses.text.startswith(f"{REPOSITORY}/")
        path = uses.text.removeprefix(f"{REPOSITORY}/").partition("@")[0] if ours and isinstance(uses, Scalar) else ""
        found.append((name, actions / path if path else None))
    return found
