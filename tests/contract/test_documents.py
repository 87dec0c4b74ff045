"""The YAML in READMEs and guides: our actions and workflows exist, take these inputs, and can use the values."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cicd_actions.__main__ import action, names
from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.inputs import load
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.yaml12 import plain, read
from tests.contract.test_workflows_static import LEVELS, asked, called
from tools.picture import draw

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted(ROOT.glob("docs/*.md")),
    *sorted(ROOT.glob("actions/*/README.md")),
    *ROOT.glob("examples/*/*.md"),
]
OURS = "org/cicd-actions/"
SAMPLES = (
    (r"\$\{\{.*?sha.*?\}\}", "1" * 40),
    (r"sha256:(…|\$\{\{.*?\}\})", "sha256:" + "a" * 64),
    (r"@\$\{\{.*?digest.*?\}\}", "@sha256:" + "a" * 64),
)


def uses(value: Any) -> Iterator[dict[str, Any]]:
    """Every step or job below that uses something of ours."""
    if isinstance(value, dict):
        if str(value.get("uses", "")).startswith(OURS):
            yield value
        for inner in value.values():
            yield from uses(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from uses(inner)


def examples() -> Iterator[tuple[str, dict[str, Any]]]:
    for page in PAGES:
        text = page.read_text("utf-8")
        for block in re.findall(r"^ *```yaml\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE):
            for each in uses(plain(read(block).root)):
                yield f"{page.relative_to(ROOT)}:{text[: text.index(block)].count(chr(10)) + 1}", each


ALL = list(examples())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_no_cluster_has_seen_yet_is_called_experimental(page: Path) -> None:
    text = page.read_text("utf-8")
    assert "experimental" in text.lower() or not re.search(r"engine: kubernetes|`engine` .*`kubernetes`", text)


def test_every_page_with_examples_is_read() -> None:
    pages = {name.partition(":")[0] for name, _ in ALL}
    assert {"README.md", "docs/adopting.md", "docs/secrets.md", "docs/migrating.md"} <= pages
    assert {f"actions/{name}/README.md" for name in names()} <= pages


@pytest.mark.parametrize(("where", "step"), ALL, ids=[f"{name}-{number}" for number, (name, _) in enumerate(ALL)])
def test_an_example_can_be_used(where: str, step: dict[str, Any]) -> None:
    name = step["uses"].removeprefix(OURS).partition("@")[0]
    given = {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in step.get("with", {}).items()}
    if name.startswith(".github/workflows/"):
        call: Any = plain(read((ROOT / name).read_text("utf-8")).root)
        assert set(given) <= set(call["on"]["workflow_call"]["inputs"])
        return
    inputs = action(name).inputs
    for key, value in given.items():
        text = value
        for pattern, sample in SAMPLES:
            text = re.sub(pattern, sample, text)
        given[key] = text
    known = {key: value for key, value in given.items() if "${{" not in value and "<" not in value}
    missing = [f"`{key}` is required" for key in given if key not in known]
    # A required input whose value is an expression is there, only not known here.
    assert [line for line in problems(inputs, known) if not any(one in line for one in missing)] == [], where


CALLERS = [(where, job) for where, job in ALL if (called(job) or ROOT).is_file() and "permissions" in job]


@pytest.mark.parametrize(("where", "job"), CALLERS, ids=[where for where, _ in CALLERS])
def test_caller_grants_what_the_called_workflow_asks_for(where: str, job: dict[str, Any]) -> None:
    """GitHub does not start a called workflow that asks for more."""
    workflow = called(job)
    assert workflow
    lacking = {
        scope: level
        for scope, level in asked(workflow).items()
        if LEVELS[job["permissions"].get(scope, "none")] < LEVELS[level]
    }
    assert lacking == {}


def problems(inputs: type[Any], given: dict[str, str]) -> list[str]:
    try:
        load(inputs, given, Runtime({}, io.StringIO()).redactor)
    except UnusableInput as error:
        return error.what.splitlines()
    return []


def test_readme_has_at_most_800_words() -> None:
    """A newcomer reads one page; the guides have the rest."""
    assert len((ROOT / "README.md").read_text("utf-8").split()) <= 800


@pytest.mark.parametrize(("picture", "kept"), [("red-gate", "health-gate/fail"), ("demo", "demo/health")])
def test_picture_in_the_readme_is_what_is_written(picture: str, kept: str) -> None:
    summary = (ROOT / f"tests/golden/{kept}.md").read_text("utf-8")
    assert (ROOT / f"docs/images/{picture}.svg").read_text("utf-8") == draw(summary), "make pictures"


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_file_that_a_page_for_contributors_names_exists(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    named = set(re.findall(r"`((?:[\w.]+/)+[\w.]*)`", text)) - {".github/cicd.yml"}
    assert named
    assert {name for name in named if not ((ROOT / name).exists() or (ROOT / "src/cicd_actions" / name).exists())} == set()


def test_architecture_shows_every_package() -> None:
    page = (ROOT / "docs/architecture.md").read_text("utf-8")
    packages = {path.parent.name for path in (ROOT / "src/cicd_actions").glob("*/__init__.py")}
    assert {name for name in packages if not re.search(rf"\b{name}\b", page)} == set()
