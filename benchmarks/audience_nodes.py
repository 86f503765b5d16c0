"""The described audiences as rules of ours."""

from __future__ import annotations

from audiences.rules import (
    Aggregate,
    AllOf,
    AnyOf,
    Compare,
    Count,
    Distinct,
    Events,
    FirstTime,
    Named,
    Node,
    OneOf,
    Pick,
    Property,
    Recency,
    Sequence,
    Step,
)
from audiences.terms import Ago, Duration, Last, Number, Text, Value, Window
from benchmarks.audience_cases import (
    Counted,
    Either,
    Every,
    Figured,
    Filter,
    First,
    Followed,
    Picked,
    Recent,
    Rule,
    Selected,
    Varied,
)

__all__ = ["rule_of"]


def rule_of(rule: Rule) -> Node:
    """Say a described rule in the rule language.

    Args:
        rule: any described rule.

    Returns:
        The node that means the same.
    """
    match rule:
        case Counted(of, op, number):
            return Compare(Count(_events(of)), op, Number(number))
        case Figured(of, function, field, op, number):
            return Compare(Aggregate(_events(of), function, (field,)), op, Number(number))
        case Varied(of, field, op, number):
            return Compare(Distinct(_events(of), (field,)), op, Number(number))
        case Picked(of, which, field, value):
            return Compare(Pick(_events(of), which, (field,)), "==", Text(value))
        case Recent(of, op, days):
            return Compare(Recency(_events(of)), op, Number(days))
        case First(of):
            return FirstTime(_events(of))
        case Followed(first, then, hours):
            return Sequence((Step(_events(first)), Step(_events(then), within=Duration(hours * 3_600))))
        case Every(rules):
            return AllOf(tuple(map(rule_of, rules)))
        case Either(rules):
            return AnyOf(tuple(map(rule_of, rules)))


def _events(of: Selected) -> Events:
    filters = tuple(map(_condition, of.where))
    where = None if not filters else filters[0] if len(filters) == 1 else AllOf(filters)
    return Events(Named((of.name,)), _window(of), where)


def _window(of: Selected) -> Window | None:
    if of.oldest is None:
        return None
    oldest = Duration(of.oldest * 86_400)
    return Ago(oldest, Duration(of.newest * 86_400)) if of.newest else Last(oldest)


def _condition(each: Filter) -> Node:
    operand = Property((each.field,))
    if isinstance(each.value, tuple):
        return OneOf(operand, tuple(map(Text, each.value)))
    value: Value = Text(each.value) if isinstance(each.value, str) else Number(each.value)
    assert each.op != "in"
    return Compare(operand, each.op, value)
