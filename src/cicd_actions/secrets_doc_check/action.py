"""Defines secrets-doc-check: every secret and variable is documented and set."""

from __future__ import annotations

from cicd_actions.secrets_doc_check.inputs import Inputs
from cicd_actions.toolkit.definition import Action, Output

ACTION = Action(
    name="secrets-doc-check",
    summary="Checks that every secret and variable your workflows use is documented and set.",
    inputs=Inputs,
    outputs=(
        Output("verdict", "`pass`, `fail` or `inconclusive`."),
        Output("reason", "The verdict in a sentence."),
        Output("undocumented", "Names that are used and not documented, as a JSON list."),
        Output("broken", "Places where GitHub refuses the file or the call, or where a name is empty, as a JSON list."),
        Output("unset", "Names that are required and not set, as a JSON list."),
        Output("unused", "Names that are documented or set, and not used, as a JSON list."),
        Output("incomplete", "Names whose documentation lacks the purpose, where it lives or how to set it, as a JSON list."),
        Output("report", "The table as Markdown, for a comment on a pull request."),
    ),
    run="cicd_actions.secrets_doc_check.run.run",
    icon="lock",
    color="purple",
    groups={
        "Set first": "docs code fail-on github-token environments",
        "The document": "write check-write",
    },
)
