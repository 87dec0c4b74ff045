"""What Alembic knows: the configuration, the revision files, what is pending, and the run through env.py."""

from __future__ import annotations

import io
import os
from typing import Any, Callable, Iterable, Sequence

from alembic.config import CommandLine, Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory

from cicd_actions.run_migrations_oneshot.in_image.connections import Stop

PHASES = ("expand", "contract")


class _Line(CommandLine):  # type: ignore[misc]  # Any where Alembic is not installed
    """Alembic's own reading of its command line, which ends where a command would start."""

    def run_cmd(self, config: Any, options: Any) -> None:
        self.found = (config, options)


class Scripts:
    """The migrations that `alembic ARGUMENTS` would run."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._arguments = list(arguments)
        config, options = self._read()
        if options.cmd[0].__name__ != "upgrade" or options.sql:
            raise Stop("command")
        self.destination = str(options.revision)
        self._tag = options.tag
        self.directory = ScriptDirectory.from_config(config)

    def _read(self) -> tuple[Any, Any]:
        line = _Line(prog="alembic")
        line.main(argv=self._arguments)
        return line.found

    def heads(self) -> list[str]:
        """The image's heads; reading them loads every revision file."""
        return sorted(self.directory.get_heads())

    def about(self, revision: str) -> dict[str, str]:
        """A revision as it is reported."""
        script = self.directory.get_revision(revision)
        return {
            "revision": script.revision,
            "down": ", ".join(as_tuple(script.down_revision)),
            "message": (script.doc or "").strip(),
            "phase": phase_of(script),
            "file": relative(script.path or ""),
        }

    def knows(self, revision: str) -> bool:
        """Whether there is a file for exactly this revision (Alembic also takes the beginning of one)."""
        return any(script.revision == revision for script in self.directory.walk_revisions())

    def unknown(self, revisions: Iterable[str]) -> list[str]:
        """Those for which this image has no file."""
        wanted = set(revisions)
        known = {script.revision for script in self.directory.walk_revisions()} if wanted else set()
        return sorted(wanted - known)

    def steps(self, at: tuple[str, ...], destination: str) -> list[Any]:
        """The steps from these revisions to the destination, as `alembic upgrade` takes them; none when it is there."""
        return list(self.directory._upgrade_revs(destination, at))  # noqa: SLF001 - no public way

    def applied(self, at: Iterable[str]) -> set[str]:
        """Every revision that a database at these heads has."""
        found: set[str] = set()
        todo = [revision for revision in at if self.knows(revision)]
        while todo:
            script = self.directory.get_revision(todo.pop())
            if script.revision in found:
                continue
            found.add(script.revision)
            todo += [*as_tuple(script.down_revision), *as_tuple(script.dependencies)]
        return found

    def run(self, work: Callable[[Any, Any], Iterable[Any]], **options: Any) -> None:
        """Run env.py as `alembic upgrade` does, with `work` in the place of its list of steps."""
        config, _ = self._read()
        self.directory = ScriptDirectory.from_config(config)
        with self._environment(config, fn=work, destination_rev=self.destination, **options):
            self.directory.run_env()

    def rendered(self, start: tuple[str, ...], destination: str) -> str:
        """The SQL that Alembic would run, rendered offline: env.py's offline half. Raises what that raises."""
        config, _ = self._read()
        directory = ScriptDirectory.from_config(config)
        output = io.StringIO()
        config.output_buffer = output

        def work(at: Any, _context: Any) -> list[Any]:
            return list(directory._upgrade_revs(destination, at))  # noqa: SLF001 - as in `steps`

        with self._environment(
            config, directory, fn=work, as_sql=True, starting_rev=start[0] if start else None, destination_rev=destination
        ):
            directory.run_env()
        return output.getvalue()

    def _environment(self, config: Config, directory: Any = None, **options: Any) -> Any:
        return EnvironmentContext(config, directory or self.directory, tag=self._tag, **options)


def phase_of(script: Any) -> str:
    """The module's `deploy_phase`, as it stands there; `expand` where it says none."""
    return str(getattr(script.module, "deploy_phase", "expand"))


def as_tuple(value: Any) -> tuple[str, ...]:
    """One, several or no revisions, as Alembic writes them."""
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


def relative(path: str) -> str:
    """A path as people write it: from the working directory where it is below that."""
    here = os.getcwd()  # noqa: PTH109 - text in, text out
    return path[len(here) + 1 :] if path.startswith(here + os.sep) else path
