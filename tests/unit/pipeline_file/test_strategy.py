"""Strategies and freezes in the pipeline file: what is read, what is refused, and the time that a deploy gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from cicd_actions.pipeline.event import Event
from cicd_actions.pipeline.release_settings import settings_of
from cicd_actions.pipeline_file.reading import UnusablePipeline, parse

SHOP = (Path(__file__).resolve().parents[2] / "data" / "pipeline_files" / "shop.yml").read_text("utf-8")


def with_release(keys: str) -> str:
    """The shop's file, which runs on a Swarm, with keys of the release."""
    assert SHOP.count("\nrelease:\n") == 1
    return SHOP.replace("\nrelease:\n", f"\nrelease:\n{keys}", 1)


PUSH = Event("push", "refs/heads/main", "a" * 40, "org/shop", "main")

CANARY = """  strategy: canary
  proxy: proxy
  steps: [10% 1000 requests within 30m, 50% 1000 requests within 30m]
  bake: 90s
"""


def problems(text: str) -> str:
    with pytest.raises(UnusablePipeline) as found:
        parse(text)
    return str(found.value)


def test_canary_of_the_file_reaches_the_settings_of_an_environment_by_the_names_of_the_inputs() -> None:
    text = with_release(CANARY)
    pipeline = parse(text)
    assert pipeline.release is not None
    found = settings_of(pipeline, pipeline.release, pipeline.release.environments[0], "", PUSH)
    assert found["strategy"] == "canary"
    assert found["steps"] == "10% 1000 requests within 30m\n50% 1000 requests within 30m"
    assert found["timeout-minutes"] == 45 + 62, "the steps and the bake come on top"


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("  strategy: blue-green\n", "without one, `swarm` can only do `canary`"),
        ("  strategy: canary\n  engine: docker\n", "without one, `docker` can only do `blue-green`"),
        ("  strategy: canary\n", "needs `requests-query` and `errors-query`"),
        ("  strategy: canary\n  engine: kubernetes\n", "needs `requests-query` and `errors-query`"),
        (
            "  strategy: canary\n  engine: command\n  roll-out-command: x\n  stage-command: x\n  weigh-command: x\n",
            "needs `prepare-command`, `promote-command`, `abandon-command`",
        ),
        ("  strategy: canary\n  proxy: p\n  steps: [50% 9 requests within 1m, 10% 9 requests within 1m]\n", "a larger share"),
        ("  strategy: canary\n  proxy: p\n  steps: [all of it]\n", "a share, a number of requests and a time"),
        ("  strategy: canary\n  proxy: p\n  timeout-minutes: 30\n", "may take 70 minutes, longer than the job"),
        ("  strategy: canary\n  proxy: p\n  bake: 10h\n", "longer than the job"),
        ("  promote: manual\n", "needs a release that stands beside the old one"),
        ("  strategy: blue-green\n  proxy: p\n  promote: manual\n", "cannot follow `staging`, where `promote: manual`"),
        ('  freeze: ["0 18 * * FRI to 0 6 * * MON in Europe/Bernau: x"]\n', "no time zone `Europe/Bernau`"),
        ("  freeze: [weekends]\n", "CRON to CRON in ZONE: why"),
        ('  freeze-override: "until tomorrow: x"\n', "until TIME: why"),
    ],
)
def test_strategy_or_freeze_that_cannot_work_is_refused(keys: str, said: str) -> None:
    text = with_release(keys)
    if "engine:" in keys:
        text = text.replace("  engine: swarm\n", "", 1)
    assert said in problems(text)
