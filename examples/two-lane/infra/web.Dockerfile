# The web page's image. Build it from the repository's root:
#   docker build -f infra/web.Dockerfile --build-arg RELEASE_SHA="$(git rev-parse HEAD)" .
#
# It holds no environment's configuration: that comes at start, from API_URL and ENVIRONMENT, so
# that staging and production run the same digest.

ARG NODE_IMAGE=node:24-bookworm-slim
ARG WEB_IMAGE=debian:bookworm-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /build
COPY apps/web/package.json apps/web/pnpm-lock.yaml apps/web/pnpm-workspace.yaml ./
# The pnpm that package.json names, and no other.
RUN npm install --global "$(node -p 'require("./package.json").packageManager')" \
    && pnpm install --frozen-lockfile
COPY apps/web ./
RUN pnpm run build

FROM ${WEB_IMAGE}
RUN apt-get update \
    && apt-get install --yes --no-install-recommends curl nginx \
    && rm -rf /var/lib/apt/lists/*
COPY infra/web/nginx.conf /etc/two-lane/nginx.conf
COPY infra/web/start.sh /usr/local/bin/start-web
COPY --from=build /build/dist /srv/two-lane
USER 10001:10001
EXPOSE 8080
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s --retries=3 \
    CMD ["curl", "--fail", "--silent", "--show-error", "--output", "/dev/null", "--max-time", "4", "http://127.0.0.1:8080/config.json"]
CMD ["start-web"]
# Last, because it differs with every commit.
ARG RELEASE_SHA=dev
ENV RELEASE_SHA=${RELEASE_SHA}
LABEL org.opencontainers.image.revision=${RELEASE_SHA} \
      org.opencontainers.image.title="two-lane web"
