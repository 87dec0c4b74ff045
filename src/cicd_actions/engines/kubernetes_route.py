"""Divides the traffic of an HTTPRoute of the Gateway API by the weights of its backends. Asks nothing.

https://gateway-api.sigs.k8s.io/reference/spec/#httpbackendref: a weight is from 0 to 1,000,000, and 1 where none is named.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from cicd_actions.engines.kubectl import Json
from cicd_actions.engines.protocol import EngineUnreachable, Refused
from cicd_actions.engines.stage_labels import STAGE, SUFFIX

ROUTE = "org.cicd-actions.stage-route"
"""The annotation of a stage that names the HTTPRoute and keeps its backends as they were."""

_FINE = 1000
"""What every weight is multiplied by, so that a share of 0.1 % is a whole number."""

_HEAVIEST = 1_000_000
_GROUP = "gateway.networking.k8s.io"


@dataclass(frozen=True)
class Route:
    """An HTTPRoute, the Services of the first Deployment that it names, and the backends of each rule as they were."""

    name: str
    services: Collection[str]
    backends: Sequence[Sequence[Json]]

    @property
    def ref(self) -> str:
        """Returns its name for kubectl."""
        return f"httproutes.{_GROUP}/{self.name}"


def route_of(found: Json, services: Collection[str]) -> Route:
    """Returns the route before anything was changed. Raises `Refused` where it cannot divide the traffic of these Services."""
    name = str(found["metadata"]["name"])
    backends = [list(rule.get("backendRefs") or []) for rule in found["spec"].get("rules") or []]
    named = sorted({str(each["name"]) for refs in backends for each in refs if _is_service(each, found)} & set(services))
    if not named:
        raise Refused(
            f"Cannot stage: the HTTPRoute {name} names none of the Services {', '.join(sorted(services))}.",
            fix="Correct the input `route`, or leave it out: the share is that of the ready pods then.",
        )
    if any(
        str(each["name"]).removesuffix(SUFFIX) in named and SUFFIX in str(each["name"]) for refs in backends for each in refs
    ):
        raise Refused(f"Cannot stage: the HTTPRoute {name} names a Service that ends in `{SUFFIX}` already.")
    if not taken(found):
        raise Refused(
            f"Cannot stage: no gateway has accepted the HTTPRoute {name}.",
            fix=f"See its status: kubectl describe httproute {name}",
        )
    return Route(name, named, backends)


def written(route: Route) -> str:
    """Returns the text of the annotation."""
    return json.dumps([route.name, list(route.services), [list(each) for each in route.backends]])


def read(text: str) -> Route | None:
    """Returns what the annotation says; `None` without one. Raises `EngineUnreachable` where it is not ours."""
    if not text:
        return None
    try:
        name, services, backends = json.loads(text)
        return Route(str(name), [str(each) for each in services], [[{**ref} for ref in refs] for refs in backends])
    except (ValueError, TypeError):
        raise EngineUnreachable(
            f"Could not read the annotation {ROUTE} of the stage.",
            cause="Something else changed it, so it does not say which HTTPRoute gives the stage its traffic.",
            fix="Set the weights of the HTTPRoute by hand, and remove the annotation with `kubectl annotate deployment`.",
        ) from None


def rules(found: Json, route: Route, percent: float) -> list[Json]:
    """Returns the rules of the route with these percent for the new release. Nothing but backends and weights differs."""
    return [
        {**rule, "backendRefs": _divided(refs, found, route, percent)}
        if (refs := _original(rule, number, found, route))
        else rule
        for number, rule in enumerate(found["spec"].get("rules") or [])
    ]


def share(found: Json, route: Route) -> float:
    """Returns the new release's part of the weights, in percent: the largest one of all rules."""
    shares = [0.0]
    for rule in found["spec"].get("rules") or []:
        refs = rule.get("backendRefs") or []
        new = sum(_weight(each) for each in refs if _of(each, found, _new(route)))
        old = sum(_weight(each) for each in refs if _of(each, found, route.services))
        shares.append(100 * new / (new + old) if new else 0.0)
    return max(shares)


def smallest(route: Route) -> float:
    """Returns the smallest share above 0, in percent."""
    weights = [_weight(each) * _fine(refs) for refs in route.backends for each in refs if each["name"] in route.services]
    return max((100 / weight for weight in weights if weight), default=100.0)


def taken(found: Json) -> bool:
    """Whether every gateway has accepted the route as it is now, and found its backends."""
    parents = (found.get("status") or {}).get("parents") or []
    all_of_them = [each for parent in parents for each in parent.get("conditions") or []]
    conditions = [each for each in all_of_them if each.get("type") in {"Accepted", "ResolvedRefs"}]
    generation = int(found["metadata"].get("generation", 0))
    return bool(conditions) and all(
        each.get("status") == "True" and int(each.get("observedGeneration", generation)) >= generation for each in conditions
    )


def service_beside(service: Json, workload: str) -> Json:
    """Returns the Service that chooses the stage's pods only."""
    fields = ("name", "port", "targetPort", "protocol", "appProtocol")
    ports = [{key: each[key] for key in fields if key in each} for each in service["spec"].get("ports") or []]
    selector = {**service["spec"]["selector"], STAGE: workload}
    selector.pop("pod-template-hash", None)
    metadata = {"name": service["metadata"]["name"] + SUFFIX, "labels": {STAGE: workload}}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"selector": selector, "ports": ports}}


def _original(rule: Json, number: int, found: Json, route: Route) -> list[Json]:
    """Returns the rule's backends as they would be without the stage; none where the rule has nothing of it."""
    refs = list(rule.get("backendRefs") or [])
    if not any(_of(each, found, route.services) for each in refs):
        return []
    rest = [each for each in refs if not _of(each, found, _new(route))]
    if len(rest) == len(refs):
        return refs
    before = list(route.backends[number]) if number < len(route.backends) else []
    if [{**each, "weight": 0} for each in before] == [{**each, "weight": 0} for each in rest]:
        return before
    # Somebody changed the rule meanwhile: its own weights stay, and the old release gets back what the new one had.
    gained = {str(each["name"]).removesuffix(SUFFIX): _weight(each) for each in refs if _of(each, found, _new(route))}
    return [{**each, "weight": _weight(each) + gained.get(str(each["name"]), 0)} for each in rest]


def _divided(refs: Sequence[Json], found: Json, route: Route, percent: float) -> list[Json]:
    if not percent:
        return list(refs)
    fine = _fine(refs)
    made: list[Json] = []
    for each in refs:
        weight = _weight(each) * fine
        part = math.floor(weight * percent / 100 + 1e-9) if _of(each, found, route.services) else 0
        made.append({**each, "weight": weight - part})
        if _of(each, found, route.services):
            made.append({**each, "name": f"{each['name']}{SUFFIX}", "weight": part})
    return made


def _fine(refs: Sequence[Json]) -> int:
    return max(1, min(_FINE, _HEAVIEST // max((_weight(each) for each in refs), default=1))) if any(map(_weight, refs)) else 1


def _new(route: Route) -> list[str]:
    return [f"{name}{SUFFIX}" for name in route.services]


def _of(ref: Mapping[str, object], found: Json, names: Collection[str]) -> bool:
    return ref.get("name") in names and _is_service(ref, found)


def _is_service(ref: Mapping[str, object], found: Json) -> bool:
    here = ref.get("namespace") in {None, "", found["metadata"].get("namespace")}
    return here and ref.get("kind") in {None, "", "Service"} and not ref.get("group")


def _weight(ref: Mapping[str, object]) -> int:
    weight = ref.get("weight")
    return weight if isinstance(weight, int) else 1
