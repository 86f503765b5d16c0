"""Rules as they are stored beside what was computed of them: JSON in which no personal value stands."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from datetime import datetime
from typing import Literal, TypeVar, cast, get_args

from audiences import rules, terms
from audiences.errors import StoredRuleError
from audiences.meaning import canonical_json
from audiences.rules import Compare, Held, Measure, Node, OfAccount, OfProfiles, OneOf
from audiences.scope import Subject
from audiences.sealed import Privacy, sealed_literal

__all__ = ["measure_from_json", "rule_from_json", "rule_json", "with_tokens"]

_Rule = TypeVar("_Rule", bound="Node | Measure")
_KINDS = {
    kind.__name__: kind
    for module in (rules, terms)
    for kind in vars(module).values()
    if isinstance(kind, type) and is_dataclass(kind)
}
_INSTANTS = frozenset({("Instant", "value"), ("Dates", "start"), ("Dates", "end")})


def rule_json(node: Node | Measure, privacy: Privacy, *, of: Subject = "profile", place: str = "") -> str:
    """Write a rule, or a computed trait's measure, as JSON; literals of sealed fields as their tokens.

    Args:
        node: the rule or measure; an audience that it names stays a key.
        privacy: which fields are sealed.
        of: what the rule is about.
        place: `file:line` of the definition, for an error.

    Raises:
        RuleError: a comparison that does not work on a sealed field.
    """
    return canonical_json(with_tokens(node, privacy, of=of, place=place))


def with_tokens(node: _Rule, privacy: Privacy, *, of: Subject = "profile", place: str = "") -> _Rule:
    """Put tokens where a rule, or a measure, compares sealed fields with literals.

    Args:
        node: the rule or measure.
        privacy: which fields are sealed.
        of: what the rule is about.
        place: `file:line` of the definition, for an error.

    Raises:
        RuleError: a comparison that does not work on a sealed field.
    """
    return cast("_Rule", _tokenised(node, privacy, of, place))


def rule_from_json(text: str) -> Node:
    """Read a rule that `rule_json` wrote.

    Args:
        text: the JSON.

    Raises:
        StoredRuleError: no rule, or one that another version of the language wrote.
    """
    found = _read(text)
    if not isinstance(found, get_args(Node)):
        raise StoredRuleError(f"A stored rule is a {type(found).__name__}, which is no rule.")
    return cast("Node", found)


def measure_from_json(text: str) -> Measure:
    """Read a computed trait's measure that `rule_json` wrote.

    Args:
        text: the JSON.

    Raises:
        StoredRuleError: no measure, or one that another version of the language wrote.
    """
    found = _read(text)
    if not isinstance(found, get_args(Measure)):
        raise StoredRuleError(f"A stored measure is a {type(found).__name__}, which is no measure.")
    return cast("Measure", found)


def _tokenised(value: object, privacy: Privacy, of: Subject, place: str) -> object:
    def token(operand: rules.Operand, op: rules.CompareOp, literal: terms.Value) -> terms.Value:
        owner: Literal["profile_id", "account"] = "profile_id" if of == "profile" else "account"
        return sealed_literal(privacy, operand, op, literal, of=owner, place=place)

    match value:
        case Compare(operand, op, literal):
            value = replace(value, value=token(operand, op, literal))
        case OneOf(operand, values):
            value = replace(value, values=tuple(token(operand, "==", each) for each in values))
        case Held(trait, literal):
            value = replace(value, value=token(trait, "==", literal))
        case OfProfiles():
            of = "profile"
        case OfAccount():
            of = "account"
        case tuple():
            return tuple(_tokenised(each, privacy, of, place) for each in value)
    if not is_dataclass(value) or isinstance(value, type):
        return value
    parts = {each.name: _tokenised(getattr(value, each.name), privacy, of, place) for each in fields(value)}
    return replace(value, **parts)


def _read(text: str) -> object:
    try:
        return _node(json.loads(text))
    except json.JSONDecodeError:
        raise StoredRuleError(f"A stored rule is no JSON: {text[:40]!r}.") from None


def _node(value: object) -> object:
    if isinstance(value, list):
        return tuple(_node(each) for each in value)
    if not isinstance(value, dict):
        return value
    name = value.get("is")
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise StoredRuleError(
            f"A stored rule holds {name!r}, which this version of the language does not know; it was stored "
            "by another one. `audiences apply` computes and stores it anew."
        )
    return _built(kind, {part: given for part, given in value.items() if part != "is"})


def _built(kind: type, given: Mapping[str, object]) -> object:
    name = kind.__name__
    expected = {each.name for each in fields(kind)}
    if set(given) != expected:
        odd = ", ".join(sorted(expected ^ set(given)))
        raise StoredRuleError(
            f"A stored {name} has other parts than this version of the language gives it ({odd}); it was "
            "stored by another one. `audiences apply` computes and stores it anew."
        )
    parts = {
        part: _instant(inner) if (name, part) in _INSTANTS else _node(inner) for part, inner in given.items()
    }
    return kind(**parts)


def _instant(value: object) -> datetime | None:
    if value is None:
        return None
    try:
        return datetime.fromisoformat(cast("str", value))
    except (TypeError, ValueError):
        raise StoredRuleError(f"A stored rule has {value!r} where an instant belongs.") from None
