"""Small repositories with the layouts of real ones, and made-up names: tests/data/repositories holds each as one text."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "data" / "repositories"
NAMES = tuple(sorted(path.stem for path in FOLDER.glob("*.txt")))


def files(name: str) -> dict[str, str]:
    """The files of a repository by their paths."""
    parts = re.split(r"(?m)^-- (\S+) --\n", (FOLDER / f"{name}.txt").read_text("utf-8"))
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def write(folder: Path, texts: dict[str, str]) -> Path:
    """Writes files below a folder."""
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return folder


def committed(folder: Path, texts: dict[str, str], origin: str = "git@github.com:Org/shop.git") -> Path:
    """Writes files, and makes them one commit of a repository with this remote."""
    write(folder, texts)
    for words in (
        ["init", "-q", "-b", "main"],
        ["remote", "add", "origin", origin],
        ["add", "-A"],
        ["-c", "user.name=x", "-c", "user.email=x@example.com", "commit", "-qm", "x"],
    ):
        subprocess.run(["git", *words], cwd=folder, check=True)
    return folder
