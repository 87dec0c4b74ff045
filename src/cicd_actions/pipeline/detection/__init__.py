"""Guesses a pipeline file from a repository: lanes, images, services and the release, each value with what it comes from.

Reading order: `model` is what is known and what is collected. `standing` reads the workflows that stand, `compose` the compose
files, `pyproject` Python's requirements. `python_lanes`, `node_lanes` and `other_lanes` make the lanes,
`backing` what stands beside them, `images` what is built, `release` the rest. A guess that nothing supports is left out
and said.
"""

from __future__ import annotations

import re

from cicd_actions.pipeline.detection import backing, node_lanes, other_lanes, python_lanes, release, standing
from cicd_actions.pipeline.detection.model import Found, Repository
from cicd_actions.pipeline.detection.standing import Standing

SHOWN = 12
"""Commands of standing workflows that are shown as not taken over."""

_SET_UP = re.compile(
    r"(?:python3? -m )?(?:pip|pipx|uv|poetry|pdm|npm|pnpm|yarn|bun|corepack) (?:install|sync|ci|i|add|enable|pip|self|lock)\b.*"
    r"|(?:npm|pnpm|yarn|bun)(?: --[\w-]+)*|echo .*|mkdir .*|if .*|fi|then|else|for .*|done|set -.*|exit .*|export .*"
)


def detect(repository: Repository) -> Found:
    """Returns what the repository looks like."""
    found = Found()
    shown = standing.read(repository)
    python_lanes.lanes(repository, shown, found)
    node_lanes.lanes(repository, shown, found)
    node_lanes.couple(found)
    other_lanes.lanes(repository, found)
    for lane in found.lanes.values():
        if "python" not in lane and "checks" in lane:
            backing.beside(repository, shown, found, str(lane["directory"].value), lane)
    release.describe(repository, shown, found)
    release.flags(repository, found)
    _left(shown, found)
    if not found.lanes:
        found.unknown.append("What is tested: nothing here shows how. Write the lanes yourself.")
    return found


def _left(shown: Standing, found: Found) -> None:
    """Says which commands of standing workflows no lane runs: what was tested until now must not be lost silently."""
    by_folder: dict[str, str] = {}
    for lane in found.lanes.values():
        checks = lane["checks"].value.values() if "checks" in lane else ()
        texts = [str(guess.value) for guess in (*checks, *([lane["prepare"]] if "prepare" in lane else []))]
        folder = str(lane["directory"].value)
        by_folder[folder] = " ".join([by_folder.get(folder, ""), *texts])
    left: dict[str, str] = {}
    for each in shown.commands:
        # The same words do something else in another folder.
        taken = by_folder.get(each.folder, " ".join(by_folder.values()))
        bare = re.sub(r"^(?:(?:uv|poetry|pdm) run (?:--?[\w-]+ )*|python3? -m )", "", each.text)
        bare = re.sub(r"^(npm|pnpm|yarn|bun) (?:run )?(?=[\w:-]+$)", r"\1 run ", bare)
        if not _SET_UP.fullmatch(each.text) and bare not in taken and each.text not in taken:
            left.setdefault(each.text[:100], each.file)
    listed = [f"`{text}` ({file})" for text, file in list(left.items())[:SHOWN]]
    if listed:
        more = f" and {len(left) - SHOWN} more" if len(left) > SHOWN else ""
        found.unknown.append(f"Your workflows run these on a change, and no lane does: {', '.join(listed)}{more}.")
