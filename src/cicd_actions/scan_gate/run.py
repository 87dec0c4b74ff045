"""Reads the reports, judges what they say, and reports."""

from __future__ import annotations

import datetime as dt
import json
import os
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from cicd_actions.pipeline_audit import life
from cicd_actions.pipeline_audit.rules.definition import Tier
from cicd_actions.scan_gate import hygiene, identity, judgement, reporting, reports
from cicd_actions.scan_gate.inputs import ACCEPTED, BASELINE, Inputs
from cicd_actions.scan_gate.judgement import TIERS, Found, Judged, Policy
from cicd_actions.scan_gate.scan import Category, Reported, Scan
from cicd_actions.toolkit import private
from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.report import OutputValue, Report
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.toolkit.verdict import Verdict
from cicd_actions.verify_openapi_client.reporting import comment

_CANDIDATES = {"pull_request", "merge_group"}

LONGEST_SOURCE = 4 * 1024 * 1024
"""Bytes of a source file whose lines are read; findings in longer files are told apart by the scanner's fingerprints."""

_EXAMPLE = """Write a list such as:

    - rule: CVE-2024-12345        # an advisory, or a scanner's rule
      package: lodash             # or `file: src/app.py`; optional
      reason: The vulnerable function is not called.
      expires: 2027-03-31"""


def run(inputs: Inputs, runtime: Runtime) -> Report:
    """Judges and reports. Raises `UnusableInput`."""
    now = dt.datetime.fromtimestamp(runtime.wall(), dt.timezone.utc)
    where = runtime.workspace
    accepted = inputs.acknowledge or (ACCEPTED if (where / ACCEPTED).is_file() else "")
    entries = life.acknowledgements(where / accepted, accepted, None, _EXAMPLE) if accepted else []
    known, compared = _known(inputs, where)
    policy = _policy(inputs, runtime, now.date())
    scans = reports.read(inputs.reports, where)
    if runtime.variables.get("GITHUB_EVENT_NAME", "") in _CANDIDATES:
        reports.doubt_committed(scans, where)
    scans += hygiene.scans(inputs.images, runtime) if inputs.hygiene else []
    for scan in scans:
        for secret in scan.secrets:
            runtime.redactor.add(secret)
    judged = _judged(scans, policy, where)
    judged.compared = compared
    judged.missing = judgement.examine(scans, policy, now)
    _give_lives(judged, known, entries, where)
    outputs = _files(inputs, runtime, judged, known)
    verdict = Verdict.FAIL if judged.failing else Verdict.INCONCLUSIVE if judged.problems else Verdict.PASS
    headline, blocks = reporting.headline(judged), reporting.blocks(judged)
    outputs |= {"verdict": verdict, "reason": headline}
    if inputs.comment:
        said = [] if verdict is Verdict.PASS and not judged.open else blocks
        runtime.log(comment.keep(runtime, inputs.github_token, [reporting.NAME], verdict, headline, said, title="Scans"))
    return Report(verdict, headline, outputs, reporting.findings(judged), blocks, list_findings=False)


def _policy(inputs: Inputs, runtime: Runtime, today: dt.date) -> Policy:
    event = runtime.variables.get("GITHUB_EVENT_NAME", "")
    return Policy(
        today,
        TIERS | inputs.tiers,
        inputs.sla,
        inputs.fail_on,
        Tier(inputs.fail_on_new),
        event in _CANDIDATES if inputs.only_new == "auto" else inputs.only_new == "true",
        inputs.unfixed == "fail",
        frozenset(image.rpartition("@")[2] for image in inputs.images),
        inputs.max_age,
        inputs.database_max_age,
    )


def _known(inputs: Inputs, where: Path) -> tuple[life.Entries, bool]:
    """Returns what the baseline knows, and whether there is one."""
    if inputs.store and inputs.baseline:
        raise UnusableInput("Cannot use both `store` and `baseline`: the store is the baseline.", fix="    store: scans.json")
    if inputs.store:
        path = where / inputs.store
        return (life.entries(path, inputs.store, reporting.NAME, "store"), True) if path.is_file() else ({}, False)
    baseline = inputs.baseline or (BASELINE if (where / BASELINE).is_file() else "")
    return (life.entries(where / baseline, baseline, reporting.NAME), True) if baseline else ({}, False)


def _judged(scans: Sequence[Scan], policy: Policy, where: Path) -> Judged:
    scans_of: dict[Reported, list[Scan]] = defaultdict(list)
    for scan in scans:
        scan.reported = [replace(one, file=_relative(one.file, where)) for one in scan.reported]
        for one in scan.reported:
            scans_of[one].append(scan)
    groups = identity.groups(scans_of, _Source(where).line)
    return Judged(scans, [judgement.found(group, scans_of, policy) for group in groups], policy, compared=False)


def _relative(file: str, where: Path) -> str:
    """Returns a path from the repository's root, as scanners on the host, in containers and of URIs write it."""
    inside = file.lstrip("/")
    if file.startswith("/") and not os.path.lexists(file) and os.path.lexists(where / inside):
        # trivy 0.68 writes `file:///` for the folder that it scanned.
        return os.path.normpath(inside)
    for root in (str(where), os.path.realpath(where), "/github/workspace", "/src"):
        if file.startswith(f"{root}/"):
            file = file[len(root) + 1 :]
            break
    return os.path.normpath(file) if file else ""


class _Source:
    """The lines of the repository's files. A link that leads out of the repository is not followed."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._lines = lru_cache(maxsize=200)(self._read)

    def line(self, file: str, number: int) -> str:
        lines = self._lines(file)
        return lines[number - 1] if 0 < number <= len(lines) else ""

    def _read(self, file: str) -> list[str]:
        try:
            path = (self._root / file).resolve()
            if not path.is_relative_to(self._root) or not path.is_file() or path.stat().st_size > LONGEST_SOURCE:
                return []
            return path.read_text("utf-8", "replace").split("\n")
        except (OSError, ValueError):
            return []


def _give_lives(judged: Judged, known: life.Entries, entries: list[life.Acknowledgement], where: Path) -> None:
    for item in judged.items:
        days = [known[print_]["since"] for print_ in item.fingerprints if print_ in known]
        # A day that has not come yet would be a deadline without end.
        item.since = min(dt.date.fromisoformat(min(days)), judged.policy.today) if days else None
        item.known = bool(days)
    judged.expired = life.acknowledge(judged.items, entries, judged.policy.today)
    judged.unused = [one for one in entries if not any(one.covers(item) for item in judged.items)]
    in_lines: list[Found] = [item for item in judged.items if item.place.line and item.category is Category.CODE]
    life.Ages(where).fill(in_lines)
    if judged.compared:
        for item in judged.items:
            item.since = item.since or judged.policy.today


def _files(inputs: Inputs, runtime: Runtime, judged: Judged, known: life.Entries) -> dict[str, OutputValue]:
    """Writes JSON, SARIF and the baseline. Returns the outputs."""
    scratch = runtime.scratch
    folder = Path(tempfile.mkdtemp(prefix="scan-gate-", dir=scratch if scratch and scratch.is_dir() else None))
    version = runtime.variables.get("GITHUB_ACTION_REF", "")
    for name, content in (
        ("report.json", reporting.as_json(judged)),
        ("findings.sarif", reporting.as_sarif(judged, version, inputs.reports[0].of or ".github/workflows")),
    ):
        private.write(folder / name, runtime.redactor(json.dumps(content, ensure_ascii=True)) + "\n")
    for name, path in (("write-baseline", inputs.write_baseline), ("store", inputs.store)):
        if path:
            # What a scan that proves nothing does not report may still be there: its day is kept.
            kept = known if judged.problems else None
            text = life.baseline_text(judged.items, judged.policy.today, kept)
            runtime.place(path, input=name).write_text(runtime.redactor(text), "utf-8")
    return {
        **{tier.value: sum(item.tier is tier for item in judged.open) for tier in Tier},
        "overdue": sum(item.overdue(judged.policy.today) for item in judged.open),
        "new": sum(not item.known for item in judged.open) if judged.compared else "",
        "inconclusive": [{"scanner": scanner, "report": report, "why": why} for scanner, report, why in judged.problems],
        "report": str(folder / "report.json"),
        "sarif": str(folder / "findings.sarif"),
    }
