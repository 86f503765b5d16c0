"""The handles that rules are written with: `did`, `trait`, `prop`, and lengths of time.

A handle only builds nodes of `rules.py`; what they share stands in `handles.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Literal

from audiences.errors import RuleError
from audiences.handles import Combinable, Comparable, Rule, Unfinished, as_rule
from audiences.literals import duration_of, instant_of, path_of, text_of, threshold_of, value_of
from audiences.rules import (
    Aggregate,
    Ago,
    AllOf,
    Compare,
    CompareOp,
    Count,
    Dates,
    Duration,
    Events,
    Exists,
    Field,
    Flag,
    Last,
    Measure,
    Node,
    Number,
    OneOf,
    OrderOp,
    Property,
    Threshold,
    Trait,
    leaves,
)

if TYPE_CHECKING:
    from typing import TypeAlias

    Path: TypeAlias = str | Sequence[str]
    Scalar: TypeAlias = str | int | float | bool | date | datetime
    Moment: TypeAlias = Duration | date | datetime

__all__ = [
    "EventsHandle",
    "FieldHandle",
    "MeasureHandle",
    "days",
    "did",
    "hours",
    "minutes",
    "prop",
    "trait",
    "weeks",
]


@dataclass(frozen=True, slots=True, eq=False)
class FieldHandle(Unfinished):
    """A trait or a property, to be compared with values."""

    field: Field

    def __repr__(self) -> str:
        """Write it as it was defined."""
        path = self.field.path
        name = ".".join(path) if all("." not in key for key in path) else list(path)
        return f"{'trait' if isinstance(self.field, Trait) else 'prop'}({name!r})"

    def exists(self) -> Rule:
        """Make the rule that the field has a value other than null; an empty text is a value."""
        return Rule(Exists(self.field))

    def is_in(self, values: Iterable[Scalar]) -> Rule:
        """Make the rule that the field equals one of the values.

        Args:
            values: a list of texts, numbers, booleans, dates or instants.

        Raises:
            RuleError: not a list, or an empty one.
        """
        if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
            raise RuleError(f"{self!r}.is_in(…) takes a list, for example is_in(['DE', 'AT']).")
        found = tuple(dict.fromkeys(value_of(each, f"{self!r}.is_in(…)") for each in values))
        if not found:
            raise RuleError(f"{self!r}.is_in([]) is true of nobody; give at least one value.")
        return Rule(OneOf(self.field, found))

    def contains(self, text: str) -> Rule:
        """Make the rule that the field is a text with this text somewhere inside; upper case differs.

        Args:
            text: what to look for, not empty.
        """
        return self._about_text("contains", text)

    def starts_with(self, text: str) -> Rule:
        """Make the rule that the field is a text that starts with this text; upper case differs.

        Args:
            text: what to look for, not empty.
        """
        return self._about_text("starts_with", text)

    def _about_text(self, op: Literal["contains", "starts_with"], text: object) -> Rule:
        if not isinstance(text, str) or not text:
            raise RuleError(f"{self!r}.{op}(…) takes a text that is not empty; exists() asks for any value.")
        return Rule(Compare(self.field, op, value_of(text, f"{self!r}.{op}(…)")))

    def _compare(self, op: CompareOp, value: object) -> Rule:
        literal = value_of(value, f"{self!r} {op} …")
        if isinstance(literal, Flag) and op != "==":
            raise RuleError(f"{self!r} {op} {value!r} has no meaning: true and false have no order; use ==.")
        return Rule(Compare(self.field, op, literal))


@dataclass(frozen=True, slots=True, eq=False)
class MeasureHandle(Unfinished):
    """A count or a figure over events, to be compared with a number."""

    measure: Measure

    def __repr__(self) -> str:
        """Write it nearly as it was defined."""
        base = f"did({self.measure.events.name!r})"
        if isinstance(self.measure, Count):
            return f"{base}.count()"
        return f"{base}.{self.measure.function}({'.'.join(self.measure.path)!r})"

    def _compare(self, op: OrderOp, value: object) -> Rule:
        return Rule(Threshold(self.measure, op, threshold_of(self.measure, value, f"{self!r} {op} …")))


@dataclass(frozen=True, slots=True, eq=False)
class EventsHandle(Comparable, Combinable):
    """Events of one name; as a rule on its own it means "at least once"."""

    events: Events

    def __repr__(self) -> str:
        """Write what was asked for."""
        return f"did({self.events.name!r})"

    def as_node(self) -> Node:
        """The rule that there is at least one such event."""
        return Threshold(Count(self.events), ">=", Number(1.0))

    def within(self, width: Duration) -> EventsHandle:
        """Look only at the last days, hours or minutes: the window `(as_of − width, as_of]`.

        Args:
            width: for example `days(90)`.

        Raises:
            RuleError: not a duration, or there is a window already.
        """
        if not isinstance(width, Duration):
            raise RuleError(f"{self!r}.within(…) takes a duration, for example within(days(90)).")
        return self._windowed(Last(width))

    def between(self, first: Moment, second: Moment) -> EventsHandle:
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
            newest, oldest = sorted((first, second), key=lambda each: each.minutes)
            return self._windowed(Ago(oldest, newest))
        if isinstance(first, date) and isinstance(second, date):
            start, end = instant_of(first), instant_of(second)
            if start >= end:
                raise RuleError(f"{self!r}.between(…) ends before it starts; give the earlier date first.")
            return self._windowed(Dates(start, end))
        raise RuleError(
            f"{self!r}.between(…) takes two durations, between(days(60), days(30)), or two dates, "
            "between(date(2026, 1, 1), date(2026, 2, 1))."
        )

    def where(self, *conditions: Combinable) -> EventsHandle:
        """Look only at events whose properties satisfy every condition.

        Args:
            conditions: rules about `prop(…)`.

        Raises:
            RuleError: no condition, or one that is not about properties.
        """
        if not conditions:
            raise RuleError(
                f"{self!r}.where() needs a condition, for example where(prop('currency') == 'EUR')."
            )
        nodes = tuple(as_rule(each).as_node() for each in conditions)
        for leaf in (leaf for node in nodes for leaf in leaves(node)):
            if not isinstance(leaf, (Compare, OneOf, Exists)) or not isinstance(leaf.field, Property):
                raise RuleError(
                    f"{self!r}.where(…) looks at one event, so it takes conditions about prop(…) only; "
                    "combine rules about the profile with & outside of it."
                )
        before = () if self.events.where is None else (self.events.where,)
        every = (*before, *nodes)
        return EventsHandle(replace(self.events, where=every[0] if len(every) == 1 else AllOf(every)))

    def count(self) -> MeasureHandle:
        """How many such events there are, 0 included."""
        return MeasureHandle(Count(self.events))

    def at_least(self, n: int) -> Rule:
        """Make the rule that there are n such events or more."""
        return self._compare(">=", n)

    def at_most(self, n: int) -> Rule:
        """Make the rule that there are n such events or fewer, none included."""
        return self._compare("<=", n)

    def exactly(self, n: int) -> Rule:
        """Make the rule that there are exactly n such events."""
        return self._compare("==", n)

    def sum(self, path: Path) -> MeasureHandle:
        """The sum of a property's numbers, exact to nine digits after the point."""
        return self._aggregate("sum", path)

    def avg(self, path: Path) -> MeasureHandle:
        """The average of a property's numbers."""
        return self._aggregate("avg", path)

    def min(self, path: Path) -> MeasureHandle:
        """The smallest of a property's numbers."""
        return self._aggregate("min", path)

    def max(self, path: Path) -> MeasureHandle:
        """The largest of a property's numbers."""
        return self._aggregate("max", path)

    def _aggregate(self, function: Literal["sum", "avg", "min", "max"], path: object) -> MeasureHandle:
        return MeasureHandle(Aggregate(self.events, function, path_of(path, f"{self!r}.{function}(…)")))

    def _windowed(self, window: Last | Ago | Dates) -> EventsHandle:
        if self.events.window is not None:
            raise RuleError(f"{self!r} has a window already; start again from did(…) for another one.")
        return EventsHandle(replace(self.events, window=window))

    def _compare(self, op: OrderOp, value: object) -> Rule:
        return self.count()._compare(op, value)


def did(name: str, **unknown: object) -> EventsHandle:
    """Start a rule about the events of one name.

    Args:
        name: the event's name as it is tracked; `Page Viewed` and `Screen Viewed` for pages and screens.
        unknown: refused; windows and conditions are methods.

    Raises:
        RuleError: no name, or an option.

    >>> did("Order Completed").within(days(90)).where(prop("currency") == "EUR").sum("revenue") >= 500
    """
    if unknown:
        option = next(iter(unknown))
        raise RuleError(
            f"did(…) takes the event's name only; write did({name!r}).within(days(30)), not {option}=."
        )
    if not isinstance(name, str) or not name.strip():
        raise RuleError("did(…) takes the event's name, for example did('Order Completed').")
    return EventsHandle(Events(text_of(name, "did(…)")))


def trait(path: Path) -> FieldHandle:
    """Start a rule about a trait of the profile.

    Args:
        path: its name; dots lead into nested values, `address.city`. A list of keys when a key has a dot.

    Raises:
        RuleError: an empty name or key.
    """
    return FieldHandle(Trait(path_of(path, "trait(…)")))


def prop(path: Path) -> FieldHandle:
    """Start a condition about a property of an event, for `where(…)`.

    Args:
        path: its name; dots lead into nested values, `cart.total`. A list of keys when a key has a dot.

    Raises:
        RuleError: an empty name or key.
    """
    return FieldHandle(Property(path_of(path, "prop(…)")))


def minutes(n: int) -> Duration:
    """A duration of n minutes."""
    return duration_of(n, 1, "minutes")


def hours(n: int) -> Duration:
    """A duration of n hours."""
    return duration_of(n, 60, "hours")


def days(n: int) -> Duration:
    """A duration of n times 24 hours."""
    return duration_of(n, 24 * 60, "days")


def weeks(n: int) -> Duration:
    """A duration of n times 7 days."""
    return duration_of(n, 7 * 24 * 60, "weeks")
