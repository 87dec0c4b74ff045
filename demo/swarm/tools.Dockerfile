# What stands around the releases: the registry, each environment's database and its proxy.
ARG BASE
FROM ${BASE}
# Each database is made when its container starts: none is made here.
RUN mkdir -p /etc/postgresql-common \
    && echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf \
    && apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends docker-registry haproxy postgresql \
    && rm -rf /var/lib/apt/lists/*
COPY registry.yml start-database /etc/demo/
RUN chmod 755 /etc/demo/start-database
