"""The keys of what is checked beside the lanes: the secrets' documentation, and security scans."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cicd_actions.pipeline_file.kinds import COMMAND, NAME, PATH
from cicd_actions.pipeline_file.shape import Choice, Flag, Named, Object, key


@dataclass(frozen=True)
class SecretsDoc:
    """Whether every secret and variable in use is documented."""

    check: str = key(Choice("warn", "fail", "off"), "What an undocumented one does. Default: `warn`.", "warn")
    document: str | None = key(PATH, "Document whose block must be up to date, such as SECRETS.md.")


@dataclass(frozen=True)
class Scan:
    """A scan by a command of yours. scan-gate judges its report."""

    run: str = key(
        COMMAND, "Command, run in the repository's root. With an exit code above 1 the scan proves nothing.", required=True
    )
    report: str = key(PATH, "Report that it writes, from the repository's root.", required=True)
    of: str | None = key(PATH, "Folder that the report's paths begin at, or the file that was scanned. Default: what it says.")


@dataclass(frozen=True)
class Scans:
    """Security scans of the source beside the lanes, and of each image before the first environment, judged by scan-gate."""

    check: str = key(Choice("fail", "warn"), "What the verdict does to a change and to a release. Default: `fail`.", "fail")
    dependencies: bool = key(
        Flag(), "Audit each lane's lock file: pip-audit (uv, pip), or the audit of npm, pnpm or yarn. Default: `true`.", True
    )
    code: bool = key(Flag(), "Run bandit on each lane that has Python. Default: `true`.", True)
    secrets: bool = key(Flag(), "Look for secrets in every file, with trivy. Default: `true`.", True)
    images: bool = key(
        Flag(), "Scan each image by digest with trivy, and keep its SBOM (CycloneDX) as an artifact. Default: `true`.", True
    )
    more: Mapping[str, Scan] = key(Named(Object(Scan, "a mapping"), NAME, 20), "More scans, by name.", {})
