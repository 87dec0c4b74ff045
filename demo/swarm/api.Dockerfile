# The example's infra/api.Dockerfile without a network: its dependencies were downloaded on the machine that builds.
ARG BASE
FROM ${BASE}
COPY site /app/site
RUN python3 -m compileall -q -j 0 /app/site
# The example's image has it on the PATH, from its environment: a rollback's check asks it what it knows of the database.
RUN printf '#!/bin/sh\nexec python3 -m alembic "$@"\n' >/usr/local/bin/alembic && chmod +x /usr/local/bin/alembic
COPY alembic.ini /app/
COPY src /app/src
WORKDIR /app
ENV PYTHONPATH=/app/src:/app/site \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    HOST=0.0.0.0 \
    PORT=8000
USER 10001:10001
# Sooner than in the example: a release that never becomes ready is told after seconds. Each check is a process, and with eight
# replicas that are checked each second the lanes of the next release take twice as long: a replica that is well is left alone
# for a while.
HEALTHCHECK --interval=1s --timeout=30s --start-period=20s --retries=3 \
    CMD python3 -m two_lane_api.healthcheck && if [ -e /tmp/well ]; then exec sleep 20; else touch /tmp/well; fi
CMD ["python3", "-m", "two_lane_api"]
ARG RELEASE_SHA
ENV RELEASE_SHA=${RELEASE_SHA}
