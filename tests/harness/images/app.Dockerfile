# What each release has for itself comes last: an engine keeps the steps before it.
ARG BASE
FROM ${BASE}
COPY app.py /app.py
HEALTHCHECK --interval=500ms --timeout=30s --retries=3 CMD curl -fsS "http://127.0.0.1:${PORT:-8000}/checked" || exit 1
STOPSIGNAL SIGTERM
CMD ["python3", "/app.py"]
ARG SHA
LABEL org.opencontainers.image.revision=${SHA}
ENV VERSION=${SHA}
