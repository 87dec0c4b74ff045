"""Audits many repositories: checkouts by their folder, others by their name with a token, with bounded requests."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cicd_actions.github import contents
from cicd_actions.github.client import GitHub, segment
from cicd_actions.pipeline_audit.audit import Audit
from cicd_actions.pipeline_audit.life import Item
from cicd_actions.pipeline_audit.rules.definition import Tier
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import ActionError, UnusableInput
from cicd_actions.toolkit.json_values import members, objects
from cicd_actions.toolkit.report import Block, Code, Heading, Inline, Strong, Table
from cicd_actions.toolkit.runtime import Runtime

NAME = re.compile(r"[\w.-]+/[\w.-]+")
MOST_FILES = 80
"""Files of one repository that are fetched: one request each."""

MOST_REPOSITORIES = 100

_LINK = "120000"
"""git's mode of a symbolic link: what it leads to is not a file of this name."""

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
    return list(dict.fromkeys([*workflows, *files, *others]))


@contextmanager
def checkout(repository: str, token: str, runtime: Runtime, deadline: Deadline) -> Iterator[Path]:
    """Fetches the files that an audit reads into a temporary folder, all of one commit. Raises `ActionError`."""
    github = GitHub(token, repository, runtime, deadline)
    newest = github.get(f"{github.repo}/commits/HEAD", f"read the newest commit of {repository}", needs=contents.CONTENTS)
    commit = str(members(newest).get("sha", ""))
    tree = github.get(
        f"{github.repo}/git/trees/{segment(commit)}", f"list the files of {repository}", needs=contents.CONTENTS, recursive=1
    )
    entries = objects(members(tree).get("tree"))
    listed = [str(one.get("path")) for one in entries if one.get("type") == "blob" and one.get("mode") != _LINK]
    wanted = _wanted(listed)
    if len(wanted) > MOST_FILES or members(tree).get("truncated"):
        runtime.log(f"{repository} has more files than an audit by name reads: check it out to audit all of them.")
    with tempfile.TemporaryDirectory(prefix="pipeline-audit-") as folder:
        root = Path(folder)
        for path in wanted[:MOST_FILES]:
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(contents.text(github, path, commit), "utf-8")
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
