"""From the inputs to the targets: lines of `url`, the YAML of `targets`, the metrics."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cicd_actions.health_gate.inputs import KEYS, OF_METRICS, OF_THE_GATE, Inputs
from cicd_actions.health_gate.settings import Settings
from cicd_actions.health_gate.targets import Target, metric, target
from cicd_actions.toolkit import yaml12
from cicd_actions.toolkit.environment import Environment
from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.grammar import nearest
from cicd_actions.toolkit.inputs import as_yaml, instead

LONGEST_FILE = 1024 * 1024
MOST_TARGETS = 5000

_EXAMPLE = instead(as_yaml("targets", "- name: api\n  url: https://api.example.com/health/ready\n  expect-status: 200"))


def targets(inputs: Inputs, environment: Environment, folder: Path) -> list[Target]:
    """Returns all targets, metrics last. Relative paths start at `folder`. Raises `UnusableInput`."""
    defaults = {
        field.name.replace("_", "-"): getattr(inputs, field.name)
        for field in dataclasses.fields(inputs)
        if field.name.replace("_", "-") not in OF_THE_GATE | OF_METRICS
    }
    found = [({"name": name, "url": url}, "") for name, url in inputs.url]
    found += _of_yaml(inputs.targets, folder) if inputs.targets.strip() else []
    if not found:
        raise UnusableInput(
            "There is nothing to probe: both inputs `url` and `targets` are empty.",
            fix=instead("url: https://api.example.com/health/ready"),
        )
    if len(found) > MOST_TARGETS:
        raise UnusableInput(f"Cannot gate {len(found)} targets: the most are {MOST_TARGETS}.")
    names: set[str] = set()
    plain: list[Target] = []
    metrics: list[tuple[Settings, str, tuple[str, ...] | None]] = []
    for keys, where in found:
        settings = Settings(keys, defaults, environment, where)
        name = keys.get("name", "").strip()
        if keys.get("url") or keys.get("command"):
            plain.append(target(settings, _name(name, settings, keys, names)))
            if keys.get("metric-url"):
                metrics.append((settings, _unique(f"{plain[-1].name} metric", names), (plain[-1].name,)))
        else:
            metrics.append((settings, _unique(name or "metric", names), None))
    everything = tuple(each.name for each in plain)
    made = [metric(each, name, everything if after is None else after, headers=after is None) for each, name, after in metrics]
    if any(getattr(inputs, name.replace("-", "_")) not in {"", None} for name in OF_METRICS):
        made.append(_of_inputs(inputs, defaults, environment, everything, names))
    return plain + made


def _of_inputs(
    inputs: Inputs, defaults: Mapping[str, Any], environment: Environment, after: tuple[str, ...], names: set[str]
) -> Target:
    own = {**defaults, **{name: getattr(inputs, name.replace("-", "_")) for name in OF_METRICS}}
    if not inputs.metric_url:
        raise UnusableInput(
            "The inputs `metric-max`, `metric-min` and `metric-query` need `metric-url` beside them.",
            fix=instead("metric-url: https://prometheus.example.com"),
        )
    settings = Settings({"metric-url": inputs.metric_url}, own, environment)
    return metric(settings, _unique("metric", names), after, headers=False)


def _name(name: str, settings: Settings, keys: Mapping[str, str], names: set[str]) -> str:
    if name:
        if name in names:
            raise settings.unusable("name", f"two targets are called `{name}`")
        names.add(name)
        return name
    if keys.get("url"):
        return _unique(settings.label(), names)
    return _unique(Path(settings("command")[0]).name, names)


def _unique(name: str, names: set[str]) -> str:
    made, number = name, 2
    while made in names:
        made, number = f"{name} ({number})", number + 1
    names.add(made)
    return made


def _of_yaml(text: str, folder: Path) -> list[tuple[dict[str, str], str]]:
    """The keys of each target as text, and where it stands."""
    source = "the input `targets`"
    if "\n" not in text.strip() and not text.strip().startswith(("-", "[", "{")):
        source = text.strip()
        text = _file(folder / source, source)
    try:
        root = yaml12.read(text).root
    except yaml12.NotYaml as error:
        raise UnusableInput(f"Could not read the YAML of {source}: {error}.", fix=_EXAMPLE) from None
    if not isinstance(root, yaml12.Sequence):
        raise UnusableInput(
            f"Cannot use {source}: it does not hold a list, in which each target starts with a dash.", fix=_EXAMPLE
        )
    return [_target(node, source, number) for number, node in enumerate(root.items, 1)]


def _file(path: Path, name: str) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(LONGEST_FILE + 1)
        if len(data) > LONGEST_FILE:
            raise UnusableInput(f"Cannot use the file {name}, which the input `targets` names: it is larger than 1 MiB.")
        return data.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise UnusableInput(
            f"Could not read the file {name}, which the input `targets` names: {getattr(error, 'strerror', None) or error}.",
            cause=f"The gate takes one line without a dash for a path that starts at {path.parent}.",
            fix=_EXAMPLE,
        ) from None


def _target(node: yaml12.Node, source: str, number: int) -> tuple[dict[str, str], str]:
    place = f"{source}, line {node.line}"
    if isinstance(node, yaml12.Scalar) and node.text.startswith(("http://", "https://", "tcp://")):
        return {"url": node.text}, f"target {number} ({place})"
    if not isinstance(node, yaml12.Mapping):
        raise UnusableInput(f"Cannot use target {number} ({place}): it is not a mapping of keys.", fix=_EXAMPLE)
    keys: dict[str, str] = {}
    named = node.get("name")
    label = f"`{named.text}`" if isinstance(named, yaml12.Scalar) and named.text else str(number)
    where = f"target {label} ({place})"
    for key, value in node.merged():
        if key.text not in KEYS:
            meant = nearest(key.text, KEYS)
            hint = f"Did you mean `{meant}`?" if meant else f"Known are: {', '.join(sorted(KEYS))}."
            raise UnusableInput(f"The key `{key.text}` of {where} is unknown (line {key.line}). {hint}")
        keys[key.text] = _text(key.text, value, where)
    if not (keys.get("url") or keys.get("command") or keys.get("metric-url")):
        raise UnusableInput(f"Cannot probe {where}: it has neither `url` nor `command`.", fix=_EXAMPLE)
    if keys.get("url") and keys.get("command"):
        raise UnusableInput(f"Cannot probe {where}: it has both `url` and `command`. Remove one.")
    return keys, where


_JOINTS = {"headers": ": ", "expect-header": " == "}


def _text(key: str, node: yaml12.Node, where: str) -> str:
    """A value as the text that an input would have: lists become lines, mappings of headers too."""
    if isinstance(node, yaml12.Scalar):
        return "" if node.kind == "null" else node.text
    if isinstance(node, yaml12.Sequence) and all(isinstance(item, yaml12.Scalar) for item in node.items):
        words = [item.text for item in node.items if isinstance(item, yaml12.Scalar)]
        if key == "command":
            return json.dumps(words)
        return ("," if key == "expect-status" else "\n").join(words)
    if isinstance(node, yaml12.Mapping) and key in _JOINTS:
        pairs = [(name.text, value) for name, value in node.merged()]
        if all(isinstance(value, yaml12.Scalar) for _, value in pairs):
            return "\n".join(f"{name}{_JOINTS[key]}{getattr(value, 'text', '')}" for name, value in pairs)
    raise UnusableInput(
        f"Cannot use the key `{key}` of {where} (line {node.line}): its value is neither text nor a list of texts."
    )
