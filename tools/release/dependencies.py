"""`lib/`: the hash-locked dependencies as pure Python source that a person can read, and their licences."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path

PYTHON = "3.10"
"""The oldest Python supported. What is resolved for it runs on every later one."""

PLATFORM = "x86_64-manylinux_2_28"
"""Wheels are chosen for one platform, wherever the build runs: their Python files are the same on every other."""

UNUSED = {
    "cffi": "only PyNaCl and cryptography need it",
    "cryptography": "PyJWT and urllib3 do without it; it is compiled",
    "pycparser": "only cffi needs it",
    "pynacl": "PyGithub encrypts secrets with it, which no action does; a stub says so",
    "pywin32": "compiled; docker needs it for Windows' named pipes only",
}
"""Locked packages that a release leaves out, and why."""

_LICENCE = re.compile(r"licen[cs]e|copying|notice", re.IGNORECASE)

NACL = '''"""Stands in for PyNaCl, which is compiled and therefore not part of a release.

PyGithub imports it to encrypt repository secrets. No action here sets a secret.
"""


def _missing(*_args, **_kwargs):
    raise RuntimeError("PyNaCl is not part of a cicd-actions release: encrypting a repository secret is not available here")


class _Unavailable:
    def __getattr__(self, name):
        _missing()


encoding = _Unavailable()
public = _Unavailable()
'''


@dataclass(frozen=True)
class Package:
    """One dependency as it is shipped. `licence` is what its metadata says: an SPDX expression (`expression`), or a name."""

    name: str
    version: str
    licence: str
    expression: bool
    hashes: tuple[str, ...]


def collect(lock: Path, lib: Path, licences: Path, scratch: Path, uv: Path) -> list[Package]:
    """Fill `lib` and `licences`; the packages by name. Raises `CalledProcessError` when a hash does not match.

    Without uv's cache: hashes are checked when a package is downloaded, and what a cache holds may be changed later by a
    change of any environment, whose files are links to it.
    """
    installed = scratch / "installed"
    chosen = scratch / "requirements.txt"
    entries = {name: text for name, text in _entries(lock.read_text("utf-8")) if name not in UNUSED}
    chosen.write_text("".join(entries.values()), "utf-8")
    words: list[str | Path] = [
        uv,
        "pip",
        "install",
        "--quiet",
        "--no-cache",
        "--no-compile-bytecode",
        "--target",
        installed,
        "--requirement",
        chosen,
    ]
    words += [
        "--require-hashes",
        "--no-deps",
        "--only-binary",
        ":all:",
        "--python-version",
        PYTHON,
        "--python-platform",
        PLATFORM,
    ]
    subprocess.run(words, check=True)
    for info in installed.glob("*.dist-info"):
        name = _normal(info.name.split("-")[0])
        for file in sorted(path for path in info.rglob("*") if path.is_file() and _LICENCE.search(path.name)):
            _copy(file, licences / name / file.name)
    for source in _sources(installed):
        _copy(source, lib / source.relative_to(installed))
    _write(lib / "nacl" / "__init__.py", NACL)
    return sorted(_packages(installed, entries), key=lambda package: package.name)


def _entries(lock: str) -> Iterator[tuple[str, str]]:
    """Each requirement of the lock with its hashes, by normalised name."""
    for block in re.split(r"(?m)^(?=[A-Za-z0-9])", lock):
        match = re.match(r"([A-Za-z0-9._-]+)==", block)
        if match:
            yield _normal(match[1]), block


def _packages(installed: Path, entries: dict[str, str]) -> Iterator[Package]:
    for info in installed.glob("*.dist-info"):
        metadata = HeaderParser().parsestr((info / "METADATA").read_text("utf-8"))
        name = _normal(metadata["Name"])
        hashes = tuple(sorted(re.findall(r"--hash=sha256:([0-9a-f]{64})", entries[name])))
        expression = metadata.get("License-Expression")
        yield Package(name, metadata["Version"], expression or _licence(metadata), expression is not None, hashes)


def _licence(metadata: Message) -> str:
    """The licence of a package whose metadata is older than expressions. Raises `ValueError` when it names none."""
    named = [line.rpartition(" :: ")[2] for line in metadata.get_all("Classifier", []) if line.startswith("License :: ")]
    # Some put the licence's whole text here.
    written = [line for line in [metadata.get("License", "").strip()] if line and "\n" not in line]
    for name in [*written, *named]:
        return name
    raise ValueError(f"{metadata['Name']} does not say its licence")


def _sources(installed: Path) -> Iterator[Path]:
    """The files that are shipped: Python source, and the certificates that certifi's module reads."""
    for top in sorted(installed.iterdir()):
        if top.name.endswith(".dist-info") or top.name in {"bin", "tests", "_yaml"}:
            continue
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            within = path.relative_to(installed).parts
            if (
                path.is_file()
                and not {"tests", "emscripten"} & set(within)
                and (path.suffix == ".py" or path.name == "cacert.pem")
            ):
                yield path


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o644)


def _write(target: Path, text: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, "utf-8")
    target.chmod(0o644)
