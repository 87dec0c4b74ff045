"""Explains GitHub's answers: which errors are transient, how long a rate limit lasts, which permission was missing."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any

import github
import requests

from cicd_actions.toolkit.errors import ActionError, Failed, Inconclusive, UnusableInput
from cicd_actions.toolkit.json_values import members
from cicd_actions.toolkit.printable import shortened, visible

SECONDARY_LIMIT_PAUSE = 60.0
"""Seconds to wait after a secondary rate limit that names no time:
https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit"""

_DIGITS = re.compile(r"[0-9]{1,12}")


class Forbidden(Inconclusive):
    """The token may not do this. The message names the permission that is missing."""


class NotFound(Inconclusive):
    """There is no such thing, or the token may not see it: GitHub answers 404 to both."""


class Rejected(Failed):
    """GitHub understood the request and refuses it (409, 422)."""


@dataclass(frozen=True)
class Permission:
    """A permission of an App or a fine-grained token in the words of GitHub's settings: `Permission("Secrets")`.

    `job` is its name under `permissions:` in a workflow (`deployments`); empty where `GITHUB_TOKEN` can never have it.
    """

    name: str
    level: str = "read"
    job: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.level}"

    @property
    def fix(self) -> str:
        """Returns what to write or to grant."""
        grant = f"give the App or the fine-grained token the repository permission `{self}`."
        if not self.job:
            return f"GITHUB_TOKEN can never have it. Make an App or a fine-grained token, and {grant}"
        return f"Write:\n\n    permissions:\n      {self.job}: {self.level}\n\nor {grant}"


def rate_limit(error: BaseException) -> float | None:
    """Returns the seconds to wait when the error is a rate limit; `None` for any other error."""
    status, headers, message = _parts(error)
    if status not in {403, 429}:
        return None
    asked = headers.get("retry-after", "")
    if _DIGITS.fullmatch(asked):
        return float(asked)
    reset = headers.get("x-ratelimit-reset", "")
    if headers.get("x-ratelimit-remaining") == "0" and _DIGITS.fullmatch(reset):
        return max(0.0, float(reset) - time.time()) + 1
    return SECONDARY_LIMIT_PAUSE if status == 429 or "rate limit" in message.lower() else None


def passing(error: BaseException) -> bool:
    """Tells whether the same request may succeed in a moment: a lost connection, a timeout, a 5xx answer.

    So may one whose answer broke off half-way, and one that this machine could not send (no further thread, no further file).
    """
    return _of_the_connection(error) or _parts(error)[0] >= 500


def _of_the_connection(error: BaseException) -> bool:
    # What requests refuses to send (a malformed address or header) is a ValueError as well: it would be refused again.
    return isinstance(error, OSError) and not isinstance(error, ValueError)


def explained(error: Exception, what: str, needs: Permission, url: str) -> ActionError:
    """Returns the error in our words. `what` is what was wanted, `needs` the permission for it."""
    status, headers, message = _parts(error)
    said = f" GitHub says: {message}." if message else ""
    if _of_the_connection(error):
        lost = isinstance(error, (requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError))
        how = f"the answer of {url} broke off" if lost else f"{url} cannot be reached"
        return Inconclusive(f"Could not {what}: {how}.", cause=_short(str(error)))
    if not status:
        return Inconclusive(
            f"Could not {what}: the server at {url} does not answer like GitHub's API.",
            cause=_short(f"{type(error).__name__}: {error}"),
        )
    wait = rate_limit(error)
    if wait is not None:
        return Inconclusive(
            f"Could not {what}: the token's rate limit is used up. It ends in {wait:.0f} s, after this action's deadline.",
            cause=said.strip(),
            fix="Run it again later, or use an App's token, which has a separate limit.",
        )
    if status == 401:
        return UnusableInput(
            f"Could not {what}: GitHub does not accept the token.{said}",
            cause="It expired, was revoked, or belongs to another GitHub server.",
            fix="    with:\n      github-token: ${{ github.token }}",
        )
    if status == 403:
        accepted = headers.get("x-accepted-github-permissions", "")
        return Forbidden(
            f"Could not {what}: the token lacks the permission `{needs}`.{said}",
            cause=f"GitHub would accept: {_short(accepted)}." if accepted else "",
            fix=needs.fix,
        )
    if status in {404, 410}:
        return NotFound(
            f"Could not {what}: GitHub answers {status}.{said}",
            cause=f"It does not exist, or the token may not see it (permission `{needs}`).",
            fix=needs.fix,
        )
    if status in {400, 409, 422}:
        return Rejected(f"Could not {what}: GitHub refuses it ({status}).{said}", cause=_details(error))
    return Inconclusive(f"Could not {what}: GitHub answers {status}.{said}")


def _parts(error: BaseException) -> tuple[int, dict[str, str], str]:
    """Returns status (0 for none), headers with lower-case names, and the message of the answer."""
    if not isinstance(error, github.GithubException):
        return 0, {}, ""
    data: Any = error.data
    message = data.get("message") if isinstance(data, dict) else ""
    return error.status, error.headers or {}, _short(message if isinstance(message, str) else "").rstrip(".")


def _details(error: Exception) -> str:
    """The `errors` of a 422 answer: https://docs.github.com/rest/using-the-rest-api/troubleshooting-the-rest-api"""
    data: Any = getattr(error, "data", None)
    found = members(data).get("errors")
    return _short("; ".join(str(item) for item in found)) if isinstance(found, list) else ""


def _short(text: str) -> str:
    return shortened(visible(text), 500)
