"""The inputs of verify-openapi-client."""

from __future__ import annotations

from dataclasses import dataclass

from cicd_actions.toolkit import grammar
from cicd_actions.toolkit.inputs import declare
from cicd_actions.verify_openapi_client import levels

CLASSES = ("drift", "breaking", "generated-symbol", "nondeterministic")


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Holds what the caller wants. Paths start from `working_directory`."""

    client_path: tuple[str, ...] = declare(
        grammar.lines(grammar.string),
        "Files or folders of the generated client, one a line, from `working-directory`. Git has to track them.",
        required=True,
    )
    spec: str = declare(
        grammar.string,
        "The OpenAPI document (JSON or YAML), usually the api lane's artifact. Set either this or `spec-command`.",
    )
    spec_command: tuple[str, ...] | None = declare(
        grammar.optional(grammar.argv),
        "A command that exports the document in-process: to the path `{spec}` if that is one of its words, else to its output."
        " Commands are words without a shell, run in a copy of the work tree.",
    )
    generate_command: tuple[str, ...] = declare(
        grammar.argv,
        "The generator. `{spec}` is the document's path, `{client}` the client's.",
        default="pnpm exec openapi-typescript {spec} -o {client}",
    )
    format_command: tuple[str, ...] | None = declare(
        grammar.optional(grammar.argv),
        "A formatter to run on the result. A word `{client}` becomes one word for each client path.",
    )
    export_hint: str = declare(
        grammar.string,
        "How a person exports the document to `{spec}`, from the repository's root: shown in the command that fixes the"
        " client, never run. For a `spec` that another job made.",
    )
    working_directory: str = declare(
        grammar.string, "The folder where commands run and paths start, from the workspace.", default="."
    )
    base_spec: str = declare(grammar.string, "The OpenAPI document of the current API, as a file, for the comparison.")
    base_missing: str = declare(
        grammar.string,
        "The reason why there is no base this time. The comparison is skipped, and the report says so.",
    )
    base_ref: str = declare(
        grammar.string,
        "A commit, branch or tag whose `spec-path` is the current API. Default on GitHub: the base of the pull request or"
        " merge group, or the commit before the push.",
    )
    spec_path: str = declare(
        grammar.string,
        "The document's path in git, from `working-directory`. Default: the path of `spec`, if git tracks it.",
    )
    fail_on: tuple[str, ...] = declare(
        grammar.lines(grammar.choice(*CLASSES)),
        "The classes that fail, one a line: `drift`, `breaking`, `generated-symbol`, `nondeterministic`. The rest warns.",
        default="drift",
    )
    rules: tuple[levels.Setting, ...] = declare(
        grammar.lines(levels.setting),
        "The level of single rules, one a line: `RULE: LEVEL` or `RULE at PLACE: LEVEL`, where the level is `off`, `warn` or"
        " `error`. The last line that matches wins.",
    )
    acknowledge: str = declare(
        grammar.string,
        "A YAML list of accepted changes, each with `fingerprint`, `reason`, and optionally `expires` (the last day).",
    )
    fix: bool = declare(
        grammar.boolean,
        "`true` writes the regenerated client into the work tree. The verdict stays the same.",
        default="false",
    )
    comment: bool = declare(
        grammar.boolean,
        "`true` keeps one comment on the pull request up to date. Needs `pull-requests: write`; else the summary has it.",
        default="false",
    )
    github_token: str = declare(grammar.string, "The token for the comment.", secret=True, action_default="${{ github.token }}")
    timeout: float = declare(grammar.duration, "The timeout of the whole action.", default="5m")
