"""The weights of an HTTPRoute: what is changed, and that all of it comes back."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.engines import kubernetes_route as routes
from cicd_actions.engines.protocol import EngineUnreachable, Refused

FILTER = {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "X-A", "value": "b"}]}}


def http_route(*backends: list[dict[str, Any]], generation: int = 1) -> dict[str, Any]:
    """A route with one rule for each list of backends, and a rule that only redirects."""
    rules: list[dict[str, Any]] = [
        {"matches": [{"path": {"type": "PathPrefix", "value": f"/{number}"}}], "filters": [FILTER], "backendRefs": refs}
        for number, refs in enumerate(backends)
    ]
    rules.append({"filters": [{"type": "RequestRedirect", "requestRedirect": {"scheme": "https"}}]})
    accepted = {"type": "Accepted", "status": "True", "observedGeneration": 1}
    return {
        "metadata": {"name": "shop", "namespace": "shop", "generation": generation},
        "spec": {"rules": rules},
        "status": {"parents": [{"conditions": [accepted]}]},
    }


def test_share_is_divided_in_every_rule_of_the_service_and_nothing_else_differs() -> None:
    found = http_route(
        [{"name": "api", "port": 80, "filters": [FILTER]}],
        [{"name": "api", "port": 80, "weight": 3}, {"name": "legacy", "port": 80}],
        [{"name": "legacy", "port": 80}, {"name": "api", "port": 80, "namespace": "other"}, {"name": "api", "kind": "Bucket"}],
    )
    original = copy.deepcopy(found)
    route = routes.route_of(found, ["api", "api-admin"])
    rules = routes.rules(found, route, 10)
    assert rules[0]["backendRefs"] == [
        {"name": "api", "port": 80, "filters": [FILTER], "weight": 900},
        {"name": "api-next", "port": 80, "filters": [FILTER], "weight": 100},
    ]
    assert [(each["name"], each["weight"]) for each in rules[1]["backendRefs"]] == [
        ("api", 2700),
        ("api-next", 300),
        ("legacy", 1000),
    ]
    assert rules[2:] == original["spec"]["rules"][2:]
    assert found == original
    for mine, its in zip(rules, original["spec"]["rules"], strict=True):
        assert {**mine, "backendRefs": 0} == {**its, "backendRefs": 0}


backend = st.fixed_dictionaries(
    {"name": st.sampled_from(["api", "web"]), "port": st.just(80)}, optional={"weight": st.integers(0, 1_000_000)}
)


@given(refs=st.lists(st.lists(backend, min_size=1, max_size=3), min_size=1, max_size=3), shares=st.lists(st.floats(0.1, 100)))
def test_weights_stay_in_their_bounds_and_come_back_as_they_were(refs: list[list[dict[str, Any]]], shares: list[float]) -> None:
    found = http_route([{"name": "api", "port": 80}], *refs)
    original = copy.deepcopy(found["spec"]["rules"])
    route = routes.read(routes.written(routes.route_of(found, ["api"])))
    assert route is not None
    for share in shares:
        found["spec"]["rules"] = routes.rules(found, route, share)
        assert all(0 <= each["weight"] <= 1_000_000 for rule in found["spec"]["rules"][:1] for each in rule["backendRefs"])
        assert routes.share(found, route) <= share + 1e-6
    found["spec"]["rules"] = routes.rules(found, route, 0)
    assert found["spec"]["rules"] == original


def test_rule_that_somebody_changed_meanwhile_keeps_the_change_and_loses_the_stage() -> None:
    found = http_route([{"name": "api", "port": 80}])
    route = routes.route_of(found, ["api"])
    found["spec"]["rules"] = routes.rules(found, route, 25)
    found["spec"]["rules"][0]["backendRefs"].append({"name": "legacy", "port": 80, "weight": 5})
    found["spec"]["rules"].insert(0, {"backendRefs": [{"name": "api", "port": 80}]})
    rules = routes.rules(found, route, 0)
    assert rules[0] == {"backendRefs": [{"name": "api", "port": 80}]}
    assert [(each["name"], each["weight"]) for each in rules[1]["backendRefs"]] == [("api", 1000), ("legacy", 5)]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (http_route([{"name": "web", "port": 80}]), "names none of the Services api"),
        (http_route([{"name": "api"}, {"name": "api-next"}]), "ends in `-next` already"),
        (http_route([{"name": "api"}], generation=2), "no gateway has accepted"),
    ],
)
def test_route_that_cannot_divide_is_refused(found: dict[str, Any], said: str) -> None:
    with pytest.raises(Refused, match=said):
        routes.route_of(found, ["api"])


@pytest.mark.parametrize("text", ["[]", "{}", "no", '["shop", 1, 2]', '["shop", ["api"], [["x"]]]'])
def test_annotation_that_is_not_ours_is_not_read(text: str) -> None:
    with pytest.raises(EngineUnreachable, match="Could not read the annotation"):
        routes.read(text)
