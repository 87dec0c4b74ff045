"""A release put together: images by digest, addresses, and targets that expect the commit."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from cicd_actions.pipeline.build_images import bake_file
from cicd_actions.pipeline.release_images import Inputs, run
from cicd_actions.toolkit.errors import UnusableInput
from cicd_actions.toolkit.inputs import load
from cicd_actions.toolkit.runtime import Runtime

SHA, DIGEST = "a" * 40, "sha256:" + "b" * 64
API = {"name": "api", "image": "app", "repository": "ghcr.io/org/app", "url": "https://api.example.org/"}
READY = {"path": "/ready", "version-from": "json:$.version"}


def settings(*services: dict[str, Any], **more: Any) -> str:
    return json.dumps({"name": "staging", "services": list(services), **more})


def release(text: str, *, sha: str = SHA, variables: dict[str, str] | None = None, **inputs: str) -> dict[str, Any]:
    runtime = Runtime(variables or {}, io.StringIO())
    digests = json.dumps({"app": DIGEST}) if sha else ""
    given = {"settings": text, "digests": digests, "sha": sha, **inputs}
    return run(load(Inputs, given, runtime.redactor), runtime).outputs


def test_run_services_that_share_an_image_have_its_digest() -> None:
    worker = {**API, "name": "worker", "url": "", "health": []}
    found = release(settings({**API, "health": [READY]}, worker, **{"migrate-service": "worker"}))
    assert found["services"] == f"api=ghcr.io/org/app@{DIGEST}\nworker=ghcr.io/org/app@{DIGEST}"
    assert found["repositories"] == "api=ghcr.io/org/app\nworker=ghcr.io/org/app"
    assert found["migrate-image"] == f"ghcr.io/org/app@{DIGEST}"
    assert found["url"] == "https://api.example.org"


def test_run_targets_expect_the_commit_where_an_answer_tells_one() -> None:
    targets = [
        READY,
        {"path": "health", "check-version": "false", "version-from": "header:X"},
        {"url": "https://x.example", "replicas": "3"},
    ]
    found = release(settings({**API, "health": targets}))
    assert json.loads(found["targets"]) == [
        {"name": "api-1", "version-from": "json:$.version", "url": "https://api.example.org/ready", "expect-version": SHA},
        {"name": "api-2", "version-from": "header:X", "url": "https://api.example.org/health"},
        {"name": "api-3", "url": "https://x.example", "replicas": "3"},
    ]
    assert found["rollback-targets"] == found["targets"].replace(SHA, "{sha}")


def test_run_rollback_has_no_release_yet() -> None:
    found = release(settings({**API, "health": [READY]}), sha="")
    assert (found["services"], found["migrate-image"]) == ("", "")
    assert found["targets"] == found["rollback-targets"]


def test_run_address_comes_from_the_environments_variable() -> None:
    service = {**API, "name": "api-gateway", "url": "", "health": [READY]}
    found = release(settings(service), vars=json.dumps({"API_GATEWAY_URL": "https://g.example"}))
    assert json.loads(found["targets"])[0]["url"] == "https://g.example/ready"
    with pytest.raises(UnusableInput, match="set the variable API_GATEWAY_URL of the environment staging"):
        release(settings(service))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"image": "other", "health": [READY]}, "named no digest of its image `other`"),
        ({"health": []}, "no service has `health`"),
        ({"health": [{"path": "/", "expect-version": "x", "headers": "Authorization: $MISSING"}]}, "MISSING"),
    ],
)
def test_run_what_a_deploy_would_miss_is_told_before_anything_moves(change: dict[str, Any], said: str) -> None:
    with pytest.raises(UnusableInput) as found:
        release(settings({**API, **change}))
    assert said in str(found.value)


def test_run_headers_of_a_target_take_secrets_from_deploy_env() -> None:
    target = {"path": "/", "headers": "Authorization: Bearer $HEALTH_TOKEN"}
    found = release(settings({**API, "health": [target]}), variables={"DEPLOY_ENV": "HEALTH_TOKEN=t0k3n-value\n"})
    assert "t0k3n" not in json.dumps(found)


@pytest.mark.parametrize(("secret", "key"), [("DEPLOY_ENV", "deploy-env"), ("RELEASE_ENV", "release-env")])
def test_run_secret_that_lacks_a_name_is_told(secret: str, key: str) -> None:
    text = settings({**API, "health": [READY]}, **{key: "ONE\nTWO"})
    release(text, variables={secret: "ONE=1\nTWO=2\n"})
    for held in ("", "ONE=1\nTWO=\n"):
        with pytest.raises(
            UnusableInput, match=f"Could not use the secret {secret} of the environment staging: it does not set"
        ):
            release(text, variables={secret: held})


def test_bake_file_builds_all_images_in_one_group() -> None:
    images: dict[str, dict[str, Any]] = {
        "api": {
            "repository": "ghcr.io/org/api",
            "dockerfile": "infra/api.Dockerfile",
            "context": ".",
            "tags": ["main", "x-{sha}"],
        },
        "web": {
            "repository": "ghcr.io/org/web",
            "target": "site",
            "build-args": {"REV": "{sha}"},
            "build-secrets": ["NPM_TOKEN"],
        },
    }
    found = bake_file(images, SHA, "https://github.com/org/app")
    assert found["group"]["default"]["targets"] == ["api", "web"]
    api, web = found["target"]["api"], found["target"]["web"]
    assert api["tags"] == [f"ghcr.io/org/api:{tag}" for tag in (SHA, "main", f"x-{SHA}")]
    assert "latest" not in json.dumps(found)
    assert api["labels"]["org.opencontainers.image.revision"] == SHA
    assert (web["target"], web["args"], web["secret"]) == ("site", {"REV": SHA}, ["id=NPM_TOKEN,env=NPM_TOKEN"])
    assert web["cache-to"] == ["type=registry,ref=ghcr.io/org/web:build-cache,mode=max"]
