"""Holds an explanation, and the sentences that several explanations share."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace

from cicd_actions.run_migrations_oneshot.inputs import Inputs
from cicd_actions.run_migrations_oneshot.progress import Progress
from cicd_actions.toolkit.verdict import Verdict


@dataclass(frozen=True)
class Explanation:
    """`what` is one sentence; `fix` may hold indented lines of shell, Python or YAML."""

    what: str
    cause: str = ""
    fix: str = ""
    verdict: Verdict = Verdict.FAIL


def ended(progress: Progress) -> str:
    """Says what became of the sessions in the database of a run that was ended early; empty where it had none."""
    if progress.terminated or not progress.sessions:
        return "Its session in the database was ended." if progress.terminated else ""
    pids = ", ".join(map(str, progress.sessions))
    return (
        f"Could not end its session in the database (pid {pids}), which may still work and hold its locks:"
        f" `SELECT pg_terminate_backend({progress.sessions[-1]})`."
    )


def first_line(words: str) -> str:
    """Returns the first line: what a driver or a validator says after it is shown separately."""
    return (words.splitlines() or [""])[0]


ENTRYPOINT = (
    "The job does not run the image's entrypoint, so variables that it sets (from /run/secrets, for example) are missing too."
)


def missing_variables(names: tuple[str, ...], inputs: Inputs) -> Explanation:
    """A variable of the environment is missing, and the application named it."""
    secrets = "\n".join(f"      {name}: ${{{{ secrets.{name} }}}}" for name in names)
    passed = [name for name in names if name != inputs.database_url_env]
    listed = "\n".join(f"        {name}" for name in passed)
    pass_on = f"\n    with:\n      env: |\n{listed}" if passed else ""
    return Explanation(
        f"The job has no variable {', '.join(names)}, which the application needs.",
        "This step has none or an empty one, and `env-file-variable` and `service` bring none. A secret that does not exist,"
        f" or that this job cannot see (a job without its `environment:`), is empty. {ENTRYPOINT}",
        f"    env:\n{secrets}{pass_on}\n\nIf the image's entrypoint sets it, name the entrypoint in the command:\n\n"
        f"    with:\n      command: /entrypoint.sh {shlex.join(inputs.command)}",
    )


def removed_files(*patterns: str) -> str:
    """Returns the command that finds removed files. The patterns hold names of projects and databases, so they are quoted."""
    return f"    git log --diff-filter=D --name-only --all -- {shlex.join(patterns)}"


def without_url(found: Explanation, inputs: Inputs) -> Explanation:
    """Returns the same with the likeliest cause where the job got no URL."""
    name = inputs.database_url_env
    return replace(
        found,
        cause=f"The job has no variable {name}: this step has none or an empty one; `env-file-variable` and `service`"
        " bring none. A secret that does not exist, or that this job cannot see (a job without its `environment:`), is empty."
        f" {ENTRYPOINT}",
        fix=f"    env:\n      {name}: ${{{{ secrets.{name} }}}}\n\nIf the application reads a variable of another name:\n\n"
        "    with:\n      database-url-env: OTHER_NAME",
    )


def file_of(progress: Progress) -> str:
    known = progress.pending.get((progress.database, progress.step))
    return progress.problem.file or (known.file if known else "")


def place_of(progress: Progress) -> str:
    file, line = file_of(progress), progress.problem.line
    database = f" in {progress.database}" if progress.database else ""
    return f"{database} ({file}{f':{line}' if line else ''})" if file else database
