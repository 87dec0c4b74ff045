"""The connection under PyGithub: bounded in time and size, with the system's trust and one session for all calls."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from typing import Any

import requests
from github.Auth import Token
from github.Requester import Requester

from cicd_actions.toolkit.background import within
from cicd_actions.toolkit.deadline import Deadline

LONGEST_CALL = 20.0
"""Seconds one request may take, to the last byte of its answer."""

LARGEST_ANSWER = 16 * 1024 * 1024
"""Bytes. A page of a hundred deployments, each with its full payload, has less than 2 MiB."""

API_VERSION = "2022-11-28"


def requester(url: str, token: str, deadline: Deadline) -> Requester:
    """PyGithub's requester on a bounded connection. It retries nothing and throttles nothing by itself."""
    # A separate class, because PyGithub keeps the connection classes on the class.
    own: Any = type("BoundedRequester", (Requester,), {})
    own.injectConnectionClasses(*_connection_classes(deadline))
    made: Requester = own(
        auth=Token(token) if token else None,
        base_url=url,
        timeout=int(LONGEST_CALL),
        user_agent="cicd-actions",
        per_page=100,
        verify=_trusted(),
        retry=None,
        pool_size=None,
        api_version=API_VERSION,
    )
    return made


def _connection_classes(deadline: Deadline) -> tuple[Any, Any]:
    session = requests.Session()
    session.auth = Requester.noopAuth  # otherwise a .netrc file would replace the token

    class Http:
        scheme = "http"

        def __init__(self, host: str, port: int | None, **options: Any) -> None:
            bracketed = f"[{host}]" if ":" in host else host
            self.address = f"{self.scheme}://{bracketed}" + (f":{port}" if port else "")
            self.host = host
            self.verify = options["verify"]

        def request(self, verb: str, url: str, body: Any, headers: dict[str, str], _stream: Any = None) -> None:
            self.wanted = (verb, self.address + url, body, headers)

        def getresponse(self) -> _Answer:
            limit = max(deadline.timeout(LONGEST_CALL), 0.001)
            try:
                return within(limit, lambda: self._exchange(limit))
            except TimeoutError as error:
                raise requests.Timeout(f"the answer did not end: {error}") from None

        def _exchange(self, limit: float) -> _Answer:
            verb, url, body, headers = self.wanted
            with session.request(
                verb, url, data=body, headers=headers, timeout=limit, verify=self.verify, allow_redirects=False, stream=True
            ) as response:
                content = bytearray()
                for chunk in response.iter_content(65536):
                    content += chunk
                    if len(content) > LARGEST_ANSWER:
                        raise ValueError(f"the answer has more than {LARGEST_ANSWER >> 20} MiB")
                return _Answer(response.status_code, dict(response.headers), content.decode("utf-8", "replace"))

        def close(self) -> None:
            """PyGithub closes a connection before it makes the next one; the session keeps the socket open for it."""

    class Https(Http):
        scheme = "https"

    return Http, Https


@dataclass
class _Answer:
    """What PyGithub asks of a response."""

    status: int
    headers: dict[str, str]
    text: str

    def getheaders(self) -> list[tuple[str, str]]:
        return list(self.headers.items())

    def read(self) -> str:
        return self.text


def _trusted() -> bool | str:
    """The certificates: what REQUESTS_CA_BUNDLE names (requests reads it), else the system's store, else certifi's."""
    if os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE"):
        return True
    paths = ssl.get_default_verify_paths()
    return paths.cafile or paths.capath or True
