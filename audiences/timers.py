"""When time alone can change an answer: at an event's instant plus the edge of a window that looks at it.

Timers are not stored. An event leaves a window of 7 days exactly 7 days after it occurred, so the events
whose timer rang between two runs are those that lie between the edges of the two, and a run finds them by
looking. A timer may ring without changing anything; nothing changes without one (decision 10).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from audiences.meaning import parts
from audiences.periods import period_start
from audiences.rules import (
    Compare,
    Events,
    Held,
    InQuery,
    OfAccount,
    OfProfiles,
    OneOf,
    Prefixed,
    QueryValue,
    Recency,
    Recurs,
    Regularly,
    Relative,
    Selection,
    Sequence,
    Top,
    Trait,
)
from audiences.terms import Ago, Calendar, Last, Number, Window

__all__ = ["EventTimer", "TraitTimer", "needs_everybody", "timers"]

_DAY = timedelta(days=1)
_ZERO = timedelta()


@dataclass(frozen=True, slots=True)
class EventTimer:
    """Rings for events of a selection.

    Attributes:
        selection: which events.
        clock: the instant that it counts from.
        after: how long after it.
        calendar: instead of a length, the calendar window whose start (or, if the current period is left out,
            end as well) the event crosses.
    """

    selection: Selection
    clock: str
    after: timedelta = _ZERO
    calendar: Calendar | None = None

    def rings(self, at: datetime) -> tuple[datetime, ...]:
        """When it rings for an event.

        Args:
            at: the event's instant, aware UTC.
        """
        if self.calendar is None:
            return (at + self.after,)
        unit, zone = self.calendar.unit, self.calendar.zone
        leaves = period_start(unit, -(self.calendar.back + 1), zone, at)
        return (leaves,) if self.calendar.current else (period_start(unit, -1, zone, at), leaves)

    def spans(self, since: datetime, as_of: datetime) -> tuple[tuple[datetime, datetime], ...]:
        """Between which instants, both included, lie the events for which it rang in `(since, as_of]`.

        Args:
            since: the earlier run.
            as_of: this run.
        """
        if self.calendar is None:
            return ((since - self.after, as_of - self.after),)
        unit, zone, back = self.calendar.unit, self.calendar.zone, self.calendar.back
        moved = [(period_start(unit, back, zone, since), period_start(unit, back, zone, as_of))]
        if not self.calendar.current:
            moved.append((period_start(unit, 0, zone, since), period_start(unit, 0, zone, as_of)))
        return tuple(each for each in moved if each[0] != each[1])


@dataclass(frozen=True, slots=True)
class TraitTimer:
    """Rings for values of a trait.

    Attributes:
        trait: which.
        after: how long after the date that the value says; None when it is `held`'s or `recurs`.
        held: how long after the change itself.
        recurs: the rule on days of the year.
    """

    trait: Trait
    after: timedelta | None = None
    held: timedelta | None = None
    recurs: Recurs | None = None


def timers(rule: object) -> frozenset[EventTimer | TraitTimer]:
    """Every timer of a rule or of a computed trait's measure, at any depth.

    Args:
        rule: a node; audiences that it is built on are not entered.
    """
    return frozenset(timer for part in parts(rule) for timer in _timers(part))


def needs_everybody(rule: object) -> bool:
    """Whether one profile's answer depends on other profiles, or on a query that may read them.

    Args:
        rule: a node or a measure.
    """
    return any(isinstance(part, (InQuery, QueryValue, Top, OfProfiles, OfAccount)) for part in parts(rule))


def _timers(node: object) -> Iterator[EventTimer | TraitTimer]:
    match node:
        case Events(selection, window, _, clock):
            yield from _of_window(selection, clock, window)
        case Compare(Recency(events), _, Number(days)):
            yield from _of_recency(events, days)
        case OneOf(Recency(events), values):
            for value in values:
                if isinstance(value, Number):
                    yield from _of_recency(events, value.value)
        case Regularly(events, _, _, period, _, of):
            for number in range(1, of + 1):
                yield EventTimer(events.selection, events.clock, period.delta * number)
        case Sequence(steps, exclusions):
            if node.adjacent or any(step.within_events is not None for step in steps):
                # an event of any name comes between two steps when it becomes visible
                yield from _of_window(Prefixed(""), "occurred", None)
            for each in exclusions:
                if each.within is not None and each.before is None and each.after is not None:
                    events = steps[each.after].events
                    yield EventTimer(events.selection, "occurred", each.within.delta)
        case Relative(trait, relation, length):
            backwards = relation in ("within_next", "after_next")
            yield TraitTimer(trait, after=_ZERO)
            yield TraitTimer(trait, after=-length.delta if backwards else length.delta)
        case Recurs(trait):
            yield TraitTimer(trait, recurs=node)
        case Held(trait, _, _, length):
            yield TraitTimer(trait, held=length.delta)
        case Trait(path):
            # a change that is stored already becomes visible
            yield TraitTimer(Trait(path[:1]), held=_ZERO)
        case _:
            pass


def _of_window(selection: Selection, clock: str, window: Window | None) -> Iterator[EventTimer]:
    match window:
        case Last(width):
            yield EventTimer(selection, clock, width.delta)
        case Ago(oldest, newest):
            yield EventTimer(selection, clock, newest.delta)
            if oldest is not None:
                yield EventTimer(selection, clock, oldest.delta)
        case Calendar():
            yield EventTimer(selection, clock, calendar=window)
        case _:
            pass
    # an event that is stored already becomes visible
    yield EventTimer(selection, "occurred")
    yield EventTimer(selection, "received")


def _of_recency(events: Events, days: float) -> Iterator[EventTimer]:
    for number in (int(days), int(days) + 1):
        yield EventTimer(events.selection, "occurred", _DAY * number)
