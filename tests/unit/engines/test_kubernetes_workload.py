from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_actions.engines import kubernetes_workload as workloads
from cicd_actions.engines.protocol import Refused
from tests.harness.workloads import NEW, OLD, container, workload


def with_status(body: dict[str, Any], generation: int = 2, observed: int = 2, **status: Any) -> dict[str, Any]:
    body["metadata"]["generation"] = generation
    body["status"] = {"observedGeneration": observed, **status}
    return body


ARRIVED = {
    "Deployment": {"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2},
    "StatefulSet": {"replicas": 2, "updatedReplicas": 2, "readyReplicas": 2},
    "DaemonSet": {"desiredNumberScheduled": 2, "updatedNumberScheduled": 2, "numberAvailable": 2},
}


@pytest.mark.parametrize("kind", ARRIVED)
def test_status_of_an_older_generation_proves_nothing(kind: str) -> None:
    new = with_status(workload(kind=kind), **ARRIVED[kind])
    assert (workloads.ready(new), workloads.settled(new)) == (2, True)
    old = with_status(workload(kind=kind), observed=1, **ARRIVED[kind])
    assert (workloads.ready(old), workloads.settled(old)) == (0, False)
    assert workloads.wanted(old) == (None if kind == "DaemonSet" else 2)
    for name in ARRIVED[kind]:
        less = {**ARRIVED[kind], name: 1 if name not in {"replicas", "desiredNumberScheduled"} else 3}
        assert not workloads.settled(with_status(workload(kind=kind), **less)), name


def test_progress_deadline_of_an_older_generation_is_not_a_failure() -> None:
    passed = [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]
    assert workloads.gave_up(with_status(workload(), conditions=passed))
    assert not workloads.gave_up(with_status(workload(), observed=1, conditions=passed))


@pytest.mark.parametrize(
    ("marks", "owner"),
    [
        ({"labels": {"argocd.argoproj.io/instance": "shop"}}, "Argo CD"),
        ({"annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:shop/api"}}, "Argo CD"),
        ({"labels": {"kustomize.toolkit.fluxcd.io/name": "shop"}}, "Flux"),
        ({"labels": {"app.kubernetes.io/managed-by": "Helm"}, "annotations": {"meta.helm.sh/release-name": "shop"}}, "Helm"),
        ({"labels": {"helm.toolkit.fluxcd.io/name": "shop", "app.kubernetes.io/managed-by": "Helm"}}, "Flux and Helm"),
        ({"labels": {"app.kubernetes.io/managed-by": "kustomize"}}, ""),
    ],
)
def test_notes_owner_of_the_object_is_named(marks: dict[str, Any], owner: str) -> None:
    body = workload()
    body["metadata"] |= marks
    said = [note for note in workloads.notes(body, "api") if note.startswith("is managed by")]
    assert [note.partition(",")[0] for note in said] == ([f"is managed by {owner}"] if owner else [])


def test_notes_name_gaps_and_containers_that_stay() -> None:
    containers = [{"name": "api", "image": OLD}, container("worker", NEW)]
    found = " ".join(workloads.notes(workload(containers=containers, strategy={"type": "Recreate"}), "api"))
    assert "no pod answers between" in found
    assert "no readiness probe" in found
    assert "keeps the image of worker" in found


def test_unmovable_fix_is_given_for_every_refusal() -> None:
    for spec in ({"paused": True}, {"updateStrategy": {"type": "OnDelete"}}):
        assert isinstance(refusal := workloads.unmovable(workload(**spec)), Refused)
        assert refusal.fix
    assert workloads.unmovable(workload(kind="StatefulSet", updateStrategy={"rollingUpdate": {"partition": 0}})) is None


KEYS, VALUES = st.sampled_from("abc"), st.sampled_from("xyz")
EXPRESSIONS = st.one_of(
    st.builds(
        lambda key, operator, values: {"key": key, "operator": operator, "values": values},
        KEYS,
        st.sampled_from(["In", "NotIn"]),
        st.lists(VALUES, min_size=1, unique=True),
    ),
    st.builds(lambda key, operator: {"key": key, "operator": operator}, KEYS, st.sampled_from(["Exists", "DoesNotExist"])),
)


@given(st.dictionaries(KEYS, VALUES), st.lists(EXPRESSIONS, max_size=3), st.dictionaries(KEYS, VALUES))
def test_selects_decides_as_the_text_for_kubectl(
    match: dict[str, str], expressions: list[dict[str, Any]], labels: dict[str, str]
) -> None:
    selector = {"matchLabels": match, "matchExpressions": expressions}
    text = workloads.selector({"spec": {"selector": selector}})
    assert workloads.selects(selector, labels) == all(means(part, labels) for part in split(text))


def split(text: str) -> list[str]:
    """The requirements of a selector's text: commas within parentheses belong to one."""
    parts: list[str] = []
    depth, part = 0, ""
    for sign in text:
        depth += {"(": 1, ")": -1}.get(sign, 0)
        if sign == "," and not depth:
            parts, part = [*parts, part], ""
        else:
            part += sign
    return [*parts, part] if part else parts


def means(requirement: str, labels: dict[str, str]) -> bool:
    """One requirement, by https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors."""
    if " " in requirement:
        key, operator, values = requirement.split(" ", 2)
        among = labels.get(key) in values.strip("()").split(",")
        return among if operator == "in" else not among
    if requirement.startswith("!"):
        return requirement[1:] not in labels
    key, equals, value = requirement.partition("=")
    return labels.get(key) == value if equals else key in labels


@given(
    st.lists(st.tuples(st.booleans(), st.booleans()), max_size=8), st.sampled_from(["Deployment", "StatefulSet", "DaemonSet"])
)
def test_ready_never_counts_more_than_the_new_pods_that_are_available(pods: list[tuple[bool, bool]], kind: str) -> None:
    new, available, total = sum(new for new, _ in pods), sum(up for _, up in pods), len(pods)
    names = {
        "Deployment": ("updatedReplicas", "availableReplicas", "replicas"),
        "StatefulSet": ("updatedReplicas", "readyReplicas", "replicas"),
        "DaemonSet": ("updatedNumberScheduled", "numberAvailable", "desiredNumberScheduled"),
    }[kind]
    counted = workload(kind=kind) | {"status": dict(zip(names, (new, available, total), strict=True))}
    both = sum(new and up for new, up in pods)
    assert 0 <= workloads.ready(counted) <= both
    if new == total:
        assert workloads.ready(counted) == both
