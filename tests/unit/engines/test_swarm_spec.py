"""A Swarm service's specification: only the image, the revision labels and the update settings ever change."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.engines import swarm_spec
from cicd_actions.engines.protocol import REVISION

Json = dict[str, Any]

OLD, NEW = "registry.example/api:1@sha256:" + "1" * 64, "registry.example/api@sha256:" + "2" * 64
USED = {
    "UpdateConfig": {"Parallelism": 1, "Order": "start-first", "FailureAction": "rollback"},
    "RollbackConfig": {"Parallelism": 0, "Order": "start-first", "FailureAction": "pause"},
}

settings = st.fixed_dictionaries(
    {},
    optional={
        "Parallelism": st.integers(0, 2),
        "Order": st.sampled_from(["start-first", "stop-first"]),
        "FailureAction": st.sampled_from(["rollback", "pause", "continue"]),
        "Delay": st.integers(1, 3),
    },
).filter(bool)
labels = st.dictionaries(st.sampled_from([REVISION, "team"]), st.sampled_from(["", "1" * 40, "x"]))


@st.composite
def specs(draw: st.DrawFn) -> Json:
    spec: Json = {
        "Name": "shop_api",
        "Labels": draw(labels),
        "TaskTemplate": {"ContainerSpec": {"Image": OLD, "Env": ["A=1"]}, "ForceUpdate": 0},
        "Mode": {"Replicated": {"Replicas": draw(st.integers(0, 3))}},
    }
    if draw(st.booleans()):
        spec["TaskTemplate"]["ContainerSpec"]["Labels"] = draw(labels)
    for name in ("UpdateConfig", "RollbackConfig"):
        if draw(st.booleans()):
            spec[name] = draw(settings)
    return spec


def rolled_out(spec: Json) -> Json:
    return swarm_spec.with_image(swarm_spec.armed(spec, USED), NEW, "2" * 40)


@given(specs())
def test_a_revert_restores_a_specification_with_own_settings_whole(spec: Json) -> None:
    before = copy.deepcopy(spec)
    reverted = swarm_spec.disarmed(swarm_spec.with_image_of(rolled_out(spec), spec))
    assert spec == before, "the specification that was read stays as it is"
    if not ("UpdateConfig" in spec or "RollbackConfig" in spec):
        reverted["Labels"].pop(swarm_spec.NOTED)
        for name, used in USED.items():
            assert reverted.pop(name) == used, "a service without own settings keeps the roll-out's"
    if "Labels" not in spec["TaskTemplate"]["ContainerSpec"]:
        assert not reverted["TaskTemplate"]["ContainerSpec"].get("Labels")
        reverted["TaskTemplate"]["ContainerSpec"].pop("Labels", None)
    assert reverted == spec


@given(specs(), st.integers(4, 6), st.integers(3, 5))
def test_what_somebody_sets_during_a_roll_out_stays(spec: Json, replicas: int, parallelism: int) -> None:
    spec["UpdateConfig"] = {"Parallelism": 1, "Order": "stop-first", "FailureAction": "rollback"}
    now = rolled_out(spec)
    now["Mode"]["Replicated"]["Replicas"] = replicas
    now["TaskTemplate"]["ContainerSpec"]["Env"] = ["A=2"]
    now["UpdateConfig"]["Parallelism"] = parallelism
    now["Labels"]["team"] = "other"
    for end in (swarm_spec.disarmed(now), swarm_spec.disarmed(swarm_spec.with_image_of(now, spec))):
        assert end["Mode"]["Replicated"]["Replicas"] == replicas
        assert end["TaskTemplate"]["ContainerSpec"]["Env"] == ["A=2"]
        assert end["UpdateConfig"] == {"Parallelism": parallelism, "Order": "stop-first", "FailureAction": "rollback"}
        assert end["Labels"]["team"] == "other"


@given(specs())
def test_armed_twice_as_after_a_killed_run_forgets_nothing(spec: Json) -> None:
    other = {"UpdateConfig": {"Parallelism": 7}, "RollbackConfig": {"Parallelism": 8}}
    once, twice = swarm_spec.armed(spec, USED), swarm_spec.armed(swarm_spec.armed(spec, other), USED)
    assert once == twice
    assert swarm_spec.is_armed(once) is bool(spec.get("UpdateConfig") or spec.get("RollbackConfig"))


@pytest.mark.parametrize("sha", ["", "2" * 40])
def test_a_revision_of_the_container_follows_that_of_the_service(sha: str) -> None:
    spec: Json = {"TaskTemplate": {"ContainerSpec": {"Image": OLD, "Labels": {REVISION: "1" * 40, "team": "shop"}}}}
    assert swarm_spec.revision(spec) == "1" * 40
    changed = swarm_spec.with_image(spec, NEW, sha)
    assert swarm_spec.revision(changed) == sha
    assert changed["TaskTemplate"]["ContainerSpec"]["Labels"] == {"team": "shop", **({REVISION: sha} if sha else {})}
    assert swarm_spec.revision(swarm_spec.with_image_of(changed, spec)) == "1" * 40


def test_with_image_of_the_same_image_forces_an_update() -> None:
    spec: Json = {"TaskTemplate": {"ContainerSpec": {"Image": NEW}, "ForceUpdate": 2}}
    assert swarm_spec.with_image(spec, NEW, "")["TaskTemplate"]["ForceUpdate"] == 3


@pytest.mark.parametrize(
    "noted", ["", "{}", "[]", '{"own": 1, "used": 2}', "no JSON", '{"own": {"UpdateConfig": 1}, "used": {}}']
)
def test_a_label_that_is_not_ours_is_nobodys_settings(noted: str) -> None:
    spec: Json = {"Labels": {swarm_spec.NOTED: noted}, "UpdateConfig": {"Parallelism": 2}}
    assert swarm_spec.disarmed(spec)["UpdateConfig"] == {"Parallelism": 2}


def test_same_is_decided_by_the_digest() -> None:
    assert swarm_spec.same(OLD, OLD.replace(":1@", "@"))
    assert not swarm_spec.same(OLD, NEW)
    assert not swarm_spec.same("api:1", "api:2")
    assert swarm_spec.same("sha256:1", "sha256:1")


@given(specs())
def test_revision_alone_changes_no_replica_and_no_service_that_runs_another_image(spec: Json) -> None:
    noted = swarm_spec.with_revision(spec, OLD, "3" * 40)
    assert swarm_spec.revision(noted) == "3" * 40
    assert {**noted, "Labels": {}} == {**spec, "Labels": {}}
    assert swarm_spec.with_revision(spec, NEW, "3" * 40) == spec
