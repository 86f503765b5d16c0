"""Random rules about random worlds, as nodes, so that nothing here depends on the handles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from hypothesis import strategies as st

from audiences.rules import (
    ActiveDays,
    Aggregate,
    AllOf,
    AnyOf,
    Compare,
    Consented,
    Count,
    Distinct,
    Events,
    Exclusion,
    Exists,
    FirstTime,
    Held,
    Identified,
    InAudience,
    Latest,
    Measure,
    MostFrequent,
    Named,
    Node,
    Not,
    OfAccount,
    OfProfiles,
    OneOf,
    Operand,
    OrderOp,
    Path,
    Pick,
    Prefixed,
    Property,
    Quantile,
    Reading,
    Recency,
    Recurs,
    Regularly,
    Relative,
    Sampled,
    Selection,
    Step,
    TextOp,
    Top,
    Trait,
    UniqueList,
)
from audiences.rules import Sequence as SequenceNode
from audiences.terms import (
    Ago,
    Bounds,
    Calendar,
    CalendarUnit,
    Dates,
    Duration,
    Flag,
    Instant,
    Last,
    Number,
    Text,
    Value,
    Window,
)
from tests.reference import Kind
from tests.reference_values import folded
from tests.strategies_worlds import (
    AS_OF,
    EDGES,
    MOMENTS,
    NAMES,
    PURPOSES,
    SECONDS,
    TYPES,
    ZONES,
    Choices,
    key,
    made,
    trait_name,
    worlds,
)
from tests.strategies_worlds import number as some_number
from tests.strategies_worlds import text as some_text

__all__ = ["AS_OF", "measures", "rules", "sequences", "worlds"]

ORDERS: list[OrderOp] = ["==", "<", "<=", ">", ">="]
PATTERNS = [
    "^x$",
    "x",
    "^.{2}$",
    "",
    "^$",
    r"^[+-]?\d+$",
    r"\s$",
    "[$]|\\\\",
    "(?:na|NA|x)+",
    "ï",
    r"^[^\[]*\]$",
    "'",
]
FIGURES = [0, 1, 2, 0.3, 0.6, 5, 6, -2.5, 100]
TEXT_OPS: list[TextOp] = ["contains", "starts_with", "ends_with"]
BOUNDS: list[Bounds] = ["(]", "(]", "[]", "()", "[)"]
UNITS: list[CalendarUnit] = ["day", "week", "month", "quarter", "year"]
CLOCKS: list[Literal["occurred", "received"]] = ["occurred", "occurred", "occurred", "received"]
UNIT = [0.0, 0.1, 0.25, 0.5, 0.9, 1.0]
APART = [-1, 0, 0.17, 1, 17]
"""No mean of two of NUMBERS is 0.17 or 17, so that the last bit of an interpolation decides nothing."""

Make = Callable[[Choices], Any]


def zone(c: Choices) -> str:
    return c.pick(ZONES)


def length(c: Choices) -> Duration:
    return Duration(c.pick(SECONDS))


def maybe(c: Choices, make: Make, once_in: int = 2) -> Any:
    """What is made, or None."""
    return make(c) if c.once_in(once_in) else None


def pick_of(c: Choices, *makes: Make) -> Any:
    """What one of several makes."""
    return c.pick(makes)(c)


def path(c: Choices) -> Path:
    return (key(c), key(c)) if c.once_in(3) else (key(c),)


# --------------------------------------------------------------------------------- literals, comparisons


def text(c: Choices) -> Text:
    return Text(some_text(c))


def small(c: Choices) -> Text:
    return Text(folded(text(c).value))


def number(c: Choices) -> Number:
    return Number(some_number(c))


def flag(c: Choices) -> Flag:
    return Flag(c.pick([True, False]))


def instant(c: Choices) -> Instant:
    return Instant(c.pick(EDGES + MOMENTS))


def literal(c: Choices) -> Value:
    return pick_of(c, text, text, number, number, flag, instant)  # type: ignore[no-any-return]


def comparison(c: Choices, operand: Callable[[Choices, Reading], Operand]) -> Node:
    """An operand and what its reading can be compared with; a text is folded as what it is compared with."""
    every = c.once_in(4)
    match c.below(10):
        case 0 | 9:
            return Compare(operand(c, "plain"), c.pick([*ORDERS, *TEXT_OPS]), text(c), every)
        case 1:
            return Compare(operand(c, "folded"), c.pick([*ORDERS, *TEXT_OPS]), small(c), every)
        case 2:
            pattern = Text(c.pick(PATTERNS))
            return Compare(operand(c, c.pick(["plain", "folded"])), "matches", pattern, every)
        case 3 | 4:
            return Compare(operand(c, c.pick(["plain", "number"])), c.pick(ORDERS), number(c), every)
        case 5:
            return Compare(operand(c, "plain"), c.pick(ORDERS), pick_of(c, flag, instant), every)
        case 6:
            return OneOf(operand(c, "plain"), tuple(c.some(literal, 1, 3)), every)
        case 7:
            if c.once_in(2):
                return OneOf(operand(c, "folded"), tuple(c.some(small, 1, 3)), every)
            return OneOf(operand(c, "number"), tuple(c.some(number, 1, 3)), every)
        case _:
            return Exists(operand(c, c.pick(["plain", "number", "folded"])))


def trait(c: Choices, reading: Reading = "plain") -> Trait:
    """A trait, which somebody may have."""
    name = trait_name(c)
    return Trait((name, key(c)) if c.once_in(4) else (name,), reading)


def of_property(c: Choices, reading: Reading) -> Property:
    return Property(path(c), reading)


def combined(c: Choices, leaf: Callable[[Choices], Node], depth: int) -> Node:
    """Leaves under `~`, `&` and `|`."""
    match c.below(8) if depth else 0:
        case 5:
            return Not(combined(c, leaf, depth - 1))
        case 6:
            return AllOf(tuple(c.some(lambda _: combined(c, leaf, depth - 1), 0, 3)))
        case 7:
            return AnyOf(tuple(c.some(lambda _: combined(c, leaf, depth - 1), 0, 3)))
        case _:
            return leaf(c)


def where(c: Choices) -> Node:
    return combined(c, lambda _: comparison(c, of_property), 2)


# ------------------------------------------------------------------------------------------------ events


def window(c: Choices) -> Window:
    match c.below(4):
        case 0:
            return Last(length(c), c.pick(BOUNDS))
        case 1:
            newest, oldest = sorted((c.pick([0, *SECONDS]), c.pick([0, *SECONDS])))
            return Ago(None if c.once_in(4) else Duration(max(oldest, newest + 1)), Duration(newest))
        case 2:
            start, end = sorted((c.pick(EDGES + MOMENTS), c.pick(EDGES + MOMENTS)))
            return Dates(maybe(c, lambda _: start, 3), end) if c.once_in(2) else Dates(start, None)
        case _:
            back = c.below(3)
            return Calendar(c.pick(UNITS), back, back == 0 or c.once_in(2), zone(c))


def selection(c: Choices) -> Selection:
    match c.below(4):
        case 0 | 1:
            return Named((c.pick(NAMES[:2]),))
        case 2:
            return Named(tuple(sorted({c.pick(NAMES), c.pick(NAMES)})))
        case _:
            return Prefixed(c.pick(["", "", "O", "%", "it's"]))


def events(c: Choices) -> Events:
    return Events(selection(c), maybe(c, window, 3), maybe(c, where, 5), c.pick(CLOCKS))


def windowless(c: Choices) -> Events:
    return Events(selection(c), None, maybe(c, where, 5), c.pick(CLOCKS))


# --------------------------------------------------------------------------------------------- measures


def counted(c: Choices) -> Measure:
    match c.below(4):
        case 0 | 1:
            return Count(events(c))
        case 2:
            return ActiveDays(events(c), zone(c))
        case _:
            return Distinct(events(c), path(c))


def aggregate(c: Choices, functions: Sequence[Any] = ("sum", "min", "max")) -> Measure:
    return Aggregate(events(c), c.pick(functions), path(c), c.pick(["plain", "number"]))


def average(c: Choices) -> Measure:
    return aggregate(c, ["avg"])


def quantile(c: Choices) -> Measure:
    return Quantile(events(c), path(c), c.pick([0.25, 0.5, 0.9]))


def recency(c: Choices) -> Measure:
    return Recency(events(c))


def value_held(c: Choices, _: Reading = "plain") -> Measure:
    match c.below(3):
        case 0:
            return Pick(events(c), c.pick(["first", "last"]), path(c))
        case 1:
            return MostFrequent(events(c), path(c), 1 + c.below(2))
        case _:
            return UniqueList(events(c), path(c))


def measure(c: Choices) -> Measure:
    """A figure of any kind."""
    return pick_of(c, counted, aggregate, average, quantile, recency, value_held)  # type: ignore[no-any-return]


def behaviour(c: Choices) -> Node:
    """A comparison of a figure with what it can be compared with."""
    match c.below(8):
        case 0 | 1:
            return figure(c, counted, [1, 0, 2, 3])
        case 2:
            return figure(c, aggregate, FIGURES)
        case 3:
            return figure(c, average, FIGURES)
        case 4:
            return figure(c, quantile, APART)
        case 5:
            return figure(c, recency, [0, 1, 2, 7, 30])
        case 6:
            return comparison(c, value_held)
        case _:
            return Exists(measure(c))


def figure(c: Choices, of: Callable[[Choices], Measure], limits: Sequence[float]) -> Node:
    return Compare(of(c), c.pick(ORDERS), Number(c.pick(limits)))


# ------------------------------------------------------------------------------- conditions over time


def exclusion(c: Choices, steps: int) -> Exclusion:
    """What must not happen: between two steps, before one, or after one, for ever or for a while."""
    what, after = events(c), c.below(steps)
    match c.below(4):
        case 0 if after + 1 < steps:
            return Exclusion(what, after, after + 1 + c.below(steps - after - 1))
        case 1:
            return Exclusion(what, None, after)
        case 2:
            return Exclusion(what, after, None, length(c))
        case _:
            return Exclusion(what, after, None)


def next_step(c: Choices) -> Step:
    return Step(
        windowless(c),
        maybe(c, length),
        maybe(c, length, 4),
        c.pick(["previous", "first"]),
        maybe(c, lambda _: 1 + c.below(2), 5),
    )


def sequence(c: Choices) -> SequenceNode:
    """Up to three steps, with everything that can be said of them."""
    more, any_order = c.pick([1, 0, 1, 2]), c.once_in(5)
    rest = c.some(lambda _: Step(windowless(c)) if any_order else next_step(c), more, more)
    return SequenceNode(
        (Step(events(c)), *rest),
        () if any_order else tuple(c.some(lambda _: exclusion(c, more + 1), 0, 2)),
        tuple(sorted(set(c.some(path, 1, 2)))) if c.once_in(4) else (),
        maybe(c, length, 3),
        c.pick(["strict", "loose"]),
        not any_order and c.once_in(5),
        any_order,
    )


def regularity(c: Choices) -> Regularly:
    """So often in at least so many of the last periods."""
    of = 1 + c.below(3)
    return Regularly(windowless(c), c.pick(ORDERS), c.below(3), length(c), 1 + c.below(of), of)


def over_time(c: Choices) -> Node:
    match c.below(8):
        case 0:
            return Relative(
                trait(c), c.pick(["within_last", "before_last", "within_next", "after_next"]), length(c)
            )
        case 1:
            return Recurs(trait(c), c.pick([0, 1, 7, 400]), zone(c))
        case 2:
            return Held(trait(c), literal(c), c.pick([">=", "<"]), length(c))
        case 3:
            return FirstTime(events(c))
        case 4:
            return Latest(events(c), where(c))
        case 5:
            return regularity(c)
        case _:
            return sequence(c)


def top(c: Choices) -> Node:
    """The first by a figure; the last bit of a mean would decide a tie between two people."""
    of = pick_of(c, counted, aggregate, recency, value_held)
    return Top(of, 1 + c.below(3)) if c.once_in(2) else Top(of, None, c.pick([0.1, 0.25, 0.5, 1.0]))


def sampled(c: Choices) -> Node:
    start, stop = sorted((c.pick(UNIT), c.pick(UNIT)))
    return Sampled(c.pick(["holdout", "it's"]), start, stop)


# ------------------------------------------------------------------------------------------------- rules


def leaf(c: Choices, of: Kind, audiences: Sequence[str], nested: bool) -> Node:
    """One condition; `nested` in a rule about the other kind."""
    match c.below(14):
        case 0 | 1 | 2:
            return comparison(c, trait)
        case 3 | 4 | 5:
            return behaviour(c)
        case 6 | 7 | 8 | 9:
            return over_time(c)
        case 10:
            return pick_of(c, sampled, top)  # type: ignore[no-any-return]
        case 11 if audiences:
            return InAudience(c.pick(audiences))
        case 12 if not nested and of == "profile":
            return OfAccount(combined(c, lambda _: leaf(c, "account", (), True), 1))
        case 12 if not nested:
            inner = combined(c, lambda _: leaf(c, "profile", (), True), 1)
            return OfProfiles(c.pick(["any", "all", "none", "at_least"]), inner, 1 + c.below(2))
        case 13 if of == "profile" and c.once_in(2):
            return Identified(c.pick([("email",), ("email", "user_id"), tuple(TYPES), ("idfa",)]))
        case 13 if of == "profile":
            return Consented(c.pick([*PURPOSES, "research"]))
        case _:
            return behaviour(c)


def rules(of: Kind = "profile", audiences: Sequence[str] = ()) -> st.SearchStrategy[Node]:
    """Rules of every kind.

    Args:
        of: what they are about.
        audiences: keys of audiences of the same kind that they may name.
    """
    return made(lambda c: combined(c, lambda _: leaf(c, of, audiences, False), 3))


def measures() -> st.SearchStrategy[Measure]:
    """Figures of every kind."""
    return made(measure)


def sequences() -> st.SearchStrategy[SequenceNode]:
    """Sequences with everything that can be said of them."""
    return made(sequence)
