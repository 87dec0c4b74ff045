"""As a Kubernetes Job, through the real kubectl, against a stand-in of the API server that plays back what the program said."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from pytest_httpserver import HTTPServer

from cicd_actions.run_migrations_oneshot import job, program
from cicd_actions.run_migrations_oneshot.command_line import AlembicCommand
from tests.fakes.kubernetes.cluster import Cluster, Image
from tests.fakes.kubernetes.server import ApiServer
from tests.harness.alembic_project import Project
from tests.integration.run_migrations_oneshot.conftest import Migrating

pytestmark = [
    pytest.mark.network,
    pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed"),
]

NONCE = "0123456789abcdef"
MANIFEST = '{"schemaVersion": 2}'
DIGEST = f"sha256:{hashlib.sha256(MANIFEST.encode()).hexdigest()}"


@pytest.fixture
def cluster() -> Cluster:
    made = Cluster()
    container = {"name": "api", "image": f"registry.example/api@sha256:{'a' * 64}", "env": [{"name": "MODE", "value": "x"}]}
    template = {"metadata": {"labels": {"app": "api"}}, "spec": {"containers": [container], "serviceAccountName": "shop"}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "api"}}, "template": template}
    metadata = {"name": "api", "namespace": "default"}
    made.create("deployments", {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec})
    return made


@pytest.fixture
def kubernetes(cluster: Cluster) -> Iterator[tuple[Cluster, ApiServer]]:
    made = ApiServer(cluster)
    yield cluster, made
    made.close()


def said(project: Project, migrate: Migrating, url: str) -> tuple[list[str], int]:
    """What the program prints in such an image, and how it ends."""
    options = program.Options(NONCE, "apply", "x", 60, 5000, 0, 1, 1, 0, False, True, False)
    words = program.words(AlembicCommand((), "python3", ("upgrade", "head")), options)
    done = subprocess.run(
        words,
        cwd=project.folder,
        env=migrate.variables(url),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout.splitlines(), done.returncode


@pytest.mark.parametrize(("body", "status"), [("pass", "applied"), ("op.execute('SELEC 1')", "failed")])
def test_a_job_of_the_new_image(
    body: str,
    status: str,
    kubernetes: tuple[Cluster, ApiServer],
    httpserver: HTTPServer,
    tmp_path: Path,
    project: Callable[..., Project],
    migrate: Migrating,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster, server = kubernetes
    made = project().revision("r1", body)
    image = f"127.0.0.1:{httpserver.port}/shop/api@{DIGEST}"
    httpserver.expect_request(f"/v2/shop/api/manifests/{DIGEST}", method="HEAD").respond_with_data(
        headers={"Docker-Content-Digest": DIGEST}
    )
    httpserver.expect_request(f"/v2/shop/api/manifests/{DIGEST}", method="GET").respond_with_data(MANIFEST)
    lines, exit_code = said(made, migrate, f"sqlite:///{tmp_path}/items.db")
    cluster.images[image] = Image(lines=lines, exit_code=exit_code)
    monkeypatch.setattr(job, "secrets", SimpleNamespace(token_hex=lambda _size: NONCE))
    (tmp_path / "kubeconfig").write_text(server.kubeconfig())

    ended = migrate(
        made,
        "postgresql://u:s3cret-value@db/app",
        engine="kubernetes",
        context="here",
        namespace="default",
        service="api",
        image=image,
        job_command="",
        variables={"KUBECONFIG": str(tmp_path / "kubeconfig")},
    )

    assert ended.status == status, ended.text + ended.log
    assert ended.applied == (["r1"] if status == "applied" else [])
    manifest, secret = server.bodies
    pod = manifest["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert (container["image"], pod["serviceAccountName"], pod["restartPolicy"]) == (image, "shop", "Never")
    assert manifest["spec"]["backoffLimit"] == 0
    assert container["command"][:3] == ["python3", "-c", program.text()]
    assert container["command"][4:] == ["upgrade", "head"]
    assert secret["stringData"] == {"DATABASE_URL": "postgresql://u:s3cret-value@db/app"}
    assert "s3cret-value" not in str(manifest) + str(server.requests) + ended.text + ended.log
    assert not [key for key in cluster.objects if key[0] in {"jobs", "secrets"}], "nothing is left"
