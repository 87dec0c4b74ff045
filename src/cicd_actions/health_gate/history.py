"""What was seen of one target, as runs of like answers: bounded, however long and nervous a gate is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from cicd_actions.health_gate.observation import Observation, Outcome
from cicd_actions.toolkit.printable import beginning

MOST_RUNS = 400
MIXED = "…"

SQUARES = {
    Outcome.RIGHT: "🟩",
    Outcome.WRONG: "🟥",
    Outcome.BROKEN: "🟧",
    Outcome.UNJUDGED: "⬜",
    Outcome.UNFINISHED: "⬜",
}

LEGEND = "🟩 right · 🟥 wrong answer · 🟧 no whole answer · ⬜ could not be judged"

# What a cell shows of several answers in its time: the one that matters most.
_WEIGHT = [Outcome.UNFINISHED, Outcome.RIGHT, Outcome.UNJUDGED, Outcome.BROKEN, Outcome.WRONG]


@dataclass(eq=False)
class Run:
    """Like answers in a row; times are seconds since the gate started. `last` is the last of them."""

    last: Observation
    started: float
    ended: float
    count: int = 1
    label: str = ""
    outcome: Outcome = Outcome.RIGHT


@dataclass(eq=False)
class History:
    """Runs in their order. When there are too many, those in the middle are put together."""

    runs: list[Run] = field(default_factory=list)

    def add(self, seen: Observation) -> bool:
        """True when this answer is another one than the last."""
        last = self.runs[-1] if self.runs else None
        if last and last.label == seen.label and last.outcome is seen.outcome and last.last.version == seen.version:
            last.last, last.ended, last.count = seen, seen.ended, last.count + 1
            return False
        self.runs.append(Run(seen, seen.started, seen.ended, 1, seen.label, seen.outcome))
        if len(self.runs) > MOST_RUNS:
            middle, beside = self.runs[MOST_RUNS // 4 : MOST_RUNS // 4 + 2]
            middle.ended, middle.count, middle.last = beside.ended, middle.count + beside.count, beside.last
            middle.outcome = max(middle.outcome, beside.outcome, key=_WEIGHT.index)
            middle.label = MIXED
            self.runs.remove(beside)
        return True

    @property
    def last(self) -> Observation | None:
        return self.runs[-1].last if self.runs else None

    @property
    def last_wrong(self) -> Run | None:
        """The last run that proves something against the target."""
        return next((run for run in reversed(self.runs) if run.last.judged_wrong), None)

    @property
    def telling(self) -> Run | None:
        """The last run that says something: a look that the deadline cut does so only when there was no other."""
        finished = [run for run in self.runs if run.outcome is not Outcome.UNFINISHED]
        return finished[-1] if finished else self.runs[-1] if self.runs else None

    @property
    def count(self) -> int:
        return sum(run.count for run in self.runs)

    def version(self) -> str | None:
        """The version that was seen last."""
        return next((run.last.version for run in reversed(self.runs) if run.last.version is not None), None)

    def strip(self, cells: int = 40) -> str:
        """Coloured squares, each one for the same span of time; a span without a probe goes on as the one before."""
        if not self.runs:
            return ""
        start, end = self.runs[0].started, max(self.runs[-1].ended, self.runs[0].started + 0.001)
        number = max(1, min(cells, self.count))
        span = (end - start) / number
        squares: list[str] = []
        for cell in range(number):
            low, high = start + cell * span, start + (cell + 1) * span
            inside = [
                run.outcome
                for run in self.runs
                if run.started < high and (run.ended > low or (cell == number - 1 and run.ended >= low))
            ]
            squares.append(SQUARES[max(inside, key=_WEIGHT.index)] if inside else squares[-1] if squares else "⬜")
        return "".join(squares)

    def line(self, most: int = 12) -> str:
        """The runs in words: `refused ×9 0.0–1.2 s → 503 ×4 → 200 ×3`."""
        words = [_words(run, first=run is self.runs[0]) for run in self.runs]
        if len(words) > most:
            words = [*words[: most // 2], f"… {len(words) - most} more …", *words[-(most // 2) :]]
        return " → ".join(words)


def _words(run: Run, *, first: bool) -> str:
    times = f" ×{run.count}" if run.count > 1 else ""
    version = f" ({beginning(run.last.version, 12)})" if run.last.version else ""
    span = f" {_seconds(run.started)}–{_seconds(run.ended)} s" if run.count > 1 or first else f" at {_seconds(run.ended)} s"
    return f"{run.label}{version}{times}{span}"


def _seconds(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def as_json(runs: Sequence[Run]) -> list[dict[str, object]]:
    """The runs for the JSON report; times in milliseconds."""
    return [
        {
            "from-ms": round(run.started * 1000),
            "to-ms": round(run.ended * 1000),
            "count": run.count,
            "outcome": run.outcome.value,
            "kind": run.last.kind,
            "label": run.label,
            "expected": run.last.expected,
            "came": run.last.came,
            "excerpt": run.last.excerpt,
            "version": run.last.version,
        }
        for run in runs
    ]
