"""Explains what Django alone can fail at: its graph of migrations, squashes, and the receivers of its signals."""

from __future__ import annotations

from cicd_actions.run_migrations_oneshot.inputs import Inputs
from cicd_actions.run_migrations_oneshot.progress import Progress, objects, text, texts
from cicd_actions.run_migrations_oneshot.sentences import Explanation, first_line, removed_files


def history(progress: Progress, _inputs: Inputs) -> Explanation:
    return Explanation(
        f"The database's history contradicts the image's migrations: {first_line(progress.problem.text)}",
        "A migration that was applied got a new dependency afterwards, was renamed, or the user model was replaced after the"
        " first migration. Django refuses to guess.",
        "Restore the file as it was when it was applied, and declare the new dependency in a new migration:\n\n"
        "    git log --patch -- APP/migrations/NAME.py",
    )


def squash(progress: Progress, _inputs: Inputs) -> Explanation:
    found = objects(progress.fields, "squashes")
    names = ", ".join(text(one, "revision") for one in found)
    missing = list(dict.fromkeys(name for one in found for name in texts(one, "missing")))
    command = removed_files(*(f"*/{name.partition('.')[2]}.py" for name in missing))
    return Explanation(
        f"The squash {names} is half applied: the database lacks {', '.join(missing)}, and the image has no file of it.",
        "Django leaves a squash out until all of what it replaces is applied, or none is. Without the replaced files, it would"
        " skip what is missing and report success.",
        f"Restore the files, deploy, and remove them in a release after every database has applied them:\n\n{command}",
    )


def squash_twice(progress: Progress, _inputs: Inputs) -> Explanation:
    revision, other = text(progress.fields, "revision"), text(progress.fields, "other")
    return Explanation(
        f"{revision} replaces {other}, which is a squash itself. Before version 6.0, Django cannot use them together.",
        "It takes squashes in the order of a set, and fails in about half of its starts.",
        f"Make {other} an ordinary migration first: remove its `replaces` and the files that it replaces in one release, and"
        " squash again in a later one.",
    )


def dependency(progress: Progress, _inputs: Inputs) -> Explanation:
    missing = text(progress.fields, "missing")
    name = missing.partition(".")[2]
    return Explanation(
        f"A migration depends on {missing}, which the image does not have: {first_line(progress.problem.text)}",
        "The file was never committed, was renamed or removed, or belongs to an app under another label. A squash stands for"
        " what it replaces only while all of that is applied, or none is.",
        "Restore the file, or let `dependencies` name a migration that exists, such as the squash:\n\n"
        f"{removed_files(f'*/{name}.py')}",
    )


def circle(progress: Progress, _inputs: Inputs) -> Explanation:
    return Explanation(
        f"Migrations depend on each other in a circle: {first_line(progress.problem.text)}.",
        "A squash has the dependencies of everything that it replaces, so two apps may now wait for each other.",
        "Squash only up to the migration that another app needs, or move the foreign key into a later migration.",
    )


def receiver(progress: Progress, _inputs: Inputs) -> Explanation:
    found = progress.problem
    return Explanation(
        f"Every migration is applied, but a receiver of Django's `post_migrate` failed: {found.kind}: {first_line(found.text)}",
        "Django creates permissions and content types there, and applications add their data.",
        "Fix the receiver, and run this again: it does not repeat the migrations, and calls the receivers again.",
    )
