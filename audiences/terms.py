"""The small parts of rules: literals, lengths of time, windows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

__all__ = [
    "Ago",
    "Bounds",
    "Calendar",
    "CalendarUnit",
    "Dates",
    "Duration",
    "Flag",
    "Instant",
    "Last",
    "Number",
    "Text",
    "Value",
    "Window",
]

Bounds = Literal["(]", "[]", "()", "[)"]
CalendarUnit = Literal["day", "week", "month", "quarter", "year"]


@dataclass(frozen=True, slots=True)
class Text:
    """A text to compare with; the pattern when the comparison is `matches`."""

    value: str


@dataclass(frozen=True, slots=True)
class Number:
    """A number to compare with; every number is a 64-bit float, exact up to 2^53."""

    value: float


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false to compare with; neither is a number."""

    value: bool


@dataclass(frozen=True, slots=True)
class Instant:
    """An instant to compare ISO-8601 texts with, aware UTC."""

    value: datetime


Value = Text | Number | Flag | Instant


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of time, in whole seconds."""

    seconds: int

    @property
    def delta(self) -> timedelta:
        """The same length for arithmetic with instants."""
        return timedelta(seconds=self.seconds)


@dataclass(frozen=True, slots=True)
class Last:
    """The window from `as_of − width` to `as_of`; open at its start unless `bounds` say otherwise."""

    width: Duration
    bounds: Bounds = "(]"


@dataclass(frozen=True, slots=True)
class Ago:
    """The window `(as_of − oldest, as_of − newest]`; without `oldest`, everything up to its end."""

    oldest: Duration | None
    newest: Duration


@dataclass(frozen=True, slots=True)
class Dates:
    """The window `[start, end)`, whatever the instant of evaluation; aware UTC; None leaves a side open."""

    start: datetime | None
    end: datetime | None


@dataclass(frozen=True, slots=True)
class Calendar:
    """Calendar periods of a time zone: `back` whole periods before the current one, and it too if `current`.

    Days, months … begin at local midnight, weeks on Monday; a day may have 23 or 25 hours. The window is
    `[first midnight, as_of]` when the current period belongs to it, else `[first midnight, last midnight)`.
    """

    unit: CalendarUnit
    back: int
    current: bool
    zone: str


Window = Last | Ago | Dates | Calendar
