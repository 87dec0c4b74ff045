"""Reads the pipeline file, and says everything that is wrong with it at once, each mistake with its line and the fix."""

from __future__ import annotations

from pathlib import Path

from cicd_actions.pipeline_file import rules
from cicd_actions.pipeline_file.model import Pipeline
from cicd_actions.pipeline_file.shape import Object, Problem, Reading
from cicd_actions.toolkit import yaml12
from cicd_actions.toolkit.errors import UnusableInput

DEFAULT = ".github/cicd.yml"
LONGEST = 256 * 1024
"""Characters of the file. A plan made of it has to fit into a job's outputs, which hold 1 MB."""

SHOWN = 20
"""Problems that one error shows."""

ROOT = Object(Pipeline, "a pipeline file")


class UnusablePipeline(UnusableInput):
    """The pipeline file has mistakes. Its text shows the first twenty."""

    title = "Unusable pipeline file"

    def __init__(self, name: str, problems: list[Problem]) -> None:
        self.problems = problems
        lines = [f"{name}:{each.line}: {shown(each)}" for each in problems[:SHOWN]]
        if len(problems) > SHOWN:
            lines.append(f"… and {len(problems) - SHOWN} more.")
        super().__init__("\n".join([f"Could not use the pipeline file {name}:", *lines]), fix=_fixes(problems[:SHOWN]))


def shown(problem: Problem) -> str:
    """Returns a problem as one line."""
    said = problem.what if problem.what.endswith((".", "?")) else f"{problem.what}."
    return f"`{problem.place}`: {said}" if problem.path else said


def _fixes(problems: list[Problem]) -> str:
    found = [
        f"    # line {each.line}\n" + "\n".join(f"    {line}" for line in each.fix.splitlines())
        for each in problems
        if each.fix
    ]
    return "\n".join(["Write instead:", "", *found]) if found else ""


def structure(text: str) -> tuple[Pipeline | None, Reading]:
    """Returns what the text holds by its shape alone, and what was noted. The pipeline is `None` where the shape is wrong."""
    reading = Reading()
    try:
        document = yaml12.read(text, longest=LONGEST, most_nodes=20_000)
        pipeline = ROOT.read(document.root, (), reading) if document.root is not None else None
    except yaml12.NotYaml as error:
        reading.wrong((), f"it is not YAML: {error.problem}", line=error.line or 1)
        return None, reading
    if document.root is None:
        reading.wrong((), "it is empty", "version: 1\nlanes: {}")
    return pipeline, reading


def parse(text: str, name: str = DEFAULT) -> Pipeline:
    """Returns the pipeline that the text describes. Raises `UnusablePipeline` with every mistake."""
    pipeline, reading = structure(text)
    if pipeline is not None:
        rules.check(pipeline, reading)
    if pipeline is None or reading.problems:
        raise UnusablePipeline(name, sorted(reading.problems, key=lambda each: each.line))
    return pipeline


def load(path: Path, name: str = DEFAULT) -> Pipeline:
    """Returns the pipeline of a file. Raises `UnusableInput` where it cannot be read, `UnusablePipeline` where it is wrong."""
    # A link in somebody's commit may lead to a device, which never ends, or to a pipe without a writer.
    if path.exists() and not path.is_file():
        raise UnusableInput(f"Could not read the pipeline file {name}: it is not a plain file.")
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise UnusableInput(
            f"Could not read the pipeline file {name}: it does not exist.",
            fix="Write one with `cicd-actions init`, or name another one:\n\n    with:\n      config: path/to/cicd.yml",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UnusableInput(f"Could not read the pipeline file {name}: {error}.") from None
    return parse(text, name)
