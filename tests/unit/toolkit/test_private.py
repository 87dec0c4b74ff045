from __future__ import annotations

import stat
from pathlib import Path

import pytest

from cicd_actions.toolkit import private


def test_private_file_is_readable_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("before")
    path.chmod(0o644)
    with private.opened(path) as file:
        file.write("x\udcff")
    assert path.read_text() == "x?"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", ["x\udcff", b"x?"])
def test_write_text_or_bytes_makes_a_file_for_its_owner_alone(tmp_path: Path, content: str | bytes) -> None:
    private.write(tmp_path / "plan", content)
    assert (tmp_path / "plan").read_bytes() == b"x?"
    assert stat.S_IMODE((tmp_path / "plan").stat().st_mode) == 0o600


def test_private_file_does_not_follow_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic"):
        private.opened(tmp_path / "link")
