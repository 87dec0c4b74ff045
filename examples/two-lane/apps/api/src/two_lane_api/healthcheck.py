"""`python -m two_lane_api.healthcheck`: the container's health check; 0 is healthy.

Standard library only, so that it starts in milliseconds and an image needs no curl.
"""

from __future__ import annotations

import os
import sys
from http.client import HTTPConnection, HTTPException


def main() -> int:
    connection = HTTPConnection("127.0.0.1", int(os.environ.get("PORT", "8000")), timeout=4)
    try:
        connection.request("GET", "/health/startup")
        response = connection.getresponse()
        body = response.read(2000).decode(errors="replace")
    except (OSError, HTTPException) as error:
        print(f"no answer: {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
        return 1
    finally:
        connection.close()
    print(response.status, body)  # noqa: T201 (the engine keeps it as the health log)
    return 0 if response.status == 200 else 1


if __name__ == "__main__":
    sys.exit(main())
