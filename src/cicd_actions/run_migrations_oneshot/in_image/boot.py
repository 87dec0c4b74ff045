"""The first lines of the text that is handed over: finds the Python that has Alembic, and makes modules of their sources."""

from __future__ import annotations

import importlib
import importlib.util
import json
import linecache
import os
import re
import shutil
import signal
import sys
import types

PACKAGE = "cicd_actions.run_migrations_oneshot.in_image"
AGAIN = "--found-by-its-script"


def start(sources: dict[str, str]) -> None:
    """`sources`: the modules' texts by name. `sys.argv`: options as JSON, then what stands after `alembic`."""
    # As process 1 of a container, a signal that comes before somebody waits for it would be lost.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGALRM})
    if sys.path and sys.path[0] == "":
        del sys.path[0]  # `-c` puts the working directory there, and many a project's folder of migrations is named `alembic`
    arguments = [word for word in sys.argv[1:] if word != AGAIN]
    options = json.loads(arguments[0])
    if sys.version_info < (3, 8) or not _has_alembic():
        other = None if AGAIN in sys.argv else _python_of(options["script"])
        if other:
            os.execv(other, [other, "-c", _own_text(), AGAIN, *arguments])  # noqa: S606 - there is no shell to be had
        version = ".".join(map(str, sys.version_info[:3]))
        body = {"event": "end", "state": "failed", "rule": "no-alembic", "python": version, "executable": sys.executable}
        print("cicd-actions:" + options["nonce"] + " " + json.dumps(body), flush=True)  # noqa: T201 - the protocol
        sys.exit(127)
    _make(sources)
    importlib.import_module(PACKAGE + ".migrate").main(options, arguments[1:])


def _has_alembic() -> bool:
    try:
        return importlib.util.find_spec("alembic.config") is not None
    except ImportError:
        return False


def _python_of(script: str) -> str | None:
    """The interpreter in the first line of the `alembic` on PATH: that of the environment it is installed in."""
    path = shutil.which(script)
    if path is None:
        return None
    with open(path, "rb") as file:  # noqa: PTH123 - nothing more is needed
        first = file.read(1024).decode("utf-8", "replace")
    # Installers write `#!/bin/sh` and `'''exec' PYTHON "$0" "$@"` where the path is too long for a first line.
    found = re.match(r"#!\s*(?P<direct>/\S+)\s*\n(?:'''exec' \"?(?P<long>/[^\"\n]+?)\"? \"\$0\")?", first)
    python = (found["long"] or found["direct"]) if found else None
    if python is None or not os.access(python, os.X_OK) or "python" not in os.path.basename(python):  # noqa: PTH119
        return None
    return python


def _own_text() -> str:
    if hasattr(sys, "orig_argv"):
        words = sys.orig_argv
    else:
        with open("/proc/self/cmdline", "rb") as file:  # noqa: PTH123 - as above
            words = [word.decode() for word in file.read().split(b"\0")]
    return words[words.index("-c") + 1]


def _make(sources: dict[str, str]) -> None:
    parts = PACKAGE.split(".")
    for depth in range(1, len(parts) + 1):
        name = ".".join(parts[:depth])
        package = types.ModuleType(name)
        package.__path__ = []
        sys.modules[name] = package
    for name, text in sources.items():
        _make_module(PACKAGE + "." + name, "<cicd-actions>/" + name + ".py", text)


def _make_module(name: str, path: str, text: str) -> None:
    module = types.ModuleType(name)
    module.__file__ = path
    sys.modules[name] = module
    setattr(sys.modules[PACKAGE], name.rpartition(".")[2], module)
    linecache.cache[path] = (len(text), None, text.splitlines(True), path)  # so that a traceback shows its lines
    exec(compile(text, path, "exec"), module.__dict__)  # noqa: S102 - our own text
