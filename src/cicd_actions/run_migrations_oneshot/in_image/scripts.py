"""What Alembic knows: the configuration, the revision files, what is pending, and the run through env.py."""

from __future__ import annotations

import io
from typing import Any, Callable, Iterable, Sequence, TypeVar

from alembic.config import CommandLine, Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory

from cicd_actions.run_migrations_oneshot.in_image.problems import relative
from cicd_actions.run_migrations_oneshot.in_image.run import Stop, instead_of

PHASES = ("expand", "contract", "")
_T = TypeVar("_T")


class _Line(CommandLine):  # type: ignore[misc]  # Any where Alembic is not installed
    """Alembic's own reading of its command line, which ends where a command would start."""

    def run_cmd(self, config: Any, options: Any) -> None:
        self.found = (config, options)


class Scripts:
    """The migrations that `alembic upgrade` would run. `configured` returns Alembic's configuration, a new one for each run of
    env.py where that is possible; `destination` and `tag` are the command's."""

    def __init__(self, configured: Callable[[], Any], destination: str, tag: Any = None) -> None:
        self._configured = configured
        self._tag = tag
        self.destination = destination
        self.directory = ScriptDirectory.from_config(configured())

    @classmethod
    def of_arguments(cls, arguments: Sequence[str]) -> Scripts:
        """Reads what stands after `alembic`. Raises `Stop` for anything but an upgrade."""

        def read() -> tuple[Any, Any]:
            line = _Line(prog="alembic")
            line.main(argv=list(arguments))
            return line.found

        _, options = read()
        if options.cmd[0].__name__ != "upgrade" or options.sql:
            raise Stop("command")
        return cls(lambda: read()[0], str(options.revision), options.tag)

    def check(self) -> None:
        """Loads every revision file. Raises `Stop` for a graph that Alembic cannot walk."""
        try:
            loaded = list(self.directory._load_revisions())  # no public way without a walk of the graph
        except SyntaxError as error:
            place = {"file": relative(str(error.filename or "")), "line": error.lineno or 0}
            problem = {"type": type(error).__name__, "text": str(error.msg), **place}
            raise Stop("syntax", state="failed", problem=problem) from None
        # Each file is loaded once: what it does at its top has been done.
        self.directory.revision_map._generator = lambda: loaded
        files: dict[str, list[str]] = {}
        for script in loaded:
            files.setdefault(script.revision, []).append(relative(str(script.path or "")))
        twice = {revision: sorted(found) for revision, found in files.items() if len(found) > 1}
        if twice:
            revision, paths = min(twice.items())
            raise Stop("duplicate", revision=revision, files=paths)
        labels = {label for script in loaded for label in script.branch_labels}
        for script in loaded:
            parents = {
                "down_revision": [down for down in as_tuple(script.down_revision) if down not in files],
                "depends_on": [one for one in as_tuple(script.dependencies) if one not in files and one not in labels],
            }
            for name, missing in parents.items():
                if missing:
                    file = relative(str(script.path or ""))
                    raise Stop("dangling", revision=script.revision, file=file, missing=missing, name=name)

    def heads(self) -> list[str]:
        """Returns the image's heads; reading them loads every revision file."""
        return sorted(self.directory.get_heads())

    def about(self, revision: str) -> dict[str, str]:
        """Returns a revision as it is reported."""
        script = self.directory.get_revision(revision)
        return {
            "revision": script.revision,
            "down": ", ".join(as_tuple(script.down_revision)),
            "message": (script.doc or "").strip(),
            "phase": phase_of(script),
            "file": relative(script.path or ""),
        }

    def knows(self, revision: str) -> bool:
        """Returns whether there is a file for exactly this revision (Alembic also takes the beginning of one)."""
        return any(script.revision == revision for script in self.directory.walk_revisions())

    def unknown(self, revisions: Iterable[str]) -> list[str]:
        """Returns those for which this image has no file."""
        wanted = set(revisions)
        known = {script.revision for script in self.directory.walk_revisions()} if wanted else set()
        return sorted(wanted - known)

    def steps(self, at: tuple[str, ...], destination: str) -> list[Any]:
        """Returns the steps from these revisions to the destination, as `alembic upgrade` takes them; none when it is there."""
        return list(self.directory._upgrade_revs(destination, at))  # no public way

    def applied(self, at: Iterable[str]) -> set[str]:
        """Returns every revision that a database at these heads has."""
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
        """Runs env.py as `alembic upgrade` does, with `work` instead of its list of steps."""
        config = self._configured()
        self.directory = ScriptDirectory.from_config(config)
        with self._environment(config, fn=work, destination_rev=self.destination, **options):
            self.directory.run_env()

    def rendered(self, start: tuple[str, ...], destination: str) -> str:
        """Returns the SQL that Alembic would run, rendered offline: env.py's offline half. Raises what that raises."""
        config = self._configured()
        directory = ScriptDirectory.from_config(config)
        output = io.StringIO()
        config.output_buffer = output

        def work(at: Any, _context: Any) -> list[Any]:
            return list(directory._upgrade_revs(destination, at))

        with self._environment(
            config, directory, fn=work, as_sql=True, starting_rev=start[0] if start else None, destination_rev=destination
        ):
            directory.run_env()
        return output.getvalue()

    def _environment(self, config: Config, directory: Any = None, **options: Any) -> Any:
        return EnvironmentContext(config, directory or self.directory, tag=self._tag, **options)


def under_flask(arguments: Sequence[str], work: Callable[[Scripts], _T]) -> _T:
    """Lets Flask-Migrate make the configuration, and runs `work` in the application's context instead of the upgrade."""
    import alembic.command
    from flask.cli import cli  # type: ignore[import-not-found]

    def upgrade(config: Any, revision: str = "head", sql: bool = False, tag: Any = None, **_more: Any) -> _T:
        return work(Scripts(lambda: config, "command" if sql else revision, tag))

    return instead_of(
        alembic.command,
        "upgrade",
        upgrade,
        lambda: cli.main(args=list(arguments), prog_name="flask", standalone_mode=False),
    )


def phase_of(script: Any) -> str:
    """Returns the module's `deploy_phase` as it stands there, empty where the module does not declare one."""
    return str(getattr(script.module, "deploy_phase", ""))


def as_tuple(value: Any) -> tuple[str, ...]:
    """Returns one, several or no revisions, as Alembic writes them."""
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)
