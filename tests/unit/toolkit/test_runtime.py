from __future__ import annotations

import io
from pathlib import Path

import pytest

from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.runtime import Runtime


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The workspace, with links as a hostile commit may bring them."""
    folder = tmp_path / "checkout"
    (folder / "reports").mkdir(parents=True)
    (folder / "inside").symlink_to("reports")
    (folder / "outside").symlink_to("..")
    (folder / "file.json").symlink_to("../secret.json")
    (folder / "round").symlink_to("round")
    monkeypatch.chdir(folder)
    return folder


def place(path: str | Path) -> Path:
    return Runtime({}, io.StringIO()).place(path, input="report")


@pytest.mark.parametrize("path", ["a.json", "reports/a.json", "new/deep/a.json", "inside/a.json", "./reports/../a.json"])
def test_a_file_of_the_workspace(checkout: Path, path: str) -> None:
    found = place(path)
    found.write_text("x")
    assert (checkout / path).read_text() == "x"


def test_a_file_elsewhere_is_the_users_own_word(checkout: Path, tmp_path: Path) -> None:
    assert place("../a.json") == tmp_path / "a.json"
    assert place(tmp_path / "there" / "a.json") == tmp_path / "there" / "a.json"
    (tmp_path / "link").symlink_to(tmp_path / "there")
    assert place(tmp_path / "link" / "a.json") == tmp_path / "link" / "a.json"


@pytest.mark.parametrize("path", ["file.json", "outside/a.json", "outside/new/a.json"])
def test_a_link_of_the_checkout_leads_nowhere(checkout: Path, tmp_path: Path, path: str) -> None:
    with pytest.raises(UnusableInput, match="a symbolic link leads it out of the workspace") as caught:
        place(path)
    assert caught.value.fix == f"    with:\n      report: ${{{{ runner.temp }}}}/{Path(path).name}"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["checkout"]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("reports", "it is a folder"),
        ("", "it is a folder"),
        ("round/a.json", "."),
        ("a\0b", "null"),
        ("x" * 300 + "/a.json", "name too long"),
        ("/proc/no/such/folder/a.json", "."),
    ],
)
@pytest.mark.usefixtures("checkout")
def test_what_cannot_be_written_is_told_with_its_cause(path: str, why: str) -> None:
    with pytest.raises(UnusableInput, match=f"(?i)cannot write .*: .*{why}"):
        place(path)


def test_command_message_with_a_secret_is_masked() -> None:
    log = io.StringIO()
    runtime = Runtime({"GITHUB_ACTIONS": "true"}, log)
    runtime.redactor.add("correct-horse-battery")
    with runtime.group("sign in with correct-horse-battery"):
        runtime.command("error", "no correct-horse-battery", title="correct-horse-battery")
    assert log.getvalue() == "::group::sign in with ***\n::error title=***::no ***\n::endgroup::\n"
