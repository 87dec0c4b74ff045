"""Builds the model: follows calls and composite actions, and reads what each step runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from cicd_actions.pipeline_audit import dispatches, known_actions, workspaces
from cicd_actions.pipeline_audit.commands import effects_of, gitops, shown
from cicd_actions.pipeline_audit.effects import GITOPS, Effect, Kind, Platform
from cicd_actions.pipeline_audit.lookalikes import settle
from cicd_actions.pipeline_audit.model import Group, JobRun, Pipeline, StepRun
from cicd_actions.pipeline_audit.repository import Repository, vendored
from cicd_actions.pipeline_audit.shell import WORKSPACE, Command, commands
from cicd_actions.toolkit.yaml12 import Mapping, Node, Scalar, Sequence
from cicd_actions.workflows.calls import DEEPEST, Call, called, environments, scopes, with_env
from cicd_actions.workflows.files import File, Job, Step, scalar_text
from cicd_actions.workflows.inspection import Inspection
from cicd_actions.workflows.place import Place
from cicd_actions.workflows.values import Known, Value, possible

WORKFLOWS = re.compile(r"\.github/workflows/[^/]+\.ya?ml|(?:[^/]+/)*action\.ya?ml")
"""Workflows, and the metadata of actions anywhere."""


MOST_JOBS = 20_000
"""Jobs that are followed, calls included: a workflow that calls itself in circles is stopped by the depth, not by this."""


def build(repository: Repository) -> Pipeline:
    """Returns the model of a checkout."""
    files = repository.files
    paths = [path for path in repository.tree.paths if WORKFLOWS.fullmatch(path) and not vendored(path)]
    inspections = {path: one for path in paths if (one := files(path)) is not None}
    pipeline = Pipeline(repository, inspections)
    for one in inspections.values():
        if one.file.kind == "workflow" and one.file.starts_itself:
            _Expansion(pipeline, one.file).workflow(Call(one.file), [], [], [])
    followed = {job.file.path for job in pipeline.jobs}
    calls = {
        path
        for one in inspections.values()
        for job in one.file.jobs.values()
        if job.uses and (path := files.path_of(job.uses, one.file.path)) and path != one.file.path
    }
    # A workflow that is only called is read by itself too, unless a caller of this repository leads into it.
    for one in inspections.values():
        if one.file.kind == "workflow" and not one.file.starts_itself and one.file.path not in followed | calls:
            _Expansion(pipeline, one.file).workflow(Call(one.file, interface=True), [], [], [])
    dispatches.resolve(pipeline)
    return pipeline


@dataclass
class _Expansion:
    pipeline: Pipeline
    entry: File

    def workflow(
        self, call: Call, needs: list[JobRun], groups: list[Group], conditions: list[str], caller: Job | None = None
    ) -> list[JobRun]:
        """Adds the jobs of a workflow in this call; returns them."""
        file = call.file
        groups = [*groups, *_groups(file, file.document.root, "workflow")]
        made: dict[str, list[JobRun]] = {}
        order = list(file.jobs.values())
        pending = [(job, _names(job.node.get("needs"))) for job in order]
        while pending:
            ready = [(job, names) for job, names in pending if all(name in made or name not in file.jobs for name in names)]
            # A circle is refused by GitHub; here it only must end.
            ready = ready or pending[:1]
            for job, names in ready:
                before = [run for name in names for run in made.get(name, [])] or list(needs)
                made[job.id] = self._job(call, job, before, groups, conditions, caller)
            done = {job.id for job, _ in ready}
            pending = [(job, names) for job, names in pending if job.id not in done]
        return [run for runs in made.values() for run in runs]

    def _job(
        self, call: Call, job: Job, needs: list[JobRun], groups: list[Group], conditions: list[str], caller: Job | None
    ) -> list[JobRun]:
        found = scopes(call, job)
        named = environments(found)
        own = [*groups, *_groups(call.file, job.node, "job")]
        texts = [*conditions, scalar_text(job.node.get("if"))]
        known = _merged([scope.known for scope in found])
        run = JobRun(
            self.entry,
            call.file,
            job,
            call,
            known,
            named,
            own,
            needs=needs,
            conditions=[text for text in texts if text],
            caller=caller,
        )
        if len(self.pipeline.jobs) >= MOST_JOBS:
            return []
        if not job.uses:
            run.steps = list(_steps(self.pipeline.repository, call.file, job, job.steps, known, (), 0))
            settle(run)
            self.pipeline.jobs.append(run)
            return [run]
        place = Place(call.file.path, job.line)
        path = self.pipeline.repository.files.path_of(job.uses, call.file.path)
        target = self.pipeline.repository.files(path) if path and len(call.via) < DEEPEST else None
        caller_inspection = self.pipeline.repository.files(call.file.path)
        if target is None or caller_inspection is None:
            run.effects_unread = list(_unread_call(job.uses, place))
            if not known_actions.our_workflow(job.uses):
                self.pipeline.unread.append((place, f"the called workflow `{job.uses}` could not be read"))
            self.pipeline.jobs.append(run)
            return [run]
        inner = called(call, job, target.file, caller_inspection)
        runs = self.workflow(inner, needs, own, run.conditions, job)
        return runs or [run]


def _unread_call(uses: str, place: Place) -> Iterator[Effect]:
    known = list(known_actions.workflow_effects(uses))
    for effect in known:
        yield effect.at(place)
    if not known and re.search(r"deploy|rollout|release-to", uses, re.IGNORECASE):
        yield Effect(Kind.DEPLOY, "a called workflow", place, shown(uses), Platform("a called workflow"), sure=False)


def _names(node: Node | None) -> list[str]:
    if isinstance(node, Sequence):
        return [scalar_text(item) for item in node.items]
    text = scalar_text(node)
    return [text] if text else []


def _merged(known: list[Known]) -> Known:
    """The values of all combinations together."""
    if len(known) == 1:
        return known[0]
    found: dict[str, frozenset[Value] | None] = {}
    for one in known:
        for path, values in one.items():
            before = found.get(path, frozenset())
            found[path] = None if before is None or values is None else before | values
    return found


def _groups(file: File, node: Node | None, level: str) -> list[Group]:
    found = node.get("concurrency") if isinstance(node, Mapping) else None
    if isinstance(found, Scalar):
        return [Group(found.text, "", False, Place(file.path, found.line), level)]
    if not isinstance(found, Mapping):
        return []
    cancels = scalar_text(found.get("cancel-in-progress")).strip()
    queues = scalar_text(found.get("queue")) == "max"
    name = scalar_text(found.get("group"))
    key = node.key("concurrency") if isinstance(node, Mapping) else None
    place = Place(file.path, key.line if key else found.line)
    return [Group(name, "" if cancels == "false" else cancels, queues, place, level)] if name else []


def filled(text: str, known: Known) -> str:
    """Returns a text with its expressions replaced, where there is one value; otherwise as it is written."""
    if "${{" not in text:
        return text
    values = possible(text, known)
    return next(iter(values)) if values is not None and len(values) == 1 else text


def _steps(
    repository: Repository, file: File, job: Job, steps: list[Step], known: Known, via: tuple[Place, ...], depth: int
) -> Iterator[StepRun]:
    folder = _default_folder(file, job)
    outer = with_env(known, file, job, None) if depth == 0 else known
    for step in steps:
        place = Place(file.path, step.node.line)
        # Nearly no step has variables: what is known of the job is then known of the step.
        inner = with_env(known, file, job, step) if depth == 0 and step.node.get("env") is not None else outer
        uses = step.uses.strip()
        given_node = step.node.get("with")
        given = {
            key.text.lower(): filled(scalar_text(value), inner)
            for key, value in (given_node.entries if isinstance(given_node, Mapping) else ())
        }
        condition = scalar_text(step.node.get("if"))
        composite = _composite(repository, uses, file.path, given) if uses and depth < DEEPEST else None
        if composite is not None and composite.file.composite and not known_actions.ours(uses):
            handed: dict[str, frozenset[Value] | None] = {
                f"inputs.{name}": None if declared.default is None else frozenset({declared.default})
                for name, declared in composite.file.inputs.items()
            }
            handed |= {f"inputs.{name}": None if "${{" in value else frozenset({value}) for name, value in given.items()}
            for one in _steps(repository, composite.file, job, composite.file.steps, handed, (*via, place), depth + 1):
                one.condition = " && ".join(text for text in (condition, one.condition) if text)
                yield one
            continue
        run = StepRun(step, place, via, uses, given, condition=condition)
        if uses:
            key = step.node.key("uses")
            at = Place(file.path, key.line if key else step.node.line)
            run.effects += [effect.at(at) for effect in known_actions.effects_of(uses, given)]
            _remote_script(run, repository, file, given_node)
        script = step.node.get("run")
        if isinstance(script, Scalar):
            text = filled(script.text, inner)
            first = script.line + (1 if script.style in {"|", ">"} else 0)
            own = scalar_text(step.node.get("working-directory")) or folder
            _add(run, repository, commands(text), Place(file.path, first), own)
            _tag_facts(run, inner)
        if run.effects and run.tolerated:
            run.effects = [effect.but(tolerated=True) for effect in run.effects]
        yield run


_PINNED = re.compile(r"([\w.-]+/[\w.-]+)((?:/[\w.-]+)*)@([0-9a-f]{40})")


def _composite(repository: Repository, uses: str, caller: str, given: dict[str, str]) -> Inspection | None:
    """Returns the metadata of a local action, or of another repository's that is pinned, unknown here, and can be fetched."""
    if uses.startswith(("./", "$/")):
        return repository.files.action(uses, caller)
    pinned = _PINNED.fullmatch(uses)
    if pinned is None or repository.fetch is None or any(known_actions.effects_of(uses, given)):
        return None
    if pinned[1].partition("/")[0] in {"actions", "github"}:
        return None
    names = (f"{pinned[1]}{pinned[2]}/{name}@{pinned[3]}" for name in ("action.yml", "action.yaml"))
    return next((found for name in names if (found := repository.files(name)) is not None), None)


def _default_folder(file: File, job: Job) -> str:
    for node in (job.node, file.document.root):
        defaults = node.get("defaults") if isinstance(node, Mapping) else None
        inner = defaults.get("run") if isinstance(defaults, Mapping) else None
        folder = scalar_text(inner.get("working-directory")) if isinstance(inner, Mapping) else ""
        if folder:
            return folder
    return ""


def _tag_facts(run: StepRun, known: Known) -> None:
    """Replaces shell variables in image references by what `env:` says of them."""
    for index, effect in enumerate(run.effects):
        if any("$" in image for image in effect.images):
            images = tuple(_expanded(image, known) for image in effect.images)
            run.effects[index] = effect.but(images=images)


_VARIABLE = re.compile(r"\$\{?([A-Za-z_]\w*)\}?")


def _expanded(image: str, known: Known) -> str:
    def value(match: re.Match[str]) -> str:
        values = known.get(f"env.{match[1].lower()}")
        only = next(iter(values)) if values is not None and len(values) == 1 else None
        return only if isinstance(only, str) else match[0]

    return _VARIABLE.sub(value, image)


_SSH_ACTIONS = {
    "appleboy/ssh-action",
    "appleboy/ssh-remote-action",
    "garygrossgarten/github-action-ssh",
    "fifsky/ssh-action",
    "cross-the-world/ssh-pipeline",
    "cross-the-world/ssh-scp-ssh-pipelines",
    "d3rhase/ssh-command-action",
}


_SCRIPT_INPUTS = ("script", "scripts", "command", "commands", "run", "runcmd", "cmd", "inlinescript")
"""Inputs in which actions that this audit does not know take a shell script."""

_ARGS_ACTIONS = {
    "kodermax/kubectl-aws-eks": "kubectl ",
    "actions-hub/kubectl": "kubectl ",
    "steebchen/kubectl": "kubectl ",
    "wahyd4/kubectl-helm-action": "",
    "azure/cli": "",
    "appleboy/kubernetes-action": "kubectl ",
}


def _remote_script(run: StepRun, repository: Repository, file: File, given: Node | None) -> None:
    """Reads the script that an SSH action runs on a server, or the words that a wrapper gives to a program."""
    name = known_actions.name_of(run.uses)
    if not isinstance(given, Mapping):
        return
    program = _ARGS_ACTIONS.get(name)
    remote = name in _SSH_ACTIONS
    keys: tuple[str, ...] = _SCRIPT_INPUTS
    if remote:
        keys = ("script", "command", "script_file", "run")
    elif program is not None:
        keys = ("args", "inlinescript", "command")
    elif run.effects or name.startswith("actions/"):
        return
    for key, value in given.entries:
        if key.text.lower() in keys and isinstance(value, Scalar):
            first = value.line + (1 if value.style in {"|", ">"} else 0)
            text = (program or "") + value.text
            found = [replace(command, remote=command.remote or remote) for command in commands(text)]
            _add(run, repository, found, Place(file.path, first), "")


def _add(run: StepRun, repository: Repository, found: list[Command], start: Place, folder: str) -> None:
    """Adds commands with their effects, and those of the scripts that they start, one level deep."""
    prepared = False
    for command in found:
        place = Place(start.file, start.line + command.line)
        run.commands.append((command, place))
        if command.program == "kubectl":
            if "--dry-run" in command.text:
                prepared = True
                continue
            if prepared and command.text.endswith("-f -"):
                continue
        run.effects += [effect.at(place) for effect in effects_of(command)]
        for inner, at in _started(repository, command, folder):
            run.commands.append((inner, at))
            run.effects += [effect.at(at) for effect in effects_of(replace(inner, remote=inner.remote or command.remote))]
    writes = gitops(found)
    if writes is not None:
        place = Place(start.file, start.line + writes.line)
        images = tuple(word.partition("=")[2] for word in writes.words if "=" in word)
        run.effects.append(
            Effect(Kind.DEPLOY, GITOPS.name, place, shown(writes.text), GITOPS, images, writes.words, rolls_back=True)
        )


_RUNNERS = {
    "make": (Repository.make_target, ("-C", "--directory")),
    "task": (Repository.task, ("-d", "--dir")),
    "go-task": (Repository.task, ("-d", "--dir")),
    "just": (Repository.recipe, ("-d", "--working-directory")),
}
"""Programs that start what a file names, with the options that say in which folder."""


def _started(repository: Repository, command: Command, folder: str) -> Iterator[tuple[Command, Place]]:
    """The commands of a script of the repository that a command starts, each with its place."""
    prefix = "" if folder in {"", ".", "./"} or "$" in folder else folder.strip("/").removeprefix("./") + "/"
    words = command.words
    name = words[0]
    if command.program in {"bash", "sh", "source", ".", "zsh"}:
        name = next((word for word in words[1:] if not word.startswith("-")), "")
    if "/" in name or name.endswith(".sh"):
        path = prefix + name.removeprefix("./")
        for inner in repository.script(path):
            yield inner, Place(path, inner.line + 1)
    elif command.program in _RUNNERS:
        named, options = _RUNNERS[command.program]
        where = _folder_of(command, prefix, *options)
        for target in _targets(words):
            path, found = named(repository, target, where)
            for inner in found:
                yield inner, Place(path, inner.line + 1)
    elif command.program in workspaces.MANAGERS and command.wrapper != WORKSPACE:
        member = workspaces.member(words)
        script = next((word for word in member.words[1:] if word not in {"run", "run-script"} and not word.startswith("-")), "")
        if script and script not in {"install", "ci", "add", "exec", "dlx"}:
            where = f"{prefix}{member.folder}/" if member.folder else repository.package(member.name) if member.name else prefix
            path, line, found = repository.package_script(script, where)
            for inner in found:
                yield inner, Place(path, line)


def _folder_of(command: Command, prefix: str, *options: str) -> str:
    own = command.option(*options)
    return f"{own.strip('/')}/" if own else prefix


def _targets(words: tuple[str, ...]) -> list[str]:
    """The targets that a task runner is given: neither options, nor variables, nor what stands after `--`."""
    own = words[1 : words.index("--")] if "--" in words else words[1:]
    return [word for word in own if not word.startswith("-") and "=" not in word][:5]
