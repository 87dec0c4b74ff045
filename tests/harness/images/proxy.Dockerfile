ARG BASE
FROM ${BASE}
COPY haproxy.cfg /haproxy.cfg
CMD ["haproxy", "-W", "-db", "-f", "/haproxy.cfg"]
