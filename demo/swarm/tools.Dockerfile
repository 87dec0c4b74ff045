# What stands around the releases in the demo on Swarm (registry, database, proxy), and what they are built on: Debian's own
# packages, so that one base image is all that comes from elsewhere. Started as it is, it serves nothing.
ARG BASE
FROM ${BASE}
# First, so that every layer and container of a build can be told by it.
ARG DEMO
LABEL org.cicd-actions.demo=${DEMO}
# Each environment makes its own database when it starts: none is made here.
RUN mkdir -p /etc/postgresql-common \
    && echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf \
    && apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
        curl docker-registry haproxy nginx-light postgresql python3 \
    && rm -rf /var/lib/apt/lists/*
COPY registry.yml start-database /etc/demo/
RUN chmod 755 /etc/demo/start-database
CMD ["sleep", "infinity"]
