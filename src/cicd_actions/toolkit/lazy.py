"""Loads the modules that cost start-up time when one of their names is first used, not when they are imported.

Every file imports at its top. `LAZY` lists the modules whose load is put off: `import httpx` then costs nothing, and the first
`httpx.Client` loads it. `from httpx import Client` uses a name, so it loads the module at once.

`importlib.util.LazyLoader` does not fit: it loads a module when a second file imports it, since the import statement reads
`__spec__`, and before Python 3.11.9 a second thread can meet a module that is half loaded.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import _bootstrap
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

LAZY = frozenset(
    {
        # Libraries: 20 to 300 ms.
        "apprise",
        "docker",
        "github",
        "httpx",
        "idna",
        "jsonpath",
        "jwt",
        "requests",
        "tenacity",
        "yaml",
        # 2 to 8 ms each, and most runs need none of them.
        "actions_toolkit.command",
        "actions_toolkit.file_command",
        "difflib",
        "email.utils",
        "html",
        "random",
        "shlex",
        "zoneinfo",
        # What only one engine, one kind of target, or the end of a run needs.
        "cicd_actions.engines.command",
        "cicd_actions.engines.docker_engine",
        "cicd_actions.engines.kubernetes",
        "cicd_actions.engines.staged_command",
        "cicd_actions.engines.staged_docker",
        "cicd_actions.engines.staged_kubernetes",
        "cicd_actions.engines.staged_replicas",
        "cicd_actions.engines.staged_swarm",
        "cicd_actions.engines.swarm",
        "cicd_actions.github.connection",
        "cicd_actions.health_gate.command_probe",
        "cicd_actions.health_gate.inflate",
        "cicd_actions.health_gate.metric_probe",
        "cicd_actions.health_gate.reading",
        "cicd_actions.health_gate.report",
        "cicd_actions.health_gate.run",
        "cicd_actions.health_gate.tcp_probe",
        "cicd_actions.health_gate.tls",
        "cicd_actions.toolkit.dotenv",
        "cicd_actions.toolkit.error_report",
        "cicd_actions.toolkit.manual",
        "cicd_actions.toolkit.reporting",
        "cicd_actions.toolkit.yaml12",
        "cicd_actions.toolkit.yaml12.tabs",
        # What the time of verify-openapi-client's generator pays for.
        "cicd_actions.verify_openapi_client.acknowledge",
        "cicd_actions.verify_openapi_client.comparison",
        "cicd_actions.verify_openapi_client.evidence",
        "cicd_actions.verify_openapi_client.judgement",
        "cicd_actions.verify_openapi_client.reporting.comment",
        "cicd_actions.verify_openapi_client.reporting.files",
    }
)

_CERTAIN = sys.stdlib_module_names | {"cicd_actions"}
"""Packages whose modules exist: there is nothing to find out at their import, and the look-up is put off as well."""

_IMPORTS: Any = _bootstrap
"""The import system. A load waits with its locks of modules alone, between which it finds deadlocks: with a lock beside them, a
thread that loads and imports would wait for one that imports and loads, and both forever."""


class _Unloaded(ModuleType):
    """A module that is not loaded yet. It turns into an ordinary one when it is."""

    def __getattribute__(self, name: str) -> Any:
        if name != "__spec__":  # each import statement reads it
            lock = _IMPORTS._get_module_lock(object.__getattribute__(self, "__name__"))  # noqa: SLF001 - nothing else takes it
            try:
                lock.acquire()
            except _IMPORTS._DeadlockError:  # noqa: SLF001 - as for an import: the thread that loads it waits for this one
                return ModuleType.__getattribute__(self, name)
            try:
                _load(self)
            finally:
                lock.release()
        return ModuleType.__getattribute__(self, name)


class _Loader:
    """Marks the spec of a module that is not loaded. Keeps what the look-up found, or the path to look on."""

    def __init__(self, found: ModuleSpec | None, path: Sequence[str] | None) -> None:
        self.found = found
        self.path = path

    def create_module(self, spec: ModuleSpec) -> None:
        pass

    def exec_module(self, module: ModuleType) -> None:
        module.__class__ = _Unloaded


class _Finder:
    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in LAZY:
            return None
        if name.partition(".")[0] in _CERTAIN:
            return ModuleSpec(name, _Loader(None, path))  # type: ignore[arg-type]
        found = PathFinder.find_spec(name, path, target)
        return found and ModuleSpec(name, _Loader(found, path), origin=found.origin)  # type: ignore[arg-type]


def install() -> None:
    """Makes the imports of `LAZY` lazy from now on."""
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)


def _load(module: ModuleType) -> None:
    """Loads the module, unless this thread is at it or it is done. A load that fails is tried again at the next use."""
    spec: Any = object.__getattribute__(module, "__spec__")
    if not isinstance(spec.loader, _Loader):
        return
    own = spec.loader.found or PathFinder.find_spec(spec.name, spec.loader.path)
    if own is None or own.loader is None:
        raise ModuleNotFoundError(f"No module named {spec.name!r}", name=spec.name)
    attributes = object.__getattribute__(module, "__dict__")
    attributes |= {"__spec__": own, "__loader__": own.loader, "__package__": own.parent}
    attributes |= {"__file__": own.origin, "__cached__": own.cached}
    if own.submodule_search_locations is not None:
        attributes["__path__"] = own.submodule_search_locations
    try:
        own.loader.exec_module(module)
    except BaseException:
        attributes["__spec__"] = spec
        raise
    module.__class__ = ModuleType
