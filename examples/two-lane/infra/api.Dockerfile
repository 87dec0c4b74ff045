# The api's image. Build it from the repository's root:
#   docker build -f infra/api.Dockerfile --build-arg RELEASE_SHA="$(git rev-parse HEAD)" .
#
# It serves, and nothing else: migrations are a separate job, run once from this same image
# before the roll-out (`alembic upgrade head`), never when a container starts.

ARG PYTHON_IMAGE=python:3.13-slim-bookworm
ARG UV_IMAGE=ghcr.io/astral-sh/uv:0.13.8

FROM ${UV_IMAGE} AS uv

FROM ${PYTHON_IMAGE} AS build
COPY --from=uv /uv /usr/local/bin/uv
ENV UV_PYTHON_DOWNLOADS=never \
    UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_PROJECT_ENVIRONMENT=/app/.venv
WORKDIR /build
# Dependencies first: this layer stays while only the code changes.
COPY apps/api/pyproject.toml apps/api/uv.lock ./
# For example "--extra psycopg".
ARG UV_SYNC_ARGUMENTS=""
RUN uv sync --frozen --no-dev --no-install-project ${UV_SYNC_ARGUMENTS}
COPY apps/api/src ./src
RUN uv sync --frozen --no-dev --no-editable ${UV_SYNC_ARGUMENTS}

FROM ${PYTHON_IMAGE}
# The same Python at the same path as in the stage above, which the environment's links lead to.
COPY --from=build /app/.venv /app/.venv
COPY apps/api/alembic.ini /app/
WORKDIR /app
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    HOST=0.0.0.0 \
    PORT=8000
USER 10001:10001
EXPOSE 8000
# "Ready once, then alive": a release that never becomes ready is unhealthy and its roll-out fails;
# a database that goes away later does not make the orchestrator kill every replica.
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-m", "two_lane_api.healthcheck"]
CMD ["python", "-m", "two_lane_api"]
# Last, because it differs with every commit.
ARG RELEASE_SHA=dev
ENV RELEASE_SHA=${RELEASE_SHA}
LABEL org.opencontainers.image.revision=${RELEASE_SHA} \
      org.opencontainers.image.title="two-lane api"
