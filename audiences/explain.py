"""A rule in one English sentence, for plans, reports and whoever must sign it off."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import assert_never

from audiences.audience import Audience
from audiences.rules import (
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
    Node,
    Not,
    Number,
    OneOf,
    OrderOp,
    Text,
    Threshold,
    Trait,
    Value,
    Window,
)

__all__ = ["explain", "explain_duration"]

_FIGURES = {"sum": "a sum", "avg": "an average", "min": "a smallest value", "max": "a largest value"}
_THAN: dict[OrderOp, str] = {
    "==": "of exactly",
    "<": "below",
    "<=": "of at most",
    ">": "above",
    ">=": "of at least",
}
_IS: dict[CompareOp, str] = {
    "==": "is",
    "<": "is below",
    "<=": "is at most",
    ">": "is above",
    ">=": "is at least",
    "contains": "contains",
    "starts_with": "starts with",
}
_MINUTES = ((7 * 24 * 60, "week"), (24 * 60, "day"), (60, "hour"), (1, "minute"))


def explain(rule: Audience | Node) -> str:
    """Say who satisfies a rule.

    Args:
        rule: an audience, or a rule as data.

    Returns:
        One sentence that begins with "Everyone who".
    """
    node = rule.rule if isinstance(rule, Audience) else rule
    return f"Everyone who {_phrase(node, yes=True, inner=False)}."


def explain_duration(duration: Duration) -> str:
    """Say how long, in the largest unit that fits.

    Args:
        duration: any.
    """
    for minutes, unit in _MINUTES:
        if duration.minutes % minutes == 0:
            number = duration.minutes // minutes
            return f"{number:,} {unit}{'s' if number != 1 else ''}"
    raise AssertionError("a duration is whole minutes")


def _phrase(node: Node, *, yes: bool, inner: bool) -> str:
    match node:
        case Not(rule):
            return _phrase(rule, yes=not yes, inner=inner)
        case AllOf(rules):
            return _joined(rules, "and" if yes else "or", yes=yes, inner=inner)
        case AnyOf(rules):
            return _joined(rules, "or" if yes else "and", yes=yes, inner=inner)
        case Threshold(measure, op, number):
            if isinstance(measure, Count):
                return _counted(measure.events, op, int(number.value), yes=yes)
            figure = f"{_FIGURES[measure.function]} of {_name(measure.path)}"
            has = "has" if yes else "does not have"
            return f"{has} {figure} {_THAN[op]} {_number(number.value)} over {_events(measure.events)}"
        case Compare(field, op, value):
            return f"has {'a' if yes else 'no'} {_field(field)} that {_IS[op]} {_value(value)}"
        case OneOf(field, values):
            return f"has {'a' if yes else 'no'} {_field(field)} that is one of {_values(values)}"
        case Exists(field):
            return f"has {'a' if yes else 'no'} {_field(field)}"
        case InAudience(key):
            return f"is {'' if yes else 'not '}in the audience {key}"
        case _:
            assert_never(node)


def _joined(rules: Sequence[Node], word: str, *, yes: bool, inner: bool) -> str:
    parts = [_phrase(rule, yes=yes, inner=True) for rule in rules]
    if len(parts) == 1:
        return parts[0]
    if word == "or":
        text = f"either {', or '.join(parts)}"
    else:
        text = f"{', '.join(parts[:-1])}, and {parts[-1]}"
    return f"({text})" if inner else text


def _counted(events: Events, op: OrderOp, number: int, *, yes: bool) -> str:
    what, when = _named(events), f" {_window(events.window)}" if events.window is not None else ""
    if (op, number) in ((">=", 1), (">", 0)):
        return f"{'did' if yes else 'did not do'} {what}{when}"
    if (op, number) in (("==", 0), ("<=", 0), ("<", 1)):
        return f"{'did not do' if yes else 'did'} {what}{when}"
    times = f"{number:,} time{'s' if number != 1 else ''}"
    amount = {
        "==": f"exactly {times}",
        "<": f"fewer than {times}",
        "<=": f"at most {times}",
        ">": f"more than {times}",
        ">=": f"at least {times}",
    }[op]
    return f"{'did' if yes else 'did not do'} {what} {amount}{when}"


def _events(events: Events) -> str:
    when = f" {_window(events.window)}" if events.window is not None else ""
    return _named(events) + when


def _named(events: Events) -> str:
    text = _quoted(events.name)
    return text if events.where is None else f"{text} with {_where(events.where, yes=True, inner=False)}"


def _where(node: Node, *, yes: bool, inner: bool) -> str:
    match node:
        case Not(rule):
            return _where(rule, yes=not yes, inner=inner)
        case AllOf(rules) | AnyOf(rules):
            word = "and" if isinstance(node, AllOf) == yes else "or"
            text = f" {word} ".join(_where(rule, yes=yes, inner=True) for rule in rules)
            return f"({text})" if inner and len(rules) > 1 else text
        case Compare(field, op, value):
            return f"{'a' if yes else 'no'} {_name(field.path)} that {_IS[op]} {_value(value)}"
        case OneOf(field, values):
            return f"{'a' if yes else 'no'} {_name(field.path)} that is one of {_values(values)}"
        case Exists(field):
            return f"{'a' if yes else 'no'} {_name(field.path)}"
        case Threshold() | InAudience():
            return _phrase(node, yes=yes, inner=inner)
        case _:
            assert_never(node)


def _window(window: Window) -> str:
    match window:
        case Last(width):
            length = explain_duration(width)
            return f"in the last {length.removeprefix('1 ')}"
        case Ago(oldest, newest):
            return f"between {explain_duration(oldest)} and {explain_duration(newest)} ago"
        case Dates(start, end):
            return f"from {_instant(start)} up to {_instant(end)}"
        case _:
            assert_never(window)


def _field(field: Field) -> str:
    return f"{'trait' if isinstance(field, Trait) else 'property'} {_name(field.path)}"


def _value(value: Value) -> str:
    match value:
        case Text(text):
            return _quoted(text)
        case Number(number):
            return _number(number)
        case Flag(flag):
            return "true" if flag else "false"
        case Instant(moment):
            return _instant(moment)
        case _:
            assert_never(value)


def _values(values: Sequence[Value]) -> str:
    shown = [_value(value) for value in values]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} or {shown[-1]}"


def _number(number: float) -> str:
    return f"{int(number):,}" if number == int(number) else f"{number:,}"


def _instant(moment: datetime) -> str:
    midnight = (moment.hour, moment.minute, moment.second, moment.microsecond) == (0, 0, 0, 0)
    return f"{moment:%Y-%m-%d}" if midnight else f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _quoted(text: str) -> str:
    return f"“{text}”"


def _name(path: Sequence[str]) -> str:
    return ".".join(path)
