# The same command line, for use outside GitHub's runners: `make image` builds it from a release's tree.
# The base is an argument, so that a mirror or a hardened image can take its place.
ARG BASE=python:3.13-slim-bookworm
ARG BUILDPLATFORM

# On the builder's own platform: byte code is the same on all of them, so no other processor is emulated.
FROM --platform=$BUILDPLATFORM ${BASE} AS compiled
COPY . /opt/cicd-actions
# Byte code that is valid by its source's hash, not by its time: the same sources give the same bytes.
RUN python3 -I -S -m compileall -q --invalidation-mode unchecked-hash /opt/cicd-actions/lib \
    && chmod -R go+rX,go-w /opt/cicd-actions

FROM ${BASE} AS command
LABEL org.opencontainers.image.title="cicd-actions" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=compiled /opt/cicd-actions /opt/cicd-actions
WORKDIR /workspace
ENTRYPOINT ["/opt/cicd-actions/bin/cicd-actions"]

# What `docker/<action>` of a release names. GitHub's runner hands a container action files that are its own user's, so
# container actions run as root: https://docs.github.com/en/actions/reference/workflows-and-actions/dockerfile-support#user
FROM command AS action

# Without a target: for everywhere else.
FROM command
# A number, so that Kubernetes can see that it is not root.
USER 65532:65532
