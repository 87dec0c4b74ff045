"""Migrations as a Kubernetes Job: a real API server and Job controller; the job's command runs as a process of this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from cicd_actions.run_migrations_oneshot import job
from tests.harness.alembic_project import Project
from tests.harness.kube_apiserver import Namespace
from tests.harness.kubelet import UNSCHEDULABLE, Behaviour
from tests.harness.workloads import container, workload
from tests.integration.run_migrations_oneshot.conftest import Ended, Migrating

pytestmark = [pytest.mark.network, pytest.mark.kubernetes]

MANIFEST = '{"schemaVersion": 2}'
DIGEST = f"sha256:{hashlib.sha256(MANIFEST.encode()).hexdigest()}"


@pytest.fixture
def on_kubernetes(kubernetes: Namespace, httpserver: HTTPServer, migrate: Migrating, tmp_path: Path) -> Callable[..., Ended]:
    """Migrates with the project as the content of the new image."""
    image = f"127.0.0.1:{httpserver.port}/shop/api@{DIGEST}"
    httpserver.expect_request(f"/v2/shop/api/manifests/{DIGEST}", method="HEAD").respond_with_data(
        headers={"Docker-Content-Digest": DIGEST}
    )
    httpserver.expect_request(f"/v2/shop/api/manifests/{DIGEST}", method="GET").respond_with_data(MANIFEST)
    # What an image has on its PATH: here, the environment with Alembic.
    path = migrate.variables("")["PATH"]
    kubernetes.create("deployments", workload(containers=[container(env=[{"name": "PATH", "value": path}])], replicas=0))

    def run(project: Project, kind: str = "good", **inputs: Any) -> Ended:
        kubernetes.images(image, Behaviour(kind, folder=project.folder))
        return migrate(
            project,
            f"sqlite:///{tmp_path}/s3cret-value.db",
            engine="kubernetes",
            context="here",
            namespace=kubernetes.name,
            service="api",
            image=image,
            job_command="",
            variables={"KUBECONFIG": kubernetes.kubeconfig()},
            **inputs,
        )

    return run


@pytest.mark.parametrize(("body", "status"), [("pass", "applied"), ("op.execute('SELEC 1')", "failed")])
def test_job_of_the_new_image_migrates(
    body: str,
    status: str,
    kubernetes: Namespace,
    on_kubernetes: Callable[..., Ended],
    project: Callable[..., Project],
) -> None:
    ended = on_kubernetes(project().revision("r1", body))
    assert ended.status == status, ended.text + ended.log
    assert ended.applied == (["r1"] if status == "applied" else [])
    assert ("SELEC 1" in ended.text) == (status == "failed")
    assert "s3cret-value" not in ended.text + ended.log
    kubernetes.until_empty("jobs", "secrets")


def test_job_that_cannot_be_scheduled_shows_the_scheduler_s_reason(
    kubernetes: Namespace, on_kubernetes: Callable[..., Ended], project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "STARTING", 0.0)
    limits = {"timeout": "1s", "wait_for_lock": "1s", "wait_for_database": "1s"}
    ended = on_kubernetes(project().revision("r1", "pass"), "unschedulable", **limits)
    assert UNSCHEDULABLE in ended.log
    kubernetes.until_empty("jobs", "secrets")
