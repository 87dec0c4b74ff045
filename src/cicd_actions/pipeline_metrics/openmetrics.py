"""The figures in OpenMetrics text form (https://prometheus.io/docs/specs/om/open_metrics_spec/), as gauges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cicd_actions.pipeline_metrics.compute import Figures
from cicd_actions.pipeline_metrics.metrics import METRICS, Figure

_UNITS = {"s": ("seconds", 1.0), "%": ("ratio", 0.01), "1/week": ("", 1.0), "min": ("minutes", 1.0), "": ("", 1.0)}


def text(figures: Figures) -> str:
    """Returns the text, with `# EOF` at its end. Figures with too few samples are left out, their samples are not."""
    labels = {"environment": figures.scope.environment}
    samples: dict[str, list[tuple[Mapping[str, str], Figure]]] = {
        key: [(labels, each)] for key, each in figures.overall.items()
    }
    for repository, workflow, _, of in figures.workflows:
        for key, each in of.items():
            samples[key].append(({"repository": repository, "workflow": workflow}, each))
    return "".join(line + "\n" for line in [*_families(samples), "# EOF"])


def _families(samples: Mapping[str, list[tuple[Mapping[str, str], Figure]]]) -> Iterator[str]:
    for key, found in samples.items():
        metric = METRICS[key]
        unit, factor = _UNITS[metric.unit]
        name = "cicd_" + key.replace("-", "_") + (f"_{unit}" if unit else "")
        yield f"# TYPE {name} gauge"
        if unit:
            yield f"# UNIT {name} {unit}"
        yield f"# HELP {name} {_escaped(metric.definition)}"
        for labels, figure in found:
            if figure.value is not None:
                yield f"{name}{_labels(labels)} {figure.value * factor!r}"
        counted = "cicd_" + key.replace("-", "_") + "_samples"
        yield f"# TYPE {counted} gauge"
        yield f"# HELP {counted} The samples behind {name}."
        for labels, figure in found:
            yield f"{counted}{_labels(labels)} {figure.n}"


def _labels(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
