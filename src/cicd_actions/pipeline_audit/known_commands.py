"""Knows programs by their command lines: which deploy, migrate, build, check and scan."""

from __future__ import annotations

import re

from cicd_actions.pipeline_audit.effects import (
    CLOUD_FOUNDRY,
    COMPOSE,
    DOCKER,
    ECS,
    FLY,
    HELM,
    INFRASTRUCTURE,
    KUBERNETES,
    NOMAD,
    RENDER,
    RUN,
    SERVER,
    SWARM,
    UPLOAD,
    Kind,
    Platform,
    hosted,
)

_HOST_USER = r"(dokku|piku|deploy\w*|root|ubuntu|www(-data)?|app|ec2-user|debian)"
"""Users of hosts that a push deploys to; forges and mirrors have others, such as `git`."""

DEPLOYS: tuple[tuple[str, Platform], ...] = (
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
    (
        (
            rf"git (.* )?push (-\S+ )*((ssh://)?{_HOST_USER}@\S+"
            r"|(production|prod|staging|live|piku|scalingo|clever|gigalixir)( |$))"
        ),
        Platform("a host that takes a git push", image=False),
    ),
    (r"adk deploy cloud_run\b", RUN),
    (r"adk deploy (agent_engine|gke)\b", hosted("the Agent Development Kit's platforms")),
    # The last word is the target: what comes from a host to the runner is not a deploy.
    (r"rsync (?!.*(back-?up|dump)).* ([\w.$\{\}-]+@)?[\w.$\{\}-]+::?[^\s:]*$|rsync .* rsync://\S+$", UPLOAD),
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


REMOTE_DEPLOYS: tuple[tuple[str, Platform], ...] = (
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


_TASKS = r"(nx|turbo|lerna)( \S+)*? (\S+[=,])?"
OTHERS: tuple[tuple[str, Kind, str], ...] = (
    (r"alembic (.* )?upgrade\b", Kind.MIGRATE, "Alembic"),
    (r"(python3? )?(\S*/)?manage\.py migrate\b|django-admin migrate\b", Kind.MIGRATE, "Django"),
    (r"flask (.* )?db upgrade\b", Kind.MIGRATE, "Flask-Migrate"),
    (r"prisma (migrate deploy|db push)\b", Kind.MIGRATE, "Prisma"),
    (r"(bin/)?(rails|rake) db:(migrate|prepare)( |$)|rails runner \S*migrat", Kind.MIGRATE, "Rails"),
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
            r"(node|bun|tsx|ts-node|deno run|python3?|php) (-\S+ )*(\S*[/._-])?migrat(e|ions?)\.\w+( |$)"
            r"|(npm|pnpm|yarn|bun)( run)? ((db|prisma|typeorm|knex|sequelize)[:-])?migrat(e|ions?)"
            r"([:-](up|run|deploy|latest|prod(uction)?|staging))?( |$)"
        ),
        Kind.MIGRATE,
        "a script",
    ),
    # Each of these returns before the migration has ended.
    (
        (
            r"aws ecs run-task .*migrat|gcloud (beta )?run jobs execute (?!.*--wait)\S*migrat"
            r"|az containerapp job start .*migrat|kubectl create job \S*migrat"
        ),
        Kind.MIGRATE,
        "a task",
    ),
    (
        (
            r"aws ecs (wait tasks-stopped|describe-tasks)\b|kubectl (wait|logs) .*(job|migrat)"
            r"|az containerapp job execution\b|gcloud (beta )?run jobs executions describe\b|cf tasks?\b"
        ),
        Kind.AWAIT,
        "",
    ),
    (r"gcloud (beta )?run jobs execute \S*migrat", Kind.MIGRATE, "a job"),
    (r"gh workflow run\b|gh api \S*/dispatches\b", Kind.DISPATCH, ""),
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
            r"(kubectl|oc) (.* )?rollout undo\b|oc rollback\b|helm (.* )?rollback\b|docker service rollback\b"
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
            r"(kubectl|oc) (.* )?(rollout status|wait)\b|aws (.* )?deploy wait\b|argocd app wait\b"
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
            r"(ruff (check|\.|format .*--(check|diff))|flake8|pylint|eslint|oxlint|biome (check|lint|ci)|golangci-lint"
            r"|rubocop|prettier .*--check|black .*--check|shellcheck|hadolint|stylelint|cargo (clippy|fmt)|go vet"
            r"|deno (lint|fmt)|dotnet format|mix (credo|format)|buf lint|sqlfluff lint|actionlint|helm lint|terraform validate"
            r"|(pants|moon) (\S+ )*lint)\b"
        ),
        Kind.LINT,
        "",
    ),
    (
        (
            r"(mypy|(based)?pyright|tsc|tsgo|vue-tsc|svelte-check|astro check|nuxi? typecheck|ty check|pyre(fly)?|cargo check"
            r"|mix dialyzer)\b"
        ),
        Kind.TYPES,
        "",
    ),
    (
        (
            r"(pytest|jest|vitest|go test|gotestsum|ginkgo|cargo (test|nextest)|tox|nox|rspec|phpunit|pest|mocha|dotnet test"
            r"|ctest|unittest|mix test|(python3? )?(\S*/)?manage\.py test|coverage run|bats|zig build test|(meson|sbt|lein"
            r"|stack|cabal|swift|flutter|dart|bazel|bazelisk|pants|deno( task)?|poe|inv|invoke|hatch|mise( run)?)"
            r" (\S+ )*test|moon (ci|check)|(rails|rake) (\S+ )*(test|spec)|(php )?artisan test"
            r"|composer (run-script |run )?test)\b"
        ),
        Kind.TEST,
        "",
    ),
    (
        (
            r"(npm|pnpm|yarn|bun)( run)? (test|test:\S+|unit|coverage)\b|(make|just|task) (\S+ )*(test|check"
            r"|unit)\b|(mvnw?|gradlew?) (\S+ )*(test|verify|check|build|package|install)\b"
        ),
        Kind.TEST,
        "",
    ),
    (
        (
            r"(npm|pnpm|yarn|bun)( run)? (lint|lint:\S+|format:check)\b|(make|just|task) (\S+ )*lint\b"
            r"|(pre-commit|prek) run\b"
        ),
        Kind.LINT,
        "",
    ),
    (r"(npm|pnpm|yarn|bun)( run)? (typecheck|type-check|types|check-types|check:types|types:check)\b", Kind.TYPES, ""),
    # What runs the tasks of a workspace's members: `nx affected -t lint test`, `turbo run test`, `lerna run test`.
    (rf"{_TASKS}test(s|:\S+)?( |,|$)", Kind.TEST, ""),
    (rf"{_TASKS}lint(:\S+)?( |,|$)", Kind.LINT, ""),
    (rf"{_TASKS}(type-?check|check-types|types)( |,|$)", Kind.TYPES, ""),
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


BUILD = re.compile(
    r"docker (buildx )?(build|bake)\b|docker image build\b|az acr build\b|(docker compose|docker-compose) (.* )?build\b"
    r"|podman build\b|buildah (bud|build)\b"
    r"|pack build\b|ko build\b|jib|skaffold build\b|gcloud builds submit\b|earthly\b|nixpacks build\b"
)


PUSH = re.compile(
    r"(docker|podman|nerdctl) (image |buildah )?push\b|(docker compose|docker-compose) (.* )?push\b"
    r"|skopeo copy\b|crane (push|copy|tag)\b"
    r"|docker manifest push|buildah push|regctl image copy"
)
