"""Rules as data: frozen nodes that compare by structure, print as canonical JSON and have a fingerprint.

The handles that people write rules with stand in `dsl.py`; what a rule means stands in `docs/rules.md`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal, assert_never

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "Aggregate",
    "Ago",
    "AllOf",
    "AnyOf",
    "Compare",
    "CompareOp",
    "Count",
    "Dates",
    "Duration",
    "Events",
    "Exists",
    "Field",
    "Flag",
    "InAudience",
    "Instant",
    "Last",
    "Measure",
    "Node",
    "Not",
    "Number",
    "OneOf",
    "OrderOp",
    "Property",
    "Text",
    "Threshold",
    "Trait",
    "Value",
    "Window",
    "canonical_json",
    "fingerprint",
    "leaves",
    "normalise",
]

OrderOp = Literal["==", "<", "<=", ">", ">="]
CompareOp = Literal["==", "<", "<=", ">", ">=", "contains", "starts_with"]


@dataclass(frozen=True, slots=True)
class Text:
    """A text to compare with."""

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
    """A length of time, in whole minutes."""

    minutes: int

    @property
    def delta(self) -> timedelta:
        """The same length for arithmetic with instants."""
        return timedelta(minutes=self.minutes)


@dataclass(frozen=True, slots=True)
class Last:
    """The window `(as_of − width, as_of]`."""

    width: Duration


@dataclass(frozen=True, slots=True)
class Ago:
    """The window `(as_of − oldest, as_of − newest]`."""

    oldest: Duration
    newest: Duration


@dataclass(frozen=True, slots=True)
class Dates:
    """The window `[start, end)`, whatever the instant of evaluation; aware UTC."""

    start: datetime
    end: datetime


Window = Last | Ago | Dates


@dataclass(frozen=True, slots=True)
class Trait:
    """A profile's trait; further keys of the path lead into it."""

    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Property:
    """A property of the event that a `where` looks at."""

    path: tuple[str, ...]


Field = Trait | Property


@dataclass(frozen=True, slots=True)
class Compare:
    """One comparison of a field; false when the field is missing."""

    field: Field
    op: CompareOp
    value: Value


@dataclass(frozen=True, slots=True)
class OneOf:
    """True when the field equals one of the values."""

    field: Field
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Exists:
    """True when the field has a value other than null."""

    field: Field


@dataclass(frozen=True, slots=True)
class Events:
    """The events of one name, inside a window, that satisfy a condition on their properties."""

    name: str
    window: Window | None = None
    where: Node | None = None


@dataclass(frozen=True, slots=True)
class Count:
    """How many events there are; 0 when there are none."""

    events: Events


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A figure over the numbers that a property has in the events; missing when there are none."""

    events: Events
    function: Literal["sum", "avg", "min", "max"]
    path: tuple[str, ...]


Measure = Count | Aggregate


@dataclass(frozen=True, slots=True)
class Threshold:
    """A comparison of a count or a figure; false when the figure is missing."""

    measure: Measure
    op: OrderOp
    number: Number


@dataclass(frozen=True, slots=True)
class Not:
    """The complement of a rule in all profiles."""

    rule: Node


@dataclass(frozen=True, slots=True)
class AllOf:
    """True when every rule is."""

    rules: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """True when at least one rule is."""

    rules: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class InAudience:
    """True for members of another audience, at the same instant."""

    key: str


Node = Compare | OneOf | Exists | Threshold | Not | AllOf | AnyOf | InAudience


def leaves(node: Node) -> Iterator[Compare | OneOf | Exists | Threshold | InAudience]:
    """Yield the conditions that a rule combines, in the order in which they were written.

    Args:
        node: a rule; the `where` of its events is not entered.
    """
    match node:
        case Not(rule):
            yield from leaves(rule)
        case AllOf(rules) | AnyOf(rules):
            for rule in rules:
                yield from leaves(rule)
        case Compare() | OneOf() | Exists() | Threshold() | InAudience():
            yield node
        case _:
            assert_never(node)


def canonical_json(node: object) -> str:
    """Write a node as JSON that is the same for equal nodes.

    Args:
        node: any node of this module.

    Returns:
        JSON with sorted keys and no spaces; `is` names the kind of each node.
    """
    return json.dumps(_plain(node), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def normalise(node: Node) -> Node:
    """Bring rules that mean the same by the laws of logic's order and repetition to one form.

    Args:
        node: a rule.

    Returns:
        The rule with nested and repeated `&`, `|` flattened and sorted, and double negation removed.
    """
    match node:
        case Not(Not(rule)):
            return normalise(rule)
        case Not(rule):
            inner = normalise(rule)
            return inner.rule if isinstance(inner, Not) else Not(inner)
        case AllOf(rules):
            return _flat(AllOf, rules)
        case AnyOf(rules):
            return _flat(AnyOf, rules)
        case OneOf(field, values):
            distinct = sorted(set(values), key=canonical_json)
            return Compare(field, "==", distinct[0]) if len(distinct) == 1 else OneOf(field, tuple(distinct))
        case Threshold(measure, _, _) if measure.events.where is not None:
            events = replace(measure.events, where=normalise(measure.events.where))
            return replace(node, measure=replace(measure, events=events))
        case Compare() | Exists() | Threshold() | InAudience():
            return node
        case _:
            assert_never(node)


def fingerprint(node: Node) -> str:
    """Identify what a rule means: equal for rules that differ in order and wording only.

    Args:
        node: a rule.

    Returns:
        SHA-256 of the normalised rule's canonical JSON, 64 hexadecimal digits.
    """
    return hashlib.sha256(canonical_json(normalise(node)).encode()).hexdigest()


def _flat(kind: type[AllOf] | type[AnyOf], rules: tuple[Node, ...]) -> Node:
    parts: set[Node] = set()
    for rule in map(normalise, rules):
        parts.update(rule.rules if isinstance(rule, kind) else (rule,))
    if len(parts) == 1:
        return parts.pop()
    return kind(tuple(sorted(parts, key=canonical_json)))


def _plain(value: object) -> object:
    if is_dataclass(value):
        return {
            "is": type(value).__name__,
            **{each.name: _plain(getattr(value, each.name)) for each in fields(value)},
        }
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value.isoformat() if isinstance(value, datetime) else value
