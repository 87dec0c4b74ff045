"""`write` and `check-write`: the block is generated from the uses, and no line that people wrote is lost."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.secrets_doc_check import block
from cicd_actions.secrets_doc_check.documentation import BEGIN, END
from cicd_actions.secrets_doc_check.inputs import document
from cicd_actions.secrets_doc_check.model import Kind, Use
from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.grammar import NotUnderstood
from cicd_actions.toolkit.verdict import Verdict
from cicd_actions.workflows.place import Place
from tests.integration.secrets_doc_check.conftest import Check, fill, names

SOURCE = str(Path(block.__file__).parents[2])
WORKFLOW = """\
on: push
jobs:
  deploy:
    runs-on: ubuntu-latest
    environment: production
    steps:
      - run: echo ${{ secrets.DEPLOY_KEY }} ${{ vars.HOST }} ${{ secrets.ELSEWHERE }}
"""
EVERYWHERE = """\
on: {workflow_dispatch: {inputs: {where: {}}}}
env: {A: '${{ secrets.OF_ALL }}'}
jobs:
  one:
    runs-on: ubuntu-latest
    environment: ${{ inputs.where }}
    container: {image: x, credentials: {username: x, password: '${{ secrets.OF_CONTAINER }}'}}
    services: {db: {image: x, env: {P: '${{ secrets.OF_SERVICE }}'}}}
    env: {B: '${{ secrets.OF_JOB }}'}
    outputs: {o: '${{ vars.OF_OUTPUT }}'}
    steps:
      - run: x ${{ secrets.OF_RUN }}
        working-directory: ${{ vars.OF_FOLDER }}
      - {uses: 'a/b@v1', with: {c: '${{ secrets.OF_WITH }}'}}
  two:
    uses: other/repository/.github/workflows/x.yml@v1
    secrets: {GIVEN: '${{ secrets.GIVEN }}', RENAMED: '${{ secrets.OWN }}'}
"""
APPLICATION = """\
import os
# A shell sets the first one for a completion, and a program that starts this one the second.
for name in (os.environ["COMP_LINE"], os.environ["_STARTED_BY"], os.environ["SETTING"]):
    print(name)
"""


@pytest.fixture
def project(repository: Path) -> Path:
    fill(repository, {".github/workflows/deploy.yml": WORKFLOW, "README.md": "- ELSEWHERE: x. Repository. Ask.\n"})
    return repository


def test_a_document_is_made(project: Path, check: Check) -> None:
    report = check({"write": "docs/secrets.md", "fail-on": "undocumented\nincomplete"})
    text = (project / "docs/secrets.md").read_text()
    assert text.startswith(f"# Secrets and variables\n\n{BEGIN}\n")
    assert "- `DEPLOY_KEY`: read by a command of the job `deploy`\n  - Lives in: environment production\n" in text
    assert (
        "  - How: `gh secret set DEPLOY_KEY --env production`\n  - Used by: `.github/workflows/deploy.yml` (job deploy)\n"
        in text
    )
    assert "### Variables\n\n- `HOST`" in text
    assert "ELSEWHERE" not in text
    assert (report.verdict, report.findings) == (Verdict.PASS, [])


def test_write_makes_the_check_pass_wherever_a_name_is_read(repository: Path, check: Check) -> None:
    fill(repository, {".github/workflows/all.yml": EVERYWHERE, "app.py": APPLICATION})
    given = {"code": "auto", "fail-on": "undocumented\nincomplete"}
    assert len(names(check(given), "undocumented")) == 11
    assert check({**given, "write": "SECRETS.md"}).verdict is Verdict.PASS
    assert "TODO" not in (repository / "SECRETS.md").read_text()


def test_placeholder_in_the_block_documents_nothing(project: Path, check: Check) -> None:
    check({"write": "docs/secrets.md"})
    path = project / "docs/secrets.md"
    path.write_text(path.read_text().replace("read by a command of the job `deploy`", "TODO: ask", 1))
    report = check({})
    assert (report.verdict, names(report, "undocumented")) == (Verdict.FAIL, ["DEPLOY_KEY"])
    assert {finding.fix for finding in report.findings} == {"Fill in the TODO in docs/secrets.md:8."}
    assert "To document these names" not in repr(report.blocks)


def test_a_second_run_changes_nothing(project: Path, check: Check) -> None:
    check({"write": "SECRETS.md"})
    first = (project / "SECRETS.md").read_bytes()
    check({"write": "SECRETS.md"})
    assert (project / "SECRETS.md").read_bytes() == first
    report = check({"check-write": "SECRETS.md", "fail-on": "broken"})
    assert report.verdict is Verdict.PASS


def test_what_people_wrote_stays(project: Path, check: Check) -> None:
    check({"write": "SECRETS.md"})
    path = project / "SECRETS.md"
    text = path.read_text()
    text = text.replace("read by a command of the job `deploy`", "opens the door,\n  and closes it", 1)
    text = text.replace("### Secrets\n", "### Secrets\n\nWe rotate them in spring.\n")
    text = text.replace("# Secrets and variables\n", "# Ours\n\nBefore.\n").rstrip("\n") + "\n\nAfter.\n"
    path.write_text(text)
    fill(project, {".github/workflows/deploy.yml": WORKFLOW.replace("vars.HOST", "vars.NEW_ONE")})
    check({"write": "SECRETS.md"})
    made = path.read_text()
    for piece in ("# Ours\n\nBefore.\n", "opens the door,\n  and closes it\n", "We rotate them in spring.\n", "\n\nAfter.\n"):
        assert piece in made
    assert "- `NEW_ONE`: read by a command" in made
    # What is no longer used is kept, under a separate heading.
    assert made.index("### No longer used") < made.index("- `HOST`")
    check({"write": "SECRETS.md"})
    assert path.read_text() == made
    fill(project, {".github/workflows/deploy.yml": WORKFLOW})
    check({"write": "SECRETS.md"})
    assert "No longer used" in path.read_text()  # NEW_ONE now
    assert path.read_text().index("- `HOST`") < path.read_text().index("### No longer used")


def test_setting_that_write_documented_from_code_is_not_unused_where_no_code_is_read(repository: Path, check: Check) -> None:
    fill(repository, {"app.py": "import os\nos.environ['SHOP_KEY']\n"})
    check({"code": "auto", "write": "SECRETS.md"})
    assert "`SHOP_KEY`" in (repository / "SECRETS.md").read_text()
    assert names(check({}), "unused") == []
    fill(repository, {"app.py": ""})
    assert names(check({"code": "auto"}), "unused") == ["SHOP_KEY"]


def test_check_write_fails_with_the_difference_and_writes_nothing(project: Path, check: Check) -> None:
    report = check({"check-write": "SECRETS.md", "fail-on": "nothing"})
    assert report.verdict is Verdict.FAIL
    assert not (project / "SECRETS.md").exists()
    assert any("+- `DEPLOY_KEY`" in str(getattr(one, "text", "")) for one in report.blocks)
    assert report.findings[0].rule == "secrets-doc-check/stale"


def test_line_ends_and_mode_are_kept(project: Path, check: Check) -> None:
    path = project / "SECRETS.md"
    path.write_bytes(b"# Ours\r\n\r\nText.\r\n")
    path.chmod(0o640)
    check({"write": "SECRETS.md"})
    raw = path.read_bytes()
    assert raw.count(b"\n") == raw.count(b"\r\n") > 10
    assert path.stat().st_mode & 0o777 == 0o640
    assert [found.name for found in project.iterdir() if "partial" in found.name] == []


@pytest.mark.parametrize("text", [BEGIN, END, f"{END}\n{BEGIN}", f"{BEGIN}\n{END}\n{BEGIN}\n{END}"])
def test_markers_that_are_no_pair_are_refused(project: Path, check: Check, text: str) -> None:
    fill(project, {"SECRETS.md": text})
    with pytest.raises(UnusableInput, match="not one pair"):
        check({"write": "SECRETS.md"})
    assert (project / "SECRETS.md").read_text() == text


@pytest.mark.parametrize("path", ["../SECRETS.md", "/etc/passwd", "docs/*.md", "!SECRETS.md"])
def test_only_a_file_of_the_repository_is_written(project: Path, check: Check, path: str) -> None:
    with pytest.raises(UnusableInput):
        check({"write": path})


def test_document_that_git_ignores_is_not_written(project: Path, check: Check) -> None:
    subprocess.run(["git", "init", "--quiet", project], check=True)
    (project / ".gitignore").write_text("/*.md\n")
    with pytest.raises(UnusableInput, match="git ignores it") as said:
        check({"write": "SECRETS.md"})
    assert "!/SECRETS.md" in said.value.fix
    assert not (project / "SECRETS.md").exists()
    (project / ".gitignore").write_text("/*.md\n!/SECRETS.md\n")
    check({"write": "SECRETS.md"})
    assert (project / "SECRETS.md").exists()


def test_a_link_that_leads_out_is_not_written_through(
    project: Path, check: Check, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "file.md").write_text("theirs")
    (project / "SECRETS.md").symlink_to(outside / "file.md")
    (project / "linked").symlink_to(outside)
    for target in ("SECRETS.md", "linked/new.md"):
        with pytest.raises(UnusableInput, match="Cannot read and write"):
            check({"write": target})
    assert (outside / "file.md").read_text() == "theirs"
    assert sorted(path.name for path in outside.iterdir()) == ["file.md"]


def test_both_inputs_at_once_are_refused(project: Path, check: Check) -> None:
    with pytest.raises(UnusableInput, match="exclude each other"):
        check({"write": "SECRETS.md", "check-write": "SECRETS.md"})


_names = st.from_regex(r"[A-Z][A-Z0-9_]{1,6}", fullmatch=True)
_uses = st.lists(
    st.builds(
        lambda kind, name, file, job, environments: Use(kind, name, Place(file, 1), job, "", environments),
        st.sampled_from(list(Kind)),
        _names,
        st.sampled_from(["a.yml", "b`.yml", "c\n-->.yml"]),
        st.sampled_from(["", "build", "-->"]),
        st.sampled_from([(), None, ("production",), ("a b", "c`d\n")]),
    ),
    max_size=6,
)
_lines = st.lists(
    st.sampled_from(
        [
            "- A: x",
            "- B / C: y",
            "  more",
            "text",
            "",
            "### Secrets",
            "### Mine",
            "## Deep",
            "  - Used by: z",
            "- not a name",
            "  ",
            "* `d_e`: z",
        ]
    ),
    max_size=10,
)


@given(_uses, _uses, _lines)
def test_made_twice_is_made_once_and_no_line_is_lost(uses: list[Use], later: list[Use], written: list[str]) -> None:
    text = "\n".join(["# Title", BEGIN, *written, END, "tail", ""])
    once = block.updated(text, uses, frozenset(), {}, "x.md")
    assert block.updated(once, uses, frozenset(), {}, "x.md") == once
    then = block.updated(once, later, frozenset(), {}, "x.md")
    assert block.updated(then, later, frozenset(), {}, "x.md") == then
    kept = {line.strip() for line in then.split("\n")}
    lost = {line.strip() for line in written if "Used by" not in line and not line.startswith("#")} - kept - {""}
    assert lost == set()
    assert (then.count(BEGIN), then.count(END)) == (1, 1)
    assert then.startswith("# Title\n")
    assert then.endswith("\ntail\n")


def test_write_killed_at_any_time_leaves_a_whole_document(tmp_path: Path) -> None:
    old, new = "old\n" * 200_000, "new\n" * 200_000
    target = tmp_path / "SECRETS.md"
    target.write_text(old)
    words = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path; from cicd_actions.secrets_doc_check.run import _write\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    for text in ('new\\n', 'old\\n'):\n"
        "        _write(Path(sys.argv[1]), text * 200_000)"
    )
    for _ in range(5):
        with subprocess.Popen([sys.executable, "-c", words, str(target), SOURCE], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            partial = f"{target.name}.{writer.pid}.partial"
            while not (tmp_path / partial).exists():
                assert writer.poll() is None
            writer.send_signal(signal.SIGKILL)
        assert target.read_text() in {old, new}


@pytest.mark.parametrize("path", ["true", "README", "docs/", "SECRETS.txt"])
def test_write_of_a_path_that_is_not_markdown_is_refused(path: str) -> None:
    with pytest.raises(NotUnderstood, match="Markdown file"):
        document(path)
