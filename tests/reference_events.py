"""Events and traits of a profile or an account at an instant, and figures over them, in plain Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from audiences.rules import (
    ActiveDays,
    Aggregate,
    AllOf,
    AnyOf,
    Compare,
    Count,
    Distinct,
    Events,
    Exists,
    FirstTime,
    Held,
    Latest,
    Measure,
    MostFrequent,
    Named,
    Node,
    Not,
    OneOf,
    Operand,
    Pick,
    Prefixed,
    Property,
    Quantile,
    QueryValue,
    Reading,
    Recency,
    Regularly,
    Trait,
    UniqueList,
)
from audiences.terms import Ago, Calendar, CalendarUnit, Dates, Last, Window
from tests.reference_values import (
    MISSING,
    ORDER,
    compare_holds,
    compared,
    dig,
    exists_holds,
    is_number,
    of_elements,
    one_of_holds,
    place,
    read,
    scalars,
)

Row = TypeVar("Row", "Event", "Change")

TOO_LARGE = 10**18
BILLIONTH = Decimal("1e-9")


@dataclass(frozen=True)
class Event:
    """One event; `account` is the group that it says it happened in."""

    name: str
    message_id: str
    occurred_at: datetime
    received_at: datetime
    properties: Mapping[str, Any] = field(default_factory=dict)
    account: str | None = None


@dataclass(frozen=True)
class Change:
    """A message set a trait; None removed it."""

    name: str
    value: Any
    message_id: str
    occurred_at: datetime
    received_at: datetime


@dataclass(frozen=True)
class Subject:
    """What can be seen of a profile or an account at an instant, oldest first."""

    events: Sequence[Event]
    traits: Sequence[Change]
    as_of: datetime
    id: str = ""
    of: str = "profile"
    identifiers: Collection[str] = ()
    permitted: Collection[str] = ()


def seen(rows: Iterable[Row], as_of: datetime) -> list[Row]:
    """The rows that had been received and had happened by an instant, by (occurred_at, message_id)."""
    visible = [row for row in rows if row.received_at <= as_of and row.occurred_at <= as_of]
    return sorted(visible, key=lambda row: (row.occurred_at, row.message_id))


# ------------------------------------------------------------------------------------------ choosing events


def chosen(events: Events, subject: Subject) -> list[Event]:
    """The events of a selection, inside its window, that satisfy its condition; oldest first."""
    return [
        event
        for event in subject.events
        if named(events, event)
        and inside(events.window, clock(events, event), subject.as_of)
        and (events.where is None or fits(events.where, event))
    ]


def named(events: Events, event: Event) -> bool:
    match events.selection:
        case Named(names):
            return event.name in names
        case Prefixed(prefix):
            return event.name.startswith(prefix)


def clock(events: Events, event: Event) -> datetime:
    return event.occurred_at if events.clock == "occurred" else event.received_at


def inside(window: Window | None, at: datetime, as_of: datetime) -> bool:
    """Whether an instant lies in a window."""
    match window:
        case None:
            return True
        case Last(width, bounds):
            start = as_of - width.delta
            return (start <= at if bounds[0] == "[" else start < at) and (
                at <= as_of if bounds[1] == "]" else at < as_of
            )
        case Ago(oldest, newest):
            return (oldest is None or as_of - oldest.delta < at) and at <= as_of - newest.delta
        case Dates(start_at, end_at):
            return (start_at is None or start_at <= at) and (end_at is None or at < end_at)
        case Calendar(unit, back, current, zone):
            this = first_day(as_of.astimezone(ZoneInfo(zone)).date(), unit)
            begin = this
            for _ in range(back):
                begin = first_day(begin - timedelta(days=1), unit)
            after = at <= as_of if current else at < midnight(this, zone)
            return midnight(begin, zone) <= at and after


def first_day(day: date, unit: CalendarUnit) -> date:
    """The first day of the period that a day belongs to."""
    match unit:
        case "day":
            return day
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)
        case "quarter":
            return day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
        case "year":
            return day.replace(month=1, day=1)


def midnight(day: date, zone: str) -> datetime:
    """The first instant of a day; where the clock skips midnight, the instant of the skip."""
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)


def fits(node: Node, event: Event) -> bool:
    """Whether one event's properties satisfy a condition."""
    match node:
        case Not(rule):
            return not fits(rule, event)
        case AllOf(rules):
            return all(fits(rule, event) for rule in rules)
        case AnyOf(rules):
            return any(fits(rule, event) for rule in rules)
        case Compare(Property() as operand):
            return compare_holds(node, property_of(operand, event))
        case OneOf(Property() as operand):
            return one_of_holds(node, property_of(operand, event))
        case Exists(Property() as operand):
            return exists_holds(node, property_of(operand, event))
    raise AssertionError(f"nothing about an event's properties: {node}")


def property_of(operand: Property, event: Event) -> Any:
    return read(dig(event.properties, operand.path), operand.read)


# ---------------------------------------------------------------------------------------------- figures


def value_of(operand: Operand, subject: Subject) -> Any:
    """A trait's value, or a figure over events."""
    match operand:
        case Trait():
            changes = history(operand, subject)
            return changes[-1][1] if changes else MISSING
        case Property():
            raise AssertionError(f"a property is an event's: {operand}")
        case _:
            return figure(operand, subject)


def history(trait: Trait, subject: Subject) -> list[tuple[datetime, Any]]:
    """Each change of a trait, oldest first: since when, and what lay at the path from then on."""
    name, *inner = trait.path
    return [
        (change.occurred_at, read(dig({name: change.value}, (name, *inner)), trait.read))
        for change in subject.traits
        if change.name == name
    ]


def figure(measure: Measure, subject: Subject) -> Any:
    """A figure over the events that it chooses; MISSING when there is nothing to take it of."""
    assert not isinstance(measure, QueryValue), "a query is SQL: it has no meaning without a warehouse"
    events = chosen(measure.events, subject)
    match measure:
        case Count():
            return len(events)
        case ActiveDays(_, zone):
            return len({event.occurred_at.astimezone(ZoneInfo(zone)).date() for event in events})
        case Distinct(_, path):
            return len(set(places(events, path)))
        case Aggregate(_, function, path, reading):
            return aggregated(function, numbers(events, path, reading))
        case Quantile(_, path, share):
            return quantile(numbers(events, path), share)
        case Pick(_, which, path):
            found = [dig(event.properties, path) for event in events]
            having = [each for each in found if each is not MISSING]
            return having[0 if which == "first" else -1] if having else MISSING
        case MostFrequent(_, path, at_least):
            counts = Counter(places(events, path))
            best = min(counts, key=lambda held: (-counts[held], held), default=None)
            return MISSING if best is None or counts[best] < at_least else best[1]
        case UniqueList(_, path):
            return [held for _, held in sorted(set(places(events, path)))] or MISSING
        case Recency():
            return (subject.as_of - events[-1].occurred_at) // timedelta(days=1) if events else MISSING


def numbers(events: Sequence[Event], path: Sequence[str], reading: Reading = "plain") -> list[float]:
    """The numbers that a property is in the events; an array of numbers is none."""
    found = [read(dig(event.properties, path), reading) for event in events]
    return [each for each in found if is_number(each)]


def places(events: Sequence[Event], path: Sequence[str]) -> list[tuple[int, Any]]:
    """The scalars of a property as they are told apart and put in order, those in its arrays one by one."""
    held = [each for event in events for each in scalars(dig(event.properties, path))]
    return [found for each in held if (found := place(each)) is not None]


def aggregated(function: str, numbers: Sequence[float]) -> Any:
    """Sums are exact to nine digits after the point, so that the order of events does not matter."""
    if function in ("min", "max"):
        return {"min": min, "max": max}[function](map(float, numbers)) if numbers else MISSING
    exact = [
        Fraction(Decimal(repr(each)).quantize(BILLIONTH, ROUND_HALF_UP))
        for each in numbers
        if abs(each) < TOO_LARGE
    ]
    if not exact:
        return MISSING
    return sum(exact) / (1 if function == "sum" else len(exact))


def quantile(numbers: Sequence[float], share: float) -> Any:
    """The number at a share of the way from the least to the greatest, interpolated between neighbours."""
    if not numbers:
        return MISSING
    ordered = sorted(Fraction(repr(each)) for each in numbers)
    position = Fraction(repr(share)) * (len(ordered) - 1)
    before = int(position)
    after = min(before + 1, len(ordered) - 1)
    return ordered[before] + (ordered[after] - ordered[before]) * (position - before)


# ------------------------------------------------------------------------- conditions on events over time


def first_time_holds(condition: FirstTime, subject: Subject) -> bool:
    """Whether the first event ever that matches, whatever the window, lies in the window."""
    events = condition.events
    ever = Events(events.selection, None, events.where)
    return any(
        inside(events.window, clock(events, first), subject.as_of) for first in chosen(ever, subject)[:1]
    )


def latest_holds(condition: Latest, subject: Subject) -> bool:
    """Whether the latest matching event satisfies one more condition."""
    return any(fits(condition.has, latest) for latest in chosen(condition.events, subject)[-1:])


def regularly_holds(condition: Regularly, subject: Subject) -> bool:
    """Whether enough of the last periods have such a count of events."""
    instants = [clock(condition.events, event) for event in chosen(condition.events, subject)]
    period, as_of = condition.period.delta, subject.as_of
    counts = [
        sum(as_of - (number + 1) * period < at <= as_of - number * period for at in instants)
        for number in range(condition.of)
    ]
    return sum(ORDER[condition.op](count, condition.number) for count in counts) >= condition.at_least


def held_holds(condition: Held, subject: Subject) -> bool:
    """Whether a trait has its value since long enough, or since not so long."""
    since = None
    for at, held in history(condition.trait, subject):
        if not of_elements(held, False, lambda one: compared(one, "==", condition.value)):
            since = None
        elif since is None:
            since = at
    if since is None:
        return False
    long_ago = since <= subject.as_of - condition.length.delta
    return long_ago if condition.op == ">=" else not long_ago
