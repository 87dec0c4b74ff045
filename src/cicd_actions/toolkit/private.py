"""Writes files that only their owner may read: logs and plans may hold what no mask knows."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TextIO

MODE = 0o600


def write(path: Path, content: str | bytes) -> None:
    """Writes a whole file as `opened` does; text as UTF-8."""
    with opened(path) as file:
        file.buffer.write(content.encode("utf-8", "replace") if isinstance(content, str) else content)


def opened(path: Path) -> TextIO:
    """Opens a file for writing text, empty and with the mode 0600, also where it stood before with another."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0), MODE)
    if hasattr(os, "fchmod"):
        os.fchmod(handle, MODE)
    return os.fdopen(handle, "w", encoding="utf-8", errors="replace")
