"""Which local folder stands for which third-party action: by the exact commits that the workflows name."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cicd_actions.toolkit.yaml12 import Scalar, read
from demo.export import REPOSITORY, entries

FOLDER = Path(__file__).parent / "standins"


def repositories(files: Iterable[Path], *before: Path) -> dict[str, Path]:
    """`owner/name@sha` → folder, for every action that *files* use. Stand-ins in the folders *before* are preferred.

    Raises LookupError for one that has no stand-in.
    """
    found: dict[str, Path] = {}
    for file in files:
        for _, key, value in entries(read(file.read_text(encoding="utf-8")).root):
            if key.text != "uses" or not isinstance(value, Scalar) or value.text.startswith((".", "$", REPOSITORY + "/")):
                continue
            path, _, reference = value.text.partition("@")
            name = "/".join(path.split("/")[:2])
            folder = next((each / name for each in (*before, FOLDER) if (each / name / "action.yml").is_file()), None)
            if folder is None:
                raise LookupError(f"{file.name} uses {value.text}, and demo/standins has nothing that stands for it")
            found[f"{name}@{reference}"] = folder
    return found
