"""Rules in a form in which laws of logic and of whole numbers are used up, so that two are easy to compare.

Beyond the order and repetition that `meaning.normalise` removes: negations stand at conditions, counts are
compared by `>=` and `<` alone, equal values of one operand are one list, what always or never holds is gone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, is_dataclass, replace
from math import ceil, floor
from typing import TypeVar, cast, get_args

from audiences.meaning import canonical_json
from audiences.rules import (
    ActiveDays,
    AllOf,
    AnyOf,
    Compare,
    Count,
    Distinct,
    Events,
    Exists,
    FirstTime,
    Measure,
    Named,
    Node,
    Not,
    OfProfiles,
    OneOf,
    Operand,
    OrderOp,
    Recency,
    Regularly,
    Sampled,
    Sequence,
    Step,
)
from audiences.terms import Ago, Dates, Duration, Last, Number, Value, Window

__all__ = ["EVERYBODY", "NOBODY", "negated", "simplified"]

EVERYBODY = AllOf(())
"""The rule that is always true."""

NOBODY = AnyOf(())
"""The rule that is never true."""

_NODES = get_args(Node)
_COUNTED = (Count, ActiveDays, Distinct)
_Rule = TypeVar("_Rule", bound="Node | Measure")


def simplified(rule: _Rule) -> _Rule:
    """Bring a rule, or a measure, to a form that rules with the same meaning mostly share.

    Args:
        rule: any.

    Returns:
        What is true of the same profiles at every instant, or the same figure of each.
    """
    return cast("_Rule", _inner(rule))


def negated(node: Node) -> Node:
    """The complement of a simplified rule, simplified.

    Args:
        node: what `simplified` returned, or a part of it.
    """
    match node:
        case Not(rule):
            return rule
        case AllOf(rules):
            return _combined(AnyOf, map(negated, rules))
        case AnyOf(rules):
            return _combined(AllOf, map(negated, rules))
        case Compare(Count() | ActiveDays() | Distinct() as operand, ">=", value, every):
            return Compare(operand, "<", value, every)
        case Compare(Count() | ActiveDays() | Distinct() as operand, "<", value, every):
            return Compare(operand, ">=", value, every)
        case _:
            return Not(node)


def _inner(value: object) -> object:
    match value:
        case Not(rule):
            return negated(simplified(rule))
        case AllOf(rules) | AnyOf(rules):
            return _combined(type(value), map(simplified, rules))
        case tuple():
            return tuple(map(_inner, value))
        case Named(names):
            return Named(tuple(sorted(set(names))))
    if not is_dataclass(value) or isinstance(value, type):
        return value
    rebuilt = replace(value, **{each.name: _inner(getattr(value, each.name)) for each in fields(value)})
    if isinstance(rebuilt, Events):
        return _events(rebuilt)
    if isinstance(value, Regularly) and isinstance(rebuilt, Regularly):
        # its periods look at the clock, though its events have no window
        rebuilt = replace(rebuilt, events=replace(rebuilt.events, clock=value.events.clock))
    return _condition(cast("Node", rebuilt)) if isinstance(rebuilt, _NODES) else rebuilt


def _combined(kind: type[AllOf] | type[AnyOf], rules: Iterable[Node]) -> Node:
    neutral, decided = (EVERYBODY, NOBODY) if kind is AllOf else (NOBODY, EVERYBODY)
    parts: set[Node] = set()
    for rule in rules:
        parts.update(rule.rules if isinstance(rule, kind) else (rule,))
    parts.discard(neutral)
    parts = _with_lists(kind, parts)
    if decided in parts or any(
        negated(each) in parts for each in parts if not isinstance(each, (AllOf, AnyOf))
    ):
        return decided
    if len(parts) == 1:
        return parts.pop()
    return kind(tuple(sorted(parts, key=canonical_json)))


def _with_lists(kind: type[AllOf] | type[AnyOf], parts: set[Node]) -> set[Node]:
    """Join `x is a or x is b`, and `x is not a and x is not b`, into one list of values each."""
    lists: dict[Operand, set[Value]] = {}
    others: set[Node] = set()
    for each in parts:
        bare = each.rule if kind is AllOf and isinstance(each, Not) else each
        if isinstance(bare, OneOf) and not bare.every and (kind is AnyOf) == (bare is each):
            lists.setdefault(bare.operand, set()).update(bare.values)
        else:
            others.add(each)
    for operand, values in lists.items():
        joined = OneOf(operand, _sorted(values))
        others.add(joined if kind is AnyOf else Not(joined))
    return others


def _sorted(values: Iterable[Value]) -> tuple[Value, ...]:
    return tuple(sorted(set(values), key=canonical_json))


def _condition(node: Node) -> Node:
    """A condition, the parts of which are simplified."""
    match node:
        case Compare(Count() | ActiveDays() | Distinct() as operand, op, Number(number), False) if op in (
            get_args(OrderOp)
        ):
            return _counted(operand, cast("OrderOp", op), number)
        case OneOf(Count() | ActiveDays() | Distinct() as operand, values, False):
            numbers = [each.value for each in values if isinstance(each, Number)]
            return _combined(AnyOf, (_counted(operand, "==", each) for each in numbers))
        case Compare(operand, "==", value, every):
            return OneOf(operand, (value,), every)
        case OneOf(operand, values, every):
            return OneOf(operand, _sorted(values), every)
        case Exists(operand) if isinstance(operand, _COUNTED):
            return EVERYBODY
        case Exists(Recency(events)):
            return _at_least(Count(events), 1)
        case FirstTime(Events(window=None) as events) | Sequence(
            (Step(events, None, None, _, None),), (), ()
        ):
            return _at_least(Count(events), 1)
        case Regularly(_, ">", number):
            return replace(node, op=">=", number=number + 1)
        case Regularly(_, "<=", number):
            return replace(node, op="<", number=number + 1)
        case Regularly(_, "==", 0):
            return replace(node, op="<", number=1)
        case Sampled(_, start, stop) if start >= stop:
            return NOBODY
        case Sampled(_, start, stop) if start <= 0 and stop >= 1:
            return EVERYBODY
        case OfProfiles("any", rule):
            return OfProfiles("at_least", rule, 1)
        case OfProfiles("none", rule):
            return Not(OfProfiles("at_least", rule, 1))
        case OfProfiles("all", rule):
            return OfProfiles("all", rule, 1)
        case _:
            return node


def _counted(operand: Count | ActiveDays | Distinct, op: OrderOp, number: float) -> Node:
    match op:
        case ">=":
            return _at_least(operand, ceil(number))
        case ">":
            return _at_least(operand, floor(number) + 1)
        case "<":
            return negated(_at_least(operand, ceil(number)))
        case "<=":
            return negated(_at_least(operand, floor(number) + 1))
        case "==":
            if number != int(number):
                return NOBODY
            least, more = _at_least(operand, int(number)), _at_least(operand, int(number) + 1)
            return _combined(AllOf, (least, negated(more)))


def _at_least(operand: Count | ActiveDays | Distinct, number: int) -> Node:
    if number <= 0:
        return EVERYBODY
    if number == 1 and isinstance(operand, ActiveDays):
        operand = Count(operand.events)
    return Compare(operand, ">=", Number(float(number)))


def _events(events: Events) -> Events:
    where = None if events.where == EVERYBODY else events.where
    window = _window(events.window)
    return Events(events.selection, window, where, "occurred" if window is None else events.clock)


def _window(window: Window | None) -> Window | None:
    match window:
        case Ago(None, Duration(0)) | Dates(None, None):
            return None
        case Ago(Duration() as oldest, Duration(0)):
            return Last(oldest)
        case _:
            return window
