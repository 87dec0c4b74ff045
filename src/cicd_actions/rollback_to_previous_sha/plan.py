"""The plan of a rollback: pure, made of what the records, the engine and GitHub said, and of nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cicd_actions.engines.protocol import Image, Running
from cicd_actions.engines.reference import reference
from cicd_actions.github.comparison import Comparison
from cicd_actions.github.history import History, Identity
from cicd_actions.github.release_record import Record, Revision, digest_of
from cicd_actions.roll_out.inputs import Wanted
from cicd_actions.toolkit.errors import Failed, UnusableInput
from cicd_actions.toolkit.grammar import NotUnderstood
from cicd_actions.toolkit.report import Block, Bullets, Code, Details, Heading, Inline, Paragraph, Strong, Table


@dataclass(frozen=True)
class Move:
    """One service that goes back. `image` is what is deployed; `already` says that it runs there and is up."""

    service: str
    image: Image
    now: Running

    @property
    def reference(self) -> str:
        return self.image.pinned

    @property
    def already(self) -> bool:
        here = self.now
        same = here.digest == self.image.digest if self.image.digest else here.image == self.image.name
        return same and here.settled and here.wanted is not None and here.ready == here.wanted


@dataclass(frozen=True)
class Plan:
    """From where to where, what is taken back, and what stays. `stays` are migrations that stay applied, oldest first."""

    app: str
    environment: str
    from_sha: str
    to: Record
    moves: tuple[Move, ...]
    left: tuple[str, ...] = ()
    taken_back: Comparison | None = None
    stays: tuple[Revision, ...] = ()
    schema: str = ""
    unverified: tuple[str, ...] = field(default=())

    @property
    def not_undone(self) -> tuple[str, ...]:
        """What a rollback leaves as it is."""
        said = ["what the release wrote: rows, files, messages that were sent, caches"]
        said += ["configuration and secrets that were changed beside the release"]
        said += [f"the service {name}: the release to go back to has none" for name in self.left]
        if self.stays:
            said.insert(0, "the migrations named above: none is run down")
        return tuple(said)

    def as_json(self) -> dict[str, Any]:
        """For programs; digests and ids in full."""
        commits = self.taken_back
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
                "record": self.to.id,
                "run": self.to.run.url,
                "at": self.to.at,
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
        """For people: what moves first, then what is lost, then what stays."""
        rows: list[Sequence[Inline]] = [
            (Code(each.service), Code(each.now.digest or each.now.image or "not known"), Code(each.reference), _how(each))
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
                    f", which passed its gate in {self.environment} {self.to.at or 'at a time that is not recorded'}.",
                ]
            ),
            Table(("service", "runs now", "goes back to", ""), rows),
        ]
        found += self._commits()
        if self.schema:
            found.append(Paragraph([Strong("Database: "), self.schema]))
        if self.stays:
            stay: list[Sequence[Inline]] = [
                (Code(each.revision), each.phase or "not known", each.message) for each in self.stays
            ]
            found += [Paragraph("Migrations that stay applied:"), Table(("revision", "phase", ""), stay)]
        found += [Paragraph("Not undone by this:"), Bullets(list(self.not_undone))]
        if self.unverified:
            found += [Paragraph([Strong("Could not be checked:")]), Bullets(list(self.unverified))]
        return found

    def _commits(self) -> list[Block]:
        commits = self.taken_back
        if commits is None:
            return [Paragraph("Which commits are taken back could not be asked.")]
        if not commits.total:
            return [Paragraph("No commit is taken back: the release to go back to has all of them.")]
        rows = [(Code(each.sha[:12]), each.title, each.author) for each in reversed(commits.commits)]
        more = f", {len(rows)} of them shown" if commits.total > len(rows) else ""
        return [Details(f"Commits taken back: {commits.total}{more}", [Table(("commit", "", "by"), rows)])]


def _how(move: Move) -> str:
    return "runs it already" if move.already else ""


def identity(running: Mapping[str, Running]) -> Identity:
    """What runs, as the records name it; empty when nobody can tell of one of the services."""
    found = frozenset((name, each.digest or each.image) for name, each in running.items())
    return found if all(image for _, image in found) else frozenset()


def leaving(running: Mapping[str, Running], history: History, current_sha: str) -> str:
    """The commit that is left: as it was told, else by the services' labels, else by the record of what runs."""
    labels = {each.sha for each in running.values()}
    if current_sha or (len(labels) == 1 and "" not in labels):
        return current_sha or labels.pop()
    runs = identity(running)
    return next((record.sha for record in history.outcomes if runs and record.identity == runs), "")


def target(history: History, *, to_sha: str, from_sha: str, runs: Identity, where: str) -> Record:
    """The record to go back to. Raises `Failed` when there is none, `UnusableInput` when what runs is not known."""
    if to_sha:
        return _named(history, to_sha, where)
    if not from_sha and not runs:
        raise UnusableInput(
            "Which release runs now is not known, so which one came before it is not either.",
            cause="The services carry no label with the commit, and the engine names no digests.",
            fix="    with:\n      current-sha: ${{ github.sha }}",
        )
    found = history.last_good(not_sha=from_sha, not_services=runs or None)
    if found is not None:
        return found
    if any(record.sha != from_sha for record in history.outcomes):
        raise Failed(
            f"There is nothing to go back to in {where}: every other release recorded there is quarantined.",
            cause="A release is quarantined when it failed its gate, until it passes one again.",
            fix="Go forward: deploy a commit that mends what is broken.",
        )
    raise Failed(
        f"There is nothing to go back to: this is the first deployment to {where} that is recorded.",
        cause="Only a release that passed its gate is gone back to, and no other one did.",
        fix="Go forward, or stop the services. A release that ran there before the records began is kept by"
        " `deployment-record` with `phase: adopt`, as long as it runs.",
    )


def _named(history: History, to_sha: str, where: str) -> Record:
    known = history.of_sha(to_sha)
    for record in history.good():
        if record.sha == to_sha:
            return record
    if known:
        raise Failed(
            f"{to_sha[:12]} is quarantined in {where}: it failed its gate there.",
            cause=f"{known[0].reason or 'No reason is recorded.'} It stays so until it passes a gate there again.",
            fix=_others(history, "Take another one"),
        )
    raise Failed(
        f"{to_sha[:12]} never passed its gate in {where}, so its images are not known and nothing says that it works there.",
        fix=_others(history, "Recorded are"),
    )


def _others(history: History, word: str) -> str:
    good = [record.sha for record in history.good()][:5]
    return f"{word}:\n\n" + "\n".join(f"    to-sha: {sha}" for sha in good) if good else "No other one is recorded either."


def images(record: Record, wanted: Sequence[Wanted], *, opaque: bool) -> tuple[dict[str, str], list[str]]:
    """What each service goes back to, in the order in which they go; and the services that the record does not have.

    Raises `UnusableInput` when the record has a service whose repository nobody names.
    """
    repositories = {each.service: each.image for each in wanted}
    names = [
        *(name for name in repositories if name in record.services),
        *(name for name in record.services if name not in repositories),
    ]
    found = {name: _image(name, record.services[name], repositories.get(name, ""), opaque=opaque) for name in names}
    return found, [name for name in repositories if name not in record.services]


def _image(service: str, recorded: str, wanted: str, *, opaque: bool) -> str:
    digest = digest_of(recorded)
    if opaque and recorded != digest:
        return recorded
    if not digest:
        raise Failed(
            f"The record names {recorded[:200]} for {service}, which is no digest: it cannot be deployed again as it was.",
            cause="It was recorded by an engine whose images are ids of its own.",
        )
    try:
        # A bare digest reads like a repository `sha256` with a tag.
        repository = reference(wanted or ("" if recorded == digest else recorded)).repository
    except NotUnderstood:
        raise UnusableInput(
            f"Where the image of {service} is kept is not known: the record has its digest alone.",
            fix=f"    with:\n      services: |\n        {service}=ghcr.io/org/{service}",
        ) from None
    return f"{repository}@{digest}"
