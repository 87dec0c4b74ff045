"""What usually causes what was seen, and what to do about it."""

from __future__ import annotations

from cicd_actions.health_gate.observation import Observation, Outcome
from cicd_actions.health_gate.targets import Target

_BY_KIND = {
    "refused": "Nothing listens there: the process is not up (its log says why), listens on 127.0.0.1 instead of 0.0.0.0, or "
    "on another port than the one that is published.",
    "reset": "The process accepted the connection and dropped it: it crashes on the request, or a load balancer has no "
    "backend.",
    "closed": "The process closed the connection before the answer was whole: it crashed or restarted, or speaks another "
    "protocol.",
    "timeout": "The process accepts connections and does not answer in time: it is stuck (a lock, a database that does not "
    "answer), still starting, or `request-timeout` is shorter than its slowest right answer.",
    "garbage": "Something else listens on that port: another protocol, or https where http was written (or the reverse).",
    "tls": "The server and this machine agree on no way to speak TLS.",
    "certificate-expired": "Renew the certificate on the server or load balancer that answers under this name.",
    "certificate-name": "The server has no certificate for this name: DNS leads to another machine, or the name is"
    " missing in the certificate. If the target is reached by an address, give its name with the key `host`.",
    "certificate-early": "Compare the clocks of the server and of the runner.",
    "version": "The roll-out has not finished, or did not happen (a tag that did not move, an image that was not pulled), or "
    "the load balancer still sends requests to old replicas.",
    "no-version": "`version-from` names a place that this answer does not have: the path is wrong, an older release says no "
    "version yet, or something else answers (a proxy, a page for every path). For a target that says no version, write the "
    "others in `targets` and give `expect-version` to those.",
    "json": "The service answers and says itself that it is not ready, or the answer has another shape than `expect-json` "
    "says.",
    "body": "The page is another one than `expect-body` describes, or the pattern is wrong: try it on the text above.",
    "header": "Another service or a proxy on the way answers, or the header is not set on this path.",
    "latency": "Cold caches right after a start are slow; `consecutive-successes` lets a few slow answers pass by.",
    "redirect": "Write the address that the redirects should lead to.",
    "metric": "The release does more harm than `metric-max` allows. Look at its errors before it goes on.",
    "exit": "The program says so itself; its output is above.",
    "unresolved": "The name is misspelled, its DNS record is not there yet, or it exists only inside"
    " a network that this runner is not in.",
    "no-route": "The runner has no way into the network of the target: a private address, a VPN, a missing firewall rule.",
    "no-network": "The runner has no network for this address (often: IPv6).",
    "connect-timeout": "Packets are dropped on the way: a firewall or security group without a rule for this"
    " runner, or a private address.",
    "tls-trust": "The certificate is signed by an authority that this runner does not know: name its certificate with"
    " `ca-file`. A server that does not send its intermediate certificates has the same effect.",
    "client-certificate": "Give the certificate that the server asks for with the keys `client-cert` and "
    "`client-key` of a target.",
    "proxy": "The proxy (HTTP_PROXY, HTTPS_PROXY) does not let the request through: add the host to NO_PROXY, or mend the "
    "proxy.",
    "proxy-authentication": "Write user and password into HTTP_PROXY and HTTPS_PROXY"
    " (http://user:password@proxy:3128), or add the host to NO_PROXY.",
    "rate-limited": "Something in front of the service limits requests: raise `interval`, or let the runner through.",
    "no-data": "The query matches nothing yet, its labels are wrong, or the metric's server is down: try it in Prometheus.",
    "undecided": "An expression such as `(a+)+` takes for ever on some texts: write it without nested repetition.",
    "crowded": "Fewer targets at once, or a higher `ulimit -n`.",
    "request": "A header or the method cannot be sent like this.",
    "network": "Look at the network between the runner and the target.",
}

_BY_STATUS = {
    401: "The path needs credentials: send them with `headers`, or probe a path that is open.",
    403: "A firewall, an ingress rule or the service refuses this runner; readiness paths are usually open.",
    404: "The path is wrong, the base path or ingress rule of the service is, or an older release without this path "
    "still answers.",
    405: "The path wants another method: the key `method` of a target.",
    421: "The certificate's name and the Host header differ: the key `host` of a target sets both.",
    429: _BY_KIND["rate-limited"],
    500: "The service answers with an error of its own: its log has it.",
    502: "The load balancer cannot reach the service: no replica is up, or it listens on another port.",
    503: "The service says it is not ready (its database, a migration, a cache), or the load balancer has no healthy replica.",
    504: "The load balancer waits for the service in vain.",
}


def usual_cause(target: Target, seen: Observation) -> str:
    """One or two sentences, or nothing."""
    if seen.kind == "status":
        status = int(seen.label) if seen.label.isdigit() else 0
        if status in _BY_STATUS:
            return _BY_STATUS[status]
        if status // 100 == 3:
            return (
                "the path needs a login, or http is sent on to https: probe the address that the redirect leads to, or set"
                " `allow-redirects: true` if where it ends is what should be checked."
            )
        return _BY_STATUS[500] if status // 100 == 5 else ""
    if seen.outcome is Outcome.UNFINISHED:
        return _BY_KIND["timeout"]
    if seen.kind == "timeout" and target.command:
        return "The program hangs, or needs longer than `request-timeout`."
    return _BY_KIND.get(seen.kind, "")
