"""`cicd-actions NAME`: reads the inputs, runs the action, reports, and exits. The only place that does."""

from __future__ import annotations

import atexit
import contextlib
import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from cicd_actions.toolkit import error_report, manual, proxies, reporting
from cicd_actions.toolkit.definition import AnyAction
from cicd_actions.toolkit.errors import ActionError, Cancelled, UnusableInput
from cicd_actions.toolkit.inputs import from_flags, from_json, load
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict

if TYPE_CHECKING:
    from cicd_actions.toolkit.report import Report


COMMANDS = {
    "init": "cicd_actions.pipeline.init",
    "plan": "cicd_actions.pipeline.plan",
    "run-lane": "cicd_actions.pipeline.run_lane",
    "run-scans": "cicd_actions.pipeline.run_scans",
    "build-images": "cicd_actions.pipeline.build_images",
    "promoted-images": "cicd_actions.pipeline.promoted_images",
    "smoke-tests": "cicd_actions.pipeline.smoke_tests",
    "release-images": "cicd_actions.pipeline.release_images",
    "break-release": "cicd_actions.pipeline.break_release",
    "registry-login": "cicd_actions.pipeline.registry_login",
    "check-approval": "cicd_actions.pipeline.check_approval",
    "check-sbom": "cicd_actions.pipeline.check_sbom",
    "infrastructure": "cicd_actions.pipeline.infrastructure.run",
}
"""Commands that are not actions by themselves: the pipeline's own, by the module that defines each."""

STEP = "deploy-step"
"""Runs the action that its inputs name, with the settings of an environment (`pipeline.deploy_step`)."""

LEAVING = 1.0
"""Seconds that a library's threads have to end after the report: a cancelled job has 7.5 in all on GitHub's runner."""

_THREADS: Any = threading


def names() -> list[str]:
    """The actions that are here: each package with a module `action`."""
    return sorted(path.parent.name.replace("_", "-") for path in Path(__file__).parent.glob("*/action.py"))


def action(name: str) -> AnyAction:
    """Returns the action or command of that name. Raises `UnusableInput` when there is none."""
    if name not in names() and name not in COMMANDS:
        raise UnusableInput(f"There is no action `{name}`.", fix=f"There are: {', '.join([*names(), *COMMANDS])}.")
    module = importlib.import_module(COMMANDS.get(name) or f"cicd_actions.{name.replace('-', '_')}.action")
    found: AnyAction = module.ACTION
    return found


def function(chosen: AnyAction) -> Callable[[Any, Runtime], Report]:
    """Returns the function that runs the action."""
    module, _, name = chosen.run.rpartition(".")
    found: Callable[[Any, Runtime], Report] = getattr(importlib.import_module(module), name)
    return found


def main(argv: list[str] | None = None) -> None:
    """The console script."""
    # The reader of a log may be anything (a locale of `C`, a Windows code page): what it cannot show is spelled out.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    # Libraries and programs read the proxies from there.
    os.environ.update(proxies.encoded(os.environ))
    code = run(sys.argv[1:] if argv is None else argv, os.environ, sys.stdout, sys.stderr)
    _leave_threads_behind(code)
    sys.exit(code)


def run(argv: list[str], variables: Mapping[str, str], stdout: TextIO, stderr: TextIO) -> int:
    """One run, from words to exit code (0 pass, 1 fail, 2 unusable input, 3 inconclusive, 130 and 143 signals)."""
    wants_json = "--json" in argv
    words = [word for word in argv if word != "--json"]
    on_github = variables.get("GITHUB_ACTIONS") == "true"
    runtime = Runtime(variables, stdout if on_github and not wants_json else stderr)
    for secret in proxies.secrets(variables):
        runtime.redactor.add(secret)
    if not words:
        # A name that went missing, in a script or a container's arguments, must not look like a gate that passed.
        print(_overview(), file=stderr)
        return 2
    if words[0] in {"--help", "-h", "help"}:
        print(_overview(), file=stdout)
        return 0
    try:
        given = from_json(variables["INPUTS"]) if variables.get("INPUTS") else {}
        chosen = action(given.get("action", "") if words[0] == STEP else words[0])
        if words[0] == STEP:
            arranged = importlib.import_module("cicd_actions.pipeline.deploy_step").arranged
            given, runtime = arranged(chosen, given, runtime)
    except UnusableInput as error:
        runtime.log(str(error))
        return error.exit_code
    if {"--help", "-h"} & set(words[1:]):
        print(manual.usage(chosen), file=stdout)
        return 0
    _raise_on_signals()
    code = 0
    # In a terminal, progress and errors go to standard error, and the report to standard output, which can be kept in a file.
    printed = None if on_github or wants_json else stdout
    try:
        report = _judge(chosen, given, words[1:], runtime)
        code = report.verdict.exit_code
    except (Exception, Cancelled) as error:  # noqa: BLE001 - a defect of ours must say so, masked, and not look like a proven fail
        report, printed = error_report.report(error, chosen, runtime), None
        code = error.exit_code if isinstance(error, (ActionError, Cancelled)) else Verdict.INCONCLUSIVE.exit_code

    try:
        reporting.publish(report, chosen, runtime, as_json=stdout if wants_json else None, printed=printed)
    except OSError as error:
        runtime.log(f"The outputs or the job summary could not be written: {error}. The verdict was: {report.verdict}.")
        return code or Verdict.INCONCLUSIVE.exit_code  # the outputs' reader must not see a pass
    return code


def _judge(chosen: AnyAction, given: dict[str, str], words: list[str], runtime: Runtime) -> Report:
    values = given | from_flags(words, chosen.inputs)
    return function(chosen)(load(chosen.inputs, values, runtime.redactor), runtime)


def _leave_threads_behind(code: int) -> None:
    """Bounds how long the interpreter's exit waits for threads: one of a library's pool may wait forever for a server.

    Apprise leaves such a thread to a service that never ends its answer.
    """

    leaving, alone = threading.Event(), threading.Event()

    def leave() -> None:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        leaving.set()

    def end() -> None:
        leaving.wait()
        if not alone.wait(LEAVING):
            os._exit(code)

    # Started now: Python 3.12.1 starts no thread once it has begun to exit.
    with contextlib.suppress(RuntimeError):  # the machine has none to give
        threading.Thread(target=end, daemon=True).start()
    # The last one that was registered is called first: before pools wait for their threads.
    _THREADS._register_atexit(leave)  # noqa: SLF001 - functions of `atexit` are called after the wait
    atexit.register(alone.set)


def _raise_on_signals() -> None:
    def on_signal(signum: int, _frame: object) -> None:
        # Once is enough: GitHub's runner follows SIGINT with SIGTERM while the action is still tidying up.
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, lambda *_: None)  # programs that roll back then would inherit SIG_IGN
        raise Cancelled(signum)

    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, on_signal)


def _overview() -> str:
    known = [*names(), *COMMANDS]
    width = max(map(len, known), default=0)
    rows = [f"  {name.ljust(width)}  {action(name).summary}" for name in known]
    return "\n".join(["usage: cicd-actions NAME [--input VALUE …] [--json]", "", *rows, "", "cicd-actions NAME --help"])


if __name__ == "__main__":
    main()
