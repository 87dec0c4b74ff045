"""Plans a rollback: pure, from what the records, the engine and GitHub said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cicd_actions.engines.protocol import Image, Running, Target
from cicd_actions.engines.reference import repository_of
from cicd_actions.github.commits import Comparison
from cicd_actions.github.history import History, Identity, Release
from cicd_actions.github.release_record import Revision, digest_of, marked
from cicd_actions.roll_out.inputs import Wanted
from cicd_actions.toolkit.errors import Failed, UnusableInput
from cicd_actions.toolkit.report import Block, Bullets, Code, Details, Heading, Inline, Paragraph, Strong, Table


@dataclass(frozen=True)
class Left:
    """The release to leave: its commit where that is known, and its digests. `release` is what a deploy recorded of it."""

    sha: str = ""
    identity: Identity = frozenset()
    release: Release | None = None

    def is_of(self, release: Release) -> bool:
        """Tells whether this is a release; by its commit alone where the digests are not known."""
        if not self.identity:
            return release.sha == self.sha
        return release.identity <= self.identity if self.release is None else release.identity == self.identity

    @classmethod
    def recorded(cls, release: Release) -> Left:
        """Returns the release that a deploy recorded."""
        return cls(release.sha, release.identity, release)


@dataclass(frozen=True)
class Facts:
    """What runs now, by service, and the records that count. `staged` is the release that stands beside what runs."""

    environment: str
    running: Mapping[str, Running]
    history: History
    staged: Mapping[str, Target] = field(default_factory=dict)

    @property
    def services(self) -> tuple[str, ...]:
        """The services of the input, and no others."""
        return tuple(self.running)

    @property
    def runs(self) -> Identity:
        """What runs, as far as the engine can tell."""
        return identity(self.running)


@dataclass(frozen=True)
class Move:
    """One service, the image to deploy, and the commit of that image."""

    service: str
    image: Image
    now: Running
    sha: str = ""

    @property
    def reference(self) -> str:
        return self.image.pinned

    @property
    def already(self) -> bool:
        """Whether the service runs this image, is up as far as the engine can tell, and no killed run left anything of it."""
        here = self.now
        same = bool(here.digest or here.image) and _mark(here) == (self.image.digest or marked(self.image.name))
        return same and here.settled and not here.unfinished and (here.wanted is None or here.ready == here.wanted)


@dataclass(frozen=True)
class Plan:
    """From where to where, what is taken back, and what stays. `stays` are migrations that stay applied, oldest first."""

    app: str
    environment: str
    left: Left
    to: Release
    moves: tuple[Move, ...]
    without: tuple[str, ...] = ()
    taken_back: Comparison | None = None
    stays: tuple[Revision, ...] = ()
    schema: str = ""
    database: tuple[str, ...] = ()
    unverified: tuple[str, ...] = field(default=())
    refused: Failed | None = None
    attestations: Mapping[str, str] = field(default_factory=dict)
    """The id of each service's attestation, where one is required."""

    @property
    def from_sha(self) -> str:
        return self.left.sha

    @property
    def done(self) -> bool:
        """Whether every service runs the release already: nothing is left to move."""
        return all(move.already for move in self.moves)

    @property
    def local(self) -> list[str]:
        """The services whose image was pushed once, and now is on this engine only: it lasts until a clean-up there."""
        return [move.service for move in self.moves if move.image.local and not move.image.opaque]

    @property
    def not_undone(self) -> tuple[str, ...]:
        """What a rollback leaves as it is."""
        said = ["what the release wrote: rows, files, messages that were sent, caches"]
        said += ["configuration and secrets that were changed beside the release"]
        said += [f"the service {name}: the release to roll back to has none" for name in self.without]
        if self.stays:
            said.insert(0, "the migrations named above: none is downgraded")
        return tuple(said)

    def as_json(self) -> dict[str, Any]:
        """Returns the plan for programs; digests and ids in full."""
        commits = self.taken_back
        record = self.to.record
        return {
            "schema": 1,
            "app": self.app,
            "environment": self.environment,
            "from": {
                "sha": self.from_sha,
                "services": {each.service: each.now.digest or each.now.image for each in self.moves},
            },
            "to": {
                "sha": self.to.sha,
                "services": {each.service: each.reference for each in self.moves},
                "commits": {each.service: each.sha for each in self.moves},
                "record": record.id,
                "run": record.run.url,
                "at": record.at,
            },
            "already-there": [each.service for each in self.moves if each.already],
            "commits-taken-back": [{"sha": each.sha, "title": each.title} for each in commits.commits] if commits else [],
            "commits-total": commits.total if commits else None,
            "migrations-that-stay": [vars(each) for each in self.stays],
            "database": self.schema,
            "not-undone": list(self.not_undone),
            "unverified": list(self.unverified),
        }

    def blocks(self) -> list[Block]:
        """Returns the plan for people: first what moves, then what is lost, then what stays."""
        rows: list[Sequence[Inline]] = [
            (
                Code(each.service),
                Code(each.now.digest or each.now.image or "not known"),
                Code(each.reference),
                "runs it already" if each.already else "",
            )
            for each in self.moves
        ]
        found: list[Block] = [
            Heading("The plan"),
            Paragraph(
                [
                    "From ",
                    Code(self.from_sha[:12] or "a commit that is not known"),
                    " to ",
                    Code(self.to.sha[:12]),
                    f", which passed its gate in {self.environment} {self.to.record.at or 'at a time that is not recorded'}.",
                ]
            ),
            Table(("service", "runs now", "rolled back to", ""), rows),
        ]
        if self.local:
            said = f"The registry no longer has the image of {', '.join(self.local)}: only this engine has it."
            found.append(Paragraph([Strong("Push it again: "), said]))
        found += self._commits()
        if self.schema:
            found.append(Paragraph([Strong("Database: "), self.schema]))
        if self.stays:
            stay: list[Sequence[Inline]] = [
                (Code(each.revision), each.phase or "not known", each.message) for each in self.stays
            ]
            found += [Paragraph("Migrations that stay applied:"), Table(("revision", "phase", ""), stay)]
        found += [Paragraph("A rollback does not undo:"), Bullets(list(self.not_undone))]
        if self.unverified:
            found += [Paragraph([Strong("Could not be checked:")]), Bullets(list(self.unverified))]
        return found

    def _commits(self) -> list[Block]:
        commits = self.taken_back
        if commits is None:
            return [Paragraph("GitHub could not say which commits are taken back.")]
        if not commits.total:
            return [Paragraph("No commit is taken back: the release to roll back to has all of them.")]
        rows = [(Code(each.sha[:12]), each.title, each.author) for each in reversed(commits.commits)]
        more = f", {len(rows)} of them shown" if commits.total > len(rows) else ""
        return [Details(f"Commits taken back: {commits.total}{more}", [Table(("commit", "", "by"), rows)])]


def _mark(running: Running) -> str:
    return running.digest or marked(running.image)


def identity(running: Mapping[str, Running]) -> Identity:
    """Returns what runs, as the records name it; a service of which the engine cannot tell is not in it."""
    return frozenset((name, _mark(each)) for name, each in running.items() if _mark(each))


def leaving(facts: Facts, current_sha: str) -> Left:
    """Returns the release to leave.

    It is the newest deploy of `current_sha`. Without that it is a release that stands beside what runs, or else the newest
    deploy, as long as its images run, or those of a rollback from it that did not end. Otherwise something else was deployed by
    hand, and that is left. Only deploys count, so a rollback that is run again leaves the same release. Raises `UnusableInput`
    when nothing says what runs.
    """
    deploys = facts.history.deploys(facts.services)
    runs = facts.runs
    if current_sha:
        release = next((each for each in deploys if each.sha == current_sha), None)
        if release is not None:
            return Left.recorded(release)
        return Left(current_sha, runs if _label(facts.running) == current_sha else frozenset())
    if facts.staged:
        # What runs beside it is what its rollback leads to.
        here = dict(runs) | {name: marked(each.image.pinned) for name, each in facts.staged.items()}
        sha = next(each.sha for each in facts.staged.values())
        return Left(
            sha, frozenset(here.items()), next((each for each in deploys if each.identity == frozenset(here.items())), None)
        )
    if not runs and not facts.history.outcomes:
        raise _nothing(facts, Left())
    if not runs:
        raise UnusableInput(
            "Cannot tell which release runs now, so not which one came before it either.",
            cause="The engine does not report what runs, or nothing runs.",
            fix="Name the release to leave:\n\n    with:\n      current-sha: <full commit sha>",
        )
    if deploys:
        newest = deploys[0]
        before = _newest_other(facts, Left.recorded(newest))
        known = newest.identity | (before.identity if before else frozenset())
        recorded = {service for service, _ in known}
        if facts.history.rolled_back_to(facts.services) == newest.identity and newest.runs_in(runs):
            # A rollback brought the newest deploy again, in place of something that was deployed by hand: that was left.
            return Left()
        if {each for each in runs if each[0] in recorded} <= known:
            return Left.recorded(newest)
    found = next((each for each in deploys if each.runs_in(runs)), None)
    return Left(_label(facts.running) or (found.sha if found else ""), runs, found)


def _label(running: Mapping[str, Running]) -> str:
    """Returns the one commit that all services are labelled with; empty when there are several, or none."""
    labels = {each.sha for each in running.values()}
    return labels.pop() if len(labels) == 1 else ""


def _newest_other(facts: Facts, left: Left) -> Release | None:
    return next((each for each in facts.history.good(facts.services) if not left.is_of(each)), None)


def target(facts: Facts, left: Left, to_sha: str) -> Release:
    """Returns the release to roll back to: the newest good one with other digests than the one to leave.

    Raises `Failed` when there is none.
    """
    where = facts.environment
    if to_sha:
        return _named(facts, to_sha)
    found = _newest_other(facts, left)
    unnamed = facts.history.unnamed(facts.services)
    if unnamed is not None and (found is None or unnamed.id > found.record.id):
        raise Failed(
            f"Cannot roll back: the last release that passed in {where} ({unnamed.sha[:12]}) has none of the services"
            f" {', '.join(facts.services)}.",
            cause=f"It is a release of {', '.join(unnamed.services)}: several applications share these records.",
            fix="Give each application a name, here and in its deploys:\n\n    with:\n      app: shop\n\n"
            "To roll back now, name the release:\n\n    with:\n      to-sha: <full commit sha>",
        )
    if found is None:
        raise _nothing(facts, left)
    if left.release is not None and found.identity < left.identity:
        new = sorted({service for service, _ in left.identity} - set(found.sources))
        raise Failed(
            f"Cannot roll back {', '.join(new)}: no earlier release has it, and the other services did not change.",
            fix="Deploy a commit that fixes the problem, or stop the service.",
        )
    return found


def _nothing(facts: Facts, left: Left) -> Failed:
    where, history = facts.environment, facts.history
    other = _uncounted(history)
    if any(record.sha != left.sha for record in history.outcomes):
        return Failed(
            f"Cannot roll back: every other release recorded in {where} is quarantined.",
            cause=f"A release is quarantined when it failed its gate, until it passes one again.{other}",
            fix="Deploy a commit that fixes the problem.",
        )
    if history.passed_over:
        signed = any("signed" in reason or "signature" in reason for reason in history.passed_over)
        env = "    env:\n      RECORD_KEY: ${{ secrets.RECORD_KEY }}\n" if signed else ""
        key = "\n      record-key: RECORD_KEY" if signed else ""
        return Failed(
            f"Cannot roll back: no record in {where} proves that its writer may write it.",
            cause=other.strip(),
            fix="See why:\n\n    uses: org/cicd-actions/deployment-record@<full commit sha>\n"
            f"{env}    with:\n      phase: verify-record\n      environment: {where}{key}",
        )
    if history.apps and not history.outcomes:
        return Failed(
            f"Cannot roll back: {where} has no record of this application.",
            cause=f"It has records of the app {', '.join(sorted(history.apps)[:5])}.",
            fix=f"    with:\n      app: {min(history.apps)}",
        )
    others = ""
    if history.apps:
        others = f" The app {', '.join(sorted(history.apps)[:5])} has records here too. Check the input `app`."
    return Failed(
        f"Cannot roll back: this is the first deployment to {where} that is recorded.",
        cause=f"A rollback deploys only a release that passed its gate, and no other one did.{others}",
        fix="Deploy a commit that fixes the problem, or stop the services. `deployment-record` with `phase: adopt` records a"
        " release that ran there before, as long as it runs.",
    )


def _uncounted(history: History) -> str:
    if not history.passed_over:
        return ""
    more = f" (and {len(history.passed_over) - 3} more)" if len(history.passed_over) > 3 else ""
    return f" These do not count: {'; '.join(history.passed_over[:3])}{more}."


def _named(facts: Facts, to_sha: str) -> Release:
    where, history = facts.environment, facts.history
    good = history.good(facts.services)
    for release in good:
        if release.sha == to_sha:
            return release
    known = history.of_sha(to_sha)
    if known and not set(known[0].services) & set(facts.services):
        raise Failed(
            f"Cannot roll back to {to_sha[:12]}: it has none of the services {', '.join(facts.services)}.",
            fix="Give each application a name, here and in its deploys:\n\n    with:\n      app: shop",
        )
    if known:
        raise Failed(
            f"Cannot roll back to {to_sha[:12]}: it is quarantined in {where}, because it failed its gate there.",
            cause=f"{known[0].reason or 'No reason is recorded.'} It stays quarantined until it passes a gate there.",
            fix=_others(good, "Choose another one"),
        )
    raise Failed(
        f"Cannot roll back to {to_sha[:12]}: it never passed its gate in {where}, so its images are not known.",
        cause=_uncounted(history).strip(),
        fix=_others(good, "These passed"),
    )


def _others(good: Sequence[Release], word: str) -> str:
    lines = "\n".join(f"    to-sha: {release.sha}" for release in good[:5])
    return f"{word}:\n\n{lines}" if good else "No other release is recorded either."


def images(release: Release, wanted: Sequence[Wanted], *, opaque: bool) -> tuple[dict[str, str], list[str]]:
    """Returns the image of each service, in the order of the input, and the services that the release does not have.

    Raises `UnusableInput` when the input does not name the repository of an image, `Failed` for an image from elsewhere.
    """
    recorded = release.services
    found = {each.service: _image(each, recorded[each.service], opaque=opaque) for each in wanted if each.service in recorded}
    return found, [each.service for each in wanted if each.service not in recorded]


def _image(wanted: Wanted, recorded: str, *, opaque: bool) -> str:
    digest = digest_of(recorded)
    repository = repository_of(wanted.image)
    if digest and repository:
        return f"{repository}@{digest}"
    if opaque and not digest:
        elsewhere = repository_of(recorded) if "/" in recorded else ""
        if elsewhere and elsewhere != repository:
            raise Failed(
                f"Cannot roll {wanted.service} back to {recorded[:200]}: the record names another repository than `services`.",
                fix=f"    with:\n      services: |\n        {wanted.service}={elsewhere}",
            )
        return recorded
    if not digest:
        raise Failed(
            f"Cannot roll {wanted.service} back to {recorded[:200]}: the record has no digest, so it cannot be deployed again.",
            cause="The engine `command` recorded it: it is an id of your own programs.",
            fix="Use that engine, or name a release that was recorded by digest:\n\n    with:\n      to-sha: <full commit sha>",
        )
    raise UnusableInput(
        f"`{wanted.image[:200]}` is not the repository of {wanted.service}'s image.",
        fix=f"    with:\n      services: |\n        {wanted.service}=ghcr.io/org/{wanted.service}",
    )
