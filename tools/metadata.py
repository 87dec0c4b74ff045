"""Writes each action's `action.yml` and README tables from its definition, and the pipeline's tables from its workflow.

python tools/metadata.py [--check]: with --check it only compares.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from cicd_actions.__main__ import action, names  # noqa: E402 - the path had to be set first
from cicd_actions.toolkit.definition import AnyAction  # noqa: E402
from cicd_actions.toolkit.manual import action_yml, readme_tables  # noqa: E402
from tools.workflow_tables import tables  # noqa: E402

BEGIN = "<!-- made by make metadata -->"
END = "<!-- end -->"


def expected(chosen: AnyAction) -> dict[Path, str]:
    """The files of the action and what they should hold. Raises `ValueError` when the README lacks its markers."""
    folder = ROOT / "actions" / chosen.name
    readme = folder / "README.md"
    text = readme.read_text("utf-8") if readme.exists() else f"# {chosen.name}\n\n{chosen.summary}\n\n{BEGIN}\n{END}\n"
    return {
        # In a checkout an action stands two folders below the launcher's root.
        folder / "action.yml": action_yml(chosen, depth=2),
        readme: between_markers(text, readme_tables(chosen), readme),
    }


def between_markers(text: str, made: str, path: Path) -> str:
    """The text of a page with what is made put between its markers. Raises `ValueError` when it lacks them."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path.relative_to(ROOT)} needs the lines `{BEGIN}` and `{END}`; the tables go between them")
    return f"{before}{BEGIN}\n\n{made}\n{END}{after}"


def pages() -> dict[Path, str]:
    """Every file that is made, and what it should hold."""
    found = {path: text for name in names() for path, text in expected(action(name)).items()}
    pipeline = ROOT / "docs" / "pipeline.md"
    workflow = ROOT / ".github" / "workflows" / "pipeline.yml"
    found[pipeline] = between_markers(pipeline.read_text("utf-8"), tables(workflow.read_text("utf-8")), pipeline)
    return found


def main(argv: list[str]) -> int:
    """Exit code 1 when something differed under `--check`."""
    stale = [(path, text) for path, text in pages().items() if not path.exists() or path.read_text("utf-8") != text]
    for path, text in stale:
        if "--check" in argv:
            print(f"{path.relative_to(ROOT)} is not what the definition says: run `make metadata`")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
    return 1 if stale and "--check" in argv else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
