"""Finds the Python that has Alembic, and starts the run on it with every output filtered."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import signal
import sys
from typing import Any, Callable

from cicd_actions.run_migrations_oneshot.in_image.channel import Channel
from cicd_actions.run_migrations_oneshot.in_image.output import Output
from cicd_actions.run_migrations_oneshot.in_image.redaction import Redaction, found_in

AGAIN = "--found-by-its-script"


def start(sources: dict[str, str], path: list[str], make: Callable[[str, str], None]) -> None:
    """`path`: what `sys.path` is for the user's code. The modules that are missing so far import Alembic."""
    # As process 1 of a container, a signal that comes before the guard waits for it would be lost.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGALRM})
    arguments = [word for word in sys.argv[1:] if word != AGAIN]
    options = json.loads(arguments[0])
    if sys.version_info < (3, 8) or not has_tool(options["tool"]):
        _without_alembic(options, arguments)
    redaction = Redaction(found_in(os.environ, options["url_variable"]))
    output = Output(options["nonce"], redaction)
    channel = Channel(options["nonce"], redaction, output)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)
    for name, text in sources.items():
        if __name__.rpartition(".")[0] + "." + name not in sys.modules:
            make(name, text)
    run: Any = sys.modules[__name__.rpartition(".")[0] + "." + list(sources)[-1]]
    # `python -m alembic` has the working directory in front; the script `alembic` has not.
    sys.path[:] = [os.getcwd(), *path] if options["module"] else path
    run.main(options, arguments[1:], channel)


def _without_alembic(options: dict[str, Any], arguments: list[str]) -> None:
    """Goes on with another interpreter, or ends."""
    other = None if AGAIN in sys.argv else python_of(options["script"])
    if other:
        os.execv(other, [other, "-c", _own_text(), AGAIN, *arguments])
    version = ".".join(map(str, sys.version_info[:3]))
    body = {"event": "end", "state": "failed", "rule": "no-alembic", "python": version, "executable": sys.executable}
    body["tool"] = options["tool"]
    print("cicd-actions:" + options["nonce"] + " " + json.dumps(body), flush=True)  # noqa: T201 - the protocol
    sys.exit(127)


_PACKAGES = {"django": ("django.core.management",), "flask": ("flask_migrate",), "sql": ("psycopg", "psycopg2")}
"""What has to be importable, one of each; `alembic.config` for the others."""


def has_tool(tool: str) -> bool:
    """Returns whether this interpreter can import what migrates."""
    for name in _PACKAGES.get(tool, ("alembic.config",)):
        try:
            if importlib.util.find_spec(name) is not None:
                return True
        except ImportError:
            continue
    return False


def python_of(script: str) -> str | None:
    """Returns the interpreter in the first line of a script on PATH: that of the environment it is installed in."""
    path = shutil.which(script)
    if path is None:
        return None
    with open(path, "rb") as file:
        first = file.read(1024).decode("utf-8", "replace")
    # Installers write `#!/bin/sh` and `'''exec' PYTHON "$0" "$@"` where the path is too long for a first line.
    found = re.match(r"#!\s*(?P<direct>/\S+)\s*\n(?:'''exec' \"?(?P<long>/[^\"\n]+?)\"? \"\$0\")?", first)
    python = (found["long"] or found["direct"]) if found else None
    if python is None or not os.access(python, os.X_OK) or "python" not in os.path.basename(python):
        return None
    return python


def _own_text() -> str:
    if hasattr(sys, "orig_argv"):
        words = sys.orig_argv
    else:
        with open("/proc/self/cmdline", "rb") as file:
            words = [word.decode() for word in file.read().split(b"\0")]
    return words[words.index("-c") + 1]
