"""Computed traits: figures over events that are kept on the profile and used in rules by name."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, replace
from typing import cast

from audiences.audience import Audience
from audiences.errors import RuleError, definition_place
from audiences.figures import MeasureHandle
from audiences.handles import checked_key
from audiences.literals import is_counted, is_number, misfit
from audiences.rules import (
    AllOf,
    AnyOf,
    Compare,
    Exists,
    Held,
    Measure,
    MostFrequent,
    Node,
    Not,
    OfAccount,
    OfProfiles,
    OneOf,
    Operand,
    Recurs,
    Relative,
    TextOp,
    Trait,
)
from audiences.scope import Subject

__all__ = ["ComputedTrait", "with_computed", "with_measures"]

_TEXT_OPS: tuple[TextOp, ...] = ("contains", "starts_with", "ends_with", "matches")


@dataclass(frozen=True, slots=True, eq=False, init=False, repr=False)
class ComputedTrait(MeasureHandle):
    """A figure that is kept on every profile; use it inside rules like the figure itself.

    Attributes:
        key: permanent; `trait(key)` in a rule of the project means it too.
        description: for people.
        place: `file:line` of the definition.

    >>> spend = ComputedTrait("spend_90d", did("Order Completed").within(days(90)).sum("revenue"))
    >>> Audience("big_spenders", spend >= 500)
    """

    key: str
    description: str
    place: str

    def __init__(self, key: str, measure: MeasureHandle, *, description: str = "") -> None:
        """Define a computed trait.

        Args:
            key: lower-case letters, digits and underscores, starting with a letter; chosen once for ever.
            measure: a figure, such as `did("Order Completed").within(days(90)).count()`.
            description: one or two sentences for people.

        Raises:
            RuleError: anything that can't be meant.
        """
        checked_key(key, "a computed trait")
        if not isinstance(measure, MeasureHandle) or measure.each:
            raise RuleError(
                f"ComputedTrait({key!r}, …) takes a figure, for example did('Order Completed').count() or "
                "did('Order Completed').sum('revenue')."
            )
        if not isinstance(description, str):
            raise RuleError(f"ComputedTrait({key!r}, description=…) is a text.")
        object.__setattr__(self, "operand", measure.operand)
        object.__setattr__(self, "each", False)
        object.__setattr__(self, "key", key)
        object.__setattr__(self, "description", description)
        object.__setattr__(self, "place", definition_place())

    def __repr__(self) -> str:
        """Write its name."""
        return f"ComputedTrait({self.key!r})"

    def every(self) -> MeasureHandle:  # type: ignore[override]  # no longer under its name
        """Compare every element of a list, instead of any.

        Raises:
            RuleError: a figure that is never a list.
        """
        return MeasureHandle(self.operand).every()


def with_measures(audience: Audience, measures: Mapping[str, Measure]) -> Audience:
    """An audience whose rule has the figures of computed traits where it names them as traits.

    Args:
        audience: any.
        measures: the figure of each computed trait by its key.

    Raises:
        RuleError: a question that a figure has no answer to.
    """
    rule = with_computed(audience.rule, measures, of=audience.of, place=audience.place)
    if rule == audience.rule:
        return audience
    found = copy(audience)
    object.__setattr__(found, "rule", rule)
    return found


def with_computed(
    node: Node, measures: Mapping[str, Measure], *, of: Subject = "profile", place: str = ""
) -> Node:
    """Put the figures of computed traits where a rule names them as traits.

    Args:
        node: the rule.
        measures: the figure of each computed trait by its key.
        of: what the rule is about; traits of accounts stay as they are.
        place: `file:line` of the rule, for an error.

    Returns:
        The rule, in which `trait("key")` is the figure.

    Raises:
        RuleError: a question that the figure has no answer to, such as whether a number contains a text.
    """
    match node:
        case Not(rule):
            return Not(with_computed(rule, measures, of=of, place=place))
        case AllOf(rules):
            return AllOf(tuple(with_computed(each, measures, of=of, place=place) for each in rules))
        case AnyOf(rules):
            return AnyOf(tuple(with_computed(each, measures, of=of, place=place) for each in rules))
        case OfProfiles(_, rule):
            return replace(node, rule=with_computed(rule, measures, of="profile", place=place))
        case OfAccount(rule):
            return OfAccount(with_computed(rule, measures, of="account", place=place))
    if of == "account":
        return node
    match node:
        case Compare(operand) | OneOf(operand) | Exists(operand) if _named(operand, measures):
            return _embedded(node, measures, place)
        case Relative(operand) | Recurs(operand) | Held(operand) if _named(operand, measures):
            raise RuleError(
                f"trait({operand.path[0]!r}) is a computed trait, and only a plain one is asked for its "
                "date or how long it has lasted; give the events a window instead.",
                place,
            )
    return node


def _named(operand: Operand, measures: Mapping[str, Measure]) -> bool:
    return isinstance(operand, Trait) and len(operand.path) == 1 and operand.path[0] in measures


def _embedded(node: Compare | OneOf | Exists, measures: Mapping[str, Measure], place: str) -> Node:
    trait = cast("Trait", node.operand)
    (key,) = trait.path
    measure = measures[key]
    if isinstance(node, Exists):
        return AllOf(()) if is_counted(measure) else Exists(measure)
    reason = _no_answer(node, trait, measure)
    if reason:
        raise RuleError(f"trait({key!r}) is a computed trait, which {reason}", place)
    return replace(node, operand=measure)


def _no_answer(node: Compare | OneOf, trait: Trait, measure: Measure) -> str:
    """Why a figure has no answer to a question; an empty text when it has."""
    op = node.op if isinstance(node, Compare) else "=="
    values = (node.value,) if isinstance(node, Compare) else node.values
    if trait.read == "folded" or (trait.read == "number" and not is_number(measure)):
        return "is read as it is; leave folded() and as_number() out."
    if node.every and (is_number(measure) or isinstance(measure, MostFrequent)):
        return "is one value; leave every() out."
    if is_number(measure) and op in _TEXT_OPS:
        return f"is a number, and {op} looks at texts."
    return next((each for each in (misfit(measure, op, value) for value in values) if each), "")
