"""Rules about images: built once, tagged by commit, deployed by digest, scanned, and given traffic when healthy."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cicd_actions.pipeline_audit.applied import compose_files, manifests
from cicd_actions.pipeline_audit.effects import ECS, Effect, Kind
from cicd_actions.pipeline_audit.facts import Facts, once
from cicd_actions.pipeline_audit.model import JobRun
from cicd_actions.pipeline_audit.rules.definition import NO_DEPLOY, Answer, Broken, Held, NotApplicable, Rule, Tier, Unknown
from cicd_actions.pipeline_audit.rules.examples import HEAD, SET_IMAGE, STATUS, UNDO, deploy_job
from cicd_actions.pipeline_audit.stages import Stage, tag_only
from cicd_actions.toolkit.yaml12 import Mapping, Node, Sequence
from cicd_actions.workflows.files import scalar_text
from cicd_actions.workflows.place import Place

_BUILD = "- run: docker build -t ghcr.io/org/api:$GITHUB_SHA --push ."


def _builds(job: JobRun) -> dict[tuple[int, Place], Effect]:
    return {(id(one), effect.place): effect for one in [job, *job.ancestors] for effect in one.of(Kind.BUILD)}


def _rebuilt(facts: Facts) -> Iterator[Answer]:
    if not facts.production or not facts.staging:
        yield NotApplicable("The release has one environment only.")
        return
    told: set[Place] = set()
    by_run: dict[str, list[JobRun]] = {}
    for one in facts.staging:
        by_run.setdefault(one.entry.path, []).append(one)
    for job in once(facts.production):
        builds = _builds(job)
        if Stage.STAGING in job.stages:
            yield from _rebuilt_for_each(job, builds)
            continue
        staged = by_run.get(job.entry.path) or facts.staging
        shared = {key for one in staged for key in _builds(one)}
        fresh = [effect for key, effect in builds.items() if key not in shared]
        if fresh and shared:
            if fresh[0].place not in told:
                told.add(fresh[0].place)
                message = (
                    f"`{fresh[0].detail}` builds the image for production again: staging runs another"
                    f" one.{_front_end(fresh[0])}"
                )
                yield Broken(fresh[0].place, message, via=job.via, key=job.job.id)
        else:
            yield Held("Staging and production run the same build.", job.place)


def _rebuilt_for_each(job: JobRun, builds: dict[tuple[int, Place], Effect]) -> Iterator[Answer]:
    own = [effect for (owner, _), effect in builds.items() if owner == id(job)]
    named = "matrix." in (job.job.environment.text if job.job.environment else "")
    if own and named:
        yield Broken(
            own[0].place,
            f"`{own[0].detail}` builds an image for each environment of the matrix.{_front_end(own[0])}",
            via=job.via,
            key=job.job.id,
        )
    elif builds:
        effect = next(iter(builds.values()))
        message = (
            f"Every run builds (`{effect.detail}`), and each run deploys to one environment: production runs"
            " another build than staging."
        )
        yield Broken(effect.place, message + _front_end(effect), via=job.via, key=job.job.id)
    else:
        yield Held("The deploy builds nothing.", job.place)


def _front_end(effect: Effect) -> str:
    if re.search(r"VITE_|NEXT_PUBLIC_|REACT_APP_|NUXT_PUBLIC_|PUBLIC_", effect.facts.get("args", "") + effect.detail):
        return " Let the web application read its configuration when it starts, and one image serves every environment."
    return ""


_BUILD_JOB = """\
  build:
    runs-on: ubuntu-latest
    timeout-minutes: 10
    outputs:
      digest: ${{ steps.build.outputs.digest }}
    steps:
      - uses: docker/build-push-action@<sha>
        id: build
        with:
          push: true
          tags: ghcr.io/org/api:${{ github.sha }}
"""
_SET_BUILT = SET_IMAGE.replace("vars.DIGEST", "needs.build.outputs.digest")

REBUILT = Rule(
    "rebuilt-release",
    Tier.CRITICAL,
    "A release is built once; every environment runs the same digests.",
    "A second build can hold other dependencies: what staging proved is not what production runs.",
    "jobs:\n  build: …\n  staging:\n    needs: build\n  production:\n    needs: [build, staging] # runs the digest of `build`",
    _rebuilt,
    {
        ".github/workflows/deploy.yml": HEAD
        + deploy_job(_BUILD, SET_IMAGE, STATUS, job="staging", environment="staging")
        + deploy_job(_BUILD, SET_IMAGE, STATUS, UNDO, extra="    needs: staging\n")
    },
    {
        ".github/workflows/deploy.yml": HEAD
        + _BUILD_JOB
        + deploy_job(_SET_BUILT, STATUS, job="staging", environment="staging", extra="    needs: build\n")
        + deploy_job(_SET_BUILT, STATUS, UNDO, extra="    needs: [build, staging]\n")
    },
    of_deploys=True,
)

_MUTABLE = re.compile(
    r":(latest|main|master|develop|dev|stable|edge|nightly|prod|production|staging|stage|current|release)$", re.IGNORECASE
)
_BRANCH = re.compile(r":[^:]*(github\.(ref_name|head_ref|ref)\b|GITHUB_REF_NAME|BRANCH)", re.IGNORECASE)
_UNIQUE = re.compile(
    (
        r"sha|digest|version|tag|run_number|run_id|commit|revision|release|outputs|[0-9a-f]{7,40}|\d+\.\d+"
        r"|date|build|needs\.|inputs\."
    ),
    re.IGNORECASE,
)


def _mutable(image: str, *, deployed: bool = True) -> str:
    """Returns why an image reference does not name one build; nothing when it does, or when that is not known."""
    text = image.strip().strip("'\"")
    if "@" in text or not text:
        return ""
    found = _MUTABLE.search(text)
    if found:
        return f"the tag `{found[1]}` moves"
    if _BRANCH.search(text) and not re.search(r"sha|tags/", text):
        return "the tag is the name of a branch"
    if (
        deployed
        and not text.startswith(":")
        and ":" not in text.rpartition("/")[2]
        and not re.search(r"[$\s]", text)
        and "/" in text
    ):
        return "without a tag, it is `latest`"
    return ""


def _mutable_tags(facts: Facts) -> Iterator[Answer]:
    some, named = False, False
    for job in once(facts.deploying):
        for _, effect in job.service_deploys:
            named = named or bool(effect.images) or effect.by_digest
            for image in effect.images:
                why = _mutable(image)
                if why and not (_BRANCH.search(image) and tag_only(job)):
                    some = True
                    yield Broken(effect.place, f"`{effect.detail}` deploys `{image}`: {why}.", via=job.via, key=image)
            if re.search(r"rollout restart\b", effect.detail) and not re.search(r"set image|apply|helm", _script(job)):
                some = True
                yield Broken(
                    effect.place, f"`{effect.detail}` pulls the same tag again: the tag moves.", via=job.via, key=effect.detail
                )
            if (
                effect.platform is ECS
                and "--force-new-deployment" in effect.detail
                and not re.search(r"--task-definition|register-task-definition", _script(job))
            ):
                some = True
                yield Broken(
                    effect.place,
                    f"`{effect.detail}` starts the same task definition again: its tag moves.",
                    via=job.via,
                    key=effect.detail,
                )
    for place, image, why in _applied(facts):
        some = True
        yield Broken(place, f"The deployed file names `{image}`: {why}.", key=image)
    only = list(_only_mutable(facts)) if not named and not some else []
    yield from only
    if not some and not only:
        yield (
            Held("Deployed images are named by commit, version or digest.")
            if named
            else Unknown("The deploys do not name their images.")
        )


def _script(job: JobRun) -> str:
    return "\n".join(command.text for step in job.steps for command, _ in step.commands)


def _applied(facts: Facts) -> Iterator[tuple[Place, str, str]]:
    """The images that the applied Compose files and manifests name with a moving tag, where this repository builds them."""
    built = {_name(image) for _, effect in facts.pipeline.all(Kind.BUILD, Kind.PUSH) for image in effect.images}
    built.discard("")
    replaced = any(
        re.search(r"set image|kustomize edit|sed |envsubst|yq ", effect.detail) for _, _, effect in facts.pipeline.deploys
    )
    replaced = replaced or any(
        re.match(r"(envsubst|sed|yq|kustomize)\b", command.text)
        for job in facts.deploying
        for step in job.steps
        for command, _ in step.commands
    )
    if replaced:
        return
    for path in dict.fromkeys([*compose_files(facts), *manifests(facts)]):
        for root in facts.repository.yaml(path):
            for image, line in _images(root):
                text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", image)
                why = _mutable(text) if _name(text) in built and "${" not in text else ""
                if why:
                    yield Place(path, line), image, why


def _name(image: str) -> str:
    """The last part of an image's name, without its tag."""
    text = re.sub(r"\$\{\{.*?\}\}", "x", image.strip())
    return text.partition("@")[0].rpartition("/")[2].partition(":")[0].lower()


def _images(node: Node) -> Iterator[tuple[str, int]]:
    pending: list[Node] = [node]
    while pending:
        one = pending.pop()
        if isinstance(one, Sequence):
            pending += one.items
        elif isinstance(one, Mapping):
            for key, value in one.entries:
                if key.text == "image" and scalar_text(value):
                    yield scalar_text(value), value.line
                else:
                    pending.append(value)


def _only_mutable(facts: Facts) -> Iterator[Answer]:
    """Images that are pushed with a moving tag only, where a deploy that names no image must be using it."""
    for job, effect in facts.pipeline.all(Kind.BUILD):
        pushed = [image for image in effect.images if image]
        if pushed and all(_mutable(image, deployed=False) for image in pushed) and id(job) in facts.releasing:
            yield Broken(
                effect.place,
                f"The image that is deployed is tagged `{pushed[0]}` only: {_mutable(pushed[0], deployed=False)}.",
                via=job.via,
                key=pushed[0],
            )


MUTABLE = Rule(
    "mutable-image-tag",
    Tier.MAJOR,
    "Images are tagged with the full commit SHA and deployed by digest; never `latest`.",
    "A tag that moves names another image tomorrow: a restart changes the release, and a rollback cannot find the old one.",
    "- run: kubectl set image deployment/api api=ghcr.io/org/api@${{ needs.build.outputs.digest }}",
    _mutable_tags,
    {
        ".github/workflows/deploy.yml": HEAD
        + deploy_job("- run: kubectl set image deployment/api api=ghcr.io/org/api:latest", STATUS, UNDO)
    },
    {".github/workflows/deploy.yml": HEAD + deploy_job(SET_IMAGE, STATUS, UNDO)},
    (
        "Only what is deployed counts: `latest` beside a SHA, for users who pull it, is fine. A tag with the"
        " commit or a version is accepted."
    ),
    of_deploys=True,
)


def _unscanned_image(facts: Facts) -> Iterator[Answer]:
    builds = [(job, effect) for job, effect in facts.pipeline.all(Kind.BUILD) if id(job) in facts.releasing]
    if not builds:
        yield NO_DEPLOY if not facts.deploying else NotApplicable("The deploys build no image.")
        return
    scans = facts.pipeline.all(Kind.SCAN_IMAGE)
    if scans:
        yield Held(f"`{scans[0][1].detail}` scans images.", scans[0][1].place)
    elif facts.unread is not None:
        yield Unknown("A called workflow may scan the image; it could not be read.", facts.unread.place)
    else:
        job, effect = builds[0]
        yield Broken(effect.place, "The image is rolled out without a scan for known vulnerabilities.", via=job.via, key="scan")


UNSCANNED_IMAGE = Rule(
    "unscanned-image",
    Tier.MINOR,
    "Images are scanned before they are rolled out.",
    "Most of an image is not your code; its known vulnerabilities are found by a scan only.",
    (
        "- run: trivy image --format json --output image.json ghcr.io/org/api:$GITHUB_SHA\n"
        "- uses: org/cicd-actions/scan-gate@<sha>\n  with:\n    reports: 'trivy: image.json'"
    ),
    _unscanned_image,
    {".github/workflows/deploy.yml": HEAD + deploy_job(_BUILD, SET_IMAGE, STATUS, UNDO)},
    {
        ".github/workflows/deploy.yml": HEAD
        + deploy_job(_BUILD, "- run: trivy image --exit-code 1 ghcr.io/org/api:$GITHUB_SHA", SET_IMAGE, STATUS, UNDO)
    },
)
