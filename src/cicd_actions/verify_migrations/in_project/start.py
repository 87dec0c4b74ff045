"""The text that the project's Python is started with: `python -c TEXT OPTIONS`, where OPTIONS is the path of a JSON file.

`python -c` puts the working directory in front of the standard library, and many a project has a folder `alembic` or `types`.
So nothing but `sys` is imported before that entry is removed.
"""

import sys

_KEPT = [entry for entry in sys.path if entry]
sys.path[:] = _KEPT

import importlib
import json
import os

_NEEDED = {
    "alembic": (
        "alembic.config",
        "alembic.autogenerate",
        "alembic.runtime.migration",
        "sqlalchemy.orm",
        "sqlalchemy.dialects",
    )
}
"""What is compiled into the project's own folders, by tool."""


def main() -> None:
    """Goes on with the interpreter that has the tool, and runs the program that the options name."""
    with open(sys.argv[1], encoding="utf-8") as file:
        options = json.load(file)
    # Only this package: what the action itself depends on must not stand in for what the project does not have.
    package = type(sys)("cicd_actions")
    package.__path__ = [options["source"]]
    sys.modules["cicd_actions"] = package
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # the action's own folder stays as it is
    interpreter = importlib.import_module("cicd_actions.run_migrations_oneshot.in_image.interpreter")
    if not interpreter.has_tool(options["tool"]) and len(sys.argv) == 2:
        other = interpreter.python_of(options["script"])
        if other:
            with open(__file__ if "__file__" in globals() else options["start"], encoding="utf-8") as file:
                text = file.read()
            os.execv(other, [other, "-c", text, sys.argv[1], "again"])
    if options["moved"]:
        # The environment may have the project from the other work tree (an editable install).
        here, there = options["moved"]
        sys.path[:] = [_moved(entry, here, there) for entry in sys.path]
    if options["module"]:  # `python -m alembic` has the working directory in front; the script `alembic` has not
        sys.path[:0] = [os.getcwd()]
    sys.dont_write_bytecode = written
    for needed in _NEEDED.get(options["tool"], ()):
        importlib.import_module(needed)
    sys.dont_write_bytecode = True
    program = importlib.import_module("cicd_actions.verify_migrations.in_project." + options["program"])
    sys.dont_write_bytecode = written
    program.main(options)


def _moved(entry: str, here: str, there: str) -> str:
    inside = (entry + os.sep).startswith(here + os.sep) and "-packages" not in entry and "lib" + os.sep + "python" not in entry
    return there + entry[len(here) :] if inside else entry


if __name__ == "__main__":
    main()
