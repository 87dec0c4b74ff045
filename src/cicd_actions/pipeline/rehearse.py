"""Plans a rehearsal: an environment that may be broken, the release that passed there, and the faults that fit its engine."""

from __future__ import annotations

import re

from cicd_actions.pipeline import release_settings
from cicd_actions.pipeline.break_release import FAULTS
from cicd_actions.pipeline.event import Event
from cicd_actions.pipeline_file.model import Pipeline, effective
from cicd_actions.toolkit.errors import Failed, UnusableInput
from cicd_actions.toolkit.report import OutputValue, Report
from cicd_actions.toolkit.verdict import Verdict

_PRODUCTION = re.compile(r"(^|[^a-z])(prod|production|prd|live)([^a-z]|$)", re.IGNORECASE)


def plan(pipeline: Pipeline, name: str, event: Event) -> Report:
    """Plans the rehearsal of an environment. Raises `UnusableInput`, and `Failed` for one that must not be broken."""
    release = pipeline.release
    known = [each.name for each in release.environments] if release else []
    if release is None or name not in known:
        raise UnusableInput(
            f"Could not plan a rehearsal in `{name}`: the pipeline file has no such environment.",
            fix=f"Choose one of: {', '.join(known) or 'none'}.",
        )
    environment = release.environments[known.index(name)]
    refused = {
        "it is the last one of the pipeline, which counts as production": name == known[-1],
        "its name says that it is production": bool(_PRODUCTION.search(name)),
        "it has an `approval-environment`": bool(effective(release, environment).get("approval-environment")),
        "commits reach production without it": environment.start == "manual",
    }
    why = [text for text, holds in refused.items() if holds]
    if why:
        raise Failed(
            f"Refused to rehearse in `{name}`: {why[0]}.", fix="Rehearse in an environment before it, such as `staging`."
        )
    if not environment.rehearse:
        raise Failed(
            f"Refused to rehearse in `{name}`: its entry does not allow it.",
            cause="A rehearsal rolls broken releases out, and people who work there see them.",
            fix=f"    environments:\n      - name: {name}\n        rehearse: true",
        )
    # The release that the rehearsal breaks, and that runs again afterwards, is the one that passed in the environment itself.
    settings = release_settings.settings_of(pipeline, release, environment, name, event)
    build = release_settings.build(pipeline, event, [settings])
    registry = release_settings.registry(pipeline, event)
    faults = [fault for fault, each in FAULTS.items() if settings["engine"] in each.engines]
    outputs: dict[str, OutputValue] = {"environment": settings, "rehearsal": {**build, **registry, "faults": faults}}
    return Report(Verdict.PASS, f"Rehearses {', '.join(faults)} in {name}.", outputs)
