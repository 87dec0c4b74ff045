"""Keeps the observations of one target as runs of like answers: bounded, however long a gate is and often answers change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from cicd_actions.health_gate.observation import Observation, Outcome
from cicd_actions.toolkit.printable import beginning, shortened

MOST_RUNS = 400
MOST_PEERS = 1000
"""Addresses that are kept, those probed last: some name servers give other ones with every answer."""

MIXED = "…"

SQUARES = {
    Outcome.RIGHT: "🟩",
    Outcome.WRONG: "🟥",
    Outcome.BROKEN: "🟧",
    Outcome.UNJUDGED: "⬜",
    Outcome.UNFINISHED: "⬜",
}

LEGEND = "🟩 right · 🟥 wrong answer · 🟧 no complete answer · ⬜ inconclusive"

# What a cell shows of several answers in its time: the one that matters most.
_WEIGHT = [Outcome.UNFINISHED, Outcome.RIGHT, Outcome.UNJUDGED, Outcome.BROKEN, Outcome.WRONG]


@dataclass(eq=False, repr=False)
class Run:
    """Like answers in a row; times are seconds since the gate started. `last` is the last of them."""

    last: Observation
    started: float
    ended: float
    count: int = 1
    label: str = ""
    outcome: Outcome = Outcome.RIGHT
    peers: Counter[str] = field(default_factory=Counter)
    """How many of the answers came from each address."""


class Peer:
    """One address: how often it was probed, and what it answered last."""

    __slots__ = ("last", "probes")

    def __init__(self, probes: int, last: Observation) -> None:
        self.probes, self.last = probes, last


@dataclass(eq=False, repr=False)
class History:
    """Runs in their order, and the addresses by name. When there are too many runs, those in the middle are merged."""

    runs: list[Run] = field(default_factory=list)
    peers: dict[str, Peer] = field(default_factory=dict)

    def add(self, seen: Observation) -> bool:
        """Returns whether this answer differs from the last."""
        self._add_peers(seen)
        changed = self._add_run(seen)
        self.runs[-1].peers.update(seen.peers)
        return changed

    def _add_peers(self, seen: Observation) -> None:
        for name in seen.peers:
            before = self.peers.pop(name, None)
            # A probe that the deadline cut says less than the answer before it.
            last = before.last if before and seen.outcome is Outcome.UNFINISHED else seen
            self.peers[name] = Peer(before.probes + 1 if before else 1, last)
        while len(self.peers) > MOST_PEERS:
            del self.peers[next(iter(self.peers))]

    def _add_run(self, seen: Observation) -> bool:
        last = self.runs[-1] if self.runs else None
        if last and last.label == seen.label and last.outcome is seen.outcome and last.last.version == seen.version:
            last.last, last.ended, last.count = seen, seen.ended, last.count + 1
            return False
        self.runs.append(Run(seen, seen.started, seen.ended, 1, seen.label, seen.outcome))
        if len(self.runs) > MOST_RUNS:
            middle, beside = self.runs[MOST_RUNS // 4 : MOST_RUNS // 4 + 2]
            middle.ended, middle.count, middle.last = beside.ended, middle.count + beside.count, beside.last
            middle.peers.update(beside.peers)
            middle.outcome = max(middle.outcome, beside.outcome, key=_WEIGHT.index)
            middle.label = MIXED
            self.runs.remove(beside)
        return True

    @property
    def last(self) -> Observation | None:
        return self.runs[-1].last if self.runs else None

    @property
    def last_wrong(self) -> Run | None:
        """Returns the last run that proves the target wrong."""
        return next((run for run in reversed(self.runs) if run.last.judged_wrong), None)

    @property
    def telling(self) -> Run | None:
        """Returns the last run with an answer; a probe that the deadline cut counts only when there was no other."""
        finished = [run for run in self.runs if run.outcome is not Outcome.UNFINISHED]
        return finished[-1] if finished else self.runs[-1] if self.runs else None

    @property
    def count(self) -> int:
        return sum(run.count for run in self.runs)

    def by_address(self, current: Sequence[str]) -> str:
        """Returns what each current address answered last: `aaaa… from 10.0.0.7, 10.0.0.9; bbbb… from 10.0.0.8`."""
        groups: dict[str, tuple[Observation, list[str]]] = {}
        for name in sorted(current, key=lambda name: (name in self.peers and not self.peers[name].last.right, name)):
            if name in self.peers:
                seen = self.peers[name].last
                told = seen.version and (seen.right or seen.kind == "version")
                what = f"version {beginning(seen.version or '', 12)}" if told else shortened(seen.came, 120)
                groups.setdefault(what, (seen, []))[1].append(name)
        parts = [f"{what}{source(seen, names)}" for what, (seen, names) in groups.items()]
        unseen = [name for name in current if name not in self.peers]
        parts += [f"nothing yet from {listed(unseen)}"] if unseen else []
        return "; ".join(parts)

    def version(self) -> str | None:
        """Returns the version of the last answer that named one."""
        return next((run.last.version for run in reversed(self.runs) if run.last.version is not None), None)

    def strip(self, cells: int = 40) -> str:
        """Returns coloured squares, each for the same span of time; a span without a probe repeats the one before."""
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
        """Returns the runs in words: `refused ×9 0.0–1.2 s → 503 ×4 → 200 ×3`."""
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


def source(seen: Observation, peers: Iterable[str]) -> str:
    """Returns ` from 10.0.0.7, 10.0.0.9` for an answer, ` at 10.0.0.7` where none came, and nothing for no address."""
    names = listed(sorted(peers))
    return f" {'at' if seen.outcome is Outcome.BROKEN else 'from'} {names}" if names else ""


def listed(names: Sequence[str], most: int = 5) -> str:
    """Returns the first names and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def as_json(runs: Sequence[Run]) -> list[dict[str, object]]:
    """Returns the runs for the JSON report; times in milliseconds."""
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
            "mismatches": [
                {"expected": expected, "came": came}
                for expected, came in [(run.last.expected, run.last.came), *run.last.also]
                if run.last.judged_wrong
            ],
            "excerpt": run.last.excerpt,
            "version": run.last.version,
            "peers": dict(run.peers),
        }
        for run in runs
    ]
