"""Writes what is said twice from where it is defined; `--check` only compares.

Each action's `action.yml` and the tables of its README come from its definition, the tables in docs/pipeline.md from the
reusable workflow, the README's table of the actions from their summaries, docs/rules from the rules of pipeline-audit.

python tools/metadata.py [--check]
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from cicd_actions.__main__ import action, names  # noqa: E402 - the path had to be set first
from cicd_actions.pipeline_audit.pages import pages  # noqa: E402
from cicd_actions.pipeline_file import schema  # noqa: E402
from cicd_actions.pipeline_metrics.metrics import METRICS  # noqa: E402
from cicd_actions.toolkit.definition import AnyAction  # noqa: E402
from cicd_actions.toolkit.manual import action_yml, cell, readme_tables  # noqa: E402
from cicd_actions.toolkit.yaml12 import plain, read  # noqa: E402
from tools.release import server  # noqa: E402

BEGIN = "<!-- made by make metadata -->"
FIGURES = "<!-- the metrics, made by make metadata -->"
END = "<!-- end -->"


PIPELINE = ROOT / ".github" / "workflows" / "pipeline.yml"
GUIDE = ROOT / "docs" / "pipeline.md"


def expected(chosen: AnyAction) -> dict[Path, str]:
    """The files of the action and what they should hold. Raises `ValueError` when the README lacks its markers."""
    folder = ROOT / "actions" / chosen.name
    readme = folder / "README.md"
    text = readme.read_text("utf-8") if readme.exists() else f"# {chosen.name}\n\n{chosen.summary}\n\n{BEGIN}\n{END}\n"
    if chosen.name == "pipeline-metrics":
        text = figures(text, readme)
    return {
        # In a checkout an action stands two folders below the launcher's root.
        folder / "action.yml": action_yml(chosen, depth=2),
        readme: between(text, readme_tables(chosen), readme),
    }


def between(text: str, tables: str, path: Path, begin: str = BEGIN) -> str:
    """The text with the tables between its markers. Raises `ValueError` when it has none."""
    before, found, rest = text.partition(begin)
    _, end, after = rest.partition(END)
    if not found or not end:
        raise ValueError(f"{path.relative_to(ROOT)} needs the lines `{begin}` and `{END}`; the tables go between them")
    return f"{before}{begin}\n\n{tables}\n{END}{after}"


def figures(text: str, path: Path) -> str:
    """The README of pipeline-metrics with the table of its metrics."""
    lines = ["| metric | what it is | what it is not | source |", "| --- | --- | --- | --- |"]
    for each in METRICS.values():
        target = f" Target: {each.target}." if each.target else ""
        cells = (f"`{each.id}`", f"**{each.title}**: {each.definition}{target}", each.is_not, each.source)
        lines.append(f"| {' | '.join(map(cell, cells))} |")
    return between(text, "\n".join(lines) + "\n", path, FIGURES)


def guide() -> dict[Path, str]:
    """The tables of the reusable pipeline: its inputs, secrets and outputs, in the order of the file."""
    workflow = plain(read(PIPELINE.read_text("utf-8")).root)
    call = workflow["on"]["workflow_call"]
    lines = ["| input | default | meaning |", "| --- | --- | --- |"]
    for name, facts in call["inputs"].items():
        given = str(facts.get("default", "")).lower() if facts["type"] == "boolean" else str(facts.get("default", ""))
        shown = "**required**" if facts.get("required") else " ".join(f"`{line}`" for line in given.splitlines())
        lines.append(f"| `{name}` | {shown} | {cell(facts['description'])} |")
    for title in ("secrets", "outputs"):
        lines += ["", f"| {title[:-1]} | meaning |", "| --- | --- |"]
        lines += [f"| `{name}` | {cell(facts['description'])} |" for name, facts in call[title].items()]
    return {GUIDE: between(GUIDE.read_text("utf-8"), "\n".join(lines) + "\n", GUIDE)}


def overview() -> dict[Path, str]:
    """The table of the actions in the README."""
    lines = ["| action | what it does |", "| --- | --- |"]
    lines += [f"| [`{name}`](actions/{name}/README.md) | {cell(action(name).summary)} |" for name in names()]
    readme = ROOT / "README.md"
    return {readme: between(readme.read_text("utf-8"), "\n".join(lines) + "\n", readme)}


def rules() -> dict[Path, str]:
    """A page for each rule of pipeline-audit; a page whose rule does not exist any longer is to be empty."""
    folder = ROOT / "docs" / "rules"
    made = {folder / name: text for name, text in pages().items()}
    return dict.fromkeys(folder.glob("*.md"), "") | made


def pipeline_file() -> dict[Path, str]:
    """The JSON Schema of the pipeline file, and the tables of its keys."""
    page = ROOT / "docs" / "pipeline-file.md"
    return {
        ROOT / "docs" / "cicd.schema.json": schema.text(),
        page: between(page.read_text("utf-8"), schema.tables(), page),
    }


def enterprise_server() -> dict[Path, str]:
    """The table of what a server does not have."""
    page = ROOT / "docs" / "enterprise-server.md"
    return {page: between(page.read_text("utf-8"), server.table(), page)}


def main(argv: list[str]) -> int:
    """Exit code 1 when something differed under `--check`."""
    files = guide() | overview() | rules() | pipeline_file() | enterprise_server()
    for name in names():
        files |= expected(action(name))
    stale = [(path, text) for path, text in files.items() if not path.exists() or path.read_text("utf-8") != text]
    for path, text in stale:
        if "--check" in argv:
            print(f"{path.relative_to(ROOT)} is not what the definition says: run `make metadata`")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            if text:
                path.write_text(text, "utf-8")
            else:
                path.unlink()
            print(f"wrote {path.relative_to(ROOT)}")
    return 1 if stale and "--check" in argv else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
