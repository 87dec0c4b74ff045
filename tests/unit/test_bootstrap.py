"""The program that prepares the project's environment empties no environment but its own."""

from __future__ import annotations

import fcntl
import subprocess
import sys
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


def test_bootstrap_another_prepares_the_environment_is_awaited_and_used(tmp_path: Path) -> None:
    folder, requirements = tmp_path / "venv", tmp_path / "dev.txt"
    folder.mkdir()
    requirements.touch()
    program = Path(__file__).resolve().parents[2] / "tools" / "bootstrap.py"
    words = [sys.executable, str(program), str(folder), str(requirements)]
    # PATH is empty: one that does not wait installs no packages on the machine.
    with folder.with_name("venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with subprocess.Popen(words, env={"PATH": ""}, stderr=subprocess.PIPE, text=True) as second:
            assert second.stderr is not None
            assert second.stderr.readline().startswith(f"Waiting for another process that prepares {folder}")
            (folder / "ready").touch()
            fcntl.flock(lock, fcntl.LOCK_UN)
            assert second.wait(60) == 0
    assert [path.name for path in folder.iterdir()] == ["ready"]
