"""The metrics: what each is, what it is not, and how many samples it needs before it is shown as a number."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

FEW = 5
"""Samples that a median needs: with fewer, one outlier decides."""

TENTH = 10
"""Samples that a 90th percentile or a rate needs: with fewer, the percentile is the maximum, and one sample moves a rate by
more than ten points."""


@dataclass(frozen=True)
class Metric:
    """One metric. `unit` is `s`, `%`, `1/week`, `min` or empty. `better` is `low` or `high`."""

    id: str
    title: str
    unit: str
    needs: int
    better: str
    definition: str
    is_not: str
    source: str
    target: str = ""


METRICS: dict[str, Metric] = {
    each.id: each
    for each in (
        Metric(
            "success-rate",
            "Success rate",
            "%",
            TENTH,
            "high",
            "Runs whose last attempt succeeded, of all runs that ended in success or failure (a timeout is a failure).",
            "Cancelled and skipped runs do not count. A run that passed when it was run again counts as passed: the flaky rate"
            " shows those.",
            "GitHub's list of workflow runs: `conclusion`.",
            ">= 95%",
        ),
        Metric(
            "duration-p50",
            "Duration, median",
            "s",
            FEW,
            "low",
            "From the start of the last attempt to the run's last update, over the runs that succeeded.",
            "GitHub gives no end of a run, so a later update makes it longer. Time spent waiting for an approval counts.",
            "GitHub's list of workflow runs: `run_started_at`, `updated_at`.",
        ),
        Metric(
            "duration-p90",
            "Duration, 90th percentile",
            "s",
            TENTH,
            "low",
            "As the median: nine of ten runs that succeeded took at most this long.",
            "It is interpolated between the two nearest runs, and need not be the duration of any run.",
            "GitHub's list of workflow runs: `run_started_at`, `updated_at`.",
        ),
        Metric(
            "flaky-rate",
            "Flaky rate",
            "%",
            TENTH,
            "low",
            "Pairs of a workflow and a commit where a run or an attempt failed and a later one passed, of all pairs with a"
            " verdict.",
            "A dependency that was down for an hour looks the same. Attempts whose jobs were not read are not known to have"
            " failed.",
            "GitHub's lists of workflow runs and of jobs (all attempts).",
        ),
        Metric(
            "queue-p50",
            "Queue time, median",
            "s",
            FEW,
            "low",
            "From the creation of a job to its start, over the jobs that were read.",
            "By default only the jobs of failed and repeated runs are read. Waiting for `needs` is not part of it.",
            "GitHub's list of jobs: `created_at`, `started_at`.",
        ),
        Metric(
            "queue-p90",
            "Queue time, 90th percentile",
            "s",
            TENTH,
            "low",
            "As the median: nine of ten jobs waited at most this long.",
            "By default only the jobs of failed and repeated runs are read.",
            "GitHub's list of jobs: `created_at`, `started_at`.",
        ),
        Metric(
            "minutes",
            "Runner minutes",
            "min",
            1,
            "low",
            "The duration of each job that was read, rounded up to whole minutes as GitHub bills them, summed.",
            "It is not the invoice: by default only the jobs of failed and repeated runs are read, and free minutes and larger"
            " runners' factors are unknown.",
            "GitHub's list of jobs: `started_at`, `completed_at`, `labels`.",
        ),
        Metric(
            "cost",
            "Cost",
            "",
            1,
            "low",
            "Runner minutes of each kind times the rate that `rates` gives for it, in your currency.",
            "Kinds without a rate are left out. It is not the invoice.",
            "The input `rates`.",
        ),
        Metric(
            "merged-per-week",
            "Merged pull requests per week",
            "1/week",
            FEW,
            "high",
            "Pull requests that people merged in the window, per week, for the team as a whole. Those of bots do not count.",
            "It says nothing about the size or the worth of a change, and nothing about a person.",
            "GitHub's list of pull requests: `merged_at`.",
        ),
        Metric(
            "deployments-per-week",
            "Deployment frequency",
            "1/week",
            FEW,
            "high",
            "Releases that passed their gate in the environment, per week. Rollbacks do not count.",
            "A release that failed its gate is not a deployment here. What other tools deployed is not recorded.",
            "Records: releases that passed.",
        ),
        Metric(
            "lead-time-p50",
            "Lead time for changes, median",
            "s",
            FEW,
            "low",
            "From the time of a commit to the time at which the release with it passed its gate in the environment.",
            "The time of a commit is its committer date: a squash or a rebase sets it to the merge, so the review before it"
            " does not count.",
            "Records, and GitHub's comparison of each release with the one before.",
        ),
        Metric(
            "lead-time-p90",
            "Lead time for changes, 90th percentile",
            "s",
            TENTH,
            "low",
            "As the median: nine of ten commits took at most this long.",
            "Commits that are not released yet do not count.",
            "Records, and GitHub's comparison of each release with the one before.",
        ),
        Metric(
            "change-failure-rate",
            "Change failure rate",
            "%",
            TENTH,
            "low",
            "Releases that failed their gate in the environment or were rolled back later, of all releases deployed there.",
            "An incident that was fixed forward does not count: no record says so.",
            "Records: releases that passed, were quarantined, or were rolled back.",
        ),
        Metric(
            "restore-p50",
            "Time to restore, median",
            "s",
            FEW,
            "low",
            "From the first release that failed its gate to the next record that passed: a rollback or a new release.",
            "A release that passed and was rolled back later does not count: no record says when it began to fail. A gate that"
            " fails before users notice is counted.",
            "Records.",
        ),
    )
}

WITHOUT_RECORDS = "No release is recorded in the environment. See deployment-record."

# The clusters of the State of DevOps report 2023 (https://dora.dev/research/2023/dora-report/): the worst value of each band.
# Its bands of the frequency are "on demand", "between once per day and once per week", "between once per week and once per
# month"; more than one a day is taken for "on demand".
BANDS: dict[str, tuple[tuple[str, float], ...]] = {
    "deployments-per-week": (("elite", 7.0), ("high", 1.0), ("medium", 7 / 30)),
    "lead-time-p50": (("elite", 86_400), ("high", 7 * 86_400), ("medium", 30 * 86_400)),
    "change-failure-rate": (("elite", 5.0), ("high", 10.0), ("medium", 15.0)),
    "restore-p50": (("elite", 3600), ("high", 86_400), ("medium", 7 * 86_400)),
}


@dataclass(frozen=True)
class Figure:
    """A metric's value and the number of samples behind it. `value` is `None` where there are too few."""

    metric: Metric
    value: float | None
    n: int

    @classmethod
    def of(cls, name: str, value: float | None, n: int) -> Figure:
        metric = METRICS[name]
        return cls(metric, value if n >= metric.needs else None, n)

    @property
    def band(self) -> str:
        """Returns DORA's band; empty for a metric without bands or without a value."""
        if self.value is None or self.metric.id not in BANDS:
            return ""
        for name, worst in BANDS[self.metric.id]:
            if self.value >= worst if self.metric.better == "high" else self.value <= worst:
                return name
        return "low"

    def __str__(self) -> str:
        if self.value is None:
            return f"too few (n = {self.n}, needs {self.metric.needs})" if self.n else "none"
        return shown(self.value, self.metric.unit)


def quantile(values: Iterable[float], q: float) -> float | None:
    """Returns the quantile `q` (0 to 1), interpolated linearly between the two nearest values; `None` without values.

    This is type 7 of Hyndman and Fan, "Sample Quantiles in Statistical Packages" (1996), and `statistics.quantiles` of Python
    with `method="inclusive"`.
    """
    ordered = sorted(values)
    if not ordered:
        return None
    at = (len(ordered) - 1) * q
    below = math.floor(at)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (at - below)


def percentage(part: int, whole: int) -> float | None:
    return 100 * part / whole if whole else None


def quantiles(name: str, values: Sequence[float]) -> dict[str, Figure]:
    """Returns those of the figures `NAME-p50` and `NAME-p90` that exist."""
    ordered = sorted(values)
    found = {f"{name}-p50": 0.5, f"{name}-p90": 0.9}
    return {key: Figure.of(key, quantile(ordered, q), len(ordered)) for key, q in found.items() if key in METRICS}


def shown(value: float, unit: str) -> str:
    """Returns a value for people: `4 m 10 s`, `95.2 %`, `3.5 a week`."""
    if unit == "s":
        return duration(value)
    if unit == "%":
        return f"{value:.1f} %"
    if unit == "1/week":
        return f"{value:.1f} a week"
    if unit == "min":
        return f"{value:,.0f} min"
    return f"{value:,.2f}"


def duration(value: float) -> str:
    """Returns seconds as the two largest units: `1 d 3 h`, `12 m 5 s`, `40 s`."""
    whole = round(value)
    for size, name, small, minor, exact in ((86_400, "d", 3600, "h", 60), (3600, "h", 60, "m", 1), (60, "m", 1, "s", 1)):
        # A time that would read `24 h` or `60 m` belongs to the next unit.
        if round(whole / exact) * exact >= size:
            units = round(whole / small)
            large, rest = divmod(units, size // small)
            return f"{large} {name} {rest} {minor}" if rest else f"{large} {name}"
    return f"{whole} s"
