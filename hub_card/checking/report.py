"""What a check found: a line per check, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ...common.environment import environment
from ...common.inert_text import printable
from ...common.tables import markdown_table

Result = Literal["passed", "failed", "not checked"]


@dataclass(frozen=True)
class Outcome:
    """One check.

    Attributes:
        check: what was checked.
        result: "passed", "failed" or "not checked".
        detail: what was measured, what is wrong, or why it was not checked.
    """

    check: str
    result: Result
    detail: str = ""


def judged(check: str, problems: Sequence[str], detail: str = "") -> Outcome:
    """Failed with these problems, or passed with a detail."""
    return Outcome(check, "failed" if problems else "passed", "; ".join(problems) or detail)


@dataclass(frozen=True)
class CheckReport:
    """All checks of a model.

    Attributes:
        model: as it was given.
        folder: the files that were checked.
        commit: of a Hub ID.
        kind: "stack" or "student".
        digest: SHA-256 over code and weights, see `verify_published`.
        outcomes: one per check.
    """

    model: str
    folder: str
    commit: str | None
    kind: str
    digest: str
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return not self.failed

    @property
    def failed(self) -> list[str]:
        """The checks that failed."""
        return [one.check for one in self.outcomes if one.result == "failed"]

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {"passed": self.passed, **asdict(self), "environment": environment()}

    def to_text(self) -> str:
        """A table in Markdown, and one sentence."""
        rows = [(one.check, one.result, printable(one.detail)) for one in self.outcomes]
        counts = {kind: [one.result for one in self.outcomes].count(kind)
                  for kind in ("passed", "failed", "not checked")}  # fmt: skip
        place = f"{self.model} at {self.commit}" if self.commit else self.folder
        verdict = "Failed: " + ", ".join(self.failed) if self.failed else "Nothing failed"
        return (
            f"{place}, a {self.kind}\n\n"
            f"{markdown_table(('check', 'result', 'detail'), rows, aligned=True)}\n\n"
            f"{verdict} ({', '.join(f'{count} {kind}' for kind, count in counts.items())})."
        )

    def __repr__(self) -> str:
        return self.to_text()
