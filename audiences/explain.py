"""A rule in one English sentence, for plans, reports and whoever must sign it off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, assert_never

from audiences.audience import Audience
from audiences.phrases import (
    about_field,
    counted,
    explain_duration,
    figure,
    listed_or,
    name_of,
    number_text,
    of_events,
    shortened,
    than,
    value_text,
    what_events,
    when,
    where_phrase,
    with_article,
)
from audiences.rules import (
    ActiveDays,
    Aggregate,
    AllOf,
    AnyOf,
    Compare,
    Condition,
    Consented,
    Count,
    Distinct,
    Events,
    Exists,
    FirstTime,
    Held,
    Identified,
    InAudience,
    InQuery,
    Latest,
    MostFrequent,
    Node,
    Not,
    OfAccount,
    OfProfiles,
    OneOf,
    Operand,
    OrderOp,
    Pick,
    Property,
    Quantile,
    QueryValue,
    Recency,
    Recurs,
    Regularly,
    Relative,
    Sampled,
    Top,
    Trait,
    UniqueList,
)
from audiences.rules import (
    Sequence as SequenceNode,
)
from audiences.scope import Subject
from audiences.sequence_phrases import sequence_phrase
from audiences.terms import Number

__all__ = ["explain", "explain_condition"]

_THAN: dict[OrderOp, str] = {
    "==": "of exactly",
    "<": "below",
    "<=": "of at most",
    ">": "above",
    ">=": "of at least",
}
_LEFT: dict[Literal["within_last", "before_last", "within_next", "after_next"], str] = {
    "within_last": "lies in the last {}",
    "before_last": "lies {} ago or earlier",
    "within_next": "lies in the next {}",
    "after_next": "lies more than {} ahead",
}


def explain(rule: Audience | Node, of: Subject = "profile") -> str:
    """Say who satisfies a rule.

    Args:
        rule: an audience, or a rule as data.
        of: what a rule as data is about; an audience knows.

    Returns:
        One sentence that begins with "Everyone who", or "Every account that".
    """
    node, about = (rule.rule, rule.of) if isinstance(rule, Audience) else (rule, of)
    if node in (AllOf(()), Not(AnyOf(()))):
        return "Everyone." if about == "profile" else "Every account."
    if node in (AnyOf(()), Not(AllOf(()))):
        return "Nobody." if about == "profile" else "No account."
    who = "Everyone who" if about == "profile" else "Every account that"
    return f"{who} {_phrase(node, yes=True, inner=False)}."


def explain_condition(node: Node) -> str:
    """Say one condition briefly, for lists of conditions that are true or false of somebody.

    Args:
        node: a condition, or a rule of several.

    Returns:
        A few words without a full stop, such as `trait plan is “free”`.
    """
    match node:
        case Compare(Trait(_, read) as trait) | OneOf(Trait(_, read) as trait):
            said = about_field(node, read).removeprefix("of which every element").removeprefix("that").strip()
            return f"{'every element of ' if node.every else ''}trait {name_of(trait.path)} {said}"
        case Exists(Trait() as trait):
            return f"trait {name_of(trait.path)} has a value"
        case Relative(trait):
            return f"trait {name_of(trait.path)} {_relative(node)}"
        case _:
            return _phrase(node, yes=True, inner=False)


def _phrase(node: Node, *, yes: bool, inner: bool) -> str:
    match node:
        case Not(rule):
            return _phrase(rule, yes=not yes, inner=inner)
        case AllOf(()) | AnyOf(()):
            return "exists" if isinstance(node, AllOf) == yes else "does not exist"
        case AllOf((Compare() as low, Compare() as high)) if _is_range(low, high):
            return _range(low, high, yes=yes)
        case AllOf(rules):
            return _joined(rules, "and" if yes else "or", yes=yes, inner=inner)
        case AnyOf(rules):
            return _joined(rules, "or" if yes else "and", yes=yes, inner=inner)
        case SequenceNode():
            text = sequence_phrase(node, yes=yes)
            return f"({text})" if inner and "," in text else text
        case _:
            return _condition(node, yes=yes)


def _joined(rules: Sequence[Node], word: str, *, yes: bool, inner: bool) -> str:
    parts = [_phrase(rule, yes=yes, inner=True) for rule in rules]
    if len(parts) == 1:
        return parts[0]
    if word == "or":
        text = f"either {', or '.join(parts)}"
    else:
        text = f"{', '.join(parts[:-1])}, and {parts[-1]}"
    return f"({text})" if inner else text


def _condition(node: Condition, *, yes: bool) -> str:
    a, no = ("a", "") if yes else ("no", "not ")
    match node:
        case Compare(operand, op, Number(number)) if op in _THAN and not node.every:
            return _figured(node, operand, op, number, yes=yes)
        case Compare(operand) | OneOf(operand):
            return _valued(operand, about_field(node, _read(operand)), every=node.every, yes=yes)
        case Exists(operand):
            return _existing(operand, yes=yes)
        case Relative(trait):
            return f"has {a} trait {name_of(trait.path)} that {_relative(node)}"
        case Recurs(trait, days, zone):
            soon = "is today" if days == 0 else f"comes again within {counted(days, 'day')}"
            return f"has {a} trait {name_of(trait.path)} whose day of the year {soon} ({zone})"
        case Held(trait, value, op, length):
            held = "at least" if op == ">=" else "less than"
            return (
                f"has {no}had a trait {name_of(trait.path)} that is {value_text(value)} without a break for "
                f"{held} {explain_duration(length)}"
            )
        case FirstTime(events):
            return f"{_did(yes)} {what_events(events)} for the first time{when(events)}"
        case Latest(events, has):
            return (
                f"has {a} latest {of_events(events, '')} that has {where_phrase(has, yes=True, inner=False)}"
            )
        case Regularly(events, op, number, period, at_least, of):
            periods = f"{at_least:,} of the last {counted(of, 'period')} of {explain_duration(period)}"
            often = than(op, counted(number, "time"))
            return f"{_did(yes)} {what_events(events)} {often} in at least {periods}"
        case SequenceNode():
            return sequence_phrase(node, yes=yes)
        case Identified(types):
            return f"has {'an' if yes else 'no'} identifier of type {listed_or(types)}"
        case Consented(purpose):
            return f"has {no}consented to {purpose}"
        case Sampled(split, start, stop):
            return f"is {no}in the part from {_percent(start)} to {_percent(stop)} of the split {split}"
        case Top(measure, count, share):
            size = _percent(share) if share is not None else f"{count:,}"
            return f"is {no}among the top {size} by {figure(measure)}"
        case InAudience(key):
            return f"is {no}in the audience {key}"
        case InQuery(sql):
            return f"is {no}among those that the query {shortened(sql)} returns"
        case OfProfiles():
            return _of_profiles(node, yes=yes)
        case OfAccount(rule):
            return f"belongs to {'an' if yes else 'no'} account that {_phrase(rule, yes=True, inner=True)}"
        case _:
            assert_never(node)


def _figured(node: Compare, operand: Operand, op: OrderOp, number: float, *, yes: bool) -> str:
    """A comparison with a number, which a count or a figure says in its own words."""
    amount = number_text(number)
    match operand:
        case Count(events):
            return _counted(what_events(events), when(events), op, int(number), yes=yes)
        case ActiveDays(events, zone):
            days = than(op, counted(int(number), "day"))
            return f"{_did(yes)} {what_events(events)} on {days} ({zone}){when(events)}"
        case Distinct(events, path):
            values = than(op, counted(int(number), "different value"))
            return f"{_has(yes)} {values} of {name_of(path)} over {of_events(events)}"
        case Aggregate(events) | Quantile(events):
            return f"{_has(yes)} {with_article(operand)} {_THAN[op]} {amount} over {of_events(events)}"
        case Recency(events):
            ago = than(op, counted(int(number), "whole day"))
            return f"has {'a' if yes else 'no'} last {of_events(events, '')} that was {ago} ago"
        case _:
            return _valued(operand, about_field(node, _read(operand)), every=False, yes=yes)


def _counted(what: str, window: str, op: OrderOp, number: int, *, yes: bool) -> str:
    if (op, number) in ((">=", 1), (">", 0)):
        return f"{_did(yes)} {what}{window}"
    if (op, number) in (("==", 0), ("<=", 0), ("<", 1)):
        return f"{_did(not yes)} {what}{window}"
    return f"{_did(yes)} {what} {than(op, counted(number, 'time'))}{window}"


def _existing(operand: Operand, *, yes: bool) -> str:
    match operand:
        case Aggregate(events) | Quantile(events):
            return f"{_has(yes)} {with_article(operand)} over {of_events(events)}"
        case Recency(events):
            return f"{_did(yes)} {of_events(events)}"
        case _:
            noun, source = _noun(operand, every=False)
            return f"has {'a' if yes else 'no'} {noun}{f' over {of_events(source)}' if source else ''}"


def _valued(operand: Operand, said: str, *, every: bool, yes: bool) -> str:
    noun, events = _noun(operand, every=every)
    over = f", over {of_events(events)}," if events else ""
    return f"has{over} {'a' if yes else 'no'} {noun} {said}"


def _noun(operand: Operand, *, every: bool) -> tuple[str, Events | None]:
    """Name a value without its article, and the events that it is over."""
    match operand:
        case Trait(path):
            return f"trait {name_of(path)}", None
        case Property(path):
            return f"property {name_of(path)}", None
        case QueryValue(sql):
            return f"value of the query {shortened(sql)}", None
        case Pick(events, which, path):
            return f"{which} {name_of(path)}", events
        case MostFrequent(events, path, at_least):
            least = f" (at least {counted(at_least, 'time')})" if at_least > 1 else ""
            return f"most frequent {name_of(path)}{least}", events
        case UniqueList(events, path):
            return f"{'list' if every else 'value'} of {name_of(path)}", events
        case _:
            return f"figure, {figure(operand)},", None


def _read(operand: Operand) -> Literal["plain", "number", "folded"]:
    return operand.read if isinstance(operand, (Trait, Property)) else "plain"


def _relative(node: Relative) -> str:
    length = explain_duration(node.length)
    return _LEFT[node.relation].format(length.removeprefix("1 ") if "within" in node.relation else length)


def _is_range(low: Compare, high: Compare) -> bool:
    same = (low.operand, low.every, type(low.value)) == (high.operand, high.every, type(high.value))
    return same and (low.op, high.op) == (">=", "<=")


def _range(low: Compare, high: Compare, *, yes: bool) -> str:
    """Two comparisons that are the ends of one range."""
    start, end = value_text(low.value), value_text(high.value)
    match low.operand:
        case Count(events):
            return f"{_did(yes)} {what_events(events)} {start} to {end} times{when(events)}"
        case ActiveDays(events, zone):
            return f"{_did(yes)} {what_events(events)} on {start} to {end} days ({zone}){when(events)}"
        case Distinct(events, path):
            return (
                f"{_has(yes)} {start} to {end} different values of {name_of(path)} over {of_events(events)}"
            )
        case Aggregate(events) | Quantile(events):
            return f"{_has(yes)} {with_article(low.operand)} from {start} to {end} over {of_events(events)}"
        case Recency(events):
            last = f"{'a' if yes else 'no'} last {of_events(events, '')}"
            return f"has {last} that was {start} to {end} whole days ago"
        case operand:
            each = "of which every element" if low.every else "that"
            return _valued(operand, f"{each} is from {start} to {end}", every=low.every, yes=yes)


def _of_profiles(node: OfProfiles, *, yes: bool) -> str:
    said = _phrase(node.rule, yes=True, inner=True)
    match node.quantifier:
        case "any":
            return f"has {'a' if yes else 'no'} profile that {said}"
        case "none":
            return f"has {'no' if yes else 'a'} profile that {said}"
        case "all":
            return f"{_has(yes)} profiles each of which {said}"
        case "at_least":
            number = f"{'at least' if yes else 'fewer than'} {counted(node.number, 'profile')}"
            return f"has {number} each of which {said}"
        case _:
            assert_never(node.quantifier)


def _percent(share: float) -> str:
    return f"{number_text(round(share * 100, 10))}%"


def _did(yes: bool) -> str:
    return "did" if yes else "did not do"


def _has(yes: bool) -> str:
    return "has" if yes else "does not have"
