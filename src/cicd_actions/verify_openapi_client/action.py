"""Defines verify-openapi-client: the client in git is the generated one, and no change breaks callers."""

from __future__ import annotations

from cicd_actions.toolkit.definition import Action, Output
from cicd_actions.verify_openapi_client.inputs import Inputs

ACTION = Action(
    name="verify-openapi-client",
    summary="Fails when the API client in git differs from the one this backend generates, and says what a change breaks.",
    inputs=Inputs,
    outputs=(
        Output("verdict", "`pass`, `fail` or `inconclusive` (two generations differ)."),
        Output("reason", "One sentence that says why."),
        Output("drift", "`true` when the client in git differs from the generated one, else `false`."),
        Output("changed-files", "The client's files that differ, as a JSON array of paths from the repository's root."),
        Output("patch", "A file with the whole difference, for `git apply`; empty without one."),
        Output("breaking", "The number of changes that break callers and are not accepted; empty when nothing was compared."),
        Output(
            "report", "A JSON file with everything: files, causes, each change with rule, operations, pointer and fingerprint."
        ),
        Output("sarif", "The findings as a SARIF 2.1.0 file, for github/codeql-action/upload-sarif."),
    ),
    run="cicd_actions.verify_openapi_client.run.run",
    icon="file-text",
    color="blue",
    groups={
        "Set first": "client-path spec spec-command generate-command fail-on",
        "The current API": "base-ref spec-path base-spec base-missing",
        "What is accepted": "rules acknowledge",
    },
)
