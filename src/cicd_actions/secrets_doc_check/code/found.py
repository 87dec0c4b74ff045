"""What a scanner found in a file."""

from __future__ import annotations

from dataclasses import dataclass, field

from cicd_actions.secrets_doc_check.records import Kind, Place, Remark, Setting, Use


@dataclass
class CodeUses:
    """The settings that a file reads, and what could not be analysed. `step` says how it is read, for the report."""

    path: str
    how: str
    uses: list[Use] = field(default_factory=list)
    settings: list[Setting] = field(default_factory=list)
    """What the file itself sets."""
    remarks: list[Remark] = field(default_factory=list)

    def use(self, name: str, line: int, column: int = 1, *, optional: bool = False, how: str = "") -> None:
        self.uses.append(Use(Kind.SETTING, name, Place(self.path, line, column), step=how or self.how, optional=optional))

    def mention(self, name: str, line: int, column: int = 1) -> None:
        """A text that may be a variable's name: it is read by a name that is put together somewhere else."""
        self.uses.append(Use(Kind.SETTING, name, Place(self.path, line, column), step="a text", optional=True, aside=True))

    def dynamic(self, text: str, line: int, column: int = 1) -> None:
        message = f"`{text}` cannot be analysed: which variable it reads is known only when it runs"
        self.remarks.append(Remark("not-analysable", message, Place(self.path, line, column), notice=True))

    def unread(self, reason: str, line: int, column: int = 1) -> None:
        message = f"`{self.path}` cannot be read: {reason}"
        self.remarks.append(Remark("unreadable-code", message, Place(self.path, line, column)))
