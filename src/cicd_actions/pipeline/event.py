"""What started a run, and what such an event may do."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass

from cicd_actions.toolkit.errors import Failed

REFUSED = frozenset({"pull_request_target", "workflow_run", "issue_comment"})
RELEASING = frozenset({"push", "workflow_dispatch"})
"""A pull request or a merge queue's group is a candidate, never a release."""


@dataclass(frozen=True)
class Event:
    """What started the run.

    `files` are the changed ones, `None` where they are not known. `fork` says that the code comes from a pull request of a
    fork. `base` is the commit that the change starts from, empty for none. `public`: everybody may read the repository.
    `promote` names an environment: nothing runs but the deploy to it, with the images that passed in the one before. `server`
    is GitHub's host.
    """

    name: str
    ref: str
    sha: str
    repository: str = ""
    default_branch: str = ""
    files: Sequence[str] | None = None
    fork: bool = False
    base: str = ""
    public: bool = False
    promote: str = ""
    server: str = "github.com"

    def is_one_of(self, refs: Sequence[str]) -> bool:
        """Whether a pattern of *refs* fits the ref; without patterns, whether it is the default branch."""
        if not refs:
            # The name itself, not a pattern: a branch may be called `v[1]`.
            return bool(self.default_branch) and self.ref == f"refs/heads/{self.default_branch}"
        return any(fnmatch.fnmatchcase(self.ref, each) for each in refs)


class RefusedEvent(Failed):
    """The event must not run the code of a change."""
