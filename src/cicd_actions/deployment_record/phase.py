"""Holds what every phase of deployment-record works with: the records, the run, and the audit log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from cicd_actions.deployment_record import audit
from cicd_actions.deployment_record.inputs import Inputs
from cicd_actions.github.client import GitHub
from cicd_actions.github.proof import Trust
from cicd_actions.github.records import Records
from cicd_actions.github.release_record import Record, Run, Task, is_sha, now
from cicd_actions.toolkit.errors import Inconclusive, UnusableInput
from cicd_actions.toolkit.findings import Finding, Severity
from cicd_actions.toolkit.receiver import Receiver
from cicd_actions.toolkit.report import Link
from cicd_actions.toolkit.runtime import Runtime


@dataclass
class Phase:
    """One run of the action."""

    inputs: Inputs
    runtime: Runtime
    github: GitHub
    records: Records
    run: Run
    audit_log: Receiver | None
    findings: list[Finding] = field(default_factory=list)

    @classmethod
    def of(cls, inputs: Inputs, runtime: Runtime) -> Phase:
        """Raises `UnusableInput`."""
        repository = runtime.variables.get("GITHUB_REPOSITORY", "")
        if not inputs.github_token:
            raise UnusableInput(
                "Cannot keep records: the input `github-token` is empty, and records are kept on GitHub.",
                fix="    with:\n      github-token: ${{ github.token }}",
            )
        deadline = runtime.deadline(inputs.timeout)
        github = GitHub(inputs.github_token, repository, runtime, deadline)
        audit_log = Receiver.of("audit-url", inputs.audit_url, "audit-headers", inputs.audit_headers, runtime, deadline)
        if inputs.audit_required and audit_log is None:
            raise UnusableInput(
                "`audit-required` is true, and `audit-url` names no log.",
                fix="    with:\n      audit-url: https://audit.example.com/deployments\n      audit-required: true",
            )
        records = Records(github, inputs.app, Trust.of(inputs, runtime))
        return cls(inputs, runtime, github, records, Run.of(runtime.variables), audit_log)

    def renewed(self) -> Phase:
        """Returns the same phase with its whole time again: what was checked meanwhile is not counted."""
        deadline = self.runtime.deadline(self.inputs.timeout)
        github = replace(self.github, deadline=deadline)
        audit_log = replace(self.audit_log, deadline=deadline) if self.audit_log else None
        return replace(self, github=github, records=self.records.within(github), audit_log=audit_log)

    @property
    def environment(self) -> str:
        return self.inputs.environment

    def sha(self, text: str = "") -> str:
        """Returns the release's commit: `text`, else the run's. Raises `UnusableInput`."""
        found = text or self.inputs.sha or self.runtime.variables.get("GITHUB_SHA", "")
        if not is_sha(found):
            raise UnusableInput(
                f"`{found[:80]}` is not a full commit SHA." if found else "Cannot tell which commit this is about.",
                fix="    with:\n      sha: ${{ github.sha }}",
            )
        return found

    def services(self) -> dict[str, str]:
        """Returns the image of each service. Raises `UnusableInput` without any."""
        if not self.inputs.services:
            raise UnusableInput(
                "Cannot record a release: the input `services` is empty.",
                fix="    with:\n      services: |\n        api=sha256:…\n        web=sha256:…",
            )
        return {each.service: each.image for each in self.inputs.services}

    def record(self, task: Task, sha: str, services: Mapping[str, str], *, reason: str = "") -> Record:
        """Returns a record of this run, its reason without secrets; a phase adds what it knows with `replace`."""
        return Record(
            task=task,
            app=self.records.name,
            environment=self.environment,
            sha=sha,
            services=dict(services),
            reason=self.runtime.redactor(reason),
            run=self.run,
        )

    def page(self, record: Record) -> str:
        """Returns the URL of the run that wrote a proven record, as this step knows the server and the repository."""
        return record.run.page(self.runtime.variables)

    def link(self, record: Record) -> Link | str:
        """Returns a link to that run; the record's own text where no URL can be made."""
        url = self.page(record)
        return Link(url, url) if url else record.run.url

    def warn(self, rule: str, message: str, fix: str = "", severity: Severity = Severity.WARNING) -> None:
        self.findings.append(Finding(f"deployment-record/{rule}", severity, message, fix=fix))

    def write_audit(self, phase: str, record: Record, verdict: str) -> Inconclusive | None:
        """Writes the audit line. Returns what went wrong, and warns of it where the line is not required."""
        if self.audit_log is None:
            return None
        line = {
            **record.payload(),
            "at": now(),
            "phase": phase,
            "repository": self.github.repository,
            "task": record.task.value,
        }
        try:
            audit.write(self.audit_log, {**line, "verdict": verdict})
        except Inconclusive as error:
            if not self.inputs.audit_required:
                self.warn("audit", error.what, error.fix)
            return error
        return None
