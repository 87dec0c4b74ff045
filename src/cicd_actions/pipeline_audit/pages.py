"""Writes a page of documentation for each rule from its definition."""

from __future__ import annotations

from collections.abc import Mapping

from cicd_actions.pipeline_audit.rules.catalogue import RULES
from cicd_actions.pipeline_audit.rules.definition import Rule, Tier

_LANGUAGES = {"yml": "yaml", "yaml": "yaml", "py": "python", "json": "json", "md": "markdown", "sh": "bash"}

_REASON = "Why it does not matter here."
_MADE = "<!-- made by make metadata from the rule's definition -->\n"


def pages() -> dict[str, str]:
    """Returns the Markdown of every page by its file name, the index included."""
    found = {f"{rule.id}.md": page(rule) for rule in RULES.values()}
    found["README.md"] = _index()
    return found


def page(rule: Rule) -> str:
    """Returns the page of one rule."""
    parts = [
        _MADE,
        f"# {rule.id}\n",
        f"**{rule.tier.value}** · {rule.tier.sla}\n",
        f"{rule.title}\n",
        f"{rule.why}\n",
        *([f"{rule.note}\n"] if rule.note else []),
        "## Fix\n",
        f"```{'markdown' if rule.fix.startswith('# SECRETS.md') else 'yaml'}\n{rule.fix}\n```\n",
        "## An example that breaks it\n",
        *_files(rule.bad),
        "## An example that keeps it\n",
        *_files(rule.good),
        "## Accepting it\n",
        "In the line of the finding, or in a comment line right above it:\n",
        f"```yaml\n# pipeline-audit: allow {rule.id} — why it does not matter here\n```\n",
        "In `.github/pipeline-audit.yml`, until a day:\n",
        f"```yaml\n- rule: {rule.id}\n  file: {next(iter(rule.bad))}\n  reason: {_REASON}\n  expires: 2027-03-31\n```",
    ]
    return "\n".join(parts) + "\n"


def _files(files: Mapping[str, str]) -> list[str]:
    return [
        f"`{path}`\n\n```{_LANGUAGES.get(path.rpartition('.')[2], 'text')}\n{text.replace('{checksum}', '……').rstrip()}\n```\n"
        for path, text in files.items()
        if text.strip()
    ]


def _index() -> str:
    lines = [_MADE, "# The rules of pipeline-audit\n"]
    for tier in Tier:
        lines += [f"## {tier.value}: {tier.sla}\n", "| rule | |", "| --- | --- |"]
        lines += [f"| [{rule.id}]({rule.id}.md) | {rule.title} |" for rule in RULES.values() if rule.tier is tier]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"
