"""Health endpoints: alive, started, ready."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from two_lane_api.readiness import ReadinessCheck
from two_lane_api.schemas import Liveness, Readiness, Startup
from two_lane_api.settings import Settings

router = APIRouter(prefix="/health", tags=["health"])


@router.get("/live")
async def get_liveness(request: Request) -> Liveness:
    """The process answers. Says nothing about the database: a restart would not fix that."""
    return Liveness(version=_version(request))


@router.get("/ready", responses={503: {"model": Readiness, "description": "Not ready"}})
async def get_readiness(request: Request, response: Response) -> Readiness:
    """This release can serve requests: the database answers and its schema fits."""
    check: ReadinessCheck = request.app.state.readiness
    checks = await check.run()
    ready = all(one.status != "failed" for one in checks.values())
    if ready:
        request.app.state.started = True
    else:
        response.status_code = 503
    response.headers["Cache-Control"] = "no-store"
    return Readiness(
        status="ready" if ready else "unready", version=_version(request), checks=checks
    )


@router.get("/startup", responses={503: {"model": Startup, "description": "Not ready yet"}})
async def get_startup(request: Request, response: Response) -> Startup:
    """Ready once, then alive.

    For container health checks, where unhealthy means "kill it": a release that never becomes
    ready fails its roll-out, but a database that goes away later does not restart every replica.
    """
    if not request.app.state.started:
        await get_readiness(request, response)
    started = request.app.state.started
    return Startup(status="started" if started else "starting", version=_version(request))


def _version(request: Request) -> str:
    settings: Settings = request.app.state.settings
    return settings.release_sha
