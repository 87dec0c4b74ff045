# What the releases are built on: Debian's own packages, so that one image is all that comes from elsewhere. Started as it is, it
# serves nothing.
ARG BASE
FROM ${BASE}
# First, so that every layer and container of a build can be found by it.
ARG DEMO
LABEL org.cicd-actions.demo=${DEMO}
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends curl nginx-light python3 \
    && rm -rf /var/lib/apt/lists/*
CMD ["sleep", "infinity"]
