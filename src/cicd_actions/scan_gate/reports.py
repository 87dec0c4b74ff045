"""Finds the reports that the input names, recognises which scanner wrote each, and reads them."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cicd_actions.scan_gate import document
from cicd_actions.scan_gate.document import Lines, Unreadable
from cicd_actions.scan_gate.formats import advisories, code, packages, sarif
from cicd_actions.scan_gate.scan import SEVERITIES, Scan
from cicd_actions.toolkit import git
from cicd_actions.toolkit.grammar import NotUnderstood

SCANNERS = ("pip-audit", "npm", "pnpm", "yarn", "osv-scanner", "bandit", "gitleaks", "trivy", "grype", "sarif")
_AUDITS = {"npm", "pnpm", "yarn"}

MOST_FILES = 200
"""Files that one pattern may match."""

MOST_REPORTED = 25_000
"""Findings of all reports that are judged: as many as GitHub takes in one run of SARIF, and some ten seconds of work."""

_WORST_FIRST = ("secret", *(word for word in SEVERITIES if word != "secret"))


@dataclass(frozen=True)
class Expected:
    """One line of the input: a report that has to be there. `scanner` is empty where the report says it itself."""

    path: str
    scanner: str = ""
    """One of `SCANNERS`, or the name of a tool that writes SARIF."""
    of: str = ""
    """The file that was scanned, such as a lock file, for reports that do not name it; or the folder that paths begin at."""


_LINE = re.compile(r"(?:(?P<scanner>[A-Za-z][\w-]*):\s+)?(?P<path>\S+(?:(?! of )\s+\S+)*?)(?:\s+of\s+(?P<of>\S(?:.*\S)?))?")


def expected(line: str) -> Expected:
    """Reads `PATH`, `SCANNER: PATH` or `SCANNER: PATH of FILE`, where FILE may be a folder."""
    match = _LINE.fullmatch(line)
    if match is None:
        raise NotUnderstood(f"`{line[:200]}` is not the path of a report", example="trivy: reports/image.json")
    return Expected(match["path"], (match["scanner"] or "").lower(), (match["of"] or "").removeprefix("./"))


def read(reports: tuple[Expected, ...], root: Path) -> list[Scan]:
    """Returns what every report says. A report that is missing or cannot be read is a scan with a problem."""
    found = [scan for one in reports for path in _matching(one, root) for scan in _read(one, path, root)]
    for scan in found:
        if not scan.judges and not any(each.judges and each.scanner == scan.scanner for each in found):
            scan.problems.append(f"it dates the database of {scan.scanner}, and no report of {scan.scanner} is beside it")
    room = MOST_REPORTED
    for scan in found:
        if len(scan.reported) > room:
            scan.problems.append(f"it has {len(scan.reported)} findings; at most {MOST_REPORTED} of all reports are judged")
            scan.reported = sorted(scan.reported, key=lambda one: _WORST_FIRST.index(one.severity))[:room]
        room -= len(scan.reported)
    built = [scan.database for scan in found if scan.database is not None and scan.scanner == "trivy"]
    for scan in found:
        if scan.scanner == "trivy" and scan.database is None:
            scan.database = min(built, default=None)
    return found


def doubt_committed(scans: list[Scan], root: Path) -> None:
    """Notes reports that git tracks: a pull request could hand in its own, and break the scanner that would replace it.

    A link on the way to a report counts too, wherever it leads: a clean report of another tool may lie on the runner.
    """
    top = os.path.realpath(root)
    real = {path: scan for scan in scans for path in _way(Path(top, scan.path))}
    inside = [os.path.relpath(path, top) for path in real if path.startswith(f"{top}/")]
    if not inside:
        return
    words = git.command("--literal-pathspecs", "ls-files", "-z", "--", *inside)
    try:
        done = subprocess.run(
            words, cwd=root, env=git.variables(os.environ), capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return
    for path in done.stdout.split("\0"):
        if f"{top}/{path}" in real:
            real[f"{top}/{path}"].problems.append("it is a file of the repository, and the pull request could have written it")


MOST_LINKS = 40
"""Links on the way to a file, as Linux has it."""


def _way(path: Path) -> Iterator[str]:
    """Yields the links on the way to a file, and the file itself, each by a path whose folders are not links."""
    done, left, links = Path("/"), list(path.parts), 0
    while left:
        done = Path(os.path.normpath(done / left.pop(0)))
        if links < MOST_LINKS and os.path.lexists(done) and done.is_symlink():
            links += 1
            yield str(done)
            done, left = done.parent, [*done.readlink().parts, *left]
    yield str(done)


def _matching(one: Expected, root: Path) -> list[str]:
    if not any(sign in one.path for sign in "*?["):
        return [one.path]
    folder, pattern = (Path("/"), one.path.lstrip("/")) if one.path.startswith("/") else (root, one.path)
    try:
        paths = sorted(str(path) for path in folder.glob(pattern) if path.is_file())[:MOST_FILES]
    except (OSError, ValueError, NotImplementedError):  # a folder that cannot be read, or a text that is not a relative pattern
        paths = []
    # What matches nothing is a scan that did not run.
    return paths or [one.path]


def _read(one: Expected, path: str, root: Path) -> Iterator[Scan]:
    shown = path.removeprefix(f"{root}/")
    blank = Scan(one.scanner or Path(shown).stem, shown)
    try:
        scans = list(_scans(document.load(root / path), one, shown))
    except Unreadable as error:
        blank.problems.append(str(error))
        scans = [blank]
    for scan in scans:
        if one.of:
            scan.reported = [replace(each, file=_placed(each.file, one.of, root)) for each in scan.reported]
        yield scan


def _placed(file: str, of: str, root: Path) -> str:
    """Returns the path from the root of the repository, of a scanner that ran in the folder *of*."""
    below = str(Path(of, file))
    return below if not file or os.path.lexists(root / below) else file


def _scans(found: Any, one: Expected, shown: str) -> Iterator[Scan]:
    if isinstance(found, dict) and ("runs" in found or ("$schema" in found and "sarif" in str(found["$schema"]))):
        for scan in sarif.runs(found, shown):
            if one.scanner not in {"", "sarif"} and one.scanner not in scan.scanner:
                raise Unreadable(f"it is a report of {scan.scanner}, not of {one.scanner}")
            yield scan
        return
    scanner, read_format = recognised(found, one.scanner)
    scan = Scan(scanner, shown)
    if one.scanner and one.scanner != scanner:
        raise Unreadable(f"it is a report of {scanner}, not of {one.scanner}")
    read_format(found, scan)
    if isinstance(found, dict) and found.get("error") and not scan.problems:
        packages.failure(found, scan)
    yield scan


Format = Callable[[Any, Scan], None]


def recognised(found: Any, named: str) -> tuple[str, Format]:
    """Returns the scanner that wrote a document, and what reads it. Raises `Unreadable`."""
    if isinstance(found, Lines):
        return "yarn", packages.yarn_lines
    if isinstance(found, dict):
        return _of_object(found, named)
    if found is None or found == []:
        if named == "gitleaks":
            return named, code.gitleaks
        raise Unreadable("an empty list does not say which scanner wrote it; write `gitleaks: PATH` if it is gitleaks")
    if isinstance(found, list) and isinstance(found[0], dict):
        if "RuleID" in found[0]:
            return "gitleaks", code.gitleaks
        if "vulns" in found[0] or "skip_reason" in found[0]:
            return "pip-audit", packages.pip_audit
    raise Unreadable(f"its format is unknown; read are {', '.join(SCANNERS)}")


def _of_object(found: dict[str, Any], named: str) -> tuple[str, Format]:
    audit = named if named in _AUDITS else ""
    if "auditReportVersion" in found:
        return audit or "npm", packages.npm
    if "advisories" in found and "metadata" in found:
        return audit or "pnpm", packages.npm6
    if "error" in found and "vulnerabilities" not in found:
        return audit or "npm", packages.failure
    if ("type" in found and "data" in found) or ("value" in found and "children" in found):
        return "yarn", lambda one, scan: packages.yarn_lines(Lines([one]), scan)
    for scanner, keys, read_format in _OBJECTS:
        if keys <= set(found):
            return scanner, read_format
    raise Unreadable(f"its format is unknown; read are {', '.join(SCANNERS)}")


_OBJECTS: tuple[tuple[str, set[str], Format], ...] = (
    ("pip-audit", {"dependencies"}, packages.pip_audit),
    ("trivy", {"SchemaVersion"}, advisories.trivy),
    ("trivy", {"VulnerabilityDB"}, advisories.trivy_version),
    ("grype", {"matches", "descriptor"}, advisories.grype),
    ("bandit", {"results", "metrics"}, code.bandit),
    ("osv-scanner", {"results"}, advisories.osv),
)
