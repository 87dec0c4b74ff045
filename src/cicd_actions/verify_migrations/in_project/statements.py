"""Reports every statement of a migration as the client sees it: place, rows, errors, and the server's state after it."""

from __future__ import annotations

import json
import linecache
import sys
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

from cicd_actions.run_migrations_oneshot.in_image import problems
from cicd_actions.run_migrations_oneshot.in_image.aside import dbapi_of

LONGEST = 2000
MOST = 5000
"""Statements that are kept, each with at most `LONGEST` characters."""


class Statements:
    """What the revision that runs now sends to the server. `files` are the revisions' files."""

    def __init__(self, files: list[str]) -> None:
        self._files = set(files)
        self.revision = ""
        self.found: list[dict[str, Any]] = []
        self.count = 0

    def listen(self) -> None:
        """Listens to every engine of this process."""
        event.listen(Engine, "after_cursor_execute", self._executed)
        event.listen(Engine, "handle_error", self._failed)

    def begin(self, revision: str) -> None:
        """Counts from now on for this revision; empty for none."""
        self.revision, self.count = revision, 0

    def _executed(self, connection: Any, cursor: Any, statement: str, _parameters: Any, _context: Any, _many: bool) -> None:
        if not self.revision:
            return
        entry = self._entry(statement)
        # What comes from no revision's file is Alembic's own, for its version table.
        self.count += bool(entry["file"])
        if connection.dialect.name != "postgresql":
            return
        entry["rows"] = cursor.rowcount if isinstance(cursor.rowcount, int) else -1
        own = dbapi_of(connection.connection).cursor()
        try:
            own.execute("SELECT cicd_vm.seen()")
            found = own.fetchone()[0]
            entry["seen"] = json.loads(found) if isinstance(found, str) else found
        finally:
            own.close()
        self._keep(entry)

    def _failed(self, context: Any) -> None:
        if self.revision and context.statement:
            entry = self._entry(str(context.statement))
            entry["error"] = problems.words(context.original_exception)
            entry["code"] = problems.sqlstate(context.original_exception)
            self._keep(entry)

    def _entry(self, statement: str) -> dict[str, Any]:
        file, line = self._place()
        return {
            "revision": self.revision,
            "statement": statement[:LONGEST],
            "file": file,
            "line": line,
            "call": linecache.getline(file, line).strip()[:200] if file else "",
        }

    def _keep(self, entry: dict[str, Any]) -> None:
        if len(self.found) < MOST:
            self.found.append(entry)

    def _place(self) -> tuple[str, int]:
        frame: Any = sys._getframe()
        while frame is not None:
            if frame.f_code.co_filename in self._files:
                return frame.f_code.co_filename, frame.f_lineno
            frame = frame.f_back
        return "", 0
