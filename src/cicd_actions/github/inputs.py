"""The inputs with which an action reads and writes records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cicd_actions.toolkit.grammar import NotUnderstood, boolean, choice, lines, string, variable_name
from cicd_actions.toolkit.inputs import declare

BOT = "github-actions"
"""The slug of the App behind GITHUB_TOKEN."""


def _key_name(text: str) -> str:
    return variable_name(text) if text.strip() else ""


def _workflow(text: str) -> str:
    path = text.strip()
    if not path.startswith(".github/workflows/"):
        raise NotUnderstood(f"`{path[:200]}` is not the path of a workflow file", example=".github/workflows/deploy.yml")
    return path


@dataclass(frozen=True, kw_only=True)
class RecordInputs:
    """What proves the writer of a record."""

    GROUP: ClassVar[str] = "Records"

    app: str = declare(string, "The application's name, where a repository has several. Default: the repository.")
    record_key: str = declare(
        _key_name,
        "The name of an environment variable with a secret key that only jobs of this environment have: `RECORD_KEY`."
        " Records are signed with it, and only signed ones count.",
    )
    records_app: str = declare(
        string, "The slug of the GitHub App that writes the records, as in `https://github.com/apps/SLUG`.", default=BOT
    )
    records_refs: tuple[str, ...] = declare(
        lines(string),
        "Without `record-key`: the branches and tags whose runs may write records, one pattern per line: `main`, `v*`."
        " Default: the default branch and the ref of this run.",
    )
    records_workflows: tuple[str, ...] = declare(
        lines(_workflow),
        "Without `record-key`: the workflow files whose runs may write records, one path per line."
        " Default: every file in `.github/workflows`.",
    )


@dataclass(frozen=True, kw_only=True)
class AttestationInputs:
    """What proves the build of an image."""

    GROUP: ClassVar[str] = "Attestations"

    require_attestation: str = declare(
        choice("false", "true"),
        "`true` refuses an image without a provenance attestation of `signer-workflow`, for the release's commit, on a ref of"
        " `source-refs`.",
        default="false",
    )
    signer_workflow: str = declare(
        string,
        "The workflow that builds and attests, as `OWNER/REPOSITORY/.github/workflows/FILE`; a reusable one, where one builds.",
    )
    source_refs: tuple[str, ...] = declare(
        lines(string),
        "Full refs that an image may be built on, one pattern per line: `refs/heads/main`, `refs/tags/v*`. Default: any.",
    )
    attestation_bundle: str = declare(
        string,
        "File of attestations, as `gh attestation download` writes it, for a runner without a network. Default: GitHub's API.",
    )
    trusted_root: str = declare(
        string, "File of `gh attestation trusted-root`, for a runner without a network. Default: fetched."
    )
    hosted_builds_only: bool = declare(boolean, "Refuse images that were built on a self-hosted runner.", default="false")
