"""A Swarm service's specification, as a roll-out changes it: the image, the revision labels and the update settings.

Each function returns a changed copy. Nothing else of the specification is ever written, so what other people set stays.
"""

from __future__ import annotations

import copy
import json
from typing import Any

from cicd_actions.engines.protocol import REVISION

Json = dict[str, Any]

NOTED = "org.cicd-actions.settings"
"""The service's label with its own update settings, and those that a roll-out uses in their place, as JSON.

The next roll-out so restores them after a killed one. It stays on a service without own settings, which keeps ours.
"""

_SETTINGS = ("UpdateConfig", "RollbackConfig")


def image(spec: Json) -> str:
    """Returns the image, as `repository:tag@sha256:…` or an id."""
    return str(spec["TaskTemplate"]["ContainerSpec"]["Image"])


def same(one: str, other: str) -> bool:
    """Whether two names mean the same image: the digest decides, where both have one."""
    digests = [name.rpartition("@")[2] for name in (one, other)]
    return one == other or (all("@" in name for name in (one, other)) and digests[0] == digests[1])


def revision(spec: Json) -> str:
    """Returns the commit that the labels name, the service's before the container's; empty without one."""
    labels = {**_labels(spec["TaskTemplate"]["ContainerSpec"]), **_labels(spec)}
    return labels.get(REVISION, "")


def with_image(spec: Json, name: str, sha: str) -> Json:
    """Sets the image and the revision labels: the service's always, the container's where it has one."""
    changed = copy.deepcopy(spec)
    template = changed["TaskTemplate"]
    container = template["ContainerSpec"]
    if container["Image"] == name:
        # Without this Swarm would see nothing to do, and replace no replica.
        template["ForceUpdate"] = template.get("ForceUpdate", 0) + 1
    container["Image"] = name
    changed["Labels"] = _revised(_labels(spec), sha, add=bool(sha))
    if REVISION in _labels(container):
        container["Labels"] = _revised(container["Labels"], sha, add=bool(sha))
    return changed


def with_revision(spec: Json, name: str, sha: str) -> Json:
    """Sets the service's revision label alone, which replaces no replica, where it runs this image. It counts first."""
    return {**spec, "Labels": _revised(_labels(spec), sha, add=True)} if same(image(spec), name) else spec


def with_image_of(spec: Json, before: Json) -> Json:
    """Sets the image and the revision labels of an earlier specification."""
    changed = copy.deepcopy(spec)
    container, earlier = changed["TaskTemplate"]["ContainerSpec"], before["TaskTemplate"]["ContainerSpec"]
    container["Image"] = earlier["Image"]
    for now, then in ((changed, before), (container, earlier)):
        sha = _labels(then).get(REVISION, "")
        if sha or REVISION in _labels(now):
            now["Labels"] = _revised(_labels(now), sha, add=REVISION in _labels(then))
    return changed


def armed(spec: Json, used: Json) -> Json:
    """Replaces the service's settings by those of a roll-out (`UpdateConfig`, `RollbackConfig`), and notes the service's."""
    own = _own(spec)
    changed = copy.deepcopy(spec)
    changed.update(copy.deepcopy(used))
    changed["Labels"] = {**_labels(spec), NOTED: json.dumps({"own": own, "used": used}, sort_keys=True)}
    return changed


def disarmed(spec: Json) -> Json:
    """Restores the service's own settings. A service without any keeps those of the roll-out."""
    if not is_armed(spec):
        return spec
    changed = copy.deepcopy(spec)
    for name in _SETTINGS:
        changed.pop(name, None)
    changed.update(_own(spec))
    changed["Labels"] = {name: text for name, text in _labels(spec).items() if name != NOTED}
    return changed


def is_armed(spec: Json) -> bool:
    """Whether the service still has a roll-out's settings instead of the ones before it."""
    return bool(_noted(spec)[0])


def _noted(spec: Json) -> tuple[Json, Json]:
    """Returns the settings of the service and of the roll-out that the label holds; empty ones without a readable label."""
    try:
        noted = json.loads(_labels(spec)[NOTED])
        return {name: dict(each) for name, each in noted["own"].items()}, {
            name: dict(each) for name, each in noted["used"].items()
        }
    except (AttributeError, KeyError, TypeError, ValueError):
        return {}, {}


def _own(spec: Json) -> Json:
    """Returns the service's own settings: the noted ones, and every value that somebody has changed since."""
    own, used = _noted(spec)
    found: Json = {}
    for name in _SETTINGS:
        here, ours, theirs = spec.get(name) or {}, used.get(name) or {}, own.get(name) or {}
        kept = {key for key in {*here, *ours, *theirs} if here.get(key) == ours.get(key)}
        merged = {key: here[key] for key in here if key not in kept} | {key: theirs[key] for key in theirs if key in kept}
        if merged:
            found[name] = merged
    return found


def _labels(holder: Json) -> dict[str, str]:
    return dict(holder.get("Labels") or {})


def _revised(labels: dict[str, str], sha: str, *, add: bool) -> dict[str, str]:
    others = {name: text for name, text in labels.items() if name != REVISION}
    return {**others, REVISION: sha} if add else others
