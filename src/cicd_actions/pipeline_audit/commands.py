"""Knows programs: what a command line does to a pipeline."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from cicd_actions.pipeline_audit.effects import (
    CLOUD_FOUNDRY,
    COMPOSE,
    DOCKER,
    ECS,
    FLY,
    GITOPS,
    HELM,
    HOOK,
    INFRASTRUCTURE,
    KUBERNETES,
    NOMAD,
    RENDER,
    RUN,
    SERVER,
    SWARM,
    Effect,
    Kind,
    Platform,
    hosted,
)
from cicd_actions.pipeline_audit.shell import Command

LONGEST = 2000
"""Characters of a command that are looked at."""

_DRY = ("--dry-run", "--diff", "--what-if", "--help", "--no-execute-changeset", "--noexec")

_DEPLOYS: tuple[tuple[str, Platform], ...] = (
    (
        (
            r"(kubectl|oc|microk8s kubectl|k3s kubectl) (.* )?(set image|apply|rollout restart|replace|create -f"
            r"|patch)\b"
        ),
        KUBERNETES,
    ),
    (r"(helm|helm3) (.* )?(upgrade|install)\b", HELM),
    (r"helmfile (.* )?(apply|sync)\b", HELM),
    (r"(skaffold (deploy|run)|werf converge|kapp deploy|ksonnet|ko apply|devspace deploy|okteto deploy)\b", KUBERNETES),
    (r"docker (.* )?stack (deploy|up)\b|docker (.* )?service (update|create)\b|docker-stack-wait", SWARM),
    (r"(fly|flyctl) (.* )?deploy\b", FLY),
    (r"aws (.* )?ecs (update-service|deploy|create-deployment)\b|ecs-deploy\b|ecs deploy\b|copilot (svc |job )?deploy\b", ECS),
    (r"gcloud (beta |alpha )?run (services )?(deploy|update|replace|jobs deploy)\b", RUN),
    (r"gcloud (beta )?app deploy\b", hosted("Google App Engine")),
    (r"gcloud (beta )?functions deploy\b", hosted("Google Cloud Functions")),
    (r"gcloud (beta )?deploy releases create\b", hosted("Google Cloud Deploy", image=True)),
    (r"aws (.* )?lambda update-function-code\b|(sls|serverless) deploy\b|sam deploy\b", hosted("AWS Lambda")),
    (r"aws (.* )?(deploy create-deployment|elasticbeanstalk update-environment|apprunner \S+)\b|eb deploy\b", hosted("AWS")),
    (r"aws (.* )?s3 sync\b.*s3://", Platform("Amazon S3", image=False, service=False)),
    (
        r"az (webapp|functionapp) (deploy|up|deployment|config container set|config-zip)\b",
        hosted("Azure App Service", image=True),
    ),
    (r"az containerapp (up|update|revision)\b", hosted("Azure Container Apps", image=True)),
    (r"heroku container:release\b|git push (.* )?\S*heroku", hosted("Heroku")),
    (r"git push (.* )?\S*dokku|dokku (.* )?(git:|deploy|ps:rebuild)", hosted("Dokku")),
    (r"railway (up|redeploy|deploy)\b", hosted("Railway")),
    (r"render deploys create\b", RENDER),
    (r"doctl apps (create-deployment|update)\b", hosted("DigitalOcean App Platform")),
    (
        (
            r"(vercel|vc)( deploy)?( |$)(?!env|link|pull|build|login|whoami|inspect|alias|rm"
            r"|remove)"
        ),
        hosted("Vercel", service=False),
    ),
    (r"(netlify|ntl) deploy\b", hosted("Netlify", service=False)),
    (r"wrangler (pages )?(deploy|publish)\b|wrangler versions deploy\b", hosted("Cloudflare", service=False)),
    (r"firebase deploy\b", hosted("Firebase", service=False)),
    (r"argocd app (sync|set)\b|flux reconcile\b", Platform("Argo CD or Flux", rolls_back=True)),
    (r"nomad (job )?run\b|levant deploy\b", NOMAD),
    (r"cf (push|v3-push|zdt-push)\b", CLOUD_FOUNDRY),
    (r"kamal (deploy|redeploy)\b", Platform("Kamal", rolls_back=True, waits=True)),
    (r"(cap|bundle exec cap|mina|dep) (\S+ )?deploy\b", Platform("a deploy tool over SSH", rolls_back=True, image=False)),
    (r"ansible-playbook\b(?!.*--(syntax-check|list-))", Platform("Ansible", image=False)),
    (
        (
            r"(cdk deploy|pulumi up|terragrunt (run-all )?apply|terraform (.* )?apply|tofu (.* )?apply"
            r"|aws cloudformation deploy)\b"
        ),
        INFRASTRUCTURE,
    ),
    (r"supabase functions deploy\b", hosted("Supabase", service=False)),
    (r"(modal|convex|encore|zeabur|northflank|koyeb|sst) deploy\b", hosted("a hosted platform")),
)

_REMOTE_DEPLOYS: tuple[tuple[str, Platform], ...] = (
    (r"(docker compose|docker-compose|podman-compose|podman compose) (.* )?(up|restart)\b", COMPOSE),
    (r"docker (container )?(run -d|run --detach|run .*(-d|--detach|--restart)\b|restart|start)\b", DOCKER),
    (
        (
            r"systemctl (--user )?(restart|reload|reload-or-restart)\b|service \S+ (restart|reload)\b"
            r"|pm2 (restart|reload|start|startOrReload)\b"
            r"|supervisorctl (restart|reload)\b|passenger-config restart-app|touch .*(wsgi\.py|restart\.txt)$"
        ),
        SERVER,
    ),
)

_OTHER: tuple[tuple[str, Kind, str], ...] = (
    (r"alembic (.* )?upgrade\b", Kind.MIGRATE, "Alembic"),
    (r"(python3? )?(\S*/)?manage\.py migrate\b|django-admin migrate\b", Kind.MIGRATE, "Django"),
    (r"flask (.* )?db upgrade\b", Kind.MIGRATE, "Flask-Migrate"),
    (r"prisma (migrate deploy|db push)\b", Kind.MIGRATE, "Prisma"),
    (r"(bin/)?(rails|rake) db:migrate\b", Kind.MIGRATE, "Rails"),
    (r"(php )?artisan migrate\b", Kind.MIGRATE, "Laravel"),
    (
        (
            r"knex (.* )?migrate:latest\b|sequelize(-cli)? db:migrate\b"
            r"|typeorm(-ts-node-\w+)? (.* )?migration:run\b"
        ),
        Kind.MIGRATE,
        "Node",
    ),
    (
        (
            r"drizzle-kit (migrate|push)\b|node-pg-migrate (.* )?up\b|db-migrate up\b"
            r"|dbmate (.* )?(up|migrate)\b"
        ),
        Kind.MIGRATE,
        "Node",
    ),
    (
        (
            r"migrate .*-(path|source|database)\b.* up\b|goose (.* )?up\b|atlas migrate apply\b|tern migrate\b"
            r"|sqitch deploy\b"
        ),
        Kind.MIGRATE,
        "SQL",
    ),
    (
        (
            r"(flyway|liquibase) (.* )?(migrate|update)\b|sqlx migrate run\b|diesel migration run\b"
            r"|supabase db push\b"
        ),
        Kind.MIGRATE,
        "SQL",
    ),
    (
        (
            r"mix ecto\.migrate\b|dotnet ef database update\b|\S*doctrine:migrations:migrate\b|aerich upgrade\b"
            r"|yoyo apply\b|piccolo migrations forwards\b"
        ),
        Kind.MIGRATE,
        "SQL",
    ),
    (
        (
            r"(pg_dump|mysqldump|mongodump|pgbackrest|wal-g|barman)\b|aws rds create-db(-cluster)?-snapshot\b"
            r"|gcloud sql (backups create|export)\b"
        ),
        Kind.BACKUP,
        "",
    ),
    (
        (
            r"kubectl (.* )?rollout undo\b|oc rollback\b|helm (.* )?rollback\b|docker service rollback\b"
            r"|docker service update .*--rollback\b"
        ),
        Kind.ROLLBACK,
        "",
    ),
    (
        (
            r"(fly|flyctl) (.* )?(releases rollback|deploy .*previous)\b|heroku (releases:)?rollback\b"
            r"|vercel (rollback|promote)\b|netlify rollback\b|kamal rollback\b|argocd app rollback\b"
            r"|gcloud run services update-traffic\b|nomad job revert\b|cap \S+ deploy:rollback\b"
            r"|wrangler rollback\b"
        ),
        Kind.ROLLBACK,
        "",
    ),
    (
        (
            r"kubectl (.* )?(rollout status|wait)\b|aws (.* )?deploy wait\b|argocd app wait\b"
            r"|aws (.* )?ecs wait services-stable\b"
            r"|docker-stack-wait"
        ),
        Kind.VERIFY,
        "platform",
    ),
    (r"(curl|wget|http|https|xh|hurl|wait-on|wait-for-it|k6|newman|artillery)\b", Kind.VERIFY, "probe"),
    (r"(playwright test|cypress run|newman run)\b", Kind.TEST, "end to end"),
    (
        (
            r"(ruff (check|\.)|flake8|pylint|eslint|biome (check|lint|ci)|golangci-lint|rubocop"
            r"|prettier .*--check|black .*--check|shellcheck|hadolint|stylelint)\b"
        ),
        Kind.LINT,
        "",
    ),
    (r"(mypy|pyright|tsc|vue-tsc|ty check|pyre)\b", Kind.TYPES, ""),
    (
        (
            r"(pytest|jest|vitest|go test|cargo test|tox|nox|rspec|phpunit|mocha|dotnet test|ctest|unittest"
            r"|mix test|manage\.py test)\b"
        ),
        Kind.TEST,
        "",
    ),
    (
        (
            r"(npm|pnpm|yarn|bun)( run)? (test|test:\S+|unit|coverage)\b|(make|just|task) (\S+ )*(test|check"
            r"|unit)\b|(mvn|gradle|\./mvnw|\./gradlew) (\S+ )*(test|verify|check|build)\b"
        ),
        Kind.TEST,
        "",
    ),
    (
        (
            r"(npm|pnpm|yarn|bun)( run)? (lint|lint:\S+|format:check)\b|(make|just|task) (\S+ )*lint\b"
            r"|pre-commit run\b"
        ),
        Kind.LINT,
        "",
    ),
    (r"(npm|pnpm|yarn|bun)( run)? (typecheck|type-check|types|check-types)\b", Kind.TYPES, ""),
    (
        (
            r"(pip-audit|safety (check|scan)|(npm|pnpm|yarn|bun)( npm)? audit|osv-scanner|cargo (audit|deny)"
            r"|govulncheck|bundle(r)?[ -]audit|snyk test|dependency-check|composer audit)\b"
        ),
        Kind.SCAN_DEPENDENCIES,
        "",
    ),
    (r"(bandit|semgrep|codeql|gosec|brakeman|snyk code|opengrep|njsscan)\b", Kind.SCAN_CODE, ""),
    (r"(trivy image|grype|docker scout|snyk container|clair|dockle)\b", Kind.SCAN_IMAGE, ""),
    (r"trivy (fs|filesystem|repo|config)\b", Kind.SCAN_DEPENDENCIES, ""),
    (r"(gitleaks|trufflehog|detect-secrets|ggshield)\b", Kind.SCAN_SECRETS, ""),
    (
        (
            r"(kind create cluster|minikube start|k3d cluster create|microk8s|docker swarm init"
            r"|ctlptl create)\b"
        ),
        Kind.TEST_CLUSTER,
        "",
    ),
    (
        (
            r"(openapi-typescript|orval|openapi-generator(-cli)?|swagger-codegen|openapi-ts|hey-api|kubb|oazapfts"
            r"|swagger-typescript-api|openapi-python-client|nswag)\b"
        ),
        Kind.CLIENT,
        "",
    ),
    (r"(npm|pnpm|yarn|bun)( run)? (\S*(generate|codegen|gen)\S*(api|client|openapi|types)?\S*)\b", Kind.CLIENT, "script"),
    (
        (
            r"(uvicorn|gunicorn|hypercorn|daphne|granian|fastapi (run|dev)|flask (.* )?run|manage\.py runserver"
            r"|next start|node \S+|npm start|puma|rails s(erver)?|php-fpm|nginx|caddy run)\b"
        ),
        Kind.SERVE,
        "",
    ),
    (
        (
            r"(npm (ci|install|i)|pnpm (install|i)|yarn( install)?$|yarn --|yarn install|bun install"
            r"|pip3? install .*(-r|\.|-e)|uv (sync|pip install)|poetry install|pipenv (install|sync)|pdm (install"
            r"|sync)|bundle install|composer install|cargo (build|test)|go mod download)\b"
        ),
        Kind.INSTALL,
        "",
    ),
)

_BUILD = re.compile(
    r"docker (buildx )?(build|bake)\b|docker image build\b|az acr build\b|(docker compose|docker-compose) (.* )?build\b"
    r"|podman build\b|buildah (bud|build)\b"
    r"|pack build\b|ko build\b|jib|skaffold build\b|gcloud builds submit\b|earthly\b|nixpacks build\b"
)
_PUSH = re.compile(
    r"(docker|podman|nerdctl) (image |buildah )?push\b|(docker compose|docker-compose) (.* )?push\b"
    r"|skopeo copy\b|crane (push|copy|tag)\b"
    r"|docker manifest push|buildah push|regctl image copy"
)
_DIGEST = re.compile(r"@sha256:|digest|@\$\{?\w*(digest|sha256)", re.IGNORECASE)
_HOOK = re.compile(
    r"deploy[_-]?hook|/deploy\b|webhook|api\.render\.com/deploy|portainer|coolify|dokploy|caprover|easypanel", re.IGNORECASE
)
_CHAT = re.compile(
    (
        r"hooks\.slack\.com|slack|discord|api\.telegram|teams|mattermost|ntfy|pagerduty|opsgenie|sentry"
        r"|chat\.googleapis|betterstack|healthchecks\.io"
    ),
    re.IGNORECASE,
)
_COMMENT_API = re.compile(
    r"api\.github\.com|codecov|coveralls|raw\.githubusercontent|get\.|install|\.sh\b|\.tar|\.zip|\.gz"
    r"|releases/download|\.deb|gpg|githubcli|ipify|checkip|ifconfig"
)


def _any(patterns: Iterable[str]) -> re.Pattern[str]:
    """One pattern for many: `lastgroup` of a match names the first that fits. That is much faster than a loop."""
    return re.compile("|".join(f"(?P<p{number}>{pattern})" for number, pattern in enumerate(patterns)))


_ALL_DEPLOYS = (*_DEPLOYS, *_REMOTE_DEPLOYS)
_DEPLOY = _any(pattern for pattern, _ in _ALL_DEPLOYS)
_DOES = _any(pattern for pattern, _, _ in _OTHER)


_DRY_RUN = re.compile(r"--dry-run(=(client|server))?\b")
_DEPLOY_WORD = re.compile(r"deploy|roll-?out|release|update|restart", re.IGNORECASE)


def _index(match: re.Match[str]) -> int:
    return int((match.lastgroup or "p0")[1:])


@lru_cache(maxsize=4096)
def effects_of(command: Command) -> tuple[Effect, ...]:
    """Returns the effects of one command; their places are filled in by the caller."""
    return tuple(_effects(command))


def _effects(command: Command) -> Iterator[Effect]:
    text = command.text[len(command.words[0]) - len(command.program) :][:LONGEST].strip()
    builds, pushes, does, deploys = (each.match(text) for each in (_BUILD, _PUSH, _DOES, _DEPLOY))
    if not (builds or pushes or does or deploys or _runs_deploy_script(command)):
        return
    common: dict[str, Any] = {"tolerated": command.tolerated, "remote": command.remote, "after_failure": command.after_failure}
    detail = shown(text)
    if builds:
        yield Effect(Kind.BUILD, "image", detail=detail, images=_tags(command), files=_dockerfile(command), **common)
        if command.has("--push") or "bake" in text or text.startswith(("az acr", "gcloud builds")):
            yield Effect(Kind.PUSH, "image", detail=detail, images=_tags(command), **common)
        return
    if pushes:
        yield Effect(Kind.PUSH, "image", detail=detail, images=tuple(command.words[-1:]), **common)
        return
    if does:
        _, kind, what = _OTHER[_index(does)]
        if kind is Kind.VERIFY and what == "probe":
            yield from _request(command, text, common)
        else:
            yield Effect(kind, what or command.program, detail=detail, waits=kind is Kind.VERIFY, **common)
    if deploys or _runs_deploy_script(command):
        yield from _deploys(command, text, detail, common, deploys)


def _deploys(command: Command, text: str, detail: str, common: dict[str, Any], match: re.Match[str] | None) -> Iterator[Effect]:
    remote = command.remote or command.has("-H", "--host", "--context", "--host=")
    platform = _ALL_DEPLOYS[_index(match)][1] if match else SERVER if remote else None
    dry = platform is not None and (command.has(*_DRY) or _DRY_RUN.search(text) is not None)
    if platform is not None and not dry:
        server = platform in {COMPOSE, DOCKER, SERVER}
        yield Effect(
            Kind.DEPLOY,
            platform.name,
            detail=detail,
            platform=platform,
            images=_images(command) if platform.image else (),
            targets=tuple(word for word in command.words[1:] if not word.startswith("$")),
            files=_files(command),
            waits=platform.waits or _waits(command, platform),
            rolls_back=_rolls_back(command, platform),
            preview=_preview(command, platform),
            sure=remote or not server,
            by_digest=bool(_DIGEST.search(text)),
            **common | {"remote": remote},
        )


def _runs_deploy_script(command: Command) -> bool:
    """Whether a script of the server runs that is called a deploy; what it does cannot be read."""
    name = command.words[1] if command.program in {"bash", "sh", "zsh"} and len(command.words) > 1 else command.words[0]
    return "/" in name and bool(_DEPLOY_WORD.search(name.rpartition("/")[2]))


def _waits(command: Command, platform: Platform) -> bool:
    if platform is HELM:
        return command.has("--wait", "--atomic", "--rollback-on-failure")
    if platform is SWARM:
        return (
            command.option("--detach") == "false"
            or "--detach=false" in command.words
            or ("service" in command.words and not command.has("-d", "--detach"))
        )
    if platform is COMPOSE:
        return command.has("--wait")
    return platform is ECS and command.has("--wait", "--wait-for-service-stability")


def _rolls_back(command: Command, platform: Platform) -> bool:
    return platform.rolls_back or command.has("--atomic", "--rollback-on-failure") or "--update-failure-action" in command.text


def _preview(command: Command, platform: Platform) -> bool:
    """Whether the platform makes a preview with these words, not a release."""
    if platform.name == "Vercel":
        return not (command.has("--prod") or command.option("--target") == "production")
    if platform.name == "Netlify":
        return not command.has("--prod", "-p", "--prod-if-unlocked")
    return False


_EXIT_MATTERS = re.compile(r"(^|\s)(-[A-Za-z]*f[A-Za-z]*|--fail|--fail-with-body|--retry\S*|-w|--write-out|%\{http_code\})")


def _request(command: Command, text: str, common: dict[str, Any]) -> Iterator[Effect]:
    """A request: a notification, a deploy hook, or a check of what runs."""
    sends = command.has("-d", "--data", "--data-raw", "--json", "--data-binary", "-F", "--form") or "POST" in command.words
    sends = sends or "-XPOST" in command.words or "PUT" in command.words
    if _CHAT.search(text) and (sends or "hook" in text.lower()):
        yield Effect(Kind.NOTIFY, "webhook", detail=shown(text), **common)
    elif _HOOK.search(text) and (sends or "hook" in text.lower() or "render" in text):
        platform = RENDER if "render" in text.lower() else HOOK
        rolls_back = platform.rolls_back
        yield Effect(
            Kind.DEPLOY,
            platform.name,
            detail=shown(text),
            platform=platform,
            rolls_back=rolls_back,
            targets=command.words,
            **common,
        )
    elif not sends and not _COMMENT_API.search(text):
        # wget and the tools fail by themselves on an error status; curl only when told to, or when its output is judged.
        # A probe in a shell `if`, or one whose output is compared, cannot be told apart: any look at a URL is taken for one.
        strict = command.program != "curl" or bool(_EXIT_MATTERS.search(text))
        yield Effect(Kind.VERIFY, "probe", detail=shown(text), facts={"strict": "yes" if strict else ""}, **common)


def _tags(command: Command) -> tuple[str, ...]:
    found: list[str] = []
    for index, word in enumerate(command.words):
        if word in {"-t", "--tag"} and index + 1 < len(command.words):
            found.append(command.words[index + 1])
        elif word.startswith(("--tag=", "-t=")):
            found.append(word.partition("=")[2])
    return tuple(found)


def _dockerfile(command: Command) -> tuple[str, ...]:
    named = command.option("-f", "--file")
    if named:
        return (named.removeprefix("./"),)
    context = command.words[-1] if len(command.words) > 2 else "."
    folder = "" if context in {".", "./"} or context.startswith(("-", "$")) else context.strip("/").removeprefix("./") + "/"
    return (f"{folder}Dockerfile",)


def _files(command: Command) -> tuple[str, ...]:
    found: list[str] = []
    for index, word in enumerate(command.words[:-1]):
        if word in {"-f", "--file", "-c", "--compose-file", "-k", "--filename", "--kustomize"}:
            found.append(command.words[index + 1].removeprefix("./"))
    found += [
        word.partition("=")[2] for word in command.words if word.startswith(("--file=", "--compose-file=", "--filename="))
    ]
    return tuple(found)


_TAG_SETTING = re.compile(r"image[\w.]*\.?tag$|(^|\.)tag$|imageTag$|image\.tag")
_IMAGE_SETTING = re.compile(r"(^|[.\]])image$|Image$")


def _images(command: Command) -> tuple[str, ...]:
    """The image references among the words: `api=ghcr.io/x/api:tag`, `--image x`, `--set image.tag=x`."""
    found: list[str] = []
    words = command.words
    for index, word in enumerate(words):
        name, equals, value = word.partition("=")
        following = words[index + 1] if index + 1 < len(words) else ""
        if word in {"--image", "--container", "-i"}:
            found.append(following)
        elif name in {"--image", "--container-image-name"} and equals:
            found.append(value)
        elif equals and _TAG_SETTING.search(name):
            found.append(f":{value}")
        elif equals and _IMAGE_SETTING.search(name):
            found.append(value)
    if re.search(r"\bset image\b", command.text):
        found += [word.partition("=")[2] for word in words[3:] if "=" in word and not word.startswith("-")]
    return tuple(found)


def shown(text: str) -> str:
    """Returns a command as a report shows it: on one line, cut."""
    line = " ".join(text.split())
    return line if len(line) <= 120 else line[:119] + "…"


_GITOPS = re.compile(
    r"(kustomize edit set image|yq\b.*(image|tag)|sed\b.*(image|tag)|update-manifest|argocd-image)", re.IGNORECASE
)


def gitops(commands: list[Command]) -> Command | None:
    """Returns the command that writes an image into a manifest, where the same script pushes the change with git."""
    if not any(command.program == "git" and "push" in command.words for command in commands):
        return None
    return next((command for command in commands if _GITOPS.match(command.text)), None)


__all__ = ["GITOPS", "effects_of", "gitops", "shown"]
