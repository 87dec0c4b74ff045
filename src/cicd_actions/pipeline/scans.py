"""Plans the scans of the pipeline file: which command writes which report, for scan-gate to judge."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cicd_actions.pipeline_file.checks import Scans
from cicd_actions.pipeline_file.model import Pipeline

FOLDER = "{folder}"
"""Stands for the folder of the reports, which `run-scans` makes outside of the work tree."""

PIP_AUDIT, BANDIT = "pip-audit==2.10.1", "bandit==1.9.4"

PNPM = "pnpm@12.21.0"
"""pnpm before 11 asks an endpoint that npm's registry retired (410), so a newer one reads the lane's lock file.

https://github.com/pnpm/pnpm/issues/11265
"""

_AUDITS = {
    "npm": "npm audit --omit dev --json",
    "pnpm": f"npx --yes {PNPM} --config.pm-on-fail=ignore audit --prod --json",
    "yarn": "yarn npm audit --all --recursive --environment production --json",
}
"""Commands that print the report, run where the lock file lies: of what is deployed. yarn is 4 or newer, and pnpm 9: of
older lock files the report is missing."""


def of_source(pipeline: Pipeline, jobs: Sequence[Mapping[str, Any]], base: str) -> dict[str, Any]:
    """Returns the scans of the source: commands, the reports that have to be there, and the tools that they need.

    *jobs* are the settings of the lanes' jobs. Empty where the file has no scans of the source.
    """
    wanted = pipeline.scans
    if wanted is None:
        return {}
    found: dict[str, dict[str, Any]] = {}
    if wanted.dependencies:
        found |= {each["name"]: each for job in jobs for each in _dependencies(job)}
    if wanted.code:
        found |= {each["name"]: each for job in jobs if job.get("python-manager") for each in [_bandit(job)]}
    for name, scan in wanted.more.items():
        line = f"{scan.report} of {scan.of}" if scan.of else scan.report
        found[name] = {"name": name, "run": scan.run, "directory": ".", "report": scan.report, "line": line}
    lines = [each["line"] for each in found.values()]
    if wanted.secrets:
        lines.append(f"trivy: {FOLDER}/secrets.sarif")
    if not lines:
        return {}
    node = next((job for job in jobs if job.get("node-manager") in _AUDITS), {})
    return {
        "check": wanted.check,
        "commands": [{key: value for key, value in each.items() if key != "line"} for each in found.values()],
        "reports": "\n".join(lines),
        "secrets": wanted.secrets,
        "base": base,
        "uv": any(job.get("python-manager") for job in jobs),
        "node": node.get("node", ""),
    }


def of_images(wanted: Scans | None, images: Mapping[str, Any], *, sbom: bool) -> dict[str, Any]:
    """Returns what trivy reads: whether it reads `any` image, their names, whether it scans them, and what the verdict does.

    It also reads the images whose *sbom* is attested, whether they are scanned or not.
    """
    scanned = wanted is not None and wanted.images
    names = list(images) if scanned or sbom else []
    return {"any": bool(names), "images": names, "scan": scanned, "check": wanted.check if wanted else "fail"}


def _dependencies(job: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    lock, manager = job.get("python-lock", ""), job.get("python-manager", "")
    if manager:
        yield _command("pip-audit", "pip-audit", lock or job["directory"], _pip_audit(manager, lock), posixpath.dirname(lock))
    lock, manager = job.get("node-lock", ""), job.get("node-manager", "")
    if manager:
        run = _AUDITS.get(manager, "") if lock else ""
        folder = posixpath.dirname(lock)
        yield _command(manager if manager in _AUDITS else "npm", manager, lock or job["directory"], run, folder, printed=True)


def _command(scanner: str, name: str, of: str, run: str, directory: str, *, printed: bool = False) -> dict[str, Any]:
    """Returns a command with its report. Without `run` the report is missing, and the scan inconclusive."""
    report = f"{FOLDER}/{name}-{of.replace('/', '-')}.json"
    line = f"{scanner}: {report} of {of}"
    made = {"name": f"{name} of {of}", "run": run, "directory": directory or ".", "report": report, "line": line}
    return {**made, "printed": True} if printed else made


def _pip_audit(manager: str, lock: str) -> str:
    """Returns the command for a lock file; empty for a manager whose lock file pip-audit cannot read."""
    audit = f"uvx --from {PIP_AUDIT} pip-audit --disable-pip --format json"
    if manager == "uv" and lock:
        export = "uv export --frozen --all-packages --all-extras --no-dev --no-emit-workspace --format requirements-txt"
        script = f'{export} --output-file "$0.txt" >/dev/null && {audit} --output "$0" --require-hashes --requirement "$0.txt"'
        return shlex.join(["sh", "-ec", script, "{report}"])
    if manager == "pip" and lock:
        return f"{audit} --output {{report}} --no-deps --requirement {shlex.quote(posixpath.basename(lock))}"
    return ""


def _bandit(job: Mapping[str, Any]) -> dict[str, Any]:
    run = (
        f"uvx --from {BANDIT} bandit --quiet --recursive {shlex.quote(job['directory'])} --format json --output {{report}}"
        " --exclude */tests/*,*/test/*,*/node_modules/*,*/.venv/*"
    )
    return _command("bandit", "bandit", job["directory"], run, ".")
