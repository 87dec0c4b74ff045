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

TOLD = 8
"""Changes of one address that are news; later ones are at 16, 32, 64, and so on."""

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

    def like(self, seen: Observation) -> bool:
        """Returns whether an answer is like these."""
        return (self.label, self.outcome, self.last.version) == (seen.label, seen.outcome, seen.version)

    def add(self, seen: Observation) -> None:
        """Adds an answer that is like these."""
        self.last, self.ended, self.count = seen, seen.ended, self.count + 1


def run_of(seen: Observation) -> Run:
    """Returns a run of one answer."""
    return Run(seen, seen.started, seen.ended, 1, seen.label, seen.outcome)


@dataclass(eq=False, repr=False)
class Peer:
    """One address: its answers, and how often and since when it answered wrong. Times are seconds since the gate started.

    A probe that the deadline cut says less than the answer before it: it counts only as a probe.
    """

    probes: int = 0
    connections: int = 0
    """Probes for which the address accepted the connection."""
    answers: int = 0
    wrong: int = 0
    wrong_from: float | None = None
    """When its last row of wrong answers began."""
    turned: int = 0
    """How often it answered wrong after it had answered right."""
    changes: int = 0
    healthy: bool = False
    """Whether its last judged answer was right."""
    run: Run | None = None
    """Its last like answers in a row."""
    last_wrong: Run | None = None

    def add(self, seen: Observation) -> bool:
        """Returns whether this answer differs from the last of the address."""
        self.probes += 1
        self.connections += seen.reached
        if seen.outcome is Outcome.UNFINISHED and self.run:
            return False
        self.answers += seen.outcome is not Outcome.UNFINISHED
        changed = self.run is None or not self.run.like(seen)
        if self.run is None or changed:
            self.run = run_of(seen)
        else:
            self.run.add(seen)
        self.changes += changed
        if seen.judged_wrong:
            if self.healthy or self.wrong_from is None:
                self.wrong_from = seen.started
            self.turned += self.healthy
            self.wrong += 1
            self.healthy, self.last_wrong = False, self.run
        elif seen.right:
            self.healthy = True
        return changed

    @property
    def last(self) -> Observation | None:
        return self.run.last if self.run else None


@dataclass(eq=False, repr=False)
class History:
    """Runs in their order, and the addresses by name. When there are too many runs, those in the middle are merged."""

    runs: list[Run] = field(default_factory=list)
    peers: dict[str, Peer] = field(default_factory=dict)
    whole: Peer = field(default_factory=Peer)
    """All answers, whatever their address."""
    _nowhere: Peer = field(default_factory=Peer)
    """The answers without an address, such as a name that does not resolve."""

    def add(self, seen: Observation) -> tuple[bool, Run | None]:
        """Returns whether this is news, and the answers before it.

        An answer is compared with those of the same address: two addresses that differ are told once each. An address whose
        answers go to and fro is news less and less often.
        """
        last = self.runs[-1] if self.runs else None
        peer = self.peers.get(seen.peers[0]) if seen.peers else self._nowhere
        before = peer.run if peer else None
        known = any(each.run and each.run.like(seen) for each in self.peers.values()) if peer is None and seen.right else False
        if last and bool(last.last.peers) is not bool(seen.peers):
            before = last
        self.whole.add(seen)
        self._add_run(seen)
        self.runs[-1].peers.update(seen.peers)
        changed = self._nowhere.add(seen) if not seen.peers else False
        for name in reversed(seen.peers):
            changed = self._peer(name).add(seen)
        if last and seen.outcome is Outcome.UNFINISHED:
            return False, before
        if before is last and last is not None:
            changed = last.label != seen.label or changed
        changes = (self._nowhere if not seen.peers else self.peers[seen.peers[0]]).changes
        return changed and not known and (changes <= TOLD or changes & (changes - 1) == 0), before

    def _peer(self, name: str) -> Peer:
        """Returns the address as the one that was probed last."""
        peer = self.peers[name] = self.peers.pop(name, Peer())
        while len(self.peers) > MOST_PEERS:
            del self.peers[next(iter(self.peers))]
        return peer

    def _add_run(self, seen: Observation) -> None:
        if self.runs and self.runs[-1].like(seen):
            self.runs[-1].add(seen)
            return
        self.runs.append(run_of(seen))
        if len(self.runs) > MOST_RUNS:
            middle, beside = self.runs[MOST_RUNS // 4 : MOST_RUNS // 4 + 2]
            middle.ended, middle.count, middle.last = beside.ended, middle.count + beside.count, beside.last
            middle.peers.update(beside.peers)
            middle.outcome = max(middle.outcome, beside.outcome, key=_WEIGHT.index)
            middle.label = MIXED
            self.runs.remove(beside)

    def evidence(self, current: Sequence[str], *, wrong: bool) -> Run | None:
        """Returns the answers that decide; with `wrong` the last wrong ones, of an address that is still wrong."""
        if wrong:
            peers = [self.peers[name] for name in current if name in self.peers]
            still = [peer.last_wrong for peer in peers if peer.last_wrong and not peer.healthy]
            if len(self.peers) > 1 and still:
                return max(still, key=lambda run: run.ended)
        return (self.last_wrong if wrong else None) or self.telling

    def tally(self, run: Run) -> Peer:
        """Returns the counts to tell beside these answers: those of their address, where there are several."""
        name = run.last.peers[0] if run.last.peers and len(self.peers) > 1 else ""
        return self.peers.get(name, self.whole)

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
        told_last = {name: peer.last for name in current if (peer := self.peers.get(name)) and peer.last}
        for name, seen in sorted(told_last.items(), key=lambda item: (not item[1].right, item[0])):
            told = seen.version and (seen.right or seen.kind == "version")
            what = f"version {beginning(seen.version or '', 12)}" if told else shortened(seen.came, 120)
            groups.setdefault(what, (seen, []))[1].append(name)
        parts = [f"{what}{source(seen, names)}{self._wrong_counts(names)}" for what, (seen, names) in groups.items()]
        unseen = [name for name in current if name not in self.peers]
        parts += [f"nothing yet from {listed(unseen)}"] if unseen else []
        return "; ".join(parts)

    def _wrong_counts(self, names: Sequence[str]) -> str:
        """Returns how often these addresses answered wrong: ` (wrong 26 of 26 times from 0.0 s on)`."""
        counts = dict.fromkeys(wrong_count(self.peers[name]) for name in names)
        if counts == {"": None}:
            return ""
        if len(counts) == 1:
            return f" ({next(iter(counts))}{', each' if len(names) > 1 else ''})"
        return f" ({listed([f'{name} {count}' for name in names if (count := wrong_count(self.peers[name]))])})"

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
        """Returns the runs in words: `refused ×9 0.0–1.2 s → 503 ×4 → 200 ×3`; by address where these differ for good."""
        steady = [(name, peer.run) for name, peer in sorted(self.peers.items()) if peer.run and peer.changes == 1]
        if 1 < len(steady) <= most < len(self.runs) and len(steady) == len(self.peers) and self._nowhere.run is None:
            return "; ".join(f"{name}: {_words(run, first=True)}" for name, run in steady)
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


def wrong_count(peer: Peer) -> str:
    """Returns `wrong 26 of 26 times from 0.0 s on`; empty for an address that was never wrong."""
    if not peer.wrong or peer.wrong_from is None:
        return ""
    on = "" if peer.healthy else f" from {_seconds(peer.wrong_from)} s on"
    return f"wrong {peer.wrong} of {peer.answers} times{on}"


def listed(names: Sequence[str], most: int = 5) -> str:
    """Returns the first names and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def runs_as_json(runs: Sequence[Run]) -> list[dict[str, object]]:
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
