"""The job's log: each line with its time, shown as it comes, kept in a file, and the last ones for the report."""

from __future__ import annotations

import threading
from collections import deque
from datetime import datetime, timezone
from pathlib import Path
from typing import TextIO

from cicd_actions.toolkit import private
from cicd_actions.toolkit.printable import defused, shortened
from cicd_actions.toolkit.runtime import Runtime

LAST = 50
LONGEST_LINE = 8_000
MOST = 20 * 1024 * 1024
"""Characters of the file. What comes after is shown, but not kept."""


class Journal:
    """Lines may come from several threads. What is written is redacted, and no line can act as a workflow command.

    `path` is the file, `None` when it is not kept: the log is then only shown.
    """

    def __init__(self, runtime: Runtime, path: Path, *, kept: bool = True) -> None:
        self._runtime = runtime
        self._lock = threading.Lock()
        self._left = MOST
        self._base = path
        self._file: TextIO | None = private.opened(path) if kept else None
        self.path = path if kept else None
        self.last: deque[str] = deque(maxlen=LAST)

    def line(self, text: str, *, own: bool = False) -> None:
        """One line of the job; `own` marks what the action itself has to say."""
        now = datetime.now(timezone.utc).strftime("%H:%M:%S.%f")[:-3]
        # Masked before it is cut, so that no cut splits a secret.
        clean = shortened(defused(self._runtime.redactor(text)), LONGEST_LINE)
        # The mark keeps a line of the job from looking like one of ours, and from starting as a workflow command.
        shown = f"{now} {'▸' if own else '│'} {clean}"
        with self._lock:
            if not own:
                self.last.append(clean)
            self._runtime.log(shown)
            if self._left > 0 and self._file and not self._file.closed:
                self._file.write(f"{shown}\n" if len(shown) < self._left else "… the rest is not kept: the log is too long\n")
                self._left -= len(shown) + 1

    def keep(self, suffix: str, text: str, *, asked: bool = False) -> Path | None:
        """Writes another file beside the log, if that is kept or an input `asked` for the file. Returns its path."""
        if self.path is None and not asked:
            return None
        path = self._base.with_suffix(suffix)
        private.write(path, self._runtime.redactor(text))
        return path

    def facts(self) -> list[str]:
        """Returns where the log is, for the report."""
        return [f"Log: {self.path}"] if self.path else []

    def close(self) -> None:
        if self._file:
            with self._lock:
                self._file.close()
