"""Reads what test tools write: JUnit reports, and Cobertura's coverage."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as ET

from cicd_actions.toolkit.grammar import is_whole

LARGEST = 64 * 1024 * 1024
"""Bytes of a report. A suite of 100,000 tests writes about 20 MB."""

_PLACE = re.compile(r"(?<![\w@./\\-])([\w@./\\-]+\.[A-Za-z]{1,4}):(\d{1,6})")


class NotAReport(ValueError):
    """The file cannot be read as a report; the text says why."""


@dataclass(frozen=True)
class Failure:
    """A test that failed. `file` is a path in the lane's folder, empty where the report tells none."""

    test: str
    message: str
    file: str = ""
    line: int | None = None


@dataclass
class Tests:
    """What a JUnit report says. Times in seconds."""

    total: int = 0
    skipped: int = 0
    failures: list[Failure] = field(default_factory=list)
    times: list[tuple[float, str]] = field(default_factory=list)

    def slowest(self, most: int = 5) -> list[tuple[float, str]]:
        """Returns the slowest tests, the slowest first."""
        return sorted(self.times, reverse=True)[:most]


def junit(path: Path, folder: Path) -> Tests:
    """Returns what the report says; places are looked up in *folder*. Raises `NotAReport`."""
    found = Tests()
    for case in _root(path).iter("testcase"):
        found.total += 1
        name = "::".join(filter(None, (case.get("classname"), case.get("name"))))[:300]
        found.times.append((_seconds(case.get("time")), name))
        if case.find("skipped") is not None:
            found.skipped += 1
        for wrong in [*case.findall("failure"), *case.findall("error")]:
            text = wrong.text or ""
            message = (wrong.get("message") or text.strip().partition("\n")[0] or "it failed").strip()
            file, line = _place(case, text, folder)
            found.failures.append(Failure(name, message[:1000], file, line))
            break
    return found


def coverage(path: Path) -> float:
    """Returns the percentage of covered lines of a Cobertura report. Raises `NotAReport`."""
    root = _root(path)
    valid, covered = root.get("lines-valid"), root.get("lines-covered")
    try:
        if valid and covered and float(valid) > 0:
            percent = 100 * float(covered) / float(valid)
        else:
            percent = 100 * float(root.get("line-rate", ""))
    except ValueError:
        raise NotAReport(f"{path.name} tells no coverage: it has no `line-rate`, as Cobertura's format has") from None
    if not 0 <= percent <= 100:  # NaN too, which is below no minimum
        raise NotAReport(f"{path.name} tells a coverage of {percent:g} %, which is not from 0 to 100")
    return percent


def _root(path: Path) -> ET.Element:
    try:
        if path.stat().st_size > LARGEST:
            raise NotAReport(f"{path.name} has more than {LARGEST >> 20} MiB")
        # expat bounds what entities expand to (from 2.4.1 on), and loads nothing from elsewhere.
        return ET.parse(path).getroot()  # noqa: S314 - the report of the lane's own tests
    except FileNotFoundError:
        raise NotAReport(f"{path.name} does not exist: the command did not write it") from None
    except OSError as error:
        raise NotAReport(f"{path.name} cannot be read: {error.strerror}") from None
    except ET.ParseError as error:
        raise NotAReport(f"{path.name} is not XML: {error}") from None


def _place(case: ET.Element, text: str, folder: Path) -> tuple[str, int | None]:
    """Returns the file and the line of a failure: as the report tells it, else the trace's last."""
    told = case.get("file")
    if told and (folder / told).is_file():
        line = case.get("line")
        inside = [number for file, number in _places(text, folder) if file == told]
        return told, inside[-1] if inside else int(line) if line and is_whole(line) else None
    found = list(_places(text, folder))
    module = (case.get("classname") or "").replace(".", "/")
    own = [place for place in found if module.startswith(place[0].rpartition(".")[0])]
    if own:
        return own[-1]
    return found[0] if found else ("", None)


def _places(text: str, folder: Path) -> Iterator[tuple[str, int]]:
    for match in _PLACE.finditer(text[:200_000]):
        path = match[1].removeprefix("./")
        if Path(path).is_absolute():
            if not Path(path).is_relative_to(folder):
                continue
            path = Path(path).relative_to(folder).as_posix()
        if ".." not in Path(path).parts and (folder / path).is_file():
            yield path, int(match[2])


def _seconds(text: str | None) -> float:
    try:
        seconds = float(text or 0)
    except ValueError:
        return 0.0
    return seconds if math.isfinite(seconds) else 0.0
