"""Probes over HTTP: one request, or a chain of redirects, and what the answer means."""

from __future__ import annotations

import asyncio
import base64
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from cicd_actions.health_gate import tls, urls
from cicd_actions.health_gate.addresses import Addresses, Route
from cicd_actions.health_gate.answer import Answer
from cicd_actions.health_gate.exchange import Phase, Progress, Request, exchange, network_trouble
from cicd_actions.health_gate.expectations import SHOWN, Mismatch, Undecidable
from cicd_actions.health_gate.limits import TimeIsUp, TimeLimit, TooSlow, alarm
from cicd_actions.health_gate.network import Network
from cicd_actions.health_gate.observation import Observation, Outcome, Trouble, cut_off, undecided_at_the_deadline, unjudged
from cicd_actions.health_gate.proxies import own_answer
from cicd_actions.health_gate.schedule import retry_after
from cicd_actions.health_gate.targets import HttpRequest, Target
from cicd_actions.toolkit.grammar import NotUnderstood
from cicd_actions.toolkit.printable import beginning

HOPS = 10

PATIENCE = 0.25
"""Seconds of the processor for deciding whether one answer is right: a pattern that backtracks would take forever."""


@dataclass(eq=False, repr=False)
class HttpProber:
    """Probes a target's URL.

    `clock` gives seconds since the gate started. `deciding` is held while an answer is judged.
    """

    target: Target
    request: HttpRequest
    network: Network
    clock: Callable[[], float]
    deciding: asyncio.Lock
    addresses: Addresses | None = field(default_factory=Addresses)
    """Each of them has to answer right; `None` where any one will do."""

    async def probe(self, deadline: float) -> Observation:
        """Returns one observation, at the latest at `deadline`. Raises `UnusableInput` for a file that cannot be used."""
        if self.request.url.secure:
            # Made once and before the clock starts: reading the machine's certificates is not the target's time.
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
                raise _os_trouble(error, progress) from None
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
            location = _location(answer)
            if not (self.request.allow_redirects and answer.status in {301, 302, 303, 307, 308} and location):
                return answer
            try:
                url = urls.join(request.url, location)
            except NotUnderstood as error:
                raise _misled("redirect", f"a redirect does not lead to a URL: {error}") from None
            if str(url) in seen:
                raise _misled("loop", f"the redirects form a loop: {url} appears twice")
            there = f"{url.scheme}://{url.authority}"
            if request.url.secure and not url.secure and not self.request.allow_insecure_redirects:
                raise _misled(
                    "redirect",
                    f"a redirect leads from https to {there}, and an answer in plain text proves nothing"
                    " (`allow-insecure-redirects: true` follows it)",
                )
            if request.body and answer.status in {307, 308} and url.origin != request.url.origin:
                raise _misled("redirect", f"a redirect ({answer.status}) would send the body to another origin, {there}")
            seen.add(str(url))
            request = _followed(request, url, answer.status)
        raise _misled("redirects", f"more than {HOPS} redirects in a row")

    async def _one(self, request: HttpRequest, progress: Progress, limit: TimeLimit) -> Answer:
        proxy = self.network.proxy(request)
        headers = [
            ("Host", request.host or request.url.authority),
            ("User-Agent", "cicd-actions-health-gate"),
            ("Accept", "*/*"),
            ("Accept-Encoding", "identity"),
            ("Cache-Control", "no-cache"),
            ("Connection", "close"),
        ]
        if request.url.credentials:
            encoded = base64.b64encode(request.url.credentials.encode("utf-8", "surrogateescape"))
            headers.append(("Authorization", f"Basic {encoded.decode()}"))
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
            answer = await exchange(stream, sent, progress, reads=self._reads_body, limit=limit, rooms=self.network.rooms)
        said = own_answer(answer) if proxy and not request.url.secure else ""
        if said:
            raise unjudged("proxy", f"proxy {answer.status}", f"the proxy answered itself: status {answer.status} ({said})")
        progress.reached = progress.reached or answer.status != 407
        return answer

    @property
    def _reads_body(self) -> bool:
        return self.target.expectations.reads_body

    async def _judged(self, answer: Answer, started: float, took: float, deadline: float) -> Observation:
        expected = self.target.expectations.status
        if answer.status == 407 and (expected is None or 407 not in expected):
            raise unjudged("proxy-authentication", "407", "a proxy asks for a user and a password (407)")
        if answer.status == 511 and (expected is None or 511 not in expected):
            # RFC 6585, section 6: no service answers this, only a network that intercepts the connection.
            raise unjudged("proxy", "511", "a network on the way to the target asks for a login (511)")
        # `Age` is in whole seconds, rounded in either direction.
        if answer.age > started + 1 and not self.request.allow_cached:
            stored = f"a cache stored this answer {answer.age} s ago, before the gate began"
            raise unjudged("cached", "cached", stored)
        if answer.stored_at_any_time and not self.request.allow_cached:
            raise unjudged("cached", "cached", "a cache had this answer, and does not say since when (no Age)")
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
                if self.clock() >= deadline:
                    raise undecided_at_the_deadline() from None
                limit = f"within {PATIENCE * 1000:.0f} ms (expect-body, expect-json)"
                raise unjudged("undecided", "undecided", f"could not decide {limit} whether the answer is right") from None
            except Undecidable as error:
                raise unjudged("undecided", "undecided", str(error)) from None
        seen = Observation(
            started, self.clock(), Outcome.RIGHT, "right", str(answer.status), expected=self._expected(),
            came=self._came(answer), version=version, retry_after=_wanted_pause(answer),
        )  # fmt: skip
        if not wrong:
            return replace(seen, retry_after=None)
        first = wrong[0]
        seen = replace(
            seen, expected=first.expected, came=first.came, excerpt=_excerpt(answer), kind=first.kind,
            also=tuple((each.expected, each.came) for each in wrong[1:]), location=answer.header("location") or "",
            elsewhere=next((each.elsewhere for each in wrong if each.elsewhere), ""),
        )  # fmt: skip
        if first.kind in {"no-data", "metric-error"}:
            return replace(seen, outcome=Outcome.UNJUDGED, label=first.label)
        if answer.status == 429 and first.kind == "status":
            return replace(seen, outcome=Outcome.UNJUDGED, kind="rate-limited")
        label = str(answer.status) if first.kind == "status" else first.label
        return replace(seen, outcome=Outcome.WRONG, label=label)

    def _came(self, answer: Answer) -> str:
        """Returns a right answer in words."""
        return f"status {answer.status}"

    def _check(self, answer: Answer, took: float) -> tuple[list[Mismatch], str | None]:
        return self.target.expectations.check(answer, took)


def _excerpt(answer: Answer) -> str:
    if answer.coding:
        return ""
    # Half a character at the cut would show as garbage.
    return beginning(replace(answer, body=answer.body[: SHOWN * 4 + 4]).text, SHOWN).strip()


def _location(answer: Answer) -> str:
    """Returns the header as text: servers write UTF-8 into it as it is, and bytes of another charset become surrogates."""
    values = {value for name, value in answer.headers if name.lower() == "location"}
    if len(values) > 1:
        raise _misled("redirect", f"the answer has {len(values)} different Location headers")
    return "".join(values).encode("latin-1").decode("utf-8", "surrogateescape")


def _misled(label: str, came: str) -> Trouble:
    return Trouble("redirect", label, came, outcome=Outcome.WRONG)


def _wanted_pause(answer: Answer) -> float | None:
    value, date = answer.header("retry-after"), answer.header("date")
    return retry_after(value, time.time, date or "") if value else None


def _followed(request: HttpRequest, url: urls.Url, status: int) -> HttpRequest:
    """Returns the request after a redirect (RFC 9110, section 15.4).

    Another origin gets nothing that was meant for the first. The same name stays at the target's address: behind it may be
    another release.
    """
    if status == 303 or (status in {301, 302} and request.method == "POST"):
        request = replace(request, method="HEAD" if request.method == "HEAD" else "GET", body=b"")
    here = request.url
    if request.host:
        # The service knows itself by the name in `Host`, and builds its URLs of it.
        named = urls.parse(f"{here.scheme}://{request.host}/")
        if url.host == named.host != here.host:
            port = here.port if url.origin == named.origin else url.port
            url = replace(url, host=here.host, port=port)
            request = replace(request, host=urls.parse(f"{url.scheme}://{request.host}/").host)
    if url.origin == here.origin:
        return replace(request, url=replace(url, user=here.user, password=here.password))
    same = url.host == here.host
    return replace(
        request,
        url=url,
        headers=(),
        host=request.host if same else "",
        connect_to=(request.connect_to[0], request.connect_to[1] and url.port) if same and request.connect_to else None,
        trust=replace(request.trust, client_cert="", client_key=""),
        body=b"",
        redirected=request.redirected or not same,
    )


def _timeout(progress: Progress, seconds: float, *, cut: bool) -> Trouble:
    after = f"within {seconds:.1f} s" if seconds >= 1 else f"within {seconds * 1000:.0f} ms"
    if progress.phase is Phase.RESOLVING:
        trouble = unjudged("unresolved", "no DNS", f"the name did not resolve {after}")
    elif progress.phase is Phase.CONNECTING:
        trouble = unjudged("connect-timeout", "no answer", f"the target did not accept the connection {after}")
    elif progress.phase is Phase.TUNNELLING or not progress.reached:
        trouble = unjudged("proxy", "proxy", f"no answer came through the proxy {after}")
    elif progress.phase is Phase.SECURING:
        trouble = Trouble("timeout", "timeout", f"the target accepted the connection; its TLS handshake did not end {after}")
    elif not progress.received:
        trouble = Trouble("timeout", "timeout", f"the target accepted the connection and did not answer {after}")
    else:
        trouble = Trouble("timeout", "timeout", f"the answer did not end {after} (got {progress.received} bytes)")
    return cut_off(trouble) if cut else trouble


def _os_trouble(error: OSError, progress: Progress) -> Trouble:
    ssl = sys.modules.get("ssl")
    if ssl is not None and isinstance(error, ssl.SSLError):
        if progress.phase is Phase.TUNNELLING:
            return unjudged("proxy", "proxy", f"the gate cannot use the proxy: {tls.trouble(error, 'the proxy').came}")
        return tls.trouble(error, progress.host)
    if progress.phase is Phase.TUNNELLING or not progress.reached:
        return unjudged("proxy", "proxy", f"the connection to the proxy broke: {error.strerror or error}")
    return network_trouble(error, progress)
