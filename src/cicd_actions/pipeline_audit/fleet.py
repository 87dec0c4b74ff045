"""Audits many repositories: checkouts by their folder, others by their name with a token, with bounded requests."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cicd_actions.github import contents
from cicd_actions.github.client import GitHub
from cicd_actions.pipeline_audit.audit import Audit
from cicd_actions.pipeline_audit.life import Item
from cicd_actions.pipeline_audit.rules.definition import Tier
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import ActionError, UnusableInput
from cicd_actions.toolkit.report import Block, Code, Heading, Inline, Strong, Table
from cicd_actions.toolkit.runtime import Runtime

NAME = re.compile(r"[\w.-]+/[\w.-]+")
MOST_FILES = 80
"""Files of one repository that are fetched: one request each."""

MOST_REPOSITORIES = 100

_WORKFLOWS = re.compile(r"\.github/(workflows/[^/]+\.ya?ml|cicd\.ya?ml|dependabot\.ya?ml|actions/[^/]+/action\.ya?ml)")
_FILES = re.compile(
    r"(Docker|Container)file[.\w-]*|(docker-)?compose[\w.-]*\.ya?ml|fly[\w.]*\.toml|Procfile|render\.ya?ml|alembic\.ini"
    r"|Makefile|(README|SECRETS|RUNBOOK|DEPLOY\w*)\.md|package\.json"
)
_SCRIPT = re.compile(r"entrypoint|deploy|start|release|migrate|rollback|runbook")


def _wanted(listed: Sequence[str]) -> list[str]:
    """The files that an audit reads, the most telling first."""
    names = {path: path.rpartition("/")[2] for path in listed if _harmless(path)}
    workflows = [path for path in names if _WORKFLOWS.fullmatch(path)]
    files = [path for path, name in names.items() if _FILES.fullmatch(name)]
    others = [path for path, name in names.items() if name.endswith((".sh", ".md")) and _SCRIPT.search(name)]
    return list(dict.fromkeys([*workflows, *files, *others]))[:MOST_FILES]


@contextmanager
def checkout(repository: str, token: str, runtime: Runtime, deadline: Deadline) -> Iterator[Path]:
    """Fetches the files that an audit reads into a temporary folder. Raises `ActionError`."""
    github = GitHub(token, repository, runtime, deadline)
    facts = github.get(github.repo, f"read the repository {repository}", needs=contents.CONTENTS)
    branch = str(facts.get("default_branch", "main")) if isinstance(facts, dict) else "main"
    tree = github.get(
        f"{github.repo}/git/trees/{branch}", f"list the files of {repository}", needs=contents.CONTENTS, recursive=1
    )
    listed = (
        [str(one.get("path")) for one in tree.get("tree", []) if one.get("type") == "blob"] if isinstance(tree, dict) else []
    )
    with tempfile.TemporaryDirectory(prefix="pipeline-audit-") as folder:
        root = Path(folder)
        for path in _wanted(listed):
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(contents.text(github, path, branch), "utf-8")
        yield root


def _harmless(path: str) -> bool:
    parts = path.split("/")
    return not path.startswith("/") and ".." not in parts and ".git" not in parts and "\0" not in path


def check(repositories: Sequence[str], token: str, workspace: Path) -> None:
    """Raises `UnusableInput` for what is neither a folder nor a repository that the token could read."""
    if len(repositories) > MOST_REPOSITORIES:
        raise UnusableInput(f"`repositories` has {len(repositories)} lines; at most {MOST_REPOSITORIES} are audited in a run.")
    for one in repositories:
        if (workspace / one).is_dir():
            continue
        if not NAME.fullmatch(one):
            raise UnusableInput(
                f"`{one}` of the input `repositories` is neither a folder nor `owner/name`.",
                fix="    repositories: |\n      org/api\n      ../checkouts/web",
            )
        if not token:
            raise UnusableInput(
                f"`{one}` is not a folder, and reading it from GitHub needs a token.",
                fix="    github-token: ${{ secrets.AUDIT_TOKEN }}",
            )


def rank(audit: Audit) -> tuple[int, int, int]:
    """Returns the order of repositories, worst first."""
    counts = [sum(item.tier is tier for item in audit.open) for tier in Tier]
    return (-counts[0], -counts[1], -counts[2])


def blocks(audits: Sequence[tuple[str, Audit, Sequence[Item]]], failed: Sequence[tuple[str, ActionError]]) -> list[Block]:
    """Returns one table of all repositories, worst first; those that could not be audited come last."""
    rows: list[Sequence[Inline]] = []
    for name, audit, failing in sorted(audits, key=lambda one: (rank(one[1]), one[0])):
        counts = [str(sum(item.tier is tier for item in audit.open)) for tier in Tier]
        worst = failing[0].rule if failing else ""
        overdue = str(sum(item.overdue(audit.today) for item in audit.open))
        deploys = "yes" if audit.facts.deploying else "no"
        rows.append((Strong(name) if failing else name, deploys, *counts, overdue, Code(worst) if worst else "—"))
    rows += [(name, "?", "", "", "", "", f"could not be audited: {error.what}") for name, error in failed]
    return [Heading("Repositories"), Table(("repository", "deploys", "critical", "major", "minor", "overdue", "worst"), rows)]
