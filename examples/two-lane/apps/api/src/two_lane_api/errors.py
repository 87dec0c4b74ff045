"""Errors as problem documents (RFC 9457), and how the OpenAPI document lists them."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from two_lane_api.schemas import FieldProblem, Problem

_log = logging.getLogger(__name__)
_MEDIA_TYPE = "application/problem+json"


def not_found(item_id: int) -> HTTPException:
    return HTTPException(404, f"There is no item {item_id}.")


def name_taken(name: str) -> HTTPException:
    return HTTPException(409, f"There is already an item named {name!r}.")


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What to give to a route's `responses`, so that clients get these errors typed."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {_MEDIA_TYPE: {"schema": schema}},
        }
        for status in statuses
    }


def _answer(problem: Problem, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse(
        problem.model_dump(), problem.status, media_type=_MEDIA_TYPE, headers=headers
    )


async def _http(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 (registered for exactly this class)
    title = HTTPStatus(error.status_code).phrase
    headers = dict(error.headers) if error.headers else None
    return _answer(
        Problem(title=title, status=error.status_code, detail=str(error.detail)), headers
    )


async def _validation(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    # Only place and message: the rejected input is not sent back.
    errors = [
        FieldProblem(where=".".join(map(str, one["loc"])), message=one["msg"])
        for one in error.errors()
    ]
    detail = "; ".join(f"{one.where}: {one.message}" for one in errors)
    return _answer(Problem(title="Unprocessable Content", status=422, detail=detail, errors=errors))


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _answer(
        Problem(
            title="Internal Server Error",
            status=500,
            detail="Something went wrong on our side. It has been logged.",
        )
    )


def install(app: FastAPI) -> None:
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(Exception, _unexpected)
