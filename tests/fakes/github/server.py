"""A stateful stand-in for GitHub's API on a port of the kernel's choice.

What it knows of a part of the API stands in a module of that part (`settings.py`, `deployments.py`): functions that are
registered with `route`. Each says which permission of a token it needs. Requests and answers are held against GitHub's own
OpenAPI document where that is available (`openapi.py`); what does not fit is kept in `problems`, which `stop` raises.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.fakes.github.openapi import Document

LEVELS = {"read": 1, "write": 2, "admin": 3}


@dataclass
class Call:
    """One request that came in. `arguments` are the parts of the path, `repository` is `owner/name` of it (or empty)."""

    github: FakeGitHub
    verb: str
    path: str
    query: dict[str, str]
    body: Any
    token: Token
    arguments: dict[str, str]
    headers: Mapping[str, str]

    @property
    def repository(self) -> str:
        return f"{self.arguments['owner']}/{self.arguments['repo']}" if "repo" in self.arguments else ""

    def page(self, items: Sequence[Any], *, most: int = 100, usual: int = 30) -> tuple[Sequence[Any], dict[str, str]]:
        """The items of the page asked for, and the `Link` header. `most` and `usual` bound `per_page` as GitHub does."""
        size = max(1, min(int(self.query.get("per_page", usual)), most))
        number = max(1, int(self.query.get("page", 1)))
        last = max(1, -(-len(items) // size))
        links = []
        rest = "".join(f"{key}={value}&" for key, value in self.query.items() if key not in {"page", "per_page"})
        for relation, target in (("prev", number - 1), ("next", number + 1), ("last", last), ("first", 1)):
            if 1 <= target <= last and target != number:
                links.append(f'<{self.github.url}{self.path}?{rest}per_page={size}&page={target}>; rel="{relation}"')
        return items[(number - 1) * size : number * size], {"Link": ", ".join(links)} if links else {}


@dataclass
class Answer:
    """The response: a status, JSON (nothing for `None`), headers."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    """The connection closes in the middle of the body."""


class Refusal(Exception):
    """Raised by a route: an error in GitHub's form."""

    def __init__(self, status: int, message: str, **more: Any) -> None:
        super().__init__(message)
        self.answer = Answer(status, {"message": message, "documentation_url": "https://docs.github.com/rest", **more})


@dataclass(frozen=True)
class Token:
    """What a token may do: permissions by their API name (`secrets`, `actions_variables`, `deployments`) and level.

    `repositories` limits what it sees (empty: everything). A token of `kind` `job` is the job's own GITHUB_TOKEN. `login` is
    the account that creates what is made with it.
    """

    text: str
    permissions: Mapping[str, str] = field(default_factory=dict)
    repositories: tuple[str, ...] = ()
    kind: str = "app"
    login: str = "github-actions[bot]"

    def may(self, permission: str, level: str) -> bool:
        return LEVELS.get(self.permissions.get(permission, ""), 0) >= LEVELS[level]


@dataclass
class Fault:
    """Something that goes wrong with the next `times` requests whose verb and path match.

    `status` answers an error, `drop` closes the connection without an answer, `cut` in the middle of one, `after` does it
    (or answers `status`) only after the request took effect, `hang` waits for `release` before it answers.
    """

    verb: str
    path: re.Pattern[str]
    times: int = 1
    status: int = 0
    message: str = "Something went wrong"
    headers: dict[str, str] = field(default_factory=dict)
    text: str | None = None
    drop: bool = False
    cut: bool = False
    after: bool = False
    hang: threading.Event | None = None


Handler = Callable[[Call], Answer]


@dataclass(frozen=True)
class Route:
    verb: str
    template: str
    pattern: re.Pattern[str]
    permission: str
    level: str
    handler: Handler


ROUTES: list[Route] = []


def route(verb: str, template: str, permission: str = "", level: str = "read") -> Callable[[Handler], Handler]:
    """Register a function for a path of the API as its document writes it: `/repos/{owner}/{repo}/deployments`."""

    def register(handler: Handler) -> Handler:
        # `{path}` is a file's path in a repository: the one parameter that holds slashes.
        text = re.sub(r"\\?\{(\w+)\\?\}", r"(?P<\1>[^/]+)", re.escape(template)).replace("(?P<path>[^/]+)", "(?P<path>.+)")
        pattern = re.compile(text + "/?")
        ROUTES.append(Route(verb, template, pattern, permission, level, handler))
        return handler

    return register


class FakeGitHub:
    """The server. Use it as a context manager; `url` is what GITHUB_API_URL takes, with `prefix` as on GitHub Enterprise."""

    def __init__(self, *, prefix: str = "", document: Document | None = None) -> None:
        self.state: dict[str, Any] = {}
        """What the parts keep, each under its own name."""
        self.tokens: dict[str, Token] = {}
        self.calls: list[Call] = []
        self.faults: list[Fault] = []
        self.problems: list[str] = []
        self.remaining: int | None = None
        """Requests left until the rate limit; `None` for no limit."""
        self.reset_in = 3600.0
        self.now: Callable[[], float] = time.time
        self.lock = threading.RLock()
        self._prefix = prefix
        self._document = document
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}{prefix}"

    def __enter__(self) -> FakeGitHub:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for fault in self.faults:
            if fault.hang:
                fault.hang.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        if kind is None and self.problems:
            raise AssertionError("what was sent or answered is not GitHub's API:\n" + "\n".join(self.problems))

    def token(
        self,
        *,
        repositories: Iterable[str] = (),
        kind: str = "app",
        login: str = "github-actions[bot]",
        **permissions: str,
    ) -> str:
        """A new token with these permissions: `token(secrets="read", environments="read")`."""
        text = f"ghs_fake{len(self.tokens):032d}"
        self.tokens[text] = Token(text, permissions, tuple(repositories), kind, login)
        return text

    def fail(self, verb: str = "", path: str = "", **how: Any) -> Fault:
        """Let the next requests go wrong: `fail("POST", "/deployments$", status=502, times=2)`; `path` is searched for."""
        fault = Fault(verb, re.compile(path), **how)
        self.faults.append(fault)
        return fault

    def answer(self, verb: str, target: str, headers: Mapping[str, str], raw: bytes) -> Answer | None:
        """The answer to a request; `None` closes the connection."""
        parts = urlsplit(target)
        path = parts.path.removeprefix(self._prefix)
        fault = self._fault(verb, path)
        if fault and fault.hang:
            fault.hang.wait(60)
        if fault and not fault.after:
            return self._broken(fault)
        with self.lock:
            try:
                done = self._route(verb, path, dict(parse_qsl(parts.query, keep_blank_values=True)), headers, raw)
            except Refusal as refusal:
                done = refusal.answer
            except Exception as error:  # noqa: BLE001 - a defect of the stand-in must not look like one of GitHub's
                self.problems.append(f"{verb} {target}: {type(error).__name__}: {error}")
                return None
            self._limit(done)
        return self._broken(fault) if fault else done

    def _fault(self, verb: str, path: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.times > 0 and fault.verb in {"", verb} and fault.path.search(path):
                    fault.times -= 1
                    return fault
        return None

    @staticmethod
    def _broken(fault: Fault) -> Answer | None:
        if fault.drop:
            return None
        body = fault.text if fault.text is not None else {"message": fault.message}
        return Answer(fault.status or 200, body, dict(fault.headers), fault.cut)

    def _route(self, verb: str, path: str, query: dict[str, str], headers: Mapping[str, str], raw: bytes) -> Answer:
        token = self._token(headers)
        if self.remaining is not None:
            if self.remaining <= 0:
                raise Refusal(403, "API rate limit exceeded for installation ID 1.")
            self.remaining -= 1
        for found in ROUTES:
            match = found.pattern.fullmatch(path)
            if match and found.verb == verb:
                arguments = {name: unquote(value) for name, value in match.groupdict().items()}
                body = json.loads(raw) if raw else None
                call = Call(self, verb, path, query, body, token, arguments, headers)
                self.calls.append(call)
                if self._document:
                    self.problems += self._document.check_request(verb, found.template, query, body)
                self._permit(call, found)
                answer = found.handler(call)
                if self._document:
                    self.problems += self._document.check_answer(verb, found.template, answer.status, answer.body)
                return _conditional(verb, headers, answer)
        raise Refusal(404, "Not Found")

    def _token(self, headers: Mapping[str, str]) -> Token:
        given = headers.get("Authorization", "")
        if not given:
            return Token("")
        text = re.sub(r"^(?:bearer|token) ", "", given, flags=re.IGNORECASE)
        if text not in self.tokens:
            raise Refusal(401, "Bad credentials")
        return self.tokens[text]

    @staticmethod
    def _permit(call: Call, found: Route) -> None:
        visible = not call.token.repositories or not call.repository or call.repository in call.token.repositories
        if not visible:
            raise Refusal(404, "Not Found")
        if found.permission and not call.token.may(found.permission, found.level):
            refusal = Refusal(403, "Resource not accessible by integration")
            refusal.answer.headers["X-Accepted-GitHub-Permissions"] = f"{found.permission}={found.level}"
            raise refusal

    def _limit(self, answer: Answer) -> None:
        if self.remaining is not None:
            answer.headers |= {
                "X-RateLimit-Limit": "5000",
                "X-RateLimit-Remaining": str(max(0, self.remaining)),
                "X-RateLimit-Reset": str(int(self.now() + self.reset_in)),
            }


def _conditional(verb: str, headers: Mapping[str, str], answer: Answer) -> Answer:
    """304 without a body where the caller has what would be sent."""
    if verb != "GET" or answer.status != 200:
        return answer
    tag = f'W/"{hashlib.sha256(json.dumps(answer.body).encode()).hexdigest()}"'
    known = {"ETag": tag, **answer.headers}
    return Answer(304, None, known) if headers.get("If-None-Match") == tag else Answer(200, answer.body, known)


def _handler(github: FakeGitHub) -> type[BaseHTTPRequestHandler]:
    class Requests(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body go out together: apart, the second waits 40 ms for the first one's acknowledgement.
        wbufsize = -1

        def _serve(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            answer = github.answer(self.command, self.path, dict(self.headers.items()), raw)
            if answer is None:
                self.close_connection = True
                self.connection.close()
                return
            text = answer.body if isinstance(answer.body, str) else json.dumps(answer.body) if answer.body is not None else ""
            content = text.encode()
            self.send_response(answer.status)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if answer.cut else content)
            self.close_connection = self.close_connection or answer.cut

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - http.server's names

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's word
            """Nothing: the calls are kept in `FakeGitHub.calls`."""

    return Requests
