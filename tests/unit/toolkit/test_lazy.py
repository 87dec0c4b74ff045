from __future__ import annotations

import importlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

import cicd_actions
from cicd_actions.__main__ import names
from cicd_actions.toolkit import lazy

SOURCE = Path(cicd_actions.__file__).parents[1]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the import path whose module `late` is lazy."""
    monkeypatch.setattr(lazy, "LAZY", frozenset({"late"}))
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield tmp_path
    sys.modules.pop("late", None)


def test_lazy_module_imported_twice_is_loaded_at_the_first_use_of_a_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[int] = []
    monkeypatch.setattr(sys, "loads", loads, raising=False)
    (folder / "late.py").write_text("import sys\nsys.loads.append(1)\nname = 1\n")
    importlib.import_module("late")
    late = importlib.import_module("late")
    assert loads == []
    assert late.name == 1
    assert late.name == 1
    assert loads == [1]
    assert type(late) is type(lazy)


def test_lazy_module_used_by_two_threads_is_never_seen_half_loaded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "late.py").write_text("import sys\nsys.started.set()\nsys.go_on.wait(60)\nname = 1\n")
    started, go_on, seen = threading.Event(), threading.Event(), []
    monkeypatch.setattr(sys, "started", started, raising=False)
    monkeypatch.setattr(sys, "go_on", go_on, raising=False)
    late = importlib.import_module("late")
    threads = [threading.Thread(target=lambda: seen.append(late.name)) for _ in range(2)]
    threads[0].start()
    assert started.wait(60)
    threads[1].start()
    go_on.set()
    for thread in threads:
        thread.join(60)
    assert seen == [1, 1]


def test_lazy_module_whose_load_imports_what_another_thread_imports_holds_nobody_up(tmp_path: Path) -> None:
    """One thread is in `late`, which imports `plain`; another one in `plain`, which uses another lazy module.

    In a separate process: in one that coverage measures, `plain` was gone from `sys.modules` now and then.
    """
    meet = "import sys\nsys.begun[{!r}].set()\nassert sys.begun[{!r}].wait(60)\n"
    (tmp_path / "late.py").write_text(f"name = 1\n{meet.format('late', 'plain')}import plain\n")
    (tmp_path / "plain.py").write_text(f"{meet.format('plain', 'late')}import other\nname = other.name\n")
    (tmp_path / "other.py").write_text("name = 2\n")
    words = f"""
import importlib, os, sys, threading
sys.path[:0] = [{str(SOURCE)!r}, {str(tmp_path)!r}]
from cicd_actions.toolkit import lazy
lazy.LAZY = frozenset({{"late", "other"}})
lazy.install()
sys.begun = {{name: threading.Event() for name in ("late", "plain")}}
late, seen = importlib.import_module("late"), []
threads = [
    threading.Thread(target=lambda: seen.append(late.name), daemon=True),
    threading.Thread(target=lambda: seen.append(importlib.import_module("plain").name), daemon=True),
]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(20)
print(*sorted(seen), flush=True)
os._exit(0)
"""
    done = subprocess.run([sys.executable, "-I", "-c", words], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "1 2\n", done.stderr


def test_lazy_module_whose_load_fails_is_tried_again_at_the_next_use(folder: Path) -> None:
    (folder / "late.py").write_text(
        "import os\nif os.path.exists(__file__ + '.broken'): raise ValueError('broken')\nname = 1\n"
    )
    (folder / "late.py.broken").touch()
    late = importlib.import_module("late")
    with pytest.raises(ValueError, match="broken"):
        _ = late.name
    (folder / "late.py.broken").unlink()
    assert late.name == 1


def test_lazy_module_that_does_not_exist_fails_at_its_import(folder: Path) -> None:
    assert not (folder / "late.py").exists()
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("late")


@pytest.mark.parametrize("name", ["html", "cicd_actions.toolkit.yaml12", "httpx"])
def test_lazy_module_once_loaded_has_the_attributes_of_an_ordinary_one(name: str) -> None:
    words = f"""
import importlib, json, sys
module = importlib.import_module({name!r})
spec = importlib.util.find_spec({name!r})
module.__doc__
kept = ("__file__", "__cached__", "__package__", "__path__", "__name__")
seen = {{key: vars(module).get(key) for key in kept}} | {{"spec": module.__spec__.origin, "class": type(module).__name__}}
seen["same"] = vars(module)["__loader__"] is module.__spec__.loader and spec.name == {name!r}
print(json.dumps(seen))
"""
    paths = f"import sys; sys.path[:0] = {[str(SOURCE), *sys.path]!r}\nimport importlib.util\n"
    lazily, plainly = (
        subprocess.run([sys.executable, "-I", "-c", paths + first + words], capture_output=True, text=True, check=True).stdout
        for first in ("import cicd_actions", "")
    )
    assert lazily == plainly


def test_lazy_names_are_modules() -> None:
    assert [name for name in lazy.LAZY if find_spec(name) is None] == []


def _after(words: str) -> set[str]:
    """The modules of a fresh interpreter that are loaded after the words."""
    source = (
        f"import sys\nsys.path.insert(0, {str(SOURCE)!r})\n{words}\nfrom cicd_actions.toolkit.lazy import _Unloaded\n"
        "print(*(name for name, module in sys.modules.items() if type(module) is not _Unloaded))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", source], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("name", names())
def test_definition_of_an_action_loads_no_library_and_no_report(name: str) -> None:
    loaded = _after(f"import cicd_actions.__main__ as program\nprogram.action({name!r})")
    assert {module for module in loaded & lazy.LAZY if not module.startswith("cicd_actions.")} == set()
    assert "cicd_actions.toolkit.report" not in loaded


def test_gate_before_its_first_request_loads_no_lazy_module() -> None:
    words = "from cicd_actions import __main__ as program\nprogram.function(program.action('health-gate'))"
    runs = {"cicd_actions.health_gate.run", "cicd_actions.health_gate.reading"}
    assert _after(words) & lazy.LAZY - runs == set()
