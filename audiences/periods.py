"""From a window and an instant to the two instants between which events count."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import assert_never
from zoneinfo import ZoneInfo

from audiences.terms import Ago, Calendar, CalendarUnit, Dates, Last, Window

__all__ = ["Span", "calendar_days", "period_start", "span_of"]

_MONTHS: dict[CalendarUnit, int] = {"month": 1, "quarter": 3, "year": 12}


@dataclass(frozen=True, slots=True)
class Span:
    """Instants from `start` to `end`, aware UTC; None leaves a side open.

    Attributes:
        start: where it begins.
        end: where it ends.
        with_start: whether an event at `start` counts.
        with_end: whether an event at `end` counts.
    """

    start: datetime | None
    end: datetime | None
    with_start: bool
    with_end: bool


def span_of(window: Window | None, as_of: datetime) -> Span:
    """Place a window in time.

    Args:
        window: None for all of time up to `as_of`.
        as_of: the instant of evaluation, aware.
    """
    match window:
        case None:
            return Span(None, None, with_start=True, with_end=True)
        case Last(width, bounds):
            return Span(as_of - width.delta, as_of, with_start=bounds[0] == "[", with_end=bounds[1] == "]")
        case Ago(oldest, newest):
            start = as_of - oldest.delta if oldest else None
            return Span(start, as_of - newest.delta, with_start=False, with_end=True)
        case Dates(start, end):
            return Span(start, end, with_start=True, with_end=False)
        case Calendar(unit, back, current, zone):
            start = period_start(unit, back, zone, as_of)
            if current:
                return Span(start, as_of, with_start=True, with_end=True)
            return Span(start, period_start(unit, 0, zone, as_of), with_start=True, with_end=False)
        case _:
            assert_never(window)


def period_start(unit: CalendarUnit, back: int, zone: str, as_of: datetime) -> datetime:
    """The first instant, UTC, of a calendar period: the one that `as_of` lies in, or an earlier one.

    Args:
        unit: weeks begin on Monday.
        back: how many periods before the current one; negative for later ones.
        zone: IANA name of the time zone.
        as_of: aware.
    """
    today = as_of.astimezone(ZoneInfo(zone)).date()
    match unit:
        case "day":
            first = today - timedelta(days=back)
        case "week":
            first = today - timedelta(days=today.weekday() + 7 * back)
        case "month" | "quarter" | "year":
            size = _MONTHS[unit]
            month = (today.year * 12 + today.month - 1) // size * size - back * size
            first = date(month // 12, month % 12 + 1, 1)
        case _:
            assert_never(unit)
    return datetime.combine(first, time(), ZoneInfo(zone)).astimezone(UTC)


def calendar_days(as_of: datetime, days: int, zone: str) -> tuple[str, ...]:
    """Days of the year, `MM-DD`, that come within some days from today, today included.

    Args:
        as_of: aware.
        days: how many days after today.
        zone: IANA name of the time zone that says what today is.

    Returns:
        Sorted and distinct; 29 February comes with 28 February of a year that has none.
    """
    today = as_of.astimezone(ZoneInfo(zone)).date()
    found = set()
    for number in range(min(days, 366) + 1):
        each = today + timedelta(days=number)
        found.add(f"{each:%m-%d}")
        if (each.month, each.day) == (2, 28) and (each + timedelta(days=1)).month == 3:
            found.add("02-29")
    return tuple(sorted(found))
