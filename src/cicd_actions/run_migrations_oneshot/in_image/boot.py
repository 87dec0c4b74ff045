"""The first lines of the text that is handed over: makes modules of the sources before the user's folders count.

`python -c` puts the working directory in front of the standard library, and many a project has a folder `types`, `json.py`
or `alembic`. So this module imports nothing but `sys`, which is built in.
"""

from __future__ import annotations

import sys

PACKAGE = "cicd_actions.run_migrations_oneshot.in_image"


def start(sources: dict[str, str]) -> None:
    """`sources`: the modules' texts by name, in the order of their imports. `sys.argv`: options as JSON, then what stands
    after `alembic`."""
    kept = [entry for entry in sys.path if entry != ""]
    import os  # loaded by `site` already; where it is, is where the standard library is

    library = os.path.dirname(os.__file__)
    standard = [entry for entry in kept if entry.startswith(library) and "-packages" not in entry]
    parts = PACKAGE.split(".")
    for depth in range(1, len(parts) + 1):
        package = type(sys)(".".join(parts[:depth]))
        package.__path__ = []
        sys.modules[package.__name__] = package
    sys.path[:] = standard
    for name, text in sources.items():
        if name == "interpreter":
            break
        make(name, text)
    make("interpreter", sources["interpreter"])
    # Alembic and what it imports come next: the user's folders still count last.
    packages = [entry for entry in kept if entry not in standard]
    sys.path[:] = standard + sorted(packages, key=lambda entry: "-packages" not in entry)
    sys.modules[PACKAGE + ".interpreter"].start(sources, kept, make)


def make(name: str, text: str) -> None:
    """Makes one module of its text."""
    import linecache  # not before the path is narrowed

    path = "<cicd-actions>/" + name + ".py"
    module = type(sys)(PACKAGE + "." + name)
    module.__file__ = path
    sys.modules[module.__name__] = module
    setattr(sys.modules[PACKAGE], name, module)
    linecache.cache[path] = (len(text), None, text.splitlines(True), path)  # so that a traceback shows its lines
    exec(compile(text, path, "exec"), module.__dict__)  # noqa: S102 - our own text
