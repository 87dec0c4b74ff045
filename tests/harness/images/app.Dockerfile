ARG BASE
FROM ${BASE}
COPY app.py /app.py
ARG SHA
LABEL org.opencontainers.image.revision=${SHA}
ENV VERSION=${SHA}
HEALTHCHECK --interval=500ms --timeout=5s --retries=3 CMD curl -fsS "http://127.0.0.1:${PORT:-8000}/health" || exit 1
STOPSIGNAL SIGTERM
CMD ["python3", "/app.py"]
