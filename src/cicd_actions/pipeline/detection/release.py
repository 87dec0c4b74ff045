"""What is released: services and environments, from compose files and the workflows that stand."""

from __future__ import annotations

import posixpath
import re

from cicd_actions.pipeline.detection import compose, images
from cicd_actions.pipeline.detection.model import Found, Guess, Repository, folders, inside, named, shown
from cicd_actions.pipeline.detection.standing import Standing

_ENVIRONMENT = re.compile(r"(?:pre-?prod(?:uction)?|prod(?:uction)?|live|stag(?:e|ing)|qa|uat)", re.IGNORECASE)
_LAST = re.compile(r"^(prod|production|live)$", re.IGNORECASE)


def describe(repository: Repository, standing: Standing, found: Found) -> None:
    """Adds images and services, and the release where something tells where it runs."""
    composed = compose.services(repository)
    names = images.by_name(repository, standing, composed)
    for name, image in names.items():
        found.images[name] = images.entry(repository, found, name, image)
    _services(repository, found, names, composed)
    if found.services:
        _release(repository, standing, found, names, composed)
    stacks = folders(repository.own, r"[\w-]+\.tf|Pulumi\.yaml")
    if stacks:
        said = "holds infrastructure as code: `infrastructure` plans and applies it with a release"
        found.unknown.append(f"{shown(stacks[0])} {said}.")


def _services(repository: Repository, found: Found, names: dict[str, images.Image], composed: list[compose.Service]) -> None:
    files = {each.file for each in composed if images.image_of(each, names, repository)}
    chosen = next((path for path in compose.files(repository) if path in files), "")
    for each in composed:
        image = images.image_of(each, names, repository)
        if each.file != chosen or not image or each.once or images.MIGRATES.search(each.command):
            continue
        if each.profiles and not any(map(compose.for_real, each.profiles)):
            asked = ", ".join(each.profiles)
            found.unknown.append(
                f"{each.name} of {each.file} starts only with the profile {asked}: add it where a release has it."
            )
            continue
        name = named(each.name, image)
        entry = {"image": Guess(image, f"{each.file} runs it")}
        checked = compose.path_of(" ".join(re.findall(r"(?im)^HEALTHCHECK\s.*", repository.read(names[image].dockerfile))))
        if each.health:
            entry["health"] = Guess({"path": each.health}, f"the health check of {each.file}")
        elif checked and not each.command:
            entry["health"] = Guess({"path": checked}, f"the health check of {names[image].dockerfile}")
        elif each.ports:
            entry["health"] = Guess({"path": "/"}, "it has a port; name the path that answers once it is ready")
        found.services[name] = entry
    if not found.services:
        for name, built in names.items():
            entry = {"image": Guess(name, "one service for each image: no compose file tells more")}
            text = repository.read(built.dockerfile)
            checked = compose.path_of(" ".join(re.findall(r"(?im)^HEALTHCHECK\s.*", text)))
            if checked:
                entry["health"] = Guess({"path": checked}, f"the health check of {built.dockerfile}")
            elif re.search(r"(?im)^EXPOSE\s", text):
                entry["health"] = Guess({"path": "/"}, "it has a port; name the path that answers once it is ready")
            found.services[name] = entry


_WHERE = (
    # (what shows it, the engine, what to say)
    (r"docker stack deploy", "swarm"),
    (r"\bssh\b.*docker[ -]compose|DOCKER_HOST[=:]\s*\"?ssh://", "compose over ssh"),
    (r"\b(kubectl (apply|set image|rollout)|helm upgrade|kustomize)\b", "kubernetes"),
    (r"\bflyctl? deploy\b", "Fly"),
    (r"\baws ecs\b|amazon-ecs-deploy-task-definition", "ECS"),
    (r"\bgcloud run deploy\b", "Cloud Run"),
    (r"\b(vercel|railway)\b.*(deploy|up)\b", "a platform's command line"),
    (r"docker[ -]compose .*\bup\b", "docker"),
)


def _where(standing: Standing) -> tuple[str, str, dict[tuple[str, ...], str]]:
    """Returns the engine that fits what the workflows do, why, and the self-hosted runners that deploy, with their files."""
    for pattern, where in _WHERE:
        # A test that starts its services does not deploy.
        fits = [
            (line, file, runner)
            for line, file, runner in standing.deploys
            if re.search(pattern, line) and (where != "docker" or "self-hosted" in runner)
        ]
        if fits:
            named = {runner: file for _, file, runner in reversed(fits) if "self-hosted" in runner and "${{" not in str(runner)}
            return where, f"{fits[0][1]} runs `{fits[0][0][:60]}`", named
    return "", "", {}


def _release(
    repository: Repository, standing: Standing, found: Found, names: dict[str, images.Image], composed: list[compose.Service]
) -> None:
    """Adds the release where an engine of ours fits what the workflows do today; else says what shows where it runs."""
    engine, why, runners = _where(standing)
    if engine not in {"swarm", "kubernetes", "docker"}:
        platform, file = next(iter(standing.platforms), ("", ""))
        told = f"{why}, which is {engine}" if engine else f"{file} deploys with {platform}" if platform else ""
        how = f"{told}: `engine: command` takes your own programs" if told else "nothing here tells"
        found.unknown.append(f"Where releases run: {how}. Fill in the block `release` at the end of the file.")
    else:
        found.release["engine"] = Guess(engine, why)
    if len(runners) == 1:
        found.release["runs-on"] = next(Guess(list(runner), f"{file} deploys from there") for runner, file in runners.items())
    if engine == "swarm" and (stack := re.search(r"docker stack deploy(?: -\S+ \S+)* ([\w-]+)$", why.strip("`"))):
        found.release["stack"] = Guess(stack[1], "the stack's name there")
    migrate = _migrate(repository, found, names, composed)
    if migrate:
        found.release["migrate"] = migrate
    listed = [
        name for name in standing.environments if _ENVIRONMENT.search(name) and re.fullmatch(r"[A-Za-z0-9][\w. -]*", name)
    ]
    chosen = sorted(listed, key=lambda name: bool(_LAST.match(name)))[-4:] or ["staging", "production"]
    why = "the workflows name them" if listed else "usual names"
    approved = {"approval-environment": f"{chosen[-1]}-approval"} if len(chosen) > 1 or _LAST.match(chosen[-1]) else {}
    environments: list[dict[str, object]] = [{"name": name, **(approved if name == chosen[-1] else {})} for name in chosen]
    if len(runners) > 1:
        _own_runners(found, environments, runners)
    found.release["environments"] = Guess(environments, why)
    probed = [name for name, entry in found.services.items() if "health" in entry]
    if probed:
        variables = ", ".join(f"{name.upper().replace('-', '_')}_URL" for name in probed)
        found.unknown.append(f"Where the services answer: set the variables {variables} of each environment, or `urls`.")
        found.unknown.append(
            "Whether a service says which commit it runs: add `version-from` to its `health`, or the old one passes too."
        )
    else:
        found.unknown.append("How a release shows that it is healthy: give one service `health`, or the deploy refuses.")


def _own_runners(found: Found, environments: list[dict[str, object]], runners: dict[tuple[str, ...], str]) -> None:
    """Gives each environment the runner whose labels or workflow say its name: one that reaches another would deploy there."""
    for each in environments:
        name = str(each["name"]).lower()
        fits = [
            runner for runner, file in runners.items() if name in [label.lower() for label in runner] or name in file.lower()
        ]
        if len(fits) == 1:
            each["runs-on"] = list(fits[0])
        else:
            listed = "; ".join(", ".join(runner) for runner in runners)
            found.unknown.append(f"Which runner reaches the environment {each['name']} ({listed}): write its `runs-on`.")


def _migrate(
    repository: Repository, found: Found, names: dict[str, images.Image], composed: list[compose.Service]
) -> Guess | None:
    """Returns how the database is migrated, from a lane's preparation or a compose file's one-shot service."""
    for lane in found.lanes.values():
        if "prepare" in lane:
            command = re.sub(
                r"^(?:(?:uv|poetry|pdm) run (?:--frozen )?|python -m (?=alembic))", "", str(lane["prepare"].value[0])
            )
            folder = str(lane["directory"].value)
            image = next((name for name, each in names.items() if inside(each.dockerfile, folder)), next(iter(names)))
            service = next((name for name, entry in found.services.items() if entry["image"].value == image), "")
            if not service:
                continue
            value = {"service": service, "command": command}
            if "alembic" not in command:
                value["schema-command"] = ""
            return Guess(value, f"{lane['prepare'].why}; look whether the command is right inside the image")
    for each in composed:
        image = images.image_of(each, names, repository)
        service = next((name for name, entry in found.services.items() if entry["image"].value == image), "")
        if service and images.MIGRATES.search(each.command):
            schema = {} if "alembic" in each.command else {"schema-command": ""}
            return Guess({"service": service, "command": each.command, **schema}, f"the service {each.name} of {each.file}")
    for path in [name for name in repository.own if posixpath.basename(name) == "package.json"]:
        script = re.search(r"\"(migrations?:run|db:migrate|migrate:deploy|migrate)\"\s*:", repository.read(path))
        if script:
            value = {"service": next(iter(found.services)), "command": f"npm run {script[1]}", "schema-command": ""}
            return Guess(value, f"scripts.{script[1]} of {path}; look whether the image has it")
    schemas = [name for name in repository.own if name.endswith("schema.prisma")]
    if schemas and found.services:
        command = f"npx prisma migrate deploy --schema {schemas[0]}"
        service = next(iter(found.services))
        return Guess({"service": service, "command": command, "schema-command": ""}, f"{schemas[0]} exists; look at the path")
    return None


def flags(repository: Repository, found: Found) -> None:
    """Adds what a person should look at before anything is deployed."""
    for path in repository.own:
        base, text = posixpath.basename(path), ""
        if path in set(compose.files(repository)):
            text = repository.read(path)
            if re.search(r"image:\s*['\"]?\S+:(?:\$\{\w+:?-)?latest\b", text):
                found.flags.append(f"{path} runs an image tagged `latest`: its commit does not show what runs.")
        elif base.endswith((".sh", ".Dockerfile")) or base in {"Dockerfile", "Procfile"}:
            found_line = next((line for line in repository.read(path).splitlines() if images.MIGRATES.search(line)), "")
            if found_line and not (base == "Procfile" and found_line.startswith("release:")):
                found.flags.append(
                    f"{path} migrates the database at start: two replicas would race. Let `release.migrate` do it once."
                )
        elif re.fullmatch(r"\.github/workflows/[^/]+\.ya?ml", path):
            text = repository.read(path)
            if re.search(r"(?m)^[ \t]*(?:-[ \t]*)?pull_request_target\b|^[\"']?on[\"']?:.*pull_request_target", text):
                found.flags.append(f"{path} runs on pull_request_target: secrets are available to a stranger's change there.")
            if re.search(r"secrets:\s*inherit", text):
                found.flags.append(f"{path} hands over every secret (`secrets: inherit`): name them.")
            if re.search(r"git pull.*docker[ -]compose.*--build", text):
                found.flags.append(f"{path} builds on the server that it deploys to: what was tested is not what runs.")
    if any(posixpath.basename(name) == ".env" for name in repository.own):
        found.flags.append(".env is tracked by git: look whether it holds a secret.")
