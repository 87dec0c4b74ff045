"""The application, made from its settings."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.routing import APIRoute

from two_lane_api import errors, health, items
from two_lane_api.cache import ItemCache
from two_lane_api.database import make_engine, make_sessions
from two_lane_api.readiness import ReadinessCheck, own_revisions
from two_lane_api.schemas import Problem
from two_lane_api.settings import Settings


def create_app(settings: Settings | None = None) -> FastAPI:
    """Make the application. Connects to nothing until the first request.

    Raises `pydantic.ValidationError` if a variable holds what cannot be used.
    """
    settings = settings or Settings()
    app = FastAPI(
        title="Two-lane items",
        version="1",  # of the API; the release's SHA would make every commit change the document
        lifespan=_lifespan,
        generate_unique_id_function=_operation_id,
    )
    app.state.settings = settings
    app.state.started = False
    app.middleware("http")(_say_version)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=list(settings.cors_origins),
        allow_methods=["GET", "POST", "PATCH", "DELETE"],
        allow_headers=["Content-Type"],
        expose_headers=["X-Version"],
    )
    errors.install(app)
    app.include_router(health.router)
    app.include_router(items.router)
    _list_problems(app)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    # No migration here, on purpose: ten replicas would run it ten times, and a failing one would
    # take the running release down. It is a separate job, before the roll-out.
    settings: Settings = app.state.settings
    own_revisions()
    engine = make_engine(settings.sqlalchemy_url)
    redis_url = settings.redis_url.get_secret_value() if settings.redis_url else None
    cache = ItemCache.connect(redis_url)
    app.state.sessions = make_sessions(engine)
    app.state.cache = cache
    app.state.readiness = ReadinessCheck(engine, cache, timeout=settings.readiness_timeout)
    try:
        yield
    finally:
        await cache.close()
        await engine.dispose()


async def _say_version(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    response = await call_next(request)
    response.headers["X-Version"] = request.app.state.settings.release_sha
    return response


def _operation_id(route: APIRoute) -> str:
    # The endpoint's name alone: a moved path or a renamed tag does not rename anything in clients.
    return route.name


def _list_problems(app: FastAPI) -> None:
    """Adds the error model to the document, and removes FastAPI's, which is never answered."""
    generate = app.openapi

    def openapi() -> dict[str, object]:
        document = generate()
        schemas = document.get("components", {}).get("schemas", {})
        model = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(model.pop("$defs", {}))
        schemas["Problem"] = model
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        document["components"]["schemas"] = dict(sorted(schemas.items()))
        return document

    app.openapi = openapi  # type: ignore[method-assign]
