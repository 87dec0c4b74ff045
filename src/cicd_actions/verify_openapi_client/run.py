"""verify-openapi-client: generates the client in a copy, compares it with the one in git, and says what the change breaks."""

from __future__ import annotations

import datetime as dt
import os
import shlex
import tempfile
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path

from cicd_actions.toolkit import process
from cicd_actions.toolkit.background import Background
from cicd_actions.toolkit.deadline import Deadline
from cicd_actions.toolkit.errors import Failed, UnusableInput
from cicd_actions.toolkit.report import Report
from cicd_actions.toolkit.runtime import Runtime
from cicd_actions.verify_openapi_client import (
    acknowledge,
    base,
    client,
    comparison,
    drift,
    evidence,
    generation,
    judgement,
    repository,
    specification,
)
from cicd_actions.verify_openapi_client.inputs import Inputs
from cicd_actions.verify_openapi_client.reporting import files
from cicd_actions.verify_openapi_client.repository import Repository
from cicd_actions.verify_openapi_client.shadow import Shadow, shadow
from cicd_actions.verify_openapi_client.specification import Specification

NAME = "verify-openapi-client"


def run(inputs: Inputs, runtime: Runtime) -> Report:
    """Checks the client. Raises `UnusableInput`, and `Failed` where nothing could be generated."""
    deadline = runtime.deadline(inputs.timeout)
    folder = _folder(inputs, runtime)
    repo = repository.find(folder, runtime.variables)
    paths = client.tracked(repo, folder, inputs.client_path)
    accepted = acknowledge.load(folder / inputs.acknowledge, inputs.acknowledge) if inputs.acknowledge else []
    base.check(inputs)
    spec = specification.load(folder / inputs.spec, input="spec", name=inputs.spec) if inputs.spec else None
    results = _results(runtime)
    with shadow(repo, _scratch(repo, runtime)) as copy:
        where = os.path.relpath(folder.resolve(), repo.root)
        if spec is None:
            spec_path, spec = _exported(copy, inputs, where, runtime, deadline)
        else:
            spec_path = _seen_from(copy, repo, folder / inputs.spec, folder)
        compare = partial(_compared, inputs, repo, folder, spec, runtime)
        comparing = cache(lambda: Background(compare))
        generator = _generator(inputs, where, paths, spec_path, runtime, deadline, comparing)
        found = drift.find(copy, repo, generator)
        seen = evidence.look(found, repo, copy, where, inputs, spec)
        fixed = drift.write(copy, repo, found) if inputs.fix and found and not found.unstable else []
    compared, spec_file = comparing().result()
    judged = judgement.Judgement(
        drift=found,
        causes=seen.causes,
        touched=seen.touched,
        first_line=seen.first_line,
        client=paths,
        fix_command=_fix_command(inputs, where),
        fixed=fixed,
        compared=compared,
        acknowledged=accepted,
        acknowledge_file=(repo.relative(folder / inputs.acknowledge) or "") if inputs.acknowledge else "",
        today=dt.datetime.fromtimestamp(runtime.wall(), dt.timezone.utc).date(),
        fail_on=inputs.fail_on,
        rules=inputs.rules,
        spec_file=spec_file,
        lines=evidence.lines(spec, spec_file, compared),
    )
    return files.report(NAME, judged, inputs, runtime, results)


def _compared(
    inputs: Inputs, repo: Repository, folder: Path, spec: Specification, runtime: Runtime
) -> tuple[judgement.Compared, str]:
    """Compares the documents, and finds the path of `spec` in git, while the generator runs."""
    compared = comparison.compare(inputs, repo, folder, spec, runtime.variables)
    return compared, repo.tracked(folder / inputs.spec) if inputs.spec else ""


def _folder(inputs: Inputs, runtime: Runtime) -> Path:
    if bool(inputs.spec) == bool(inputs.spec_command):
        what = "Both `spec` and `spec-command` are set" if inputs.spec else "Neither `spec` nor `spec-command` is set"
        raise UnusableInput(f"{what}. Set one of them.", fix="    spec: ../api/openapi.json")
    folder = runtime.workspace / inputs.working_directory
    if not folder.is_dir():
        raise UnusableInput(
            f"The folder {inputs.working_directory} of the input `working-directory` does not exist.",
            cause=f"It is taken from {runtime.workspace}.",
        )
    return folder


def _scratch(repo: Repository, runtime: Runtime) -> Path | None:
    """The runner's temporary folder, unless it lies in the repository; else the system's."""
    path = runtime.variables.get("RUNNER_TEMP")
    return Path(path) if path and Path(path).is_dir() and repo.relative(Path(path)) is None else None


def _results(runtime: Runtime) -> Path:
    """A folder for the files that the outputs name; later steps of the job may read them."""
    path = runtime.variables.get("RUNNER_TEMP")
    return Path(tempfile.mkdtemp(prefix="verify-openapi-client-", dir=path if path and Path(path).is_dir() else None))


def _exported(copy: Shadow, inputs: Inputs, where: str, runtime: Runtime, deadline: Deadline) -> tuple[str, Specification]:
    """Exports the document in the copy. Returns its path there, and what it holds."""
    target = copy.folder / "openapi.json"
    words = inputs.spec_command or ()
    to_file = any("{spec}" in word for word in words)
    filled = process.filled(words, {"spec": str(target)})
    done = generation.run(copy, filled, "spec-command", where, runtime, deadline, quiet=not to_file)
    if to_file and not target.is_file():
        raise Failed(
            "The command of `spec-command` succeeded but did not write the OpenAPI document.",
            cause=f"The word `{{spec}}` stands for {target}, and that file does not exist.",
        )
    if not to_file:
        if done.cut:
            raise Failed(
                "The document on the output of `spec-command` is too long.",
                fix="Write it to a file:\n\n    spec-command: python scripts/export_openapi.py {spec}",
            )
        target.write_text(done.stdout, encoding="utf-8")
    found = specification.load(target, input="spec-command", name="the exported document")
    return str(target), found


def _seen_from(copy: Shadow, repo: Repository, path: Path, folder: Path) -> str:
    """The document as the generator is given it: by the same words as in the work tree where it lies in there."""
    name = repo.relative(path)
    if name is None:
        return str(path.resolve())
    if not (copy.tree / name).is_file():  # in a folder that is not copied
        (copy.tree / name).parent.mkdir(parents=True, exist_ok=True)
        (copy.tree / name).write_bytes(path.read_bytes())
    return os.path.relpath(repo.root / name, folder.resolve())


def _generator(
    inputs: Inputs,
    where: str,
    paths: Sequence[str],
    spec: str,
    runtime: Runtime,
    deadline: Deadline,
    beside: Callable[[], object],
) -> generation.Generator:
    clients = [os.path.relpath(path, where) for path in paths]
    if len(clients) > 1 and any("{client}" in word for word in inputs.generate_command):
        raise UnusableInput(
            "`generate-command` has `{client}`, but there are several client paths, so it is unclear which one is meant.",
            fix="Write the paths:\n\n    generate-command: pnpm exec openapi-ts -i {spec} -o src/api",
        )
    values = {"spec": spec, "client": clients[0]}
    return generation.Generator(
        generate=process.filled(inputs.generate_command, values),
        format=_format(inputs, values, clients),
        folder=where,
        client=paths,
        runtime=runtime,
        deadline=deadline,
        beside=beside,
    )


def _format(inputs: Inputs, values: dict[str, str], clients: Sequence[str]) -> tuple[str, ...]:
    words: list[str] = []
    for word in inputs.format_command or ():
        words += clients if word == "{client}" else process.filled([word], values)
    return tuple(words)


_SHOWN_SPEC = "/tmp/openapi.json"  # noqa: S108 - written into a command for a person, never opened


def _fix_command(inputs: Inputs, where: str) -> str:
    """Returns the one command that brings the client up to date, from the repository's root."""
    spec = _SHOWN_SPEC if inputs.export_hint else inputs.spec or "openapi.json"
    values = {"spec": spec, "client": inputs.client_path[0]}
    texts = [shlex.join(process.filled(inputs.generate_command, values))]
    if inputs.spec_command:
        export = shlex.join(process.filled(inputs.spec_command, values))
        to_file = any("{spec}" in word for word in inputs.spec_command)
        texts.insert(0, export if to_file else f"{export} > {shlex.quote(spec)}")
    if inputs.format_command:
        texts.append(shlex.join(_format(inputs, values, inputs.client_path)))
    text = " && ".join(texts)
    inside = text if where == "." else f"(cd {shlex.quote(where)} && {text})"
    return f"{inputs.export_hint.replace('{spec}', spec)} && {inside}" if inputs.export_hint else inside
