"""Export this repository's tree for act: what GitHub understands and act does not is rewritten, and nothing else.

- `uses: $/X` (the same repository at the same commit) and `uses: ./X` (which act takes from the caller's folder) become
  `org/cicd-actions/X@<sha>`.
- `environment.deployment` and `concurrency.queue` are dropped: act refuses files that have them.
- A job's `services` and `container` are dropped where they are an expression: act cannot read `services`, takes an empty
  `container` for an image, and starts none of them in host mode anyway.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from cicd_actions.toolkit.yaml12 import Mapping, Node, Scalar, Sequence, read

REPOSITORY = "org/cicd-actions"
PLACEHOLDER_SHA = "0123456789abcdef0123456789abcdef01234567"
"""The commit as which the exported tree is known to act; the example names it too."""

PARTS = (".github", "actions")
"""The folders that GitHub reads. act copies them at each use, so no more than that."""

PROGRAMS = ("bin", "requirements", "src")
"""The folders that an action starts. They stand beside the tree: `bin` is a link there, and the launcher follows it."""

UNKNOWN_TO_ACT = {("environment", "deployment"), ("concurrency", "queue")}


def export(root: Path, destination: Path, sha: str = PLACEHOLDER_SHA) -> None:
    """Copy what git knows of *root*, as it is in the work tree, to *destination*, rewritten for act.

    The programs go to a folder beside it. The dependencies that a source checkout prepared are linked, so that no copy prepares
    them again.
    """
    programs = destination.with_name(f"{destination.name}-programs")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *PARTS, *PROGRAMS],
        cwd=root,
        stdout=subprocess.PIPE,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        source, target = root / name, (programs if name.partition("/")[0] in PROGRAMS else destination) / name
        if not source.exists():  # deleted in the work tree, not yet in git
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix in {".yml", ".yaml"}:
            target.write_text(for_act(source.read_text(encoding="utf-8"), sha), encoding="utf-8")
            shutil.copymode(source, target)
        else:
            shutil.copy2(source, target)
    destination.mkdir(parents=True, exist_ok=True)
    (destination / "bin").symlink_to((programs / "bin").resolve(), target_is_directory=True)
    prepared = root / ".cache" / "dependencies"
    if prepared.is_dir():
        (programs / ".cache").mkdir(parents=True)
        (programs / ".cache" / "dependencies").symlink_to(prepared.resolve(), target_is_directory=True)


def for_act(text: str, sha: str = PLACEHOLDER_SHA) -> str:
    """The text of a workflow or action file, rewritten. Other lines stay as they are, byte by byte."""
    lines = text.splitlines(keepends=True)
    dropped: set[int] = set()
    for path, key, value in entries(read(text).root):
        of_a_job = len(path) == 2 and path[0] == "jobs"
        if (*path, key.text)[-2:] in UNKNOWN_TO_ACT or (
            of_a_job and key.text in {"services", "container"} and isinstance(value, Scalar)
        ):
            dropped.add(key.line - 1)
        elif key.text == "uses" and isinstance(value, Scalar) and (found := re.match(r"(?:\$|\.)/(.+)", value.text)):
            line = lines[value.line - 1]
            lines[value.line - 1] = line.replace(value.text, f"{REPOSITORY}/{found[1]}@{sha}", 1)
    return "".join(line for number, line in enumerate(lines) if number not in dropped)


def entries(node: Node | None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Scalar, Node]]:
    """Every key of a document with the names of the keys above it, and its value."""
    if isinstance(node, Mapping):
        for key, value in node.entries:
            yield path, key, value
            yield from entries(value, (*path, key.text))
    elif isinstance(node, Sequence):
        for item in node.items:
            yield from entries(item, path)
