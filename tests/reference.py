"""The rule language in plain Python: slow, short, and obviously right; the oracle of the compiler.

A person is a dict of `events` (dicts with name, message_id, occurred_at, received_at, properties) and
`traits` (dicts with name, value, message_id, occurred_at, received_at).
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from audiences import Audience
from audiences.rules import (
    Ago,
    AllOf,
    AnyOf,
    Compare,
    Count,
    Dates,
    Events,
    Exists,
    Flag,
    InAudience,
    Instant,
    Last,
    Node,
    Not,
    Number,
    OneOf,
    Text,
    Threshold,
    Trait,
    Value,
)

Person = Mapping[str, Sequence[Mapping[str, Any]]]
MISSING = object()
ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "contains": lambda held, text: text in held,
    "starts_with": lambda held, text: held.startswith(text),
}
ISO_8601 = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}([.]\d{1,6})?)?(Z|[+-]\d{2}:\d{2})?)?")


def members(
    people: Mapping[str, Person], audiences: Sequence[Audience], as_of: datetime
) -> dict[str, set[str]]:
    """Who is in each audience, among the people of whom anything was known at that instant."""
    rules = {audience.key: audience.rule for audience in audiences}
    known = {
        name: person
        for name, person in people.items()
        if any(row["received_at"] <= as_of for row in (*person["events"], *person["traits"]))
    }
    return {
        key: {name for name, person in known.items() if holds(rule, person, as_of, rules)}
        for key, rule in rules.items()
    }


def holds(node: Node, person: Person, as_of: datetime, rules: Mapping[str, Node], event: Any = None) -> bool:
    """Whether a rule holds for a person at an instant; inside a `where`, for one event."""
    match node:
        case Not(rule):
            return not holds(rule, person, as_of, rules, event)
        case AllOf(parts):
            return all(holds(part, person, as_of, rules, event) for part in parts)
        case AnyOf(parts):
            return any(holds(part, person, as_of, rules, event) for part in parts)
        case InAudience(key):
            return holds(rules[key], person, as_of, rules)
        case Exists(field):
            return value_of(field, person, as_of, event) is not MISSING
        case Compare(field, op, value):
            return any_element(value_of(field, person, as_of, event), op, value)
        case OneOf(field, values):
            held = value_of(field, person, as_of, event)
            return any(any_element(held, "==", value) for value in values)
        case Threshold(measure, op, number):
            chosen = [
                each
                for each in person["events"]
                if visible(each, as_of) and matches(measure.events, each, person, as_of, rules)
            ]
            if isinstance(measure, Count):
                return ORDER[op](len(chosen), number.value)
            found = [dig(each["properties"], measure.path) for each in chosen]
            return figure_holds(
                measure.function, [each for each in found if is_number(each)], op, number.value
            )
    raise AssertionError(node)


def figure_holds(function: str, numbers: Sequence[float], op: str, number: float) -> bool:
    """Sums are exact decimals, so that the order of events does not matter."""
    if not numbers:
        return False
    if function in ("min", "max"):
        return ORDER[op]({"min": min, "max": max}[function](numbers), number)
    exact = [Decimal(repr(each)) for each in numbers]
    total, bound = sum(exact), Decimal(repr(number))
    return ORDER[op](total, bound if function == "sum" else bound * len(exact))


def visible(row: Mapping[str, Any], as_of: datetime) -> bool:
    return row["received_at"] <= as_of and row["occurred_at"] <= as_of


def matches(events: Events, event: Mapping[str, Any], person: Person, as_of: datetime, rules: Any) -> bool:
    if event["name"] != events.name:
        return False
    at = event["occurred_at"]
    match events.window:
        case Last(width):
            inside = at > as_of - width.delta
        case Ago(oldest, newest):
            inside = as_of - oldest.delta < at <= as_of - newest.delta
        case Dates(start, end):
            inside = start <= at < end
        case _:
            inside = True
    return inside and (events.where is None or holds(events.where, person, as_of, rules, event))


def value_of(field: Any, person: Person, as_of: datetime, event: Any) -> Any:
    if not isinstance(field, Trait):
        return dig(event["properties"], field.path)
    name, *inner = field.path
    changes = [row for row in person["traits"] if row["name"] == name and visible(row, as_of)]
    if not changes:
        return MISSING
    newest = max(changes, key=lambda row: (row["occurred_at"], row["message_id"]))
    return dig({name: newest["value"]}, (name, *inner))


def dig(value: Any, path: Sequence[str]) -> Any:
    for key in path:
        if not isinstance(value, dict) or key not in value:
            return MISSING
        value = value[key]
    return MISSING if value is None else value


def any_element(held: Any, op: str, value: Value) -> bool:
    if isinstance(held, list):
        return any(compared(each, op, value) for each in held)
    return compared(held, op, value)


def compared(held: Any, op: str, value: Value) -> bool:
    match value:
        case Text(text):
            return isinstance(held, str) and ORDER[op](held, text)
        case Number(number):
            return is_number(held) and ORDER[op](float(held), number)
        case Flag(flag):
            return isinstance(held, bool) and ORDER[op](held, flag)
        case Instant(moment):
            read = instant(held)
            return read is not None and ORDER[op](read, moment)
    raise AssertionError(value)


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def instant(value: Any) -> datetime | None:
    if not isinstance(value, str) or not ISO_8601.fullmatch(value):
        return None
    try:
        read = datetime.fromisoformat(value)
    except ValueError:
        return None
    return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
