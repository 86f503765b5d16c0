"""Edits of rules: what is one step away from a rule, so that often something can be proven of the two."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any, get_args

from hypothesis import strategies as st

from audiences.rules import (
    AllOf,
    AnyOf,
    Compare,
    Events,
    Exclusion,
    Identified,
    MostFrequent,
    Named,
    Node,
    Not,
    OfProfiles,
    OneOf,
    Prefixed,
    Property,
    Recurs,
    Regularly,
    Sampled,
    Sequence,
    Step,
    Top,
    Trait,
)
from audiences.terms import Ago, Calendar, Dates, Duration, Last, Number, Text
from tests import strategies
from tests.reference import Kind
from tests.strategies_worlds import EDGES, NAMES, SECONDS, TYPES, Choices, made

__all__ = ["edited", "one_step_from", "pairs"]

_NODES = get_args(Node)
_ABOUT_EVENTS = Compare(Property(("a",)), "==", Number(1.0))
_OPERATORS = ("==", "<", "<=", ">", ">=")


def pairs(of: Kind = "profile") -> st.SearchStrategy[tuple[Node, list[Node]]]:
    """A rule, and some that one or two edits make of it.

    Args:
        of: what they are about.
    """

    def pair(c: Choices) -> tuple[Node, list[Node]]:
        rule = strategies.combined(c, lambda _: strategies.leaf(c, of, (), False), c.below(3))
        return rule, [edited(c, rule, of) for _ in range(12)]

    return made(pair)


def edited(c: Choices, rule: Node, of: Kind) -> Node:
    """A rule after one or two edits."""
    found = rule
    for _ in range(1 + c.once_in(3)):
        steps = list(one_step_from(found))
        if c.once_in(8):
            other = strategies.leaf(c, of, (), False)
            steps = [AllOf((other, found)), AnyOf((found, other))]
        found = steps[(c.below(256) * 256 + c.below(256)) % len(steps)] if steps else found
    return found


def one_step_from(value: Any) -> Iterator[Any]:
    """Everything that one edit, anywhere in it, makes of a rule or a part of one."""
    yield from _edits(value)
    if isinstance(value, Compare) and value.op == "matches":
        return
    if isinstance(value, tuple):
        for number, each in enumerate(value):
            for other in one_step_from(each):
                yield (*value[:number], other, *value[number + 1 :])
    elif is_dataclass(value) and not isinstance(value, type):
        for each in fields(value):
            for other in one_step_from(getattr(value, each.name)):
                yield replace(value, **{each.name: other})


def _edits(value: Any) -> Iterator[Any]:
    """What one edit makes of a node itself."""
    if isinstance(value, _NODES):
        yield Not(Not(value))
    match value:
        case Number(number):
            yield from (Number(number + more) for more in (-1, 0.5, 1))
        case Text(text) if text:
            yield Text(text[:-1])
            yield Text(text[1:])
        case Duration(length):
            yield from (Duration(each) for each in SECONDS if each != length)
        case Last(width, bounds):
            yield from (Last(width, each) for each in ("(]", "[]", "()", "[)") if each != bounds)
            yield Ago(width, Duration(0))
            yield Ago(width, Duration(60))
            yield None
        case Ago(oldest, newest):
            yield Ago(None, newest)
            yield from ([Last(oldest, "[]")] if oldest else [])
        case Dates(start, _):
            yield from (Dates(start, each) for each in (None, EDGES[1]))
        case Calendar(_, back):
            yield replace(value, back=back + 1)
            yield replace(value, current=True)
        case Events(_, window, where):
            yield from ([replace(value, window=Last(Duration(86_400)))] if window is None else [])
            yield from ([replace(value, window=None)] if window is not None else [])
            yield replace(value, where=_ABOUT_EVENTS if where is None else AllOf((where, _ABOUT_EVENTS)))
            yield replace(value, where=None if where is None else AnyOf((where, _ABOUT_EVENTS)))
            yield replace(value, clock="received" if value.clock == "occurred" else "occurred")
            yield replace(value, selection=Prefixed(""))
        case Named(names):
            yield Named(tuple(sorted({*names, NAMES[0]})))
            yield Named(tuple(sorted({*names, NAMES[1]})))
            yield Prefixed(names[0])
        case Compare(operand, op, given):
            operators = _OPERATORS if op in _OPERATORS else ("contains", "starts_with", "ends_with")
            yield from (replace(value, op=each) for each in operators if each != op)
            if op == "==":
                yield OneOf(operand, (given, Number(5.0)), value.every)
            yield replace(value, every=not value.every)
        case OneOf(_, values):
            yield replace(value, values=(*values, Text("x")))
            yield from ([replace(value, values=values[1:])] if len(values) > 1 else [])
            yield replace(value, every=not value.every)
        case AllOf(rules) | AnyOf(rules):
            yield AnyOf(rules) if isinstance(value, AllOf) else AllOf(rules)
            yield type(value)((*rules, *rules[:1]))
            yield from (type(value)((*rules[:number], *rules[number + 1 :])) for number in range(len(rules)))
        case Not(rule):
            yield rule
        case Identified(types):
            yield from (Identified(tuple(sorted({*types, each}))) for each in TYPES)
        case Sampled(_, start, stop):
            yield replace(value, start=start / 2)
            yield replace(value, stop=(1 + stop) / 2)
        case Top(_, count, share):
            yield replace(value, count=count + 1) if count else replace(value, share=(share or 0) / 2)
        case Recurs(_, days):
            yield replace(value, days=days + 7)
        case Regularly(_, op, number, _, at_least, of):
            yield from (replace(value, op=each) for each in _OPERATORS if each != op)
            yield replace(value, number=number + 1)
            yield replace(value, of=of + 1)
            yield from ([replace(value, at_least=at_least - 1)] if at_least > 1 else [])
        case MostFrequent(_, _, at_least):
            yield replace(value, at_least=at_least + 1)
        case OfProfiles(_, _, number):
            yield from (replace(value, quantifier=each) for each in ("any", "all", "none", "at_least"))
            yield replace(value, number=number + 1)
        case Exclusion(_, after, before, None) if after is not None and before is None:
            yield replace(value, within=Duration(86_400))
        case Step(_, within, after, since, few):
            if (within, after, few) != (None, None, None):
                yield replace(value, within=None)
                yield replace(value, after=None)
                yield replace(value, within_events=None)
                yield replace(value, since="first" if since == "previous" else "previous")
        case Sequence(steps, exclusions, same):
            yield replace(value, ties="loose" if value.ties == "strict" else "strict")
            yield replace(value, adjacent=not value.adjacent and not value.any_order)
            yield replace(value, within=Duration(86_400) if value.within is None else None)
            yield replace(value, same=() if same else (("a",),))
            yield from (
                replace(value, exclusions=(*exclusions[:number], *exclusions[number + 1 :]))
                for number in range(len(exclusions))
            )
            if not value.any_order:
                yield replace(value, exclusions=(*exclusions, Exclusion(steps[0].events, 0, None)))
        case Trait(path, "plain"):
            yield Trait(path, "number")
