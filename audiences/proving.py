"""Whether everybody who satisfies one rule satisfies another, at every instant, whatever the data.

What is proven holds; what is not proven may hold as well. Each step is a law of one kind of condition:
a wider window holds more events, more events count to a larger number, a larger number satisfies a lower
threshold, and `~` turns everything round.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Any, cast

from audiences.literals import is_number
from audiences.rules import (
    ActiveDays,
    Aggregate,
    AllOf,
    AnyOf,
    Compare,
    CompareOp,
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
    MostFrequent,
    Named,
    Node,
    Not,
    OfAccount,
    OfProfiles,
    OneOf,
    Operand,
    Pick,
    Property,
    Quantile,
    Recency,
    Recurs,
    Regularly,
    Relative,
    Sampled,
    Selection,
    Sequence,
    Step,
    Top,
    Trait,
    UniqueList,
)
from audiences.simplifying import negated
from audiences.terms import Ago, Calendar, Dates, Duration, Flag, Last, Number, Text, Value, Window

__all__ = ["implies"]

_UP = (">", ">=")
_DOWN = ("<", "<=")
_HOLDS: dict[CompareOp, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "contains": lambda held, text: text in held,
    "starts_with": lambda held, text: held.startswith(text),
    "ends_with": lambda held, text: held.endswith(text),
}
_OF_EVENTS = (ActiveDays, Aggregate, Count, Distinct, MostFrequent, Pick, Quantile, Recency, UniqueList)


@dataclass(frozen=True, slots=True)
class _Known:
    """What is given, and what was found: pairs of audiences, and of rules, of which one is in the other."""

    audiences: Collection[tuple[str, str]]
    found: dict[tuple[Node, Node], bool] = field(default_factory=dict)


def implies(first: Node, second: Node, audiences: Collection[tuple[str, str]] = ()) -> bool:
    """Whether it is proven that everybody who satisfies the first rule satisfies the second.

    Args:
        first: a simplified rule.
        second: another one about the same kind.
        audiences: pairs of keys; the members of the first are members of the second.
    """
    return _implies(first, second, _Known(audiences))


def _implies(first: Node, second: Node, known: _Known) -> bool:
    if first == second:
        return True
    pair = (first, second)
    if pair not in known.found:
        known.found[pair] = _by_logic(first, second, known)
    return known.found[pair]


def _by_logic(first: Node, second: Node, known: _Known) -> bool:
    match first, second:
        case AnyOf(rules), _:
            return all(_implies(each, second, known) for each in rules)
        case _, AllOf(rules):
            return all(_implies(first, each, known) for each in rules)
        case AllOf(rules), AnyOf(others):
            return any(_implies(each, second, known) for each in rules) or any(
                _implies(first, each, known) for each in others
            )
        case AllOf(rules), _:
            return any(_implies(each, second, known) for each in rules)
        case _, AnyOf(rules):
            return any(_implies(first, each, known) for each in rules)
        case Not(rule), Not(other):
            return _implies(other, rule, known)
        case (Compare(Count() | ActiveDays() | Distinct()), Not(rule)):
            return _implies(rule, negated(first), known)
        case Not(rule), Compare(Count() | ActiveDays() | Distinct()):
            return _implies(negated(second), rule, known)
        case (Compare() | OneOf(), Not(Compare() | OneOf() as other)):
            return _apart(first, other)
        case _:
            return _by_condition(first, second, known)


def _by_condition(first: Node, second: Node, known: _Known) -> bool:
    match first, second:
        case (Compare() | OneOf(), Compare() | OneOf()):
            return _compares(first, second, known)
        case (Compare(operand) | OneOf(operand) | Exists(operand), Exists(other)):
            return operand == other or _has_more(operand, other, known)
        case FirstTime(events), FirstTime(others):
            same = replace(events, window=others.window) == others
            return same and _in_window(events.window, others.window)
        case (FirstTime(events) | Latest(events), Compare(Count(others), ">=", value)):
            return value == Number(1.0) and _are_among(events, others, known)
        case Latest(events, has), Latest(others, wanted):
            return events == others and _implies(has, wanted, known)
        case Identified(types), Identified(others):
            return set(types) <= set(others)
        case Sampled(split, start, stop), Sampled(other, begin, end):
            return split == other and begin <= start and stop <= end
        case InAudience(key), InAudience(other):
            return (key, other) in known.audiences
        case OfAccount(rule), OfAccount(other):
            return _implies(rule, other, known)
        case OfProfiles(quantifier, rule, number), OfProfiles(other, wanted, fewer):
            return (quantifier, fewer <= number) == (other, True) and _implies(rule, wanted, known)
        case Regularly(), Regularly():
            return _regularly(first, second, known)
        case Sequence(), Sequence():
            return _sequence(first, second, known)
        case _:
            return _by_size(first, second)


def _by_size(first: Node, second: Node) -> bool:
    """Conditions that are alike but for one length or number."""
    match first, second:
        case Relative(trait, relation, length), Relative(other, same, wanted):
            wider = relation in ("within_last", "within_next")
            more, less = (wanted, length) if wider else (length, wanted)
            return (trait, relation) == (other, same) and less.seconds <= more.seconds
        case Recurs(trait, days, zone), Recurs(other, more_days, same):
            return (trait, zone) == (other, same) and days <= more_days
        case Held(trait, value, op, length), Held(other, same, way, wanted):
            more, less = (length, wanted) if op == ">=" else (wanted, length)
            return (trait, value, op) == (other, same, way) and less.seconds <= more.seconds
        case Top(measure, count, share), Top(other, more_of_them, larger):
            if measure != other:
                return False
            if count is not None and more_of_them is not None:
                return count <= more_of_them
            return share is not None and larger is not None and share <= larger
        case _:
            return False


# ------------------------------------------------------------------------------------------- comparisons


def _compares(first: Compare | OneOf, second: Compare | OneOf, known: _Known) -> bool:
    if second.every and not first.every:
        return False
    if first.operand != second.operand and not _figures_follow(first, second, known):
        return False
    by_text = _texts_compare(first.operand)
    match first, second:
        case OneOf(_, values), OneOf(_, others):
            return set(values) <= set(others)
        case OneOf(_, values), Compare(_, op, value):
            return all(_satisfies(each, op, value, by_text) for each in values)
        case Compare(_, op, value), Compare(_, wanted, other):
            return type(value) is type(other) and _stronger(op, value, wanted, other, by_text)
        case _:
            return False


def _texts_compare(operand: Operand) -> bool:
    """Whether texts are compared as they are written, so that they tell what follows."""
    return not isinstance(operand, (Trait, Property)) or operand.read == "plain"


def _satisfies(held: Value, op: CompareOp, value: Value, by_text: bool) -> bool:
    if type(held) is not type(value) or op not in _HOLDS or isinstance(held, Flag):
        return False
    return (by_text or not isinstance(held, Text)) and _HOLDS[op](held.value, value.value)


def _stronger(op: CompareOp, value: Value, wanted: CompareOp, other: Value, by_text: bool) -> bool:
    """Whether every value with `op value` has `wanted other`."""
    if (op, value) == (wanted, other):
        return True
    if isinstance(value, Flag) or (isinstance(value, Text) and not by_text):
        return False
    held, asked = cast("Any", value.value), cast("Any", other.value)
    if op in _UP and wanted in _UP:
        return bool(held > asked or (held == asked and op == ">"))
    if op in _DOWN and wanted in _DOWN:
        return bool(held < asked or (held == asked and op == "<"))
    if op in ("contains", "starts_with", "ends_with") and wanted in (op, "contains"):
        return _HOLDS[wanted](held, asked)
    return False


def _apart(first: Compare | OneOf, second: Compare | OneOf) -> bool:
    """Whether no number satisfies both."""
    if first.operand != second.operand or not is_number(first.operand):
        return False
    match first, second:
        case (OneOf(_, values), _):
            return not any(_may_be(each, second) for each in values)
        case (_, OneOf(_, values)):
            return not any(_may_be(each, first) for each in values)
        case Compare(_, op, value), Compare(_, other, limit) if type(value) is type(limit):
            low, high = (value, limit) if op in _UP else (limit, value)
            if {op in _UP, other in _UP} != {True, False} or not {op, other} <= {*_UP, *_DOWN}:
                return False
            touching = op in ("<=", ">=") and other in ("<=", ">=")
            low_value, high_value = cast("Any", low.value), cast("Any", high.value)
            return bool(low_value > high_value if touching else low_value >= high_value)
        case _:
            return False


def _may_be(value: Value, condition: Compare | OneOf) -> bool:
    if isinstance(condition, OneOf):
        return value in condition.values
    return type(value) is not type(condition.value) or _satisfies(value, condition.op, condition.value, True)


def _figures_follow(first: Compare | OneOf, second: Compare | OneOf, known: _Known) -> bool:
    """Whether what is true of the first's figure by its comparison is true of the second's as well."""
    op = second.op if isinstance(second, Compare) else "=="
    one, other = first.operand, second.operand
    if not isinstance(one, _OF_EVENTS) or not isinstance(other, _OF_EVENTS):
        return False
    if isinstance(one, (Count, ActiveDays, Distinct)) and op == "<":
        return replace(other, events=one.events) == one and _are_among(other.events, one.events, known)
    match one:
        case Count() | ActiveDays() | Distinct():
            grows = op == ">="
        case Aggregate(_, function):
            grows = (function == "max" and op in _UP) or (function == "min" and op in _DOWN)
        case Recency():
            grows = op in _DOWN
        case UniqueList():
            grows = not first.every and not second.every
        case _:
            grows = False
    return grows and _has_more(one, other, known)


def _has_more(one: Operand, other: Operand, known: _Known) -> bool:
    """Whether two figures differ in the events that they are over alone, and the second is over more."""
    if not isinstance(one, _OF_EVENTS) or not isinstance(other, _OF_EVENTS):
        return False
    match one, other:
        case Aggregate(read="plain"), Aggregate(read="number"):
            one = replace(one, read="number")
        case MostFrequent(at_least=least), MostFrequent(at_least=fewer) if fewer < least:
            one = replace(one, at_least=fewer)
    return replace(one, events=other.events) == other and _are_among(one.events, other.events, known)


# ------------------------------------------------------------------------------------------------ events


def _are_among(some: Events, more: Events, known: _Known) -> bool:
    """Whether every event of the first is one of the second, at every instant."""
    if not _is_selected(some.selection, more.selection) or not _in_window(some.window, more.window):
        return False
    if more.window is not None and some.clock != more.clock:
        return False
    if more.where is None:
        return True
    return some.where is not None and _implies(some.where, more.where, known)


def _is_selected(some: Selection, more: Selection) -> bool:
    match some, more:
        case Named(names), Named(others):
            return set(names) <= set(others)
        case Named(names), _:
            return all(each and each.startswith(cast("Any", more).prefix) for each in names)
        case _, Named():
            return False
        case _:
            return some.prefix.startswith(more.prefix)


def _in_window(some: Window | None, more: Window | None) -> bool:
    """Whether the first window lies in the second at every instant."""
    match some, more:
        case _, None:
            return True
        case (Last() | Ago(), Last() | Ago()):
            return _in_span(some, more)
        case Dates(start, end), Dates(begin, until):
            early = begin is None or (start is not None and begin <= start)
            late = until is None or (end is not None and end <= until)
            return early and late
        case Calendar(unit, back, current, zone), Calendar(other, more_back, more_current, same):
            return (unit, zone) == (other, same) and back <= more_back and (more_current or not current)
        case _:
            return some == more


def _in_span(some: Last | Ago, more: Last | Ago) -> bool:
    oldest, with_oldest, newest, with_newest = _span(some)
    begin, with_begin, end, with_end = _span(more)
    early = begin is None or (
        oldest is not None and (oldest < begin or (oldest == begin and (with_begin or not with_oldest)))
    )
    return early and (newest > end or (newest == end and (with_end or not with_newest)))


def _span(window: Last | Ago) -> tuple[int | None, bool, int, bool]:
    """How long ago it starts and ends, each with whether that instant belongs to it."""
    if isinstance(window, Last):
        return window.width.seconds, window.bounds[0] == "[", 0, window.bounds[1] == "]"
    return window.oldest.seconds if window.oldest else None, False, window.newest.seconds, True


# ------------------------------------------------------------------------------------- habits, sequences


def _regularly(first: Regularly, second: Regularly, known: _Known) -> bool:
    if (first.op, first.period, first.events.clock) != (second.op, second.period, second.events.clock):
        return False
    if second.at_least > first.at_least or second.of < first.of:
        return False
    match first.op:
        case ">=":
            return second.number <= first.number and _are_among(first.events, second.events, known)
        case "<":
            return first.number <= second.number and _are_among(second.events, first.events, known)
        case _:
            return (first.number, first.events) == (second.number, second.events)


def _sequence(first: Sequence, second: Sequence, known: _Known) -> bool:
    if first.any_order != second.any_order or len(first.steps) != len(second.steps):
        return False
    if first.ties == "loose" and second.ties == "strict" and not first.any_order:
        return False
    if second.adjacent and not first.adjacent:
        return False
    # with fewer shared properties, more events count as excluded
    same = first.same == second.same if second.exclusions else set(second.same) <= set(first.same)
    return (
        same
        and _at_most(first.within, second.within)
        and all(map(lambda one, other: _step(one, other, known), first.steps, second.steps))
        and all(
            any(_excludes(each, other, known) for each in first.exclusions) for other in second.exclusions
        )
    )


def _step(one: Step, other: Step, known: _Known) -> bool:
    measured = one.since == other.since or (other.within, other.after) == (None, None)
    least = one.after.seconds if one.after else 0
    few = other.within_events is None or (
        one.within_events is not None and one.within_events <= other.within_events
    )
    return (
        measured
        and few
        and _at_most(one.within, other.within)
        and (other.after is None or other.after.seconds <= least)
        and _are_among(one.events, other.events, known)
    )


def _excludes(one: Exclusion, other: Exclusion, known: _Known) -> bool:
    """Whether where the first has nothing, the second has nothing."""
    if (one.after, one.before) != (other.after, other.before):
        return False
    if one.within is None or other.within is None:
        return one.within == other.within and _are_among(other.events, one.events, known)
    return other.within.seconds <= one.within.seconds and _are_among(other.events, one.events, known)


def _at_most(length: Duration | None, wanted: Duration | None) -> bool:
    return wanted is None or (length is not None and length.seconds <= wanted.seconds)
