"""`python -m two_lane_api`: serve."""

from __future__ import annotations

import uvicorn

from two_lane_api.app import create_app
from two_lane_api.settings import Settings


def main() -> None:
    settings = Settings()
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        log_level=settings.log_level,
        # Requests in flight may end when a roll-out stops this release, but not keep it forever.
        timeout_graceful_shutdown=10,
    )


if __name__ == "__main__":
    main()
