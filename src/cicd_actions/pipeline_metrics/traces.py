"""Runs as traces: OTLP over HTTP as JSON, with OpenTelemetry's semantic conventions for CI/CD.

https://opentelemetry.io/docs/specs/otlp/#otlphttp and https://opentelemetry.io/docs/specs/semconv/cicd/cicd-spans/
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from cicd_actions.pipeline_metrics.facts import Facts, Job, Run

_RESULTS = {
    "success": "success",
    "failure": "failure",
    "timed_out": "timeout",
    "startup_failure": "error",
    "cancelled": "cancellation",
    "skipped": "skip",
}
_SERVER, _INTERNAL = 2, 1  # SpanKind
_ERROR = 2  # StatusCode


def request(facts: Facts, runs: Iterable[Run], server: str) -> dict[str, Any]:
    """Returns an ExportTraceServiceRequest with one trace for each attempt of a run; sent twice, it has the same ids."""
    return {"resourceSpans": [_resource(facts, run, server) for run in runs]}


def _resource(facts: Facts, run: Run, server: str) -> dict[str, Any]:
    url = f"{server}/{facts.repository}/actions/runs/{run.id}"
    trace = _id(32, facts.repository, run.id, run.attempt)
    root = _id(16, facts.repository, run.id, run.attempt, "run")
    name = run.workflow or run.path
    attributes = {
        "service.name": "github-actions",
        "cicd.pipeline.name": name,
        "cicd.pipeline.run.id": str(run.id),
        "cicd.pipeline.run.url.full": f"{url}/attempts/{run.attempt}",
        "vcs.provider.name": "github",
        "vcs.repository.name": facts.repository.rpartition("/")[2],
        "vcs.repository.url.full": f"{server}/{facts.repository}",
        "vcs.ref.head.name": run.branch,
        "vcs.ref.head.revision": run.sha,
    }
    result = _RESULTS.get(run.conclusion, run.conclusion)
    about = {"cicd.pipeline.result": result, **({"error.type": run.conclusion} if run.good is False else {})}
    spans = [_span(trace, root, "", f"RUN {name}", _SERVER, (run.started, run.updated), about, failed=run.good is False)]
    for job in facts.jobs.get(run.id, ()):
        if job.attempt == run.attempt and job.started and job.completed:
            spans += _job_spans(facts.repository, trace, root, url, job)
    scope = {"name": "cicd-actions/pipeline-metrics"}
    return {"resource": {"attributes": _attributes(attributes)}, "scopeSpans": [{"scope": scope, "spans": spans}]}


def _job_spans(repository: str, trace: str, root: str, url: str, job: Job) -> list[dict[str, Any]]:
    own = _id(16, repository, job.run, job.attempt, job.id)
    about = {
        "cicd.pipeline.task.name": job.name,
        "cicd.pipeline.task.run.id": str(job.id),
        "cicd.pipeline.task.run.url.full": f"{url}/job/{job.id}",
        "cicd.pipeline.task.run.result": _RESULTS.get(job.conclusion, job.conclusion),
        **({"error.type": job.conclusion} if job.good is False else {}),
    }
    spans = [_span(trace, own, root, job.name, _INTERNAL, (job.started, job.completed), about, failed=job.good is False)]
    at = job.started
    for number, step in enumerate(job.steps):
        # Steps follow each other; only how long each took is kept.
        end = min(at + step.seconds, job.completed)
        what = {
            "cicd.pipeline.task.name": step.name,
            "cicd.pipeline.task.run.result": _RESULTS.get(step.conclusion, step.conclusion),
        }
        span = _id(16, repository, job.run, job.attempt, job.id, number)
        spans.append(_span(trace, span, own, step.name, _INTERNAL, (at, end), what, failed=step.conclusion == "failure"))
        at = end
    return spans


def _span(
    trace: str, span: str, parent: str, name: str, kind: int, times: tuple[int, int], about: Mapping[str, str], *, failed: bool
) -> dict[str, Any]:
    return {
        "traceId": trace,
        "spanId": span,
        **({"parentSpanId": parent} if parent else {}),
        "name": name,
        "kind": kind,
        "startTimeUnixNano": str(times[0] * 10**9),
        "endTimeUnixNano": str(max(times) * 10**9),
        "attributes": _attributes(about),
        "status": {"code": _ERROR} if failed else {},
    }


def _attributes(values: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"key": key, "value": {"stringValue": value}} for key, value in values.items() if value]


def _id(digits: int, *parts: object) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode("utf-8", "replace")).hexdigest()[:digits]
