"""Audiences of all kinds over the made-up events, described so that every contender can say them its way.

A description is neither our rules nor anybody's: conditions over the events of one name, and combinations of
them. Windows are `(as_of − oldest, as_of − newest]` in days of 24 hours. Nothing to compare is false;
profiles without events belong to everything that none or few events satisfy.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Literal

from benchmarks.audience_events import DAYS, NAMES, NUMBERS, PURPOSES, WORDS, share_of

__all__ = [
    "ORDER",
    "Case",
    "Counted",
    "Either",
    "Every",
    "Figured",
    "Filter",
    "First",
    "Followed",
    "Leaf",
    "Op",
    "Picked",
    "Recent",
    "Rule",
    "Selected",
    "Varied",
    "cases",
    "leaves",
    "of_nobody",
]

Op = Literal["==", "<", "<=", ">", ">="]
ORDER: dict[str, Callable[[float, float], bool]] = {
    "==": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class Filter:
    """What a property of the event must be; texts are compared by `==`, `in` and `contains`."""

    field: str
    op: Literal["==", "in", "contains", ">=", "<"]
    value: str | float | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Selected:
    """The events of a name that pass every filter, inside a window; without `oldest`, all of them."""

    name: str
    where: tuple[Filter, ...] = ()
    oldest: int | None = None
    newest: int = 0


@dataclass(frozen=True, slots=True)
class Counted:
    """How many events there are, 0 included."""

    of: Selected
    op: Op
    number: int


@dataclass(frozen=True, slots=True)
class Figured:
    """A figure over the numbers of a property."""

    of: Selected
    function: Literal["sum", "avg", "min", "max"]
    field: str
    op: Op
    number: float


@dataclass(frozen=True, slots=True)
class Varied:
    """How many different values a property has, 0 included."""

    of: Selected
    field: str
    op: Op
    number: int


@dataclass(frozen=True, slots=True)
class Picked:
    """The text in the first or last event that has the property."""

    of: Selected
    which: Literal["first", "last"]
    field: str
    value: str


@dataclass(frozen=True, slots=True)
class Recent:
    """Whole days since the last of the events."""

    of: Selected
    op: Literal["<=", ">="]
    days: int


@dataclass(frozen=True, slots=True)
class First:
    """The first of the events ever lies in the window."""

    of: Selected


@dataclass(frozen=True, slots=True)
class Followed:
    """One of the first events, and after it, at most so many hours later, one of the others."""

    first: Selected
    then: Selected
    hours: int


@dataclass(frozen=True, slots=True)
class Every:
    """All of the rules."""

    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """At least one of the rules."""

    rules: tuple[Rule, ...]


Leaf = Counted | Figured | Varied | Picked | Recent | First | Followed
Rule = Leaf | Every | Either


@dataclass(frozen=True, slots=True)
class Case:
    """One audience.

    Attributes:
        key: its name, the same for the same number and seed.
        kind: what sort it is, for reports.
        rule: who belongs to it.
    """

    key: str
    kind: str
    rule: Rule


def leaves(rule: Rule) -> Iterator[Leaf]:
    """Yield the conditions that a rule combines.

    Args:
        rule: any rule.
    """
    if isinstance(rule, Every | Either):
        for each in rule.rules:
            yield from leaves(each)
    else:
        yield rule


def of_nobody(rule: Rule) -> bool:
    """Whether a rule is true of a profile that has none of the events.

    Args:
        rule: any rule.
    """
    match rule:
        case Counted(_, op, number) | Varied(_, _, op, number):
            return ORDER[op](0, number)
        case Every(rules):
            return all(map(of_nobody, rules))
        case Either(rules):
            return any(map(of_nobody, rules))
        case _:
            return False


# ------------------------------------------------------------------------------------------- made by a seed

PATTERN = (
    "count filtered figure never combined distinct followed first picked recent "
    "count few figure filtered stopped count combined figure filtered count"
).split()
"""Which kinds come in which order, over and over, so that ten audiences have ten kinds."""

WINDOWS = (1, 2, 3, 5, 7, 10, 14, 21, 28, 30, 45, 60, 75, 90)


def cases(count: int, seed: int) -> list[Case]:
    """Make audiences; fewer are the beginning of more.

    Args:
        count: how many.
        seed: what they are made from.

    Returns:
        The audiences; the first is the plainest: one event in 30 days.
    """
    made = [Case("a0000", "count", Counted(Selected("Order Completed", oldest=30), ">=", 1))]
    for nth in range(1, count):
        kind = PATTERN[nth % len(PATTERN)]
        made.append(Case(f"a{nth:04}", kind, _MAKERS[kind](Random(seed * 1_000_003 + nth))))
    return made[:count]


def _name(chance: Random, having: frozenset[str] = frozenset(), common: bool = False) -> str:
    """A name that has one of the properties: half of the time a frequent one, half of the time any."""
    names = [name for name in NAMES if not having or having.intersection(NAMES[name])]
    if common or chance.random() < 0.5:
        return chance.choices(names, [share_of(name) for name in names])[0]
    return chance.choice(names)


def _filter(chance: Random, name: str) -> Filter:
    field = chance.choice(NAMES[name])
    if field in NUMBERS:
        number = float({"revenue": 50, "position": 3, "duration": 300}[field] * chance.randint(1, 3))
        return Filter(field, chance.choice((">=", "<")), number)
    if field == "product_id":
        return Filter(field, "contains", str(chance.randint(10, 99)))
    if field == "campaign" and chance.random() < 0.5:
        return Filter(field, "contains", chance.choice(PURPOSES))
    if chance.random() < 0.4:
        return Filter(field, "in", tuple(sorted(chance.sample(WORDS[field], 2))))
    return Filter(field, "==", chance.choice(WORDS[field][:4]))


def _selected(chance: Random, name: str, *, filtered: bool = False, newest: int = 0) -> Selected:
    count = chance.choice((1, 1, 2)) if filtered else 0
    made = {each.field: each for each in (_filter(chance, name) for _ in range(count))}
    days = chance.choice([each for each in WINDOWS if each > newest])
    return Selected(name, tuple(made.values()), days, newest)


def _usual(of: Selected) -> float:
    """About how many of the events a profile has."""
    return 50 * share_of(of.name) * (of.oldest or DAYS) / DAYS * 0.4 ** len(of.where)


def _counted(chance: Random, *, filtered: bool = False) -> Counted:
    of = _selected(chance, _name(chance), filtered=filtered)
    return Counted(of, ">=", chance.randint(1, min(10, max(1, round(3 * _usual(of))))))


def _few(chance: Random) -> Counted:
    of = _selected(chance, _name(chance, common=True))
    return Counted(of, chance.choice(("<=", "==", "<")), chance.randint(1, 3))


def _never(chance: Random) -> Counted:
    return Counted(_selected(chance, _name(chance, common=True), filtered=chance.random() < 0.3), "==", 0)


def _figured(chance: Random) -> Figured:
    name = _name(chance, NUMBERS)
    of = _selected(chance, name, filtered=chance.random() < 0.4)
    field = chance.choice([each for each in NAMES[name] if each in NUMBERS])
    usual = {"revenue": 166.5, "position": 7.0, "duration": 600.0}[field] * chance.uniform(0.5, 1.5)
    functions: tuple[Literal["sum", "avg", "min", "max"], ...] = ("sum", "sum", "avg", "min", "max")
    function = chance.choice(functions)
    if function == "sum":
        usual *= max(_usual(of), 0.5)
    number = round(usual * 4) / 4
    return Figured(of, function, field, chance.choice((">=", ">=", "<")), number)


def _varied(chance: Random) -> Varied:
    name = _name(chance, frozenset(("product_id", "category", "campaign")), common=True)
    field = chance.choice([each for each in NAMES[name] if each not in NUMBERS])
    return Varied(_selected(chance, name), field, ">=", chance.randint(2, 4))


def _picked(chance: Random) -> Picked:
    name = _name(chance, frozenset(WORDS))
    field = chance.choice([each for each in NAMES[name] if each in WORDS])
    of = Selected(name, oldest=chance.choice((None, None, *WINDOWS)))
    return Picked(of, chance.choice(("first", "last", "last")), field, chance.choice(WORDS[field][:4]))


def _recent(chance: Random) -> Recent:
    return Recent(Selected(_name(chance)), chance.choice(("<=", ">=")), chance.randint(1, 60))


def _first(chance: Random) -> First:
    return First(_selected(chance, _name(chance), filtered=chance.random() < 0.3))


def _stopped(chance: Random) -> Every:
    name, quiet = _name(chance, common=True), chance.choice((3, 7, 14, 30))
    before = _selected(chance, name, newest=quiet)
    return Every((Counted(before, ">=", 1), Counted(Selected(name, oldest=quiet), "==", 0)))


def _followed(chance: Random) -> Followed:
    first, then = _name(chance, common=True), _name(chance)
    while then == first:
        then = _name(chance)
    days = chance.choice([each for each in WINDOWS if each >= 7])
    filtered = chance.random() < 0.3
    where = (_filter(chance, then),) if filtered else ()
    return Followed(
        Selected(first, oldest=days), Selected(then, where, days), chance.choice((1, 6, 24, 72, 168))
    )


def _combined(chance: Random) -> Rule:
    makers: list[Callable[[Random], Rule]] = [_counted, _counted, _figured, _varied, _never, _few]
    parts = tuple(chance.choice(makers)(chance) for _ in range(chance.randint(2, 3)))
    shape = chance.random()
    if len(parts) == 3 and shape < 0.3:
        return Every((parts[0], Either(parts[1:])))
    return Every(parts) if shape < 0.75 else Either(parts)


_MAKERS: dict[str, Callable[[Random], Rule]] = {
    "count": _counted,
    "filtered": lambda chance: _counted(chance, filtered=True),
    "figure": _figured,
    "never": _never,
    "combined": _combined,
    "distinct": _varied,
    "followed": _followed,
    "first": _first,
    "picked": _picked,
    "recent": _recent,
    "few": _few,
    "stopped": _stopped,
}
