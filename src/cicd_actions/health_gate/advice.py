"""Names the usual cause of what a probe saw, and the fix."""

from __future__ import annotations

from cicd_actions.health_gate import urls
from cicd_actions.health_gate.expectations import abbreviated
from cicd_actions.health_gate.observation import Observation, Outcome
from cicd_actions.health_gate.targets import Target
from cicd_actions.toolkit.grammar import NotUnderstood, is_whole

_NO_DATA = (
    "The query matches no series yet, or its labels are wrong. A counter that never counted has no series: append"
    " `or vector(0)` to the part of the query that may be empty, or set `metric-no-data: pass`."
)

_BY_KIND = {
    "refused": "Nothing listens there. The process is not up (read its log), listens on 127.0.0.1 instead of 0.0.0.0, or"
    " listens on another port than the published one.",
    "reset": "The process accepted the connection and dropped it. It crashes on the request, or no backend is up.",
    "closed": "The process closed the connection before the answer was complete. It crashed, restarted, or speaks another"
    " protocol.",
    "closed-at-once": "Docker or a load balancer accepts connections on this port, and no process listens behind it yet.",
    "http-2": "Probe a path or port of the service that speaks HTTP/1.1, or set `command`, such as a gRPC health client.",
    "timeout": "The process accepts connections and does not answer in time. It is stuck (a lock, a database that does not"
    " answer), still starting, or slower than `request-timeout`.",
    "garbage": "Something else listens on that port: another protocol, or https where the URL says http (or the reverse).",
    "tls": "The server and this machine have no TLS version or cipher in common.",
    "certificate-expired": "Renew the certificate on the server or load balancer that answers under this name.",
    "certificate-name": "The server has no certificate for this name: DNS leads to another machine, or the certificate lacks"
    " the name. For a target with an address in its URL, set the name with the key `host`.",
    "certificate-early": "Compare the clocks of the server and of the runner.",
    "version": "The roll-out has not finished, or did not happen (a tag that did not move, an image that was not pulled), or"
    " the load balancer still sends requests to old replicas.",
    "no-version": "`version-from` names a place that this answer does not have. The path is wrong, an older release names no"
    " version yet, or something else answers (a proxy). For a target without a version, set `expect-version` only on the"
    " others in `targets`.",
    "json": "The service answers that it is not ready, or the answer has another shape than `expect-json` says.",
    "body": "The page differs from what `expect-body` describes, or the pattern is wrong: try it on the text above.",
    "header": "Another service or a proxy answers, or this path does not set the header.",
    "latency": "Cold caches right after a start are slow. Raise `max-latency`, or send requests that warm them.",
    "redirect": "Set the URL that the redirects should lead to.",
    "metric": "The release does more harm than the bounds of the metric allow. Look at its errors before it goes on.",
    "metric-error": "The query is wrong, or the metric's server is down. Try the query in Prometheus.",
    "exit": "Read the program's output above.",
    "unresolved": "The name is misspelled, its DNS record does not exist yet, or it exists only inside a network that this"
    " runner is not in.",
    "no-route": "The runner has no route to the target's network: a private address, a VPN, a missing firewall rule.",
    "no-network": "The runner has no network for this address (often: IPv6).",
    "connect-timeout": "A firewall or security group drops this runner's packets, or the address is private.",
    "tls-trust": "This runner does not know the authority that signed the certificate: set its certificate in `ca-file`. A"
    " server that does not send its intermediate certificates has the same effect.",
    "client-certificate": "Set the certificate that the server asks for in the keys `client-cert` and `client-key`.",
    "proxy": "The proxy (HTTP_PROXY, HTTPS_PROXY) refuses the request. Add the host to NO_PROXY, or fix the proxy.",
    "proxy-authentication": "Set user and password in HTTP_PROXY and HTTPS_PROXY (http://user:password@proxy:3128), or add the"
    " host to NO_PROXY.",
    "cached": "A cache or CDN answers instead of the service. Probe a path that it does not store, add `?run=$GITHUB_RUN_ID` to"
    " the URL, reach the service behind it with the key `connect-to`, or set `allow-cached: true`.",
    "rate-limited": "Something in front of the service limits requests. Raise `interval`, or let the runner through.",
    "no-data": _NO_DATA,
    "missing-data": _NO_DATA,
    "undecided": "A pattern such as `(a+)+` takes forever on some texts: write it without nested repetition. JSON with a key"
    " twice must be fixed in the service.",
    "crowded": "Probe fewer targets at once, or raise `ulimit -n`.",
    "request": "A header or the method cannot be sent like this.",
    "network": "Look at the network between the runner and the target.",
}

_BY_STATUS = {
    400: "The service refuses the request. Many frameworks do so for a name in the Host header that they do not know: set the"
    " key `host` of a target.",
    401: "The path needs credentials. Send them with `headers`, or probe a public path.",
    403: "A firewall, an ingress rule or the service refuses this runner. Readiness paths are usually public.",
    404: "The path, the base path or the ingress rule is wrong, or an older release without this path still answers.",
    405: "The path wants another method: set the key `method` of a target.",
    421: "The certificate's name and the Host header differ: the key `host` of a target sets both.",
    429: _BY_KIND["rate-limited"],
    500: "The service failed on this request. Read its log.",
    502: "The load balancer cannot reach the service. No replica is up, or it listens on another port.",
    503: "The service is not ready (its database, a migration, a cache), or the load balancer has no healthy replica.",
    504: "The load balancer timed out waiting for the service.",
}

_PAGE = (
    "A web page answers where JSON should be. A single-page app often sends its index page for every unknown path: probe the"
    " path or the host of the API."
)


_LOOPBACK = (
    "Nothing listens there. The process is not up (read its log), or listens on another port. `localhost` in the URL reaches"
    " both 127.0.0.1 and ::1."
)

_ABBREVIATED = (
    "The gate compares the whole version, and one of the two is abbreviated. Let the service name the full commit, or set"
    " `expect-version` to exactly what it names."
)

_NOT_TAKEN = "The service does not accept the credentials that the gate sent. Compare the secret with the service's."


def usual_cause(target: Target, seen: Observation) -> str:
    """Returns one or two sentences, or nothing."""
    if seen.elsewhere:
        return f"`version-from` names another place than the version's. Set `version-from: {seen.elsewhere}`."
    if seen.kind == "version" and abbreviated(target.expectations.version, seen.version or ""):
        return _ABBREVIATED
    if seen.kind == "refused" and seen.peers and all(each == "::1" or each.startswith("127.") for each in seen.peers):
        return _LOOPBACK
    if seen.kind == "status":
        return _of_status(target, seen)
    if seen.kind in {"json", "no-version"} and seen.excerpt.lower().startswith(("<!doctype html", "<html")):
        return _PAGE
    if seen.outcome is Outcome.UNFINISHED:
        return _BY_KIND["timeout"] if seen.kind == "timeout" and seen.reached else ""
    if seen.kind == "timeout" and target.command:
        return "The program hangs, or needs longer than `request-timeout`."
    return _BY_KIND.get(seen.kind, "")


def _of_status(target: Target, seen: Observation) -> str:
    status = int(seen.label) if is_whole(seen.label) else 0
    sent = target.request
    if status == 401 and sent and (sent.url.credentials or any(name.lower() == "authorization" for name, _ in sent.headers)):
        return _NOT_TAKEN
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status // 100 == 3:
        return _of_redirect(target, seen.location)
    return _BY_STATUS[500] if status // 100 == 5 else ""


def _of_redirect(target: Target, location: str) -> str:
    there = None
    if target.request and location:
        try:
            there = urls.join(target.request.url, location)
        except NotUnderstood:
            there = None
    if target.request and there:
        here = target.request.url
        path, question, query = here.target.partition("?")
        if (there.origin, there.target) == (here.origin, f"{path}/{question}{query}"):
            return f"The redirect only adds a slash. Set `url: {there}`."
        if there.secure and not here.secure and (there.host, there.target) == (here.host, here.target):
            return f"The server moves http to https. Set `url: {there}`."
    return "The path needs a login, or has moved. Probe the URL that the redirect leads to, or set `allow-redirects: true`."
