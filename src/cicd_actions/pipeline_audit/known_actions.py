"""Knows published actions: what a step's `uses:` does to a pipeline."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from cicd_actions.pipeline_audit.commands import shown
from cicd_actions.pipeline_audit.effects import (
    CLOUD_FOUNDRY,
    ECS,
    FLY,
    HELM,
    HOOK,
    KUBERNETES,
    OURS,
    RENDER,
    RUN,
    SERVER,
    SWARM,
    Effect,
    Kind,
    Platform,
    hosted,
)

_VERCEL = hosted("Vercel", service=False)
_NETLIFY = hosted("Netlify", service=False)
_CLOUDFLARE = hosted("Cloudflare", service=False)
_PAGES = Platform("GitHub Pages", service=False, image=False)
_OPENSHIFT = Platform("OpenShift", waits=True)

_DEPLOYS: dict[str, Platform] = {
    "azure/webapps-deploy": hosted("Azure App Service", image=True),
    "azure/functions-action": hosted("Azure Functions"),
    "azure/container-apps-deploy-action": hosted("Azure Container Apps", image=True),
    "azure/static-web-apps-deploy": hosted("Azure Static Web Apps", service=False),
    "azure/k8s-deploy": KUBERNETES,
    "azure/aci-deploy": Platform("Azure Container Instances"),
    "aws-actions/amazon-ecs-deploy-task-definition": ECS,
    "aws-actions/amazon-ecs-deploy-express-service": ECS,
    "aws-actions/aws-lambda-deploy": hosted("AWS Lambda"),
    "aws-actions/aws-cloudformation-github-deploy": Platform("infrastructure as code", service=False, image=False),
    "einaregilsson/beanstalk-deploy": hosted("AWS Elastic Beanstalk"),
    "google-github-actions/deploy-cloudrun": RUN,
    "google-github-actions/deploy-appengine": hosted("Google App Engine"),
    "google-github-actions/deploy-cloud-functions": hosted("Google Cloud Functions"),
    "superfly/flyctl-actions": FLY,
    "amondnet/vercel-action": _VERCEL,
    "nwtgck/actions-netlify": _NETLIFY,
    "netlify/actions": _NETLIFY,
    "cloudflare/wrangler-action": _CLOUDFLARE,
    "cloudflare/pages-action": _CLOUDFLARE,
    "firebaseextended/action-hosting-deploy": hosted("Firebase", service=False),
    "akhileshns/heroku-deploy": hosted("Heroku"),
    "johnbeynon/render-deploy-action": RENDER,
    "jorgelnjunior/render-deploy": RENDER,
    "bounceapp/render-action": RENDER,
    "digitalocean/app_action": hosted("DigitalOcean App Platform"),
    "burnett01/rsync-deployments": SERVER,
    "easingthemes/ssh-deploy": SERVER,
    "samkirkland/ftp-deploy-action": Platform("a server over FTP", image=False),
    "deliverybot/helm": HELM,
    "koslibpro/helm": HELM,
    "bitovi/github-actions-deploy-docker-to-ec2": SERVER,
    "kitconcept/docker-stack-deploy": SWARM,
    "cssnr/stack-deploy-action": SWARM,
    "cssnr/portainer-stack-deploy-action": SWARM,
    "deployphp/action": Platform("Deployer", rolls_back=True, image=False),
    "cloud-gov/cg-cli-tools": CLOUD_FOUNDRY,
    "citizen-of-planet-earth/cf-cli-action": CLOUD_FOUNDRY,
    "serverless/github-action": hosted("AWS Lambda"),
    "hashicorp/nomad-deploy": Platform("Nomad"),
    "nais/deploy": Platform("NAIS", waits=True),
    "bcgov/action-deployer-openshift": _OPENSHIFT,
    "bcgov-nr/action-deployer-openshift": _OPENSHIFT,
}

_PUBLISHES = {
    "actions/deploy-pages": "GitHub Pages",
    "peaceiris/actions-gh-pages": "GitHub Pages",
    "jamesives/github-pages-deploy-action": "GitHub Pages",
    "crazy-max/ghaction-github-pages": "GitHub Pages",
    "pypa/gh-action-pypi-publish": "PyPI",
    "softprops/action-gh-release": "GitHub release",
    "goreleaser/goreleaser-action": "GitHub release",
    "actions/create-release": "GitHub release",
    "ncipollo/release-action": "GitHub release",
    "js-devtools/npm-publish": "npm",
}

_OTHER: tuple[tuple[str, Kind, str], ...] = (
    (
        (
            r"actions/(dependency-review-action)|google/osv-scanner-action|snyk/actions|pypa/gh-action-pip-audit"
            r"|aquasecurity/setup-trivy"
            r"|rustsec/audit-check|actions-rust-lang/audit|dependency-check/"
        ),
        Kind.SCAN_DEPENDENCIES,
        "",
    ),
    (
        (
            r"github/codeql-action|semgrep/|returntocorp/semgrep|securego/gosec|pycqa/bandit|sonarsource/"
            r"|shiftleft|step-security/.*semgrep"
        ),
        Kind.SCAN_CODE,
        "",
    ),
    (
        (
            r"anchore/scan-action|docker/scout-action|azure/container-scan|crazy-max/ghaction-container-scan"
            r"|sysdiglabs/scan"
        ),
        Kind.SCAN_IMAGE,
        "",
    ),
    (r"gitleaks/|trufflesecurity/|gitguardian/", Kind.SCAN_SECRETS, ""),
    (
        (
            r"slackapi/|8398a7/action-slack|rtcamp/action-slack|act10ns/slack|ravsamhq/notify"
            r"|sarisia/actions-status-discord|ilshidur/action-discord"
            r"|appleboy/(telegram|discord)-action|dawidd6/action-send-mail|\S*notify\S*|\S*slack\S*|\S*discord\S*"
            r"|\S*teams\S*|\S*telegram\S*|\S*pagerduty\S*"
        ),
        Kind.NOTIFY,
        "",
    ),
    (
        (
            r"jtalk/url-health-check-action|iflis/.*health|\S*health-?check\S*|cygnetdigital/wait_for_response"
            r"|nev7n/wait_for_response|\S*smoke\S*|andeling/"
        ),
        Kind.VERIFY,
        "probe",
    ),
    (
        (
            r"cypress-io/|microsoft/playwright|checkly/|treosh/lighthouse|artilleryio/"
            r"|grafana/(k6|run-k6)"
        ),
        Kind.VERIFY,
        "end to end",
    ),
    (
        (
            r"helm/kind-action|engineerd/setup-kind|medyagh/setup-minikube|manusa/actions-setup-minikube"
            r"|abelbarrera/|nolar/setup-k3d|debianmaster/actions-k3s"
        ),
        Kind.TEST_CLUSTER,
        "",
    ),
    (
        (
            r"golangci/|pre-commit/action|psf/black|chartboost/ruff|astral-sh/ruff-action|super-linter/"
            r"|github/super-linter|oxsecurity/megalinter|hadolint/"
        ),
        Kind.LINT,
        "",
    ),
    (
        (
            r"actions/cache(/restore)?$|\S*/rust-cache|mozilla-actions/sccache|actions-rust-lang/setup-rust"
            r"|gradle/actions|ramsey/composer-install|pnpm/action-setup"
        ),
        Kind.CACHE,
        "",
    ),
    (r"aws-actions/configure-aws-credentials|google-github-actions/auth|azure/login|aliyun/configure", Kind.CLOUD_LOGIN, ""),
    (
        (
            r"datadog/|\S*/workflow-telemetry|catchpoint/|\S*metrics\S*|runforesight/|corentinmusard/otel"
            r"|\S*otel\S*"
        ),
        Kind.METRICS,
        "",
    ),
)
_COMPILED = [(re.compile(pattern), kind, what) for pattern, kind, what in _OTHER]

_OUR_ACTIONS: dict[str, tuple[Kind, ...]] = {
    "roll-out": (Kind.DEPLOY,),
    "health-gate": (Kind.VERIFY,),
    "rollback-to-previous-sha": (Kind.ROLLBACK,),
    "run-migrations-oneshot": (Kind.MIGRATE,),
    "verify-openapi-client": (Kind.CLIENT,),
    "deployment-record": (Kind.RECORD,),
    "notify": (Kind.NOTIFY,),
    "scan-gate": (Kind.SCAN_DEPENDENCIES, Kind.SCAN_CODE, Kind.SCAN_IMAGE, Kind.SCAN_SECRETS),
    "pipeline-metrics": (Kind.METRICS,),
    "secrets-doc-check": (),
    "pipeline-audit": (),
    "verify-migrations": (),
}
_OUR_WORKFLOWS: dict[str, tuple[Kind, ...]] = {
    "verify": (Kind.TEST, Kind.CLIENT),
    "build": (Kind.BUILD, Kind.PUSH),
    "deploy": (Kind.MIGRATE, Kind.DEPLOY, Kind.VERIFY, Kind.ROLLBACK, Kind.RECORD),
}
_OUR = re.compile(r"(?:[\w.-]+/cicd-actions/|\$/(?:actions/)?|\./(?:actions/)?|\./release/)([a-z-]+)(?:@.*)?$")
_OUR_WORKFLOW = re.compile(r"[\w.-]+/cicd-actions/\.github/workflows/([a-z-]+)\.yml@")

_ENTRY = {
    "superfly/flyctl-actions": "args",
    "cloudflare/wrangler-action": "command",
    "netlify/actions": "args",
    "cloud-gov/cg-cli-tools": "cf_command",
    "citizen-of-planet-earth/cf-cli-action": "command",
}
"""Actions that run whatever their input says: they deploy only when it says so."""


def name_of(uses: str) -> str:
    """Returns the repository of an action in lower case: `owner/name`, with the folder where there is one."""
    return uses.partition("@")[0].lower().strip("/")


def ours(uses: str) -> str:
    """Returns the name of our own action that `uses` names; nothing for any other."""
    match = _OUR.fullmatch(uses)
    return match[1] if match and match[1] in _OUR_ACTIONS else ""


def our_workflow(uses: str) -> str:
    """Returns the name of our own reusable workflow that `uses` names; nothing for any other."""
    match = _OUR_WORKFLOW.match(uses)
    return match[1] if match else ""


def workflow_effects(uses: str) -> Iterator[Effect]:
    """Yields what our own reusable workflows do, for callers that cannot read them."""
    name = our_workflow(uses)
    parts = {"pipeline": ("verify", "build", "deploy"), "release": ("build", "deploy")}.get(name, (name,))
    kinds = [kind for part in parts for kind in _OUR_WORKFLOWS.get(part, ())]
    for kind in kinds:
        yield _our_effect(kind, uses, {})


def effects_of(uses: str, given: Mapping[str, str]) -> Iterator[Effect]:
    """Yields the effects of an action with these inputs; their places are filled in by the caller."""
    own = ours(uses)
    if own:
        for kind in _OUR_ACTIONS[own]:
            yield _our_effect(kind, uses, given)
        return
    name = name_of(uses)
    repository = "/".join(name.split("/")[:2])
    detail = shown(uses)
    if repository in {
        "docker/build-push-action",
        "docker/bake-action",
        "redhat-actions/buildah-build",
        "depot/build-push-action",
    }:
        yield from _built(given, detail)
    elif repository == "aquasecurity/trivy-action":
        image = given.get("scan-type", "image") == "image" or bool(given.get("image-ref"))
        yield Effect(Kind.SCAN_IMAGE if image else Kind.SCAN_DEPENDENCIES, "Trivy", detail=detail)
    elif repository in _PUBLISHES:
        yield Effect(Kind.PUBLISH, _PUBLISHES[repository], detail=detail)
    elif repository in _DEPLOYS:
        yield from _deployed(repository, _DEPLOYS[repository], given, detail)
    else:
        yield from _cached(repository, given, detail)
        for pattern, kind, what in _COMPILED:
            if pattern.match(name):
                yield Effect(kind, what or repository, detail=detail, waits=kind is Kind.VERIFY)
                break
        joined = " ".join(given.values()).lower()
        if "webhook" in name and re.search(r"deploy|portainer|coolify", joined):
            yield Effect(Kind.DEPLOY, HOOK.name, detail=detail, platform=HOOK)
        if repository in _DISPATCHES or (repository == "actions/github-script" and _DISPATCH_CALL.search(joined)):
            yield Effect(Kind.DISPATCH, repository, detail=detail, targets=tuple(given.values()))
        if "ecs-run-task" in name and "migrat" in joined:
            yield Effect(Kind.MIGRATE, "a task", detail=detail)


_DISPATCHES = frozenset(
    {
        "benc-uk/workflow-dispatch",
        "convictional/trigger-workflow-and-wait",
        "the-actions-org/workflow-dispatch",
        "lasith-kg/dispatch-workflow",
        "codex-/return-dispatch",
        "peter-evans/repository-dispatch",
    }
)
_DISPATCH_CALL = re.compile(r"createworkflowdispatch|createdispatchevent|/dispatches\b")

_SETUP = re.compile(
    r"(actions/setup-(node|python|go|java|dotnet)|ruby/setup-ruby|astral-sh/setup-uv|oven-sh/setup-bun"
    r"|pnpm/action-setup|actions/setup-\w+)"
)


def _cached(repository: str, given: Mapping[str, str], detail: str) -> Iterator[Effect]:
    match = _SETUP.match(repository)
    if not match:
        return
    # setup-go caches by default from its version 4, setup-uv on GitHub's runners, pnpm and bun only when told to.
    by_default = repository in {"actions/setup-go", "astral-sh/setup-uv"}
    asked = given.get("cache") or given.get("enable-cache") or given.get("bundler-cache")
    if (asked and asked.lower() != "false") or (by_default and (asked or "").lower() != "false"):
        yield Effect(Kind.CACHE, repository, detail=detail)


def _our_effect(kind: Kind, uses: str, given: Mapping[str, str]) -> Effect:
    deploys = kind is Kind.DEPLOY
    return Effect(
        kind,
        "cicd-actions",
        detail=shown(uses),
        platform=OURS if deploys else None,
        waits=True,
        rolls_back=deploys,
        by_digest=deploys,
        images=tuple(line.partition("=")[2].strip() for line in given.get("services", "").splitlines() if "=" in line),
        targets=(given.get("environment", ""),),
        facts={"strict": "yes", **{key: value for key, value in given.items() if len(value) < 2000}},
    )


def _built(given: Mapping[str, str], detail: str) -> Iterator[Effect]:
    tags = tuple(tag.strip() for tag in re.split(r"[,\n]", given.get("tags", "")) if tag.strip())
    context = given.get("context", ".").strip().removeprefix("./").strip("/")
    folder = "" if context in {"", "."} or "${{" in context or ":" in context else f"{context}/"
    dockerfile = (given.get("file") or f"{folder}Dockerfile").removeprefix("./")
    facts = {"args": given.get("build-args", ""), "cache": given.get("cache-from", ""), "target": given.get("target", "")}
    yield Effect(Kind.BUILD, "image", detail=detail, images=tags, files=(dockerfile,), facts=facts)
    pushes = given.get("push", "").strip().lower() not in {"", "false"} or "push=true" in given.get("outputs", "")
    if pushes or "type=registry" in given.get("outputs", ""):
        yield Effect(Kind.PUSH, "image", detail=detail, images=tags, facts={"if": given.get("push", "")})


_CHECKS = re.compile(r"(health|smoke)[-_]?(check|test)?[-_]?(url|path|endpoint)?", re.IGNORECASE)
"""Inputs of deploy actions that name what is asked once the release runs."""


def _deployed(repository: str, platform: Platform, given: Mapping[str, str], detail: str) -> Iterator[Effect]:
    key = _ENTRY.get(repository)
    if key:
        words = given.get(key, "")
        if repository == "superfly/flyctl-actions" and "deploy" not in words:
            return
        if repository == "cloudflare/wrangler-action" and words and not re.search(r"deploy|publish", words):
            return
        if repository == "netlify/actions" and "deploy" not in words:
            return
        if platform is CLOUD_FOUNDRY and not re.match(r"(v3-|zdt-)?push\b", words):
            return
    preview = (platform is _VERCEL and "--prod" not in given.get("vercel-args", "")) or (
        platform is _NETLIFY and "production-deploy" in given and given["production-deploy"].lower() == "false"
    )
    preview = preview or (given.get("channelid", given.get("channelId", "live")) != "live") or given.get("action") == "close"
    images = tuple(
        given[key] for key in ("image", "images", "imagetodeploy", "imageToDeploy", "containerimage") if given.get(key)
    )
    waits = given.get("wait-for-service-stability", "").lower() == "true" or given.get("wait", "").lower() == "true"
    yield Effect(
        Kind.DEPLOY,
        platform.name,
        detail=detail,
        platform=platform,
        images=images if platform.image else (),
        targets=tuple(value for value in given.values() if len(value) < 200),
        files=tuple(
            given[key].removeprefix("./") for key in ("manifests", "file", "stack-file", "stack_file") if given.get(key)
        ),
        waits=waits or platform.waits,
        rolls_back=platform.rolls_back,
        preview=preview,
        by_digest=any("@sha256:" in image or "digest" in image for image in images),
        facts={key: value for key, value in given.items() if len(value) < 500},
    )
    asked = next((key for key, value in given.items() if _CHECKS.fullmatch(key) and value), "")
    if asked:
        yield Effect(Kind.VERIFY, "probe", detail=f"{detail} with {asked}", waits=True)
