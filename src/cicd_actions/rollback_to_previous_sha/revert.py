"""Opens one pull request that reverts the commits which a rollback took back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cicd_actions.github.client import GitHub, segment
from cicd_actions.github.errors import Permission, Rejected
from cicd_actions.github.proof import default_branch
from cicd_actions.rollback_to_previous_sha.plan import Facts, Plan
from cicd_actions.toolkit.errors import ActionError, Failed, Inconclusive
from cicd_actions.toolkit.json_values import members
from cicd_actions.toolkit.markdown import escaped
from cicd_actions.toolkit.printable import visible
from cicd_actions.toolkit.report import Report
from cicd_actions.toolkit.runtime import Runtime

CONTENTS = Permission("Contents", "write", job="contents")
PULLS = Permission("Pull requests", "write", job="pull-requests")


@dataclass(frozen=True)
class Reverted:
    """The pull request's URL, and whether somebody merged or closed it before; or why there is none."""

    url: str = ""
    merged: bool = False
    closed: bool = False
    problem: ActionError | None = None


_BY_HAND = "Or revert them by hand: the summary has the commands."


def revert(github: GitHub, facts: Facts, plan: Plan, judged: Report, runtime: Runtime) -> Reverted:
    """Returns the pull request that reverts what was taken back: the one that exists, else a new one.

    Its one commit stands on the commit that was left and has the files of the commit that was rolled back to. Merging it takes
    exactly those commits back, and keeps later ones. The rollback itself is done, so no error is raised.
    """
    try:
        return _pull_request(github, facts, plan, judged, runtime)
    except ActionError as error:
        if "not permitted to create" in error.what:
            # A setting of the repository forbids it, whatever the token may do.
            error.fix = "Allow it: Settings → Actions → General → Allow GitHub Actions to create and approve pull requests."
        elif isinstance(error, Rejected):
            error.fix = "Let the rules of the repository (Settings → Rules) allow branches `cicd-actions/**`."
        error.fix = f"{error.fix}\n{_BY_HAND}".strip("\n")
        return Reverted(problem=error)


def _pull_request(github: GitHub, facts: Facts, plan: Plan, judged: Report, runtime: Runtime) -> Reverted:
    what = "open a pull request that reverts the commits"
    commits = plan.taken_back
    if commits is None or commits.status != "ahead":
        raise Failed(
            f"Could not {what}: {plan.from_sha[:12] or 'the commit that was left'} is not known to come after"
            f" {plan.to.sha[:12]}.",
        )
    branch = f"cicd-actions/revert-{plan.from_sha[:12]}-to-{plan.to.sha[:12]}"
    if found := _existing(github, branch, what):
        return found
    _push(github, plan, branch, what)
    base = default_branch(runtime.variables) or runtime.variables.get("GITHUB_REF_NAME", "")
    title = f"Revert to {plan.to.sha[:12]}, which {plan.environment} runs again"
    body = {"title": title, "head": branch, "base": base, "body": runtime.redactor(_body(facts, plan, judged, runtime))}
    try:
        # Sent again after a lost answer: GitHub refuses a second pull request of the branch.
        return _read(github.send("POST", f"{github.repo}/pulls", what, body, needs=PULLS, repeatable=True), what)
    except Rejected:
        # Another run, or the first attempt, may have opened it since this one looked.
        if found := _existing(github, branch, what):
            return found
        raise


def _existing(github: GitHub, branch: str, what: str) -> Reverted | None:
    """Returns the pull request of the branch, open or not; `None` when there is none."""
    found = github.get(
        f"{github.repo}/pulls",
        "look for a pull request that reverts the commits",
        needs=PULLS,
        head=f"{github.owner}:{branch}",
        state="all",
        per_page=1,
    )
    return _read(found[0], what) if isinstance(found, list) and found else None


def _push(github: GitHub, plan: Plan, branch: str, what: str) -> None:
    """Creates the branch with its commit, unless an earlier run did."""
    commit = github.get(f"{github.repo}/git/commits/{segment(plan.to.sha)}", what, needs=CONTENTS)
    tree = members(commit).get("tree")
    made = github.send(
        "POST",
        f"{github.repo}/git/commits",
        what,
        {
            "message": f"Revert to {plan.to.sha}\n\nThe release {plan.from_sha} was rolled back in {plan.environment}.",
            "tree": _field(tree, "sha", what),
            "parents": [plan.from_sha],
        },
        needs=CONTENTS,
        repeatable=True,
    )
    try:
        github.send(
            "POST",
            f"{github.repo}/git/refs",
            what,
            {"ref": f"refs/heads/{branch}", "sha": _field(made, "sha", what)},
            needs=CONTENTS,
            repeatable=True,
        )
    except Rejected as error:
        # An earlier run may have ended between the branch and the pull request, or an answer was lost: it made the same commit.
        if "already exists" not in error.what:
            raise


def _body(facts: Facts, plan: Plan, judged: Report, runtime: Runtime) -> str:
    left = next((each for each in facts.history.of_sha(plan.from_sha) if each.verdict == "fail"), None)
    server, run = runtime.variables.get("GITHUB_SERVER_URL", ""), runtime.variables.get("GITHUB_RUN_ID", "")
    commits = plan.taken_back.commits if plan.taken_back else ()
    lines = [
        f"{_inert(plan.environment)} was rolled back from {plan.from_sha} to {plan.to.sha}.",
        "",
        f"- The gate of the release that was left: {_inert(left.reason) if left and left.reason else 'no verdict is recorded'}",
        f"- The gate after the rollback: {_inert(judged.headline)}",
        f"- The run: {server}/{runtime.variables.get('GITHUB_REPOSITORY', '')}/actions/runs/{run}",
        "",
        "Commits that this reverts:",
        "",
        *(f"- {each.sha[:12]} {_inert(each.title)}" for each in commits[:50]),
    ]
    if plan.stays:
        names = ", ".join(_inert(each.revision) for each in plan.stays)
        lines += ["", f"The migrations {names} stay applied in the database: keep their modules when you merge this."]
    return "\n".join(lines)


def _inert(text: str) -> str:
    return escaped(visible(text))


def _field(found: Any, key: str, what: str) -> str:
    value = members(found).get(key)
    if not isinstance(value, str) or not value:
        raise Inconclusive(f"Could not {what}: GitHub's answer has no `{key}`.")
    return value


def _read(found: Any, what: str) -> Reverted:
    url = _field(found, "html_url", what)
    return Reverted(url, merged=bool(found.get("merged_at")), closed=found.get("state") == "closed")
