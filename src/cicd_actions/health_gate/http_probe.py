"""Probes over HTTP: one request, or a chain of redirects, and what the answer means."""

from __future__ import annotations

import asyncio
import base64
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from cicd_actions.health_gate import urls
from cicd_actions.health_gate.addresses import Addresses, Route
from cicd_actions.health_gate.answer import LARGE_BODY, SMALL_BODY, Answer
from cicd_actions.health_gate.exchange import Phase, Progress, Request, exchange, network_trouble
from cicd_actions.health_gate.expectations import SHOWN, Mismatch, Undecidable
from cicd_actions.health_gate.limits import TimeIsUp, TimeLimit, TooSlow, alarm
from cicd_actions.health_gate.network import Network
from cicd_actions.health_gate.observation import Observation, Outcome, Trouble, unjudged
from cicd_actions.health_gate.schedule import retry_after
from cicd_actions.health_gate.targets import HttpRequest, Target
from cicd_actions.toolkit.grammar import NotUnderstood
from cicd_actions.toolkit.printable import beginning

HOPS = 10

PATIENCE = 0.25
"""Seconds of the processor for deciding whether one answer is right: a pattern that backtracks would take for ever."""


@dataclass(eq=False)
class HttpProber:
    """Probes a target's URL. `clock` gives seconds since the gate started; `deciding` lets one answer be judged at a time."""

    target: Target
    request: HttpRequest
    network: Network
    clock: Callable[[], float]
    deciding: asyncio.Lock
    addresses: Addresses | None = field(default_factory=Addresses)
    """Each of them has to answer right; `None` where any one will do."""

    async def probe(self, deadline: float) -> Observation:
        """One observation, at the latest at `deadline`. Raises `UnusableInput` for what shows only on the way."""
        if self.request.url.secure:
            # Made once, and before the clock starts: reading the machine's certificates is not the target's time.
            self.network.context(self.request.trust)
        started = self.clock()
        allowed = self.target.request_timeout
        progress = Progress(route=Route(self.addresses))
        try:
            try:
                async with TimeLimit(min(allowed, deadline - started)) as limit:
                    answer = await self._answer(progress, limit)
            except TimeIsUp:
                raise _timeout(progress, self.clock() - started, cut=deadline - started < allowed) from None
            except OSError as error:
                raise _os_trouble(error, progress, self.request.url.host) from None
            took = self.clock() - started
            seen = await self._judged(answer, started, took, deadline)
        except Trouble as trouble:
            seen = Observation(
                started, self.clock(), trouble.outcome, trouble.kind, trouble.label,
                expected=self._expected(), came=trouble.came, reached=progress.reached, permanent=trouble.permanent,
            )  # fmt: skip
        return progress.route.seen(seen)

    def _expected(self) -> str:
        status = self.target.expectations.status
        return f"status {status}" if status else "an answer"

    async def _answer(self, progress: Progress, limit: TimeLimit) -> Answer:
        request, seen = self.request, {str(self.request.url)}
        for _ in range(HOPS + 1):
            answer = await self._one(request, progress, limit)
            location = answer.header("location")
            if not (self.request.allow_redirects and answer.status in {301, 302, 303, 307, 308} and location):
                return answer
            try:
                url = urls.join(request.url, location)
            except NotUnderstood as error:
                raise Trouble(
                    "redirect", "redirect", f"a redirect leads to what is no URL: {error}", outcome=Outcome.WRONG
                ) from None
            if str(url) in seen:
                raise Trouble(
                    "redirect", "loop", f"the redirects go round in a circle: {url} comes again", outcome=Outcome.WRONG
                )
            if request.body and answer.status in {307, 308} and url.origin != request.url.origin:
                raise Trouble(
                    "redirect", "redirect",
                    f"a redirect ({answer.status}) wants the body sent to another origin, {url.scheme}://{url.authority}",
                    outcome=Outcome.WRONG,
                )  # fmt: skip
            seen.add(str(url))
            request = _followed(request, url, answer.status)
        raise Trouble("redirect", "redirects", f"more than {HOPS} redirects in a row", outcome=Outcome.WRONG)

    async def _one(self, request: HttpRequest, progress: Progress, limit: TimeLimit) -> Answer:
        cap = LARGE_BODY if self.target.expectations.reads_body else SMALL_BODY
        proxy = self.network.proxy(request)
        headers = [
            ("Host", request.host or request.url.authority),
            ("User-Agent", "cicd-actions-health-gate"),
            ("Accept", "*/*"),
            ("Accept-Encoding", "identity"),
            ("Connection", "close"),
        ]
        if request.url.user:
            credentials = f"{request.url.user}:{request.url.password}".encode()
            headers.append(("Authorization", f"Basic {base64.b64encode(credentials).decode()}"))
        line = request.url.target
        if proxy and not request.url.secure:
            line = str(request.url)
            headers += [("Proxy-Authorization", proxy.authorization)] if proxy.authorization else []
        if request.body or request.method in {"POST", "PUT", "PATCH"}:
            headers.append(("Content-Length", str(len(request.body))))
        own = {name.lower() for name, _ in request.headers}
        headers = [(name, value) for name, value in headers if name.lower() not in own] + list(request.headers)
        async with self.network.open(request, proxy, progress) as stream:
            sent = Request(request.method, line, headers, request.body)
            answer = await exchange(stream, sent, progress, cap=cap, limit=limit, rooms=self.network.rooms)
        progress.reached = progress.reached or answer.status != 407
        return answer

    async def _judged(self, answer: Answer, started: float, took: float, deadline: float) -> Observation:
        expected = self.target.expectations.status
        if answer.status == 407 and (expected is None or 407 not in expected):
            raise unjudged("proxy-authentication", "407", "a proxy asks for a user and a password (407)")
        # One at a time, and the loop gets its turn in between, so that the deadline is met with any number of targets.
        async with self.deciding:
            await asyncio.sleep(0)
            self.target.expectations.prepare()
            left = deadline - self.clock()
            try:
                if left <= 0:
                    raise TooSlow
                with alarm(PATIENCE, left):
                    wrong, version = self._check(answer, took)
            except TooSlow:
                limit = "before the deadline"
                if self.clock() < deadline:
                    limit = f"within {PATIENCE * 1000:.0f} ms (expect-body, expect-json)"
                raise unjudged("undecided", "undecided", f"could not decide {limit} whether the answer is right") from None
            except Undecidable as error:
                raise unjudged("undecided", "undecided", str(error)) from None
        seen = Observation(
            started, self.clock(), Outcome.RIGHT, "right", str(answer.status), expected=self._expected(),
            came=f"status {answer.status}", version=version, retry_after=_wanted_pause(answer),
        )  # fmt: skip
        if not wrong:
            return replace(seen, retry_after=None)
        first = wrong[0]
        seen = replace(
            seen, expected=first.expected, came=first.came, excerpt=_excerpt(answer), kind=first.kind,
            also=tuple((each.expected, each.came) for each in wrong[1:]), location=answer.header("location") or "",
        )  # fmt: skip
        if first.kind in {"no-data", "metric-error"}:
            return replace(seen, outcome=Outcome.UNJUDGED, label=first.label)
        if answer.status == 429 and first.kind == "status":
            return replace(seen, outcome=Outcome.UNJUDGED, kind="rate-limited")
        label = str(answer.status) if first.kind == "status" else first.label
        return replace(seen, outcome=Outcome.WRONG, label=label)

    def _check(self, answer: Answer, took: float) -> tuple[list[Mismatch], str | None]:
        return self.target.expectations.check(answer, took)


def _excerpt(answer: Answer) -> str:
    if answer.coding:
        return ""
    # Half a character at the cut would show as garbage.
    text = replace(answer, body=answer.body[: SHOWN * 4 + 4]).text
    return beginning(text, SHOWN).strip()


def _wanted_pause(answer: Answer) -> float | None:
    value, date = answer.header("retry-after"), answer.header("date")
    return retry_after(value, time.time, date or "") if value else None


def _followed(request: HttpRequest, url: urls.Url, status: int) -> HttpRequest:
    """The request after a redirect (RFC 9110, section 15.4): another origin gets nothing that was meant for the first."""
    if status == 303 or (status in {301, 302} and request.method == "POST"):
        request = replace(request, method="HEAD" if request.method == "HEAD" else "GET", body=b"")
    if url.origin == request.url.origin:
        return replace(request, url=replace(url, user=request.url.user, password=request.url.password))
    trust = replace(request.trust, client_cert="", client_key="")
    return replace(request, url=url, headers=(), host="", connect_to=None, trust=trust, body=b"", redirected=True)


def _timeout(progress: Progress, seconds: float, *, cut: bool) -> Trouble:
    after = f"within {seconds:.1f} s" if seconds >= 1 else f"within {seconds * 1000:.0f} ms"
    if progress.phase is Phase.RESOLVING:
        trouble = unjudged("unresolved", "no DNS", f"the look-up of the name did not end {after}")
    elif progress.phase is Phase.CONNECTING:
        trouble = unjudged("connect-timeout", "no answer", f"the connection did not come about {after}")
    elif progress.phase is Phase.TUNNELLING or not progress.reached:
        trouble = unjudged("proxy", "proxy", f"no answer came through the proxy {after}")
    elif progress.phase is Phase.SECURING:
        trouble = Trouble("timeout", "timeout", f"the connection was accepted, and the TLS handshake did not end {after}")
    elif not progress.received:
        trouble = Trouble("timeout", "timeout", f"the connection was accepted, and nothing was answered {after}")
    else:
        trouble = Trouble("timeout", "timeout", f"the answer did not end {after} ({progress.received} bytes of it came)")
    if cut:  # how much time there was says nothing about the target, also of one that was reached before
        return Trouble(trouble.kind, trouble.label, f"{trouble.came}, when the deadline came", outcome=Outcome.UNFINISHED)
    return trouble


def _os_trouble(error: OSError, progress: Progress, host: str) -> Trouble:
    ssl = sys.modules.get("ssl")
    if ssl is not None and isinstance(error, ssl.SSLError):
        from cicd_actions.health_gate import tls  # noqa: PLC0415 - loaded already, since TLS was spoken

        if progress.phase is Phase.TUNNELLING:
            return unjudged("proxy", "proxy", f"the proxy cannot be used: {tls.trouble(error, 'the proxy').came}")
        return tls.trouble(error, host)
    if progress.phase is Phase.TUNNELLING or not progress.reached:
        return unjudged("proxy", "proxy", f"the connection to the proxy broke off: {error.strerror or error}")
    return network_trouble(error, progress)
