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
    """Lines may come from several threads. What is written is redacted, and no line can act as a workflow command."""

    def __init__(self, runtime: Runtime, path: Path) -> None:
        self._runtime = runtime
        self._lock = threading.Lock()
        self._left = MOST
        self._file: TextIO = private.opened(path)
        self.path = path
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
            if self._left > 0 and not self._file.closed:
                self._file.write(f"{shown}\n" if len(shown) < self._left else "… the rest is not kept: the log is too long\n")
                self._left -= len(shown) + 1

    def close(self) -> None:
        with self._lock:
            self._file.close()
