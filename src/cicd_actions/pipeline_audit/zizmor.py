"""Runs zizmor, or reads the SARIF that it wrote, and carries its findings with their ids: they are not made again here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from cicd_actions.pipeline_audit.facts import Carried
from cicd_actions.pipeline_audit.rules.definition import Tier
from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.process import end
from cicd_actions.workflows.place import Place

TIMEOUT = 60.0
"""Seconds. On 1,000 workflow files it takes 3."""

LARGEST = 32 * 1024 * 1024
"""Bytes of its answer that are read."""

COVERED = frozenset({"unpinned-uses", "excessive-permissions"})
"""Its audits that a rule of ours stands for: the rule says them, and they are not said twice."""


@dataclass
class Run:
    """zizmor at work, beside this program. `why` says why there is none."""

    process: subprocess.Popen[bytes] | None = None
    why: str = ""

    def findings(self) -> list[Carried] | None:
        """Waits for it, and returns what it found; `None`, with the reason in `why`, when it could not be run."""
        if self.process is None:
            return None
        try:
            said, complaint = self.process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            self.stop()
            self.why = f"zizmor did not end within {TIMEOUT:g} s"
            return None
        try:
            found = json.loads(said) if len(said) <= LARGEST else None
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, list):
            lines = complaint.decode("utf-8", "replace").strip().splitlines()
            self.why = f"zizmor failed: {lines[-1][:300] if lines else f'it exited with {self.process.returncode}'}"
            return None
        return list(_of_json(found))

    def stop(self) -> None:
        """Ends it and its children (it may be a script that starts zizmor), where it still runs."""
        if self.process is None or self.process.returncode is not None:
            return
        end(self.process, 0)
        # Not read to their end: a child that got away would keep them open.
        for pipe in (self.process.stdout, self.process.stderr):
            cast("IO[bytes]", pipe).close()
        self.process.wait()


def start(root: Path, variables: Mapping[str, str]) -> Run:
    """Starts zizmor on a checkout, offline, without any of the step's secrets, if it is on the PATH."""
    program = shutil.which("zizmor", path=variables.get("PATH"))
    if (
        program is None
        or not Path(program).is_absolute()
        or (Path(program).resolve().is_relative_to(root.resolve()) and not _ours(program, root))
    ):
        return Run(why="zizmor is not on the PATH")
    if not (root / ".github" / "workflows").is_dir():
        return Run(why="there are no workflows")
    environment = {name: variables[name] for name in ("PATH", "HOME", "TMPDIR", "LANG", "SYSTEMROOT") if name in variables}
    try:
        process = subprocess.Popen(
            [program, "--offline", "--no-exit-codes", "--quiet", "--format", "json", "."],
            cwd=root,
            env=environment | {"NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        return Run(why=f"zizmor could not be started: {error.strerror or error}")
    return Run(process)


def _ours(program: str, root: Path) -> bool:
    """Whether the program lies in a virtual environment that git does not track, as this project's `make lint` has it."""
    return Path(program).resolve().is_relative_to((root / ".build").resolve()) or not os.access(root, os.W_OK)


def from_sarif(path: Path, shown: str) -> list[Carried]:
    """Reads the SARIF that zizmor wrote. Raises `UnusableInput`."""
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(LARGEST + 1))
        results = [result for run in document["runs"] for result in run.get("results", [])]
        return list(_of_sarif(results))
    except OSError as error:
        raise UnusableInput(f"Could not read {shown}, the file of the input `zizmor`: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UnusableInput(
            f"The file {shown} of the input `zizmor` is not SARIF.",
            fix="Write it with:\n\n    zizmor --format sarif . > zizmor.sarif",
        ) from None


def _of_json(found: list[Any]) -> Iterator[Carried]:
    for one in found:
        try:
            if one.get("ignored"):
                continue
            places = one["locations"]
            place = next((each for each in places if each["symbolic"].get("kind") == "Primary"), places[0])
            key = place["symbolic"]["key"]["Local"]
            file = str(key.get("verbatim_path") or key.get("given_path") or "").removeprefix("./")
            start = place["concrete"]["location"]["start_point"]
            facts = one["determinations"]
            message = f"{one['desc']}: {place['symbolic']['annotation']}"
            yield Carried(
                one["ident"],
                facts["severity"],
                facts["confidence"],
                message,
                Place(file, start["row"] + 1, start["column"] + 1),
                one.get("url", ""),
            )
        except (KeyError, IndexError, TypeError, AttributeError):
            continue


_LEVELS = {"error": "High", "warning": "Medium", "note": "Low"}


def _of_sarif(results: list[Any]) -> Iterator[Carried]:
    for one in results:
        place = one["locations"][0]["physicalLocation"]
        file = str(place["artifactLocation"]["uri"]).removeprefix("./")
        facts = one.get("properties") or {}
        severity = facts.get("zizmor/severity") or _LEVELS.get(one.get("level", "warning"), "Medium")
        region = place.get("region", {})
        where = Place(file, int(region.get("startLine", 1)), int(region.get("startColumn", 1)))
        yield Carried(
            str(one["ruleId"]).removeprefix("zizmor/"),
            severity,
            str(facts.get("zizmor/confidence", "High")),
            str(one["message"]["text"]),
            where,
        )


def tier(found: Carried) -> Tier:
    """Returns how bad one of its findings is here: what it is sure of and calls high is major, the rest minor."""
    return Tier.MAJOR if found.severity == "High" and found.confidence == "High" and found.id not in COVERED else Tier.MINOR
