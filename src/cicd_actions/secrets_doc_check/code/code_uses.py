"""What a scanner finds in a file."""

from __future__ import annotations

from dataclasses import dataclass, field

from cicd_actions.secrets_doc_check.model import Kind, Setting, Use
from cicd_actions.secrets_doc_check.rules import finding
from cicd_actions.toolkit.findings import Finding
from cicd_actions.workflows.place import Place


@dataclass
class CodeUses:
    """The settings that a file reads, and what could not be analysed. `step` says how it is read, for the report."""

    path: str
    how: str
    uses: list[Use] = field(default_factory=list)
    settings: list[Setting] = field(default_factory=list)
    """What the file itself sets."""
    findings: list[Finding] = field(default_factory=list)
    unknown: dict[int, tuple[str, int]] = field(default_factory=dict)
    """The lines that read a variable whose name only the running code knows: the text of each, and its column."""

    def use(self, name: str, line: int, column: int = 1, *, optional: bool = False, how: str = "") -> None:
        """Adds a use of a variable."""
        self.uses.append(Use(Kind.SETTING, name, Place(self.path, line, column), step=how or self.how, optional=optional))

    def mention(self, name: str, line: int, column: int = 1) -> None:
        """Adds a text that may be a variable's name, which other code reads by a name that it builds."""
        self.uses.append(Use(Kind.SETTING, name, Place(self.path, line, column), step="a text", optional=True, aside=True))

    def dynamic(self, text: str, line: int, column: int = 1) -> None:
        """Notes that which variable a line reads is known only when the code runs."""
        self.unknown.setdefault(line, (text, column))

    def unread(self, reason: str, line: int, column: int = 1) -> None:
        """Adds a finding: the file cannot be parsed."""
        message = f"cannot read `{self.path}`: {reason}"
        self.findings.append(finding("unreadable-code", message, Place(self.path, line, column)))

    @property
    def told(self) -> list[Finding]:
        """The findings of the file: names that only the running code knows are one."""
        if not self.unknown:
            return self.findings
        line, (text, column) = next(iter(self.unknown.items()))
        message = f"cannot tell which variable `{text}` reads: its name is known only when the code runs"
        more = len(self.unknown) - 1
        if more:
            message += f". {more} more {'lines' if more > 1 else 'line'} of the file {'read' if more > 1 else 'reads'} one so"
        return [*self.findings, finding("dynamic-setting", message, Place(self.path, line, column))]
