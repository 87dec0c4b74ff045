"""The program that prepares the project's environment empties no environment but its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.bootstrap import main


@pytest.mark.parametrize("exists", [True, False], ids=["linked", "dangling"])
def test_bootstrap_environment_is_a_link_is_refused_and_untouched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exists: bool
) -> None:
    monkeypatch.setenv("PATH", "")  # a refusal that is missed installs no packages on the machine
    shared, link, requirements = tmp_path / "shared", tmp_path / "venv", tmp_path / "dev.txt"
    requirements.touch()
    if exists:
        (shared / "bin").mkdir(parents=True)
        (shared / "bin" / "python").write_text("in use", "utf-8")
    link.symlink_to(shared)

    with pytest.raises(SystemExit, match=r"is a link to .*/shared, which another checkout may use") as refused:
        main(link, requirements)

    assert f"rm {link}\n" in str(refused.value)
    assert link.readlink() == shared
    assert shared.exists() is exists
    assert [str(each.relative_to(shared)) for each in shared.rglob("*")] == (["bin", "bin/python"] if exists else [])
