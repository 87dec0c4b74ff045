"""What is released: images, services and environments, from Dockerfiles, compose files and the workflows that stand."""

from __future__ import annotations

import fnmatch
import posixpath
import re
from dataclasses import dataclass, field

from cicd_actions.pipeline.detection import compose
from cicd_actions.pipeline.detection.model import Found, Guess, Repository, folders, inside, joined, named, shown
from cicd_actions.pipeline.detection.standing import Standing

_DOCKERFILE = re.compile(r"Dockerfile|[\w.-]+\.Dockerfile|Dockerfile\.[\w.-]+")
_ASIDE = re.compile(
    r"(^|[./_-])(dev|devcontainer|development|local|test|tests|playwright|cypress|ci|e2e|example|site|artifacts)([./_-]|$)"
)
_FOR_TESTS = re.compile(r"(^|[./_-])(playwright|cypress|e2e|tests?|ci)([./_-]|$)")
_VAGUE = frozenset(
    {
        "docker",
        "dockerfiles",
        "scripts",
        "container",
        "containers",
        "ci",
        "build",
        "deploy",
        "deployment",
        "infra",
        "images",
        ".",
    }
)
_COMMIT = re.compile(
    r"(?m)^ARG\s+((?:GIT_|BUILD_|SOURCE_|RELEASE_|APP_|IMAGE_)?(?:SHA|COMMIT|COMMIT_SHA|REVISION|VERSION|REV))\b"
)
_BAKED = re.compile(
    r"(?m)^ARG\s+((?:VITE|NEXT_PUBLIC|REACT_APP|NUXT_PUBLIC|VUE_APP|PUBLIC)_\w*(?:URL|HOST|ENDPOINT|DOMAIN)\w*)"
)
_MIGRATES = re.compile(
    r"alembic (?:-\S+ \S+ )*upgrade|manage\.py migrate|flask db upgrade|prisma migrate deploy|migration:run|migrate up"
    r"|flyway migrate"
)
_ENVIRONMENT = re.compile(r"(?:pre-?prod(?:uction)?|prod(?:uction)?|live|stag(?:e|ing)|qa|uat)", re.IGNORECASE)
_LAST = re.compile(r"^(prod|production|live)$", re.IGNORECASE)


@dataclass
class _Image:
    dockerfile: str
    context: Guess = field(default_factory=lambda: Guess(""))
    target: Guess = field(default_factory=lambda: Guess(""))
    repository: Guess = field(default_factory=lambda: Guess(""))
    platforms: Guess = field(default_factory=lambda: Guess([]))
    args: tuple[str, ...] = ()
    runs: str = ""
    """What compose files say in `image:` of the services that it builds."""


def describe(repository: Repository, standing: Standing, found: Found) -> None:
    """Adds images and services, and the release where something tells where it runs."""
    composed = compose.services(repository)
    images = _images(repository, standing, composed)
    names = _named(images)
    for name, image in names.items():
        found.images[name] = _entry(repository, found, name, image)
    _services(repository, found, names, composed)
    if found.services:
        _release(repository, standing, found, names, composed)
    stacks = folders(repository.own, r"[\w-]+\.tf|Pulumi\.yaml")
    if stacks:
        said = "holds infrastructure as code: `infrastructure` plans and applies it with a release"
        found.unknown.append(f"{shown(stacks[0])} {said}.")


def _images(repository: Repository, standing: Standing, composed: list[compose.Service]) -> list[_Image]:
    """Returns the images, first as workflows publish them, then as compose files build them, then by their Dockerfiles."""
    found: dict[tuple[str, str], _Image] = {}
    for each in standing.builds:
        image = found.setdefault((each.dockerfile, each.target), _Image(each.dockerfile))
        if not image.context.value:
            image.context = Guess(each.context, f"{each.file} builds it so")
            image.args = each.args
        if each.target:
            image.target = Guess(each.target, f"{each.file} builds it")
        if each.repository and not image.repository.value:
            image.repository = Guess(each.repository, f"{each.file} pushes it")
        if each.platforms and each.platforms != ("linux/amd64",):
            image.platforms = Guess(list(each.platforms), f"{each.file} builds them")
    _composed(repository, composed, found)
    for path in repository.own:
        known = {image.dockerfile for image in found.values()}
        if _DOCKERFILE.fullmatch(posixpath.basename(path)) and path not in known and not _ASIDE.search(path):
            found[path, ""] = _Image(path)
    return [image for image in found.values() if image.dockerfile in repository.files]


def _composed(repository: Repository, composed: list[compose.Service], found: dict[tuple[str, str], _Image]) -> None:
    """Adds an image for each Dockerfile, and each of its stages, that a service of a compose file goes on running."""
    for service in composed:
        dockerfile = _released(repository, service.dockerfile)
        if not dockerfile:
            continue
        same = [image for image in found.values() if image.dockerfile == dockerfile]
        stage = _stage(service)
        stages = {_stage(each) for each in composed if _serves(each) and _released(repository, each.dockerfile) == dockerfile}
        if not _serves(service) and stages:
            continue  # it runs one of the images of those that serve
        if same and len(stages) == 1 and stage and not same[0].target.value:
            same[0].target = Guess(stage, f"{service.file} builds it")
        image = next((each for each in same if each.target.value == stage), None) or (same[0] if same and not stage else None)
        if image is None:
            image = found[dockerfile, stage] = _Image(dockerfile)
            if stage:
                image.target = Guess(stage, f"{service.file} builds it")
        if not image.context.value:
            image.context = Guess(service.context, f"{service.file} builds it so")
        image.runs = image.runs or service.image


def _serves(service: compose.Service) -> bool:
    """Returns whether a service goes on running. What ends by itself, such as a migration, often has another stage."""
    return not service.once and not _MIGRATES.search(service.command)


def _stage(service: compose.Service) -> str:
    """Returns the stage of its Dockerfile that a release runs for a service; empty for the last one."""
    return "" if _ASIDE.search(f"{service.file}/{service.target}") else service.target


def _released(repository: Repository, dockerfile: str) -> str:
    """Returns the Dockerfile that a release builds where a compose file builds this one; empty for none.

    One for development stands beside the one for production; one for tests is not part of a release.
    """
    base = posixpath.basename(dockerfile)
    if dockerfile not in repository.files or _FOR_TESTS.search(base):
        return ""
    beside = repository.first(posixpath.dirname(dockerfile), "Dockerfile", "Dockerfile.prod", "Dockerfile.production")
    return beside if _ASIDE.search(base) and beside else dockerfile


def _named(images: list[_Image]) -> dict[str, _Image]:
    names: dict[str, _Image] = {}
    for image in images:
        base = posixpath.basename(image.dockerfile)
        folder = posixpath.basename(posixpath.dirname(image.dockerfile)) or "."
        if image.repository.value:
            stem = image.repository.value.rpartition("/")[2]
        elif base.endswith(".Dockerfile"):
            stem = base.removesuffix(".Dockerfile")
        else:
            stem = "app" if folder in _VAGUE else folder
        if image.target.value and [each.dockerfile for each in images].count(image.dockerfile) > 1:
            stem = image.repository.value.rpartition("/")[2] or image.target.value
        name = whole = named(stem, "app")
        number = 2
        while whole in names:
            whole, number = f"{name}-{number}", number + 1
        names[whole] = image
    return names


def _entry(repository: Repository, found: Found, name: str, image: _Image) -> dict[str, Guess]:
    text = repository.read(image.dockerfile)
    usual = Guess(f"ghcr.io/{repository.name.lower()}/{name}", "a usual name; look where your images go")
    host = image.repository.value.partition("/")[0]
    if image.repository.value and "." not in host:
        found.unknown.append(f"{image.repository.why.split()[0]} pushes {image.repository.value} to Docker Hub: set `build`.")
    entry = {
        "repository": image.repository if "." in host else usual,
        "dockerfile": Guess(image.dockerfile, "it exists"),
        "context": image.context if image.context.value else _context(repository, found, image.dockerfile, text),
    }
    if image.target.value:
        entry["target"] = image.target
    if match := _COMMIT.search(text):
        entry["build-args"] = Guess(
            {match[1]: "{sha}"}, f"{image.dockerfile} takes it; look whether it is the commit that the health answer names"
        )
    if image.platforms.value:
        entry["platforms"] = image.platforms
    for variable in sorted(set(_BAKED.findall(text)) | {each for each in image.args if _BAKED.match(f"ARG {each}")}):
        found.flags.append(
            f"{image.dockerfile} bakes {variable} into the image: one image cannot serve several environments."
            " Let the page read it when it starts."
        )
    return entry


def _context(repository: Repository, found: Found, dockerfile: str, text: str) -> Guess:
    """Returns the build context: the folder in which everything that the Dockerfile copies exists."""
    copied = [
        word.removeprefix("./").rstrip("/")
        for line in re.findall(r"(?im)^(?:COPY|ADD)\s+(.+)", text) if "--from=" not in line and "<<" not in line
        for word in [each for each in line.split() if not each.startswith(("--", "["))][:-1]
        if "$" not in word and not word.startswith(("http:", "https:"))
    ]  # fmt: skip
    own = posixpath.dirname(dockerfile) or "."
    known = {joined(own, "..")} | {own, "."}
    fits = [
        folder
        for folder in sorted(known, key=lambda each: (each != own, each))
        if all(word in {"", "."} or _exists(repository, joined(folder, word)) for word in copied)
    ]
    special = [word for word in copied if word not in {"", "."}]
    if fits and (special or own == "."):
        return Guess(fits[0], "everything that the Dockerfile copies lies there")
    if special:
        found.unknown.append(f"The build context of {dockerfile} is not plain: it copies {', '.join(special[:3])}.")
        return Guess(".", "look: nothing tells it")
    return Guess("." if posixpath.basename(own) in _VAGUE else own, "look: the Dockerfile copies everything")


def _exists(repository: Repository, path: str) -> bool:
    pattern = re.compile(fnmatch.translate(path).removesuffix("\\Z").removesuffix("\\z") + "(/.*)?")
    return any(pattern.fullmatch(name) for name in repository.files)


def _image_of(service: compose.Service, names: dict[str, _Image], repository: Repository) -> str:
    """Returns the name of the image that a service runs; empty for an image of others."""
    if service.dockerfile:
        dockerfile, stage = _released(repository, service.dockerfile), _stage(service)
        same = {name: image for name, image in names.items() if image.dockerfile == dockerfile}
        return next((name for name, image in same.items() if image.target.value == stage), next(iter(same), ""))
    text = service.image.partition("@")[0]
    text = re.sub(r":(\$\{.*|[\w.-]*)$", "", text)
    for name, image in names.items():
        if text and text in {image.repository.value, re.sub(r":(\$\{.*|[\w.-]*)$", "", image.runs)}:
            return name
    owner = repository.name.lower().partition("/")[0]
    if f"/{owner}/" in f"/{text.lower()}":
        last = text.lower().rpartition("/")[2]
        if last in names:
            return last
        return next(iter(names)) if len(names) == 1 else ""
    return ""


def _services(repository: Repository, found: Found, names: dict[str, _Image], composed: list[compose.Service]) -> None:
    files = {each.file for each in composed if _image_of(each, names, repository)}
    chosen = next((path for path in compose.files(repository) if path in files), "")
    for each in composed:
        image = _image_of(each, names, repository)
        if each.file != chosen or not image or each.once or _MIGRATES.search(each.command):
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
    repository: Repository, standing: Standing, found: Found, names: dict[str, _Image], composed: list[compose.Service]
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


def _migrate(repository: Repository, found: Found, names: dict[str, _Image], composed: list[compose.Service]) -> Guess | None:
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
        image = _image_of(each, names, repository)
        service = next((name for name, entry in found.services.items() if entry["image"].value == image), "")
        if service and _MIGRATES.search(each.command):
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
            found_line = next((line for line in repository.read(path).splitlines() if _MIGRATES.search(line)), "")
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
