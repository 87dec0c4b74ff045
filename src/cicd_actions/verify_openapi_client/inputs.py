"""The inputs of verify-openapi-client."""

from __future__ import annotations

from dataclasses import dataclass

from cicd_actions.toolkit import grammar, process
from cicd_actions.toolkit.inputs import declare

CLASSES = ("drift", "breaking", "generated-symbol", "nondeterministic")


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What the caller wants. Paths start from `working_directory`."""

    client_path: tuple[str, ...] = declare(
        grammar.lines(grammar.string),
        "Files or folders of the generated client, one a line, from `working-directory`. Git has to track them.",
        required=True,
    )
    spec: str = declare(
        grammar.string,
        "The OpenAPI document (JSON or YAML), usually the api lane's artifact. Either this or `spec-command`.",
    )
    spec_command: tuple[str, ...] | None = declare(
        grammar.optional(process.argv),
        "A command that exports the document in-process: to the path `{spec}` if that is one of its words, else to its output."
        " Commands are words without a shell, run in a copy of the work tree.",
    )
    generate_command: tuple[str, ...] = declare(
        process.argv,
        "The generator. `{spec}` is the document's path, `{client}` the client's.",
        default="pnpm exec openapi-typescript {spec} -o {client}",
    )
    format_command: tuple[str, ...] | None = declare(
        grammar.optional(process.argv),
        "A formatter to run on the result. A word `{client}` becomes one word for each client path.",
    )
    export_hint: str = declare(
        grammar.string,
        "How a person exports the document to `{spec}`, from the repository's root: shown in the command that mends the"
        " client, never run. For a `spec` that another job made.",
    )
    working_directory: str = declare(
        grammar.string, "Where the commands run, and where paths start, from the workspace.", default="."
    )
    base_spec: str = declare(grammar.string, "The document that callers have now, as a file, for the comparison.")
    base_missing: str = declare(
        grammar.string,
        "In place of a base: why there is none this time. The comparison is skipped, and the report says this.",
    )
    base_ref: str = declare(
        grammar.string,
        "A commit, branch or tag whose `spec-path` is what callers have now. Empty on GitHub: the pull request's base, the"
        " merge group's, or the commit before the push.",
    )
    spec_path: str = declare(
        grammar.string,
        "Where the document stands in git, from `working-directory`. Empty: where `spec` is, if git tracks it.",
    )
    fail_on: tuple[str, ...] = declare(
        grammar.lines(grammar.choice(*CLASSES)),
        "What fails, one a line: `drift`, `breaking`, `generated-symbol`, `nondeterministic`. The rest is a warning.",
        default="drift",
    )
    acknowledge: str = declare(
        grammar.string,
        "A YAML list of accepted changes, each with `fingerprint`, `reason`, and optionally `expires` (the last day).",
    )
    fix: bool = declare(
        grammar.boolean,
        "`true` writes the regenerated client into the work tree. The verdict stays what it is without.",
        default="false",
    )
    comment: bool = declare(
        grammar.boolean,
        "`true` keeps one comment on the pull request up to date. Needs `pull-requests: write`; else the summary has it.",
        default="false",
    )
    github_token: str = declare(grammar.string, "The token for the comment.", secret=True, action_default="${{ github.token }}")
    timeout: float = declare(grammar.duration, "The time for everything.", default="5m")
