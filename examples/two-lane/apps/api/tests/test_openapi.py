"""The document that clients are generated from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.harness import API
from two_lane_api.app import create_app
from two_lane_api.settings import Settings


def document() -> dict[str, Any]:
    return create_app(Settings()).openapi()


def export(out: str, **environment: str) -> None:
    program = [sys.executable, str(API / "scripts" / "export_openapi.py"), out]
    subprocess.run(  # noqa: S603
        program, check=True, env={**os.environ, **environment}
    )


def operations() -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document()["paths"].items()
        for method, operation in methods.items()
    }


def test_operation_ids_are_a_promise_to_generated_clients() -> None:
    assert {name: one["operationId"] for name, one in operations().items()} == {
        "GET /health/live": "get_liveness",
        "GET /health/ready": "get_readiness",
        "GET /health/startup": "get_startup",
        "GET /items": "list_items",
        "POST /items": "create_item",
        "GET /items/{item_id}": "get_item",
        "PATCH /items/{item_id}": "update_item",
        "DELETE /items/{item_id}": "delete_item",
    }


def test_every_error_an_endpoint_lists_is_a_problem() -> None:
    for name, operation in operations().items():
        for status, response in operation["responses"].items():
            if status.startswith("4"):
                schema = response["content"]["application/problem+json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/Problem"}, (name, status)
                assert list(response["content"]) == ["application/problem+json"], (name, status)


def test_every_reference_leads_somewhere() -> None:
    text = json.dumps(document())
    schemas = document()["components"]["schemas"]
    used = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert used == set(schemas)


def test_the_export_is_stable_and_has_nothing_of_the_environment(tmp_path: Path) -> None:
    out = tmp_path / "made" / "openapi.json"
    export(str(out), PYTHONHASHSEED="1", RELEASE_SHA="f" * 40, DATABASE_URL="nonsense")
    expected = json.dumps(document(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    assert out.read_bytes() == expected.encode()
