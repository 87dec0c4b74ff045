"""Calls GitHub's API: bounded calls, retries of transient errors, errors that name what is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlsplit

import requests

from cicd_actions.github import connection
from cicd_actions.github.errors import Permission, explained, passing, rate_limit
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import ActionError, Inconclusive, UnusableInput
from cicd_actions.toolkit.printable import shortened
from cicd_actions.toolkit.retry import Retry
from cicd_actions.toolkit.runtime import Runtime

if TYPE_CHECKING:
    from github.Requester import Requester

API = "https://api.github.com"
MOST_PAGES = 100

Body = Mapping[str, Any] | Callable[[], Mapping[str, Any]] | None


@dataclass
class GitHub:
    """GitHub's API for one run of an action. `repository` is `owner/name`; `url` defaults to GITHUB_API_URL.

    Calls raise `Forbidden`, `NotFound`, `Rejected`, `UnusableInput` (a token that is not accepted), or `Inconclusive`:
    GitHub cannot be reached, its answer is malformed, its rate limit is used up, or the deadline passed.
    """

    token: str = field(repr=False)
    repository: str
    runtime: Runtime
    deadline: Deadline
    url: str = ""
    attempts: int = 5
    _made: Requester | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self.url = (self.url or self.runtime.variables.get("GITHUB_API_URL") or API).rstrip("/")
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise UnusableInput(
                f"GITHUB_API_URL is `{shortened(self.url, 200)}`, which is not the URL of an API.",
                fix="It looks like https://api.github.com, or https://HOST/api/v3 on GitHub Enterprise Server.",
            )
        owner, slash, name = self.repository.partition("/")
        if not (owner and slash and name) or "/" in name:
            raise UnusableInput(
                f"`{shortened(self.repository, 200)}` is not a repository.",
                fix="It is written owner/name, as in GITHUB_REPOSITORY.",
            )
        self.token = self.token.strip()
        self.runtime.redactor.add(self.token)

    @property
    def owner(self) -> str:
        return self.repository.partition("/")[0]

    @property
    def repo(self) -> str:
        """Returns the path of the repository: `/repos/owner/name`."""
        owner, _, name = self.repository.partition("/")
        return f"/repos/{segment(owner)}/{segment(name)}"

    def get(self, path: str, what: str, *, needs: Permission, **parameters: str | int) -> Any:
        """Returns the JSON of a GET. `what` says what was wanted, for errors and the log: "read the environment staging"."""
        return self._call("GET", path, what, needs, parameters=parameters)[1]

    def changed(self, path: str, what: str, etag: str, *, needs: Permission, **parameters: str | int) -> tuple[str, Any]:
        """Returns the answer's ETag and its JSON; `None` instead of the JSON when it is still what has the ETag `etag`.

        Such an answer does not count against the rate limit:
        https://docs.github.com/rest/using-the-rest-api/best-practices-for-using-the-rest-api#use-conditional-requests
        """
        known = {"If-None-Match": etag} if etag else {}
        headers, found = self._call("GET", path, what, needs, parameters=parameters, headers=known)
        return headers.get("etag", ""), found

    def pages(self, path: str, what: str, *, needs: Permission, per_page: int = 100, **parameters: str | int) -> Iterator[Any]:
        """Yields the JSON of each page, by the `Link` header; it asks for the next one only when it is needed."""
        query: Mapping[str, str | int] = {**parameters, "per_page": per_page}
        for _ in range(MOST_PAGES):
            headers, page = self._call("GET", path, what, needs, parameters=query)
            yield page
            following = _next_page(headers.get("link", ""))
            if following is None:
                return
            # Only the query is taken over: the token never follows a link to another host or path.
            query = following
        raise Inconclusive(f"Could not {what}: there are more than {MOST_PAGES} pages.")

    def send(
        self,
        verb: str,
        path: str,
        what: str,
        body: Body = None,
        *,
        needs: Permission,
        repeatable: bool | None = None,
    ) -> Any:
        """Returns the JSON that answers a POST, PUT, PATCH or DELETE; `None` for an empty answer.

        A `body` that is a function is called for each attempt: a retry may come minutes later.

        A POST that is not `repeatable` is sent again only after an answer which says that nothing was done (a rate
        limit): behind a lost answer there may be a success.
        """
        again = verb != "POST" if repeatable is None else repeatable
        return self._call(verb, path, what, needs, body=body, repeatable=again)[1]

    def _call(
        self,
        verb: str,
        path: str,
        what: str,
        needs: Permission,
        *,
        parameters: Mapping[str, str | int] | None = None,
        body: Body = None,
        repeatable: bool = True,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[dict[str, str], Any]:
        def call() -> tuple[dict[str, str], Any]:
            if self.deadline.expired:
                raise Inconclusive(f"Could not {what}: the deadline of this action passed ({self.deadline.seconds:g} s).")
            content = body() if callable(body) else body
            return self._requester().requestJsonAndCheck(verb, path, dict(parameters or {}), dict(headers or {}), input=content)

        def again(error: BaseException) -> float | bool:
            if isinstance(error, ActionError):
                return False
            wait = rate_limit(error)
            return wait if wait is not None else repeatable and passing(error)

        try:
            return Retry(what, again, self.deadline, self.runtime, self.attempts)(call)
        except ActionError:
            raise
        except Exception as error:  # noqa: BLE001 - PyGithub raises what requests, json and its own assertions raise
            raise explained(error, what, needs, self.url) from None

    def _requester(self) -> Requester:
        if self._made is None:
            self._made = connection.requester(self.url, self.token, self.deadline)
        return self._made


def segment(text: str) -> str:
    """Returns text from outside as one segment of a path: neither `/` nor `..` in it can lead elsewhere."""
    return quote(text, safe="") if text not in {".", ".."} else text.replace(".", "%2E")


def _next_page(link: str) -> dict[str, str] | None:
    """Returns the query of the page that follows (RFC 8288 `Link` header, `rel="next"`)."""
    if not link:
        return None

    for found in requests.utils.parse_header_links(link):
        if found.get("rel") == "next":
            return dict(parse_qsl(urlsplit(found["url"]).query))
    return None
