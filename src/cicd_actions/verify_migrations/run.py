"""verify-migrations: runs the new migrations on a scratch PostgreSQL, and the running release's statements on the result."""

from __future__ import annotations

import datetime as dt
from contextlib import AbstractContextManager
from pathlib import Path

from cicd_actions.toolkit.errors import Inconclusive, UnusableInput
from cicd_actions.toolkit.report import Report
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.verify_migrations import judgement, mysql, project, reporting, sqlite
from cicd_actions.verify_migrations.action import ACTION
from cicd_actions.verify_migrations.inputs import Inputs
from cicd_actions.verify_migrations.project import Programs
from cicd_actions.verify_migrations.rules import RULES
from cicd_actions.verify_migrations.server import Server, scratch
from cicd_actions.verify_migrations.verification import Verification
from cicd_actions.verify_migrations.wire import Address
from cicd_actions.verify_openapi_client import acknowledge, base, repository


def run(inputs: Inputs, runtime: Runtime) -> Report:
    """Checks the new migrations. Raises `UnusableInput`, and `Inconclusive` where the check itself could not work."""
    deadline = runtime.deadline(inputs.timeout)
    folder = runtime.workspace / inputs.working_directory
    if not folder.is_dir():
        raise UnusableInput(
            f"The folder {inputs.working_directory} of the input `working-directory` does not exist.",
            cause=f"It is taken from {runtime.workspace}.",
        )
    _check(inputs)
    path = runtime.place(inputs.report, input="report") if inputs.report else None
    accepted = acknowledge.load(folder / inputs.acknowledge, inputs.acknowledge) if inputs.acknowledge else []
    sizes = project.sizes(folder / inputs.table_sizes, inputs.table_sizes) if inputs.table_sizes else {}
    url = _url(inputs, runtime)
    repo = repository.find(folder, runtime.variables)
    found = base.of_reference(repo, inputs.base_ref) if inputs.base_ref else base.of_event(repo, runtime.variables)
    if not found.commit:
        raise Inconclusive(
            f"There is no base to compare with: {found.missing}.",
            fix=found.fix.replace("\n    # base-missing: this workflow does not compare", "") or "    base-ref: origin/main",
        )
    with project.scratch_folder(runtime) as temporary, _server(url, inputs, runtime, Path(temporary)) as server:
        here = Path(temporary)
        verification = Verification(
            inputs=inputs,
            runtime=runtime,
            repo=repo,
            server=server,
            programs=Programs(inputs, runtime, deadline, here),
            head=project.head_tree(repo, folder),
            base=project.base_tree(repo, found.commit, folder, inputs, here),
            commit=found.commit,
        )
        evidence = verification.run()
    judged = judgement.judge(
        evidence,
        f"{found.origin}, {found.commit[:12]}",
        fail_on=inputs.fail_on,
        settings=inputs.rules,
        acknowledged=accepted,
        sizes=sizes,
        today=dt.datetime.fromtimestamp(runtime.wall(), dt.timezone.utc).date(),
    )
    return reporting.report(ACTION.name, judged, inputs, runtime, path)


def _check(inputs: Inputs) -> None:
    for each in inputs.rules:
        if "*" not in each.rule and each.rule not in RULES:
            raise UnusableInput(
                f"The input `rules` names the rule `{each.rule}`, which does not exist.",
                fix="    rules: |\n      blocking-index-drop at audit_log: warn",
            )


def _url(inputs: Inputs, runtime: Runtime) -> str:
    name = inputs.database_url_variable
    url = runtime.variables.get(name, "").strip()
    if not url:
        raise UnusableInput(
            f"The variable {name} is not set.",
            cause="It holds the address of the lane's own PostgreSQL.",
            fix=f"    env:\n      {name}: postgresql://postgres:postgres@localhost:5432/app",
        )
    return url


def _server(url: str, inputs: Inputs, runtime: Runtime, here: Path) -> AbstractContextManager[Server]:
    if url.startswith("sqlite"):
        folder = here / "databases"
        folder.mkdir()
        return sqlite.scratch(url, folder)
    if url.startswith(mysql.SCHEMES):
        return mysql.scratch(url, runtime.redactor, allow_other_data=inputs.allow_other_data)
    address = Address.of(url, inputs.database_url_variable)
    runtime.redactor.add(address.password)
    return scratch(address, allow_other_data=inputs.allow_other_data)
