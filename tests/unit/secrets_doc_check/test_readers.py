"""Whatever stands in a file, its reader comes to an end and says something sensible."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cicd_actions.secrets_doc_check import documentation
from cicd_actions.secrets_doc_check.code.scanning import SCANNERS, chosen, kind_of, scan, source
from cicd_actions.secrets_doc_check.entry_text import cell_head, head, missing
from cicd_actions.secrets_doc_check.model import Missing, may_be_a_setting
from cicd_actions.workflows.files import read
from cicd_actions.workflows.inspection import inspect
from cicd_actions.workflows.tree import Tree

_MARKDOWN_PIECES = (
    "- ", "NAME", "`x_y`", ": ", "/", "|", "---", "\n", "  ", "# ", "```", "<!--", "-->", "**", "(", ")", "TODO", "A_B=1", "é",
    "\u2028", "gh secret set X", "_", "1. ", "__",
)  # fmt: skip
_CODE_PIECES = (
    "process.env", ".", "X", "[", "]", "'", '"', "`", "${", "}", "{", "/", "*", "//", "\n", "=", " ", "import.meta.env",
    "os.environ", "(", ")", "ARG ", "ENV ", "\\", "#", ":-", "?", "if ", "class A(BaseSettings):\n  b: str", "\n  ",
)  # fmt: skip
_YAML_PIECES = (
    "on: push\n", "jobs:\n", "  a:\n", "    steps:\n", "      - run: ", "${{ secrets.A }}", "${{", "}}", "\n", "    env:\n",
    "      X: ", "if: ", "&a ", "*a", "<<: ", "uses: ./x\n", "secrets: inherit\n", "!x ", "'", "- ",
)  # fmt: skip
_MARKDOWN = st.lists(st.sampled_from(_MARKDOWN_PIECES), max_size=30).map("".join)
_CODE = st.lists(st.sampled_from(_CODE_PIECES), max_size=25).map("".join)
_YAML = st.lists(st.sampled_from(_YAML_PIECES), max_size=20).map("".join)


@settings(max_examples=8 * settings().max_examples)
@given(_MARKDOWN)
def test_any_markdown_is_read(text: str) -> None:
    lines = text.splitlines()
    for entry in documentation.scan("x.md", text, ["x"]):
        assert entry.name == entry.name.upper()
        assert entry.name.lower() in lines[entry.place.line - 1].lower()


@settings(max_examples=8 * settings().max_examples)
@given(_CODE, st.sampled_from(sorted(SCANNERS)))
def test_any_code_is_read(text: str, kind: str) -> None:
    found = SCANNERS[kind]("x", text)
    for use in found.uses:
        assert 1 <= use.place.line <= text.count("\n") + 2
        assert use.name


@settings(max_examples=8 * settings().max_examples)
@given(_YAML, st.sampled_from([".github/workflows/x.yml", "x/action.yml"]))
def test_any_workflow_is_read(text: str, path: str) -> None:
    inspection = inspect(read(path, text))
    for problem in (*inspection.file.problems, *inspection.problems):
        assert problem.line >= 1
        assert problem.column >= 1
    for reading in inspection.readings:
        line, column = inspection.place(reading)
        assert text.splitlines()[line - 1][column - 1 :].startswith(("secrets", "vars", "env", "inputs"))


@pytest.mark.parametrize(
    ("text", "names", "rest"),
    [
        ("NAME: purpose", ["NAME"], "purpose"),
        ("USER / PASSWORD: x", ["USER", "PASSWORD"], "x"),
        ("`a_b`, C and D - x", ["a_b", "C", "D"][:0], ""),
        ("`a_b`, CC and DD - x", ["a_b", "CC", "DD"], "x"),
        ("**NAME** (optional) – x", ["NAME"], "(optional) x"),
        ("**NAME:** x", ["NAME"], "x"),
        ("[`NAME`](https://x.y): x", ["NAME"], "x"),
        ("secrets.NAME: x", ["NAME"], "x"),
        ("__NAME__: x", ["NAME"], "x"),
        ("NAME", ["NAME"], ""),
        ("Name: x", [], ""),
        ("NAME is used: x", [], ""),
        ("NAME== x", [], ""),
    ],
)
def test_the_head_of_an_entry(text: str, names: list[str], rest: str) -> None:
    found = head(text)
    assert [name for name, _ in found.names] if found else names == []
    if found:
        assert ([name for name, _ in found.names], found.rest) == (names, rest)
        assert all(text[offset : offset + len(name)] == name for name, offset in found.names)


@pytest.mark.parametrize(
    ("text", "lacks"),
    [
        ("opens the door. Lives in: repository. How: ask", ""),
        ("opens the door", "where how"),
        ("TODO", "purpose where how"),
        ("TODO: say what\n  Lives in: TODO\nHow: TODO", "purpose where how"),
        ("Lives in: repository\nHow: ask Bob", "purpose"),
        ("token of the bot; in the organisation; created in the console", ""),
        ("(optional)", "purpose where how"),
        ("Used by: `x.yml`", "purpose where how"),
        ("generate it with openssl rand", "purpose where"),
        ("Where: the vault. Purpose: signs. Set: by hand", ""),
    ],
)
def test_what_an_entry_lacks(text: str, lacks: str) -> None:
    words = {"purpose": Missing.PURPOSE, "where": Missing.WHERE, "how": Missing.HOW}
    assert missing(text) == tuple(words[word] for word in lacks.split())


def test_a_heading_says_where() -> None:
    assert missing("x. How: ask", around="Environment: production") == ()


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        (" `A_B`<br>CC ", ["A_B", "CC"]),
        ("variables `A_B`, `CC`: where it answers", ["A_B", "CC"]),
        ("variables `A_B`, `CC`, or `DD`, `EE`", ["A_B", "CC", "DD", "EE"]),
        ("the A_B", None),
        ("A_B is a thing", None),
    ],
)
def test_a_cell_holds_names_or_none(cell: str, names: list[str] | None) -> None:
    found = cell_head(cell)
    assert (found and [name for name, _ in found.names]) == names


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("a/b.py", "python"), ("x.tsx", "javascript"), ("x.mjs", "javascript"), ("Dockerfile", "dockerfile"),
        ("infra/api.Dockerfile", "dockerfile"), ("Dockerfile.dev", "dockerfile"), ("compose.yml", "compose"),
        ("docker-compose.prod.yaml", "compose"), ("infra/stack.yml", "compose"), (".env.example", "dotenv"), (".env", ""),
        ("x.yml", ""), ("README.md", ""), (".env.production", ""),
    ],
)  # fmt: skip
def test_the_kind_of_a_file(path: str, kind: str) -> None:
    assert kind_of(path) == kind


def test_a_kind_can_be_told(tmp_path: pytest.TempPathFactory) -> None:
    tree = Tree(tmp_path, _paths=["bin/tool", "src/a.py", "src/gen.py"])  # type: ignore[arg-type]
    lines = [source("python: bin/*"), source("src/**"), source("!src/gen.py")]
    assert chosen(tree, lines) == {"bin/tool": "python", "src/a.py": "python"}


def test_scan_line_that_builds_two_names_is_one_finding() -> None:
    found = SCANNERS["python"]("x.py", "import os\nurl = os.environ.get(name, os.environ.get(name.upper()))\n")
    assert [(one.rule.partition("/")[2], one.line) for one in found.told] == [("dynamic-setting", 2)]


def test_scan_file_that_builds_names_again_and_again_is_one_finding() -> None:
    found = SCANNERS["python"]("x.py", "import os\n" + "os.environ[name]\n" * 3)
    (one,) = found.told
    assert (one.line, one.message.partition(". ")[2]) == (2, "2 more lines of the file read one so.")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("E203", False),
        ("W503", False),
        ("PATH", False),
        ("SYSTEMROOT", False),
        ("PORT", True),
        ("S3_BUCKET", True),
        ("V2", True),
    ],
)
def test_may_be_a_setting_code_of_a_rule_or_a_variable_of_the_system_is_not(name: str, expected: bool) -> None:
    assert may_be_a_setting(name) is expected


def test_scan_of_a_tool_s_file_needs_no_documentation(tmp_path: Path) -> None:
    (tmp_path / "noxfile.py").write_text("import os\nos.environ['PYODIDE_ROOT']\n")
    (found,) = scan(Tree(tmp_path), [source("auto")])
    assert [(use.name, use.aside) for use in found.uses] == [("PYODIDE_ROOT", True)]
