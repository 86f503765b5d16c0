"""The errors of audiences, by what the reader should do.

```
AudienceEngineError          (identity.errors)
├── RuleError                a definition can't be meant: change the line it names
├── MembershipError          the history can't take this instant: choose a later one
└── StoredRuleError          another version of the program stored a rule: compute it anew
```
"""

from __future__ import annotations

import sys

from identity.errors import AudienceEngineError

__all__ = ["MembershipError", "RuleError", "StoredRuleError", "definition_place"]

_PACKAGES = frozenset({"audiences", "exporters", "identity"})


class RuleError(AudienceEngineError):
    """A definition can't be meant; the text starts with its file and line and ends with the way out."""

    def __init__(self, message: str, place: str | None = None) -> None:
        """Place the error.

        Args:
            message: what is wrong, and what to write instead.
            place: `file:line` of the definition; None finds the line that is being run.
        """
        self.place = definition_place() if place is None else place
        super().__init__(f"{self.place}: {message}" if self.place else message)


class MembershipError(AudienceEngineError):
    """A membership can't be stored, because the history already knows a later instant."""


class StoredRuleError(AudienceEngineError):
    """A stored rule can't be read; another version of the program stored it."""


def definition_place() -> str:
    """Find the line outside this project's packages that is being run.

    Returns:
        `file:line`, or an empty text when there is none.
    """
    frame = sys._getframe(1)
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] not in _PACKAGES:
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return ""
