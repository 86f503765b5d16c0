"""Which events a rule looks at: their names, the window they lie in, the properties that they have."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, get_args

from audiences.errors import RuleError
from audiences.handles import Combinable, Comparable, Rule, as_rule
from audiences.literals import instant_of, unit_of, value_for, whole, zone_of
from audiences.meaning import conditions
from audiences.operands import written_events
from audiences.rules import AllOf, Compare, Count, Events, Exists, Node, OneOf, OrderOp, Property
from audiences.terms import Ago, Bounds, Calendar, CalendarUnit, Dates, Duration, Last, Number, Window

if TYPE_CHECKING:
    from typing import Self, TypeAlias

    Moment: TypeAlias = Duration | date | datetime

__all__ = ["SelectedEvents", "about_event"]

_MOST_PERIODS = 1_000


@dataclass(frozen=True, slots=True, eq=False)
class SelectedEvents(Comparable, Combinable):
    """Events of some names; as a rule on their own they mean "at least once"."""

    events: Events

    def __repr__(self) -> str:
        """Write what was asked for."""
        return written_events(self.events)

    def as_node(self) -> Node:
        """The rule that there is at least one such event."""
        return Compare(Count(self.events), ">=", Number(1.0))

    def within(self, width: Duration, *, bounds: Bounds = "(]") -> Self:
        """Look only at the last days, hours or minutes: the window `(as_of − width, as_of]`.

        Args:
            width: for example `days(90)`.
            bounds: which ends belong to the window, for peers that count differently: `(]`, `[]`, `()`, `[)`.

        Raises:
            RuleError: not a length of time, or there is a window already.
        """
        if not isinstance(width, Duration):
            raise RuleError(f"{self!r}.within(…) takes a duration, for example within(days(90)).")
        if bounds not in get_args(Bounds):
            raise RuleError(f"{self!r}.within(…): bounds is one of {', '.join(get_args(Bounds))}.")
        return self._windowed(Last(width, bounds))

    def between(self, first: Moment, second: Moment) -> Self:
        """Look only at a window further back, or at fixed dates.

        Args:
            first: with `second`, two durations, "between 60 and 30 days ago", in either order: the window
                `(as_of − 60 d, as_of − 30 d]`; or two dates or aware instants in order: `[first, second)`,
                a date meaning its first instant in UTC.
            second: the other end.

        Raises:
            RuleError: one of each, the same twice, instants out of order or without a time zone.
        """
        if isinstance(first, Duration) and isinstance(second, Duration):
            if first == second:
                raise RuleError(f"{self!r}.between(…) of the same duration twice is an empty window.")
            newest, oldest = sorted((first, second), key=lambda each: each.seconds)
            return self._windowed(Ago(oldest, newest))
        if isinstance(first, date) and isinstance(second, date):
            start, end = instant_of(first), instant_of(second)
            if start >= end:
                raise RuleError(f"{self!r}.between(…) ends before it starts; give the earlier date first.")
            return self._windowed(Dates(start, end))
        raise RuleError(
            f"{self!r}.between(…) takes two durations, between(days(60), days(30)), or two dates, "
            "between(date(2026, 1, 1), date(2026, 2, 1)); count_between(2, 5) asks how many there are."
        )

    def before(self, moment: Moment) -> Self:
        """Look only at what happened up to some time ago, or before a date.

        Args:
            moment: a duration, `before(days(30))`: at or before `as_of − 30 d`; or a date or aware instant:
                before it.

        Raises:
            RuleError: anything else, or there is a window already.
        """
        if isinstance(moment, Duration):
            return self._windowed(Ago(None, moment))
        if isinstance(moment, date):
            return self._windowed(Dates(None, instant_of(moment)))
        raise RuleError(f"{self!r}.before(…) takes a duration or a date, for example before(days(30)).")

    def since(self, moment: date | datetime) -> Self:
        """Look only at what happened at a date or later.

        Args:
            moment: a date, which begins at midnight UTC, or an aware instant.

        Raises:
            RuleError: anything else, or there is a window already.
        """
        if not isinstance(moment, date):
            raise RuleError(f"{self!r}.since(…) takes a date; within(days(30)) looks at the last 30 days.")
        return self._windowed(Dates(instant_of(moment), None))

    def this(self, unit: CalendarUnit, *, and_last: int = 0, tz: str | None = None) -> Self:
        """Look only at the calendar period that `as_of` lies in, up to `as_of`.

        Args:
            unit: `day`, `week` (from Monday), `month`, `quarter` or `year`.
            and_last: how many whole periods before it belong to the window too.
            tz: the time zone whose midnight begins a period; required.

        Raises:
            RuleError: no such unit, number or zone, or there is a window already.
        """
        where = f"{self!r}.this(…)"
        back = whole(and_last, f"{where}: and_last", 0, _MOST_PERIODS)
        return self._windowed(Calendar(unit_of(unit, where), back, current=True, zone=zone_of(tz, where)))

    def last_full(self, n: int, unit: CalendarUnit, *, tz: str | None = None) -> Self:
        """Look only at whole calendar periods before the one that `as_of` lies in.

        Args:
            n: how many.
            unit: `day`, `week` (from Monday), `month`, `quarter` or `year`.
            tz: the time zone whose midnight begins a period; required.

        Raises:
            RuleError: no such unit, number or zone, or there is a window already.
        """
        where = f"{self!r}.last_full(…)"
        back = whole(n, f"{where}: n", 1, _MOST_PERIODS)
        return self._windowed(Calendar(unit_of(unit, where), back, current=False, zone=zone_of(tz, where)))

    def received(self) -> Self:
        """Let the window look at when an event was received, instead of when it occurred."""
        return replace(self, events=replace(self.events, clock="received"))

    def where(self, *conditions: Combinable) -> Self:
        """Look only at events whose properties satisfy every condition.

        Args:
            conditions: rules about `prop(…)`.

        Raises:
            RuleError: no condition, or one that is not about properties.
        """
        before = () if self.events.where is None else (self.events.where,)
        every = (*before, *about_event(conditions, f"{self!r}.where"))
        return replace(self, events=replace(self.events, where=every[0] if len(every) == 1 else AllOf(every)))

    def _windowed(self, window: Window) -> Self:
        if self.events.window is not None:
            raise RuleError(f"{self!r} has a window already; start again from {self!r} for another one.")
        return replace(self, events=replace(self.events, window=window))

    def _without_window(self, method: str) -> Events:
        if self.events.window is not None:
            raise RuleError(f"{self!r}.{method}(…) says itself when it looks; leave the window out.")
        return self.events

    def _compare(self, op: OrderOp, value: object) -> Rule:
        counted = Count(self.events)
        return Rule(Compare(counted, op, value_for(counted, op, value, f"{self!r}.count() {op} …")))


def about_event(given: tuple[object, ...], where: str) -> tuple[Node, ...]:
    """Take conditions about one event.

    Args:
        given: what was written.
        where: the method that took it, for an error.

    Raises:
        RuleError: none, or one that is not about properties alone.
    """
    if not given:
        raise RuleError(f"{where}() needs a condition, for example prop('currency') == 'EUR'.")
    nodes = tuple(as_rule(each).as_node() for each in given)
    for each in (each for node in nodes for each in conditions(node)):
        if not isinstance(each, (Compare, OneOf, Exists)) or not isinstance(each.operand, Property):
            raise RuleError(
                f"{where}(…) looks at one event, so it takes conditions about prop(…) only; "
                "combine rules about the profile with & outside of it."
            )
    return nodes
