"""The handles that rules are written with: `did`, `trait`, `prop`, their operators, `& | ~`.

A handle only builds nodes of `rules.py`. It has no truth value, so `and`, `or`, `not`, `if` and chained
comparisons are refused with the way out instead of silently meaning something else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Literal, NoReturn, cast

from audiences.errors import RuleError
from audiences.rules import (
    Aggregate,
    Ago,
    AllOf,
    AnyOf,
    Compare,
    CompareOp,
    Count,
    Dates,
    Duration,
    Events,
    Exists,
    Field,
    Flag,
    InAudience,
    Instant,
    Last,
    Measure,
    Node,
    Not,
    Number,
    OneOf,
    OrderOp,
    Property,
    Text,
    Threshold,
    Trait,
    Value,
    leaves,
)

if TYPE_CHECKING:
    from typing import TypeAlias

    Path: TypeAlias = str | Sequence[str]
    Scalar: TypeAlias = str | int | float | bool | date | datetime
    Moment: TypeAlias = Duration | date | datetime

__all__ = [
    "Combinable",
    "EventsHandle",
    "FieldHandle",
    "MeasureHandle",
    "Rule",
    "all_of",
    "any_of",
    "as_rule",
    "checked_key",
    "days",
    "did",
    "hours",
    "in_audience",
    "minutes",
    "prop",
    "trait",
    "weeks",
]

_KEY = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
_RESERVED = frozenset({"profile_id"})
_LONGEST_KEY = 64
_LONGEST_DAYS = 36_500
_EXACT_INTEGER = 2**53
_LARGEST_SUM = 10**18
_PRECEDENCE = (
    "`&` and `|` bind more tightly than comparisons, so put each comparison in parentheses: "
    "(trait('plan') == 'plus') & (trait('age') >= 18)."
)


class Combinable:
    """Anything that answers yes or no for a profile: combine with `&`, `|`, `~`, any_of and all_of."""

    __slots__ = ()

    def as_node(self) -> Node:
        """The rule as data."""
        raise NotImplementedError

    def uses(self) -> tuple[Combinable, ...]:
        """The audiences that the rule was built on."""
        return ()

    def __and__(self, other: object) -> Rule:
        return _combined(AllOf, (self, _operand(other)))

    def __or__(self, other: object) -> Rule:
        return _combined(AnyOf, (self, _operand(other)))

    def __rand__(self, other: object) -> NoReturn:
        raise RuleError(_PRECEDENCE)

    def __ror__(self, other: object) -> NoReturn:
        raise RuleError(_PRECEDENCE)

    def __invert__(self) -> Rule:
        return Rule(Not(self.as_node()), self.uses())

    def __bool__(self) -> NoReturn:
        _refuse_truth()


@dataclass(frozen=True, slots=True)
class Rule(Combinable):
    """A finished rule; equal to another when its nodes are."""

    node: Node
    audiences: tuple[Combinable, ...] = ()

    def as_node(self) -> Node:
        """The rule as data."""
        return self.node

    def uses(self) -> tuple[Combinable, ...]:
        """The audiences that the rule was built on."""
        return self.audiences


class _Comparable:
    """The six comparisons; `!=` is exactly `~(==)`, so it includes the missing."""

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]  # handles build rules with ==, so they can't be keys

    def _compare(self, op: OrderOp, value: object) -> Rule:
        raise NotImplementedError

    def __eq__(self, value: object) -> Rule:  # type: ignore[override]
        return self._compare("==", value)

    def __ne__(self, value: object) -> Rule:  # type: ignore[override]
        return ~self._compare("==", value)

    def __lt__(self, value: object) -> Rule:
        return self._compare("<", value)

    def __le__(self, value: object) -> Rule:
        return self._compare("<=", value)

    def __gt__(self, value: object) -> Rule:
        return self._compare(">", value)

    def __ge__(self, value: object) -> Rule:
        return self._compare(">=", value)


class _Unfinished(_Comparable):
    """Something that is no rule until it is compared."""

    __slots__ = ()

    def _refuse(self) -> NoReturn:
        raise RuleError(f"{self!r} is not a rule until it is compared. {_PRECEDENCE}")

    def __and__(self, other: object) -> NoReturn:
        self._refuse()

    __or__ = __rand__ = __ror__ = __and__

    def __invert__(self) -> NoReturn:
        self._refuse()

    def __bool__(self) -> NoReturn:
        _refuse_truth()


@dataclass(frozen=True, slots=True, eq=False)
class FieldHandle(_Unfinished):
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
        found = tuple(dict.fromkeys(_value(each, f"{self!r}.is_in(…)") for each in values))
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
        return Rule(Compare(self.field, op, _value(text, f"{self!r}.{op}(…)")))

    def _compare(self, op: CompareOp, value: object) -> Rule:
        literal = _value(value, f"{self!r} {op} …")
        if isinstance(literal, Flag) and op != "==":
            raise RuleError(f"{self!r} {op} {value!r} has no meaning: true and false have no order; use ==.")
        return Rule(Compare(self.field, op, literal))


@dataclass(frozen=True, slots=True, eq=False)
class MeasureHandle(_Unfinished):
    """A count or a figure over events, to be compared with a number."""

    measure: Measure

    def __repr__(self) -> str:
        """Write it nearly as it was defined."""
        base = f"did({self.measure.events.name!r})"
        if isinstance(self.measure, Count):
            return f"{base}.count()"
        return f"{base}.{self.measure.function}({'.'.join(self.measure.path)!r})"

    def _compare(self, op: OrderOp, value: object) -> Rule:
        return Rule(Threshold(self.measure, op, _threshold(self.measure, value, f"{self!r} {op} …")))


@dataclass(frozen=True, slots=True, eq=False)
class EventsHandle(_Comparable, Combinable):
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
            first, second: two durations, "between 60 and 30 days ago", in either order: the window
                `(as_of − 60 d, as_of − 30 d]`; or two dates or aware instants in order: `[first, second)`,
                a date meaning its first instant in UTC.

        Raises:
            RuleError: one of each, the same twice, instants out of order or without a time zone.
        """
        if isinstance(first, Duration) and isinstance(second, Duration):
            if first == second:
                raise RuleError(f"{self!r}.between(…) of the same duration twice is an empty window.")
            newest, oldest = sorted((first, second), key=lambda each: each.minutes)
            return self._windowed(Ago(oldest, newest))
        if isinstance(first, date) and isinstance(second, date):
            start, end = _instant(first), _instant(second)
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
        return MeasureHandle(Aggregate(self.events, function, _path(path, f"{self!r}.{function}(…)")))

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
    return EventsHandle(Events(_text(name, "did(…)")))


def trait(path: Path) -> FieldHandle:
    """Start a rule about a trait of the profile.

    Args:
        path: its name; dots lead into nested values, `address.city`. A list of keys when a key has a dot.

    Raises:
        RuleError: an empty name or key.
    """
    return FieldHandle(Trait(_path(path, "trait(…)")))


def prop(path: Path) -> FieldHandle:
    """Start a condition about a property of an event, for `where(…)`.

    Args:
        path: its name; dots lead into nested values, `cart.total`. A list of keys when a key has a dot.

    Raises:
        RuleError: an empty name or key.
    """
    return FieldHandle(Property(_path(path, "prop(…)")))


def in_audience(key: str) -> Rule:
    """Make the rule that the profile is a member of another audience at the same instant.

    Args:
        key: that audience's key, for when the audience itself can't be named.

    Raises:
        RuleError: not a key.
    """
    return Rule(InAudience(checked_key(key)))


def any_of(*rules: Combinable) -> Rule:
    """Make the rule that at least one of the rules is true.

    Args:
        rules: one or more rules.

    Raises:
        RuleError: none, or something that is no rule.
    """
    return _combined(AnyOf, _some(rules, "any_of"))


def all_of(*rules: Combinable) -> Rule:
    """Make the rule that all of the rules are true.

    Args:
        rules: one or more rules.

    Raises:
        RuleError: none, or something that is no rule.
    """
    return _combined(AllOf, _some(rules, "all_of"))


def minutes(n: int) -> Duration:
    """A duration of n minutes."""
    return _duration(n, 1, "minutes")


def hours(n: int) -> Duration:
    """A duration of n hours."""
    return _duration(n, 60, "hours")


def days(n: int) -> Duration:
    """A duration of n times 24 hours."""
    return _duration(n, 24 * 60, "days")


def weeks(n: int) -> Duration:
    """A duration of n times 7 days."""
    return _duration(n, 7 * 24 * 60, "weeks")


def as_rule(given: object) -> Combinable:
    """Take what stands where a rule is expected.

    Args:
        given: a rule, an audience, or a mistake.

    Raises:
        RuleError: a mistake.
    """
    if isinstance(given, Combinable):
        return given
    if isinstance(given, _Unfinished):
        given._refuse()
    if isinstance(given, bool):
        raise RuleError(f"{given} is not a rule; `==` between two rules gives it. Combine rules with & | ~.")
    if isinstance(given, (list, tuple)):
        raise RuleError("A list is not a rule; write the rules one after the other, or any_of(*rules).")
    raise RuleError(
        f"A {type(given).__name__} is not a rule; a rule starts with did(…), trait(…) or an audience."
    )


def checked_key(key: object) -> str:
    """Take an audience's key.

    Args:
        key: lower-case letters, digits and underscores, starting with a letter, at most 64.

    Raises:
        RuleError: anything else.
    """
    if not isinstance(key, str) or not _KEY.fullmatch(key) or len(key) > _LONGEST_KEY or key in _RESERVED:
        raise RuleError(
            f"{key!r} can't be an audience's key: a key is lower-case letters, digits and underscores, "
            f"starts with a letter, has at most {_LONGEST_KEY} of them, is not {sorted(_RESERVED)[0]!r}, "
            "and stays for ever."
        )
    return key


def _operand(other: object) -> Combinable:
    if isinstance(other, (_Unfinished, str, int, float)):
        raise RuleError(_PRECEDENCE)
    return as_rule(other)


def _combined(kind: type[AllOf] | type[AnyOf], rules: Iterable[Combinable]) -> Rule:
    nodes: list[Node] = []
    uses: dict[int, Combinable] = {}
    for rule in rules:
        node = rule.as_node()
        # a & b & c reads as one list of three, and explains as one
        nodes.extend(node.rules if isinstance(node, kind) else (node,))
        uses.update((id(each), each) for each in rule.uses())
    return Rule(nodes[0] if len(nodes) == 1 else kind(tuple(nodes)), tuple(uses.values()))


def _some(rules: Sequence[object], name: str) -> list[Combinable]:
    if not rules:
        raise RuleError(f"{name}() needs at least one rule.")
    return [as_rule(each) for each in rules]


def _refuse_truth() -> NoReturn:
    raise RuleError(
        "A rule is neither true nor false until it is evaluated for profiles: write & instead of `and`, "
        "| instead of `or`, ~ instead of `not`, two comparisons instead of `1 < x < 5`, and no `if`."
    )


def _path(given: object, where: str) -> tuple[str, ...]:
    keys = given.split(".") if isinstance(given, str) else given
    if (
        not isinstance(keys, (list, tuple))
        or not keys
        or not all(isinstance(key, str) and key for key in keys)
    ):
        raise RuleError(
            f"{where} takes a name, with dots into nested values as in 'address.city', or a list of keys "
            "when a key has a dot itself; no name or key is empty."
        )
    return tuple(_text(cast("str", key), where) for key in keys)


def _text(text: str, where: str) -> str:
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise RuleError(f"{where} has a text with a NUL or half a surrogate pair, which no event can hold.")
    return text


def _value(given: object, where: str) -> Value:
    match given:
        case bool():
            return Flag(given)
        case str():
            return Text(_text(given, where))
        case int() | float():
            return _number(given, where)
        case date():  # datetime is a date
            return Instant(_instant(given))
        case None:
            raise RuleError(f"{where} can't be compared with None; use exists(), or ~….exists() for missing.")
        case Combinable() | _Unfinished():
            raise RuleError(
                f"{where} is compared with a value, not with another rule or field. {_PRECEDENCE}"
            )
        case _:
            raise RuleError(
                f"{where} is compared with a text, number, boolean, date or aware datetime, "
                f"not with a {type(given).__name__}."
            )


def _number(given: int | float, where: str) -> Number:
    if isinstance(given, int) and abs(given) > _EXACT_INTEGER:
        raise RuleError(
            f"{where}: whole numbers are exact up to 2^53; track longer ids as texts and compare with a text."
        )
    if not math.isfinite(given):
        raise RuleError(f"{where}: {given} is no number that anything compares with.")
    return Number(float(given) + 0.0)  # −0.0 is 0.0


def _threshold(measure: Measure, given: object, where: str) -> Number:
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        raise RuleError(f"{where} is compared with a number, not with {_described(given)}.")
    if isinstance(measure, Count) and (not isinstance(given, int) or given < 0):
        raise RuleError(f"{where} counts events, so it is compared with a whole number from 0.")
    number = _number(given, where)
    if isinstance(measure, Aggregate) and measure.function in ("sum", "avg"):
        if abs(number.value) >= _LARGEST_SUM or round(number.value, 9) != number.value:
            raise RuleError(
                f"{where} is exact to nine digits after the point and below 10^18; round {given!r}."
            )
    return number


def _described(given: object) -> str:
    if given is None:
        return "None"
    return (
        "another rule or field"
        if isinstance(given, (Combinable, _Unfinished))
        else f"a {type(given).__name__}"
    )


def _instant(given: date) -> datetime:
    if not isinstance(given, datetime):
        return datetime(given.year, given.month, given.day, tzinfo=UTC)
    if given.tzinfo is None:
        raise RuleError("A datetime in a rule needs its time zone, for example tzinfo=UTC.")
    return given.astimezone(UTC)


def _duration(n: object, minutes_each: int, unit: str) -> Duration:
    if isinstance(n, bool) or not isinstance(n, int) or n <= 0:
        raise RuleError(f"{unit}(…) takes a whole number above 0; use a smaller unit for parts of one.")
    if n * minutes_each > _LONGEST_DAYS * 24 * 60:
        raise RuleError(f"{unit}({n}) is more than 100 years; leave the window out to look at all events.")
    return Duration(n * minutes_each)
