# The example's infra/web.Dockerfile without a network: the page was built on the machine that builds.
ARG BASE
FROM ${BASE}
COPY web/nginx.conf /etc/two-lane/nginx.conf
COPY web/start.sh /usr/local/bin/start-web
COPY dist /srv/two-lane
USER 10001:10001
# Sooner than in the example, and seldom once it is well: see api.Dockerfile.
HEALTHCHECK --interval=1s --timeout=30s --start-period=10s --retries=3 \
    CMD curl --fail --silent --show-error --output /dev/null --max-time 4 http://127.0.0.1:8080/config.json \
    && if [ -e /tmp/well ]; then exec sleep 20; else touch /tmp/well; fi
CMD ["start-web"]
ARG RELEASE_SHA
ENV RELEASE_SHA=${RELEASE_SHA}
