"""What rules have in common whatever they say: their conditions, canonical form, JSON and fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from datetime import datetime
from typing import cast

from audiences.rules import AllOf, AnyOf, Compare, Condition, Events, Named, Node, Not, OneOf

__all__ = ["canonical_json", "conditions", "fingerprint", "normalise", "parts", "selections"]


def conditions(node: Node) -> Iterator[Condition]:
    """Yield the conditions that a rule combines, in the order in which they were written.

    Args:
        node: a rule; rules inside a condition (a `where`, a rule about an account) are not entered.
    """
    match node:
        case Not(rule):
            yield from conditions(rule)
        case AllOf(rules) | AnyOf(rules):
            for rule in rules:
                yield from conditions(rule)
        case _:
            yield node


def parts(value: object) -> Iterator[object]:
    """Yield a rule, or a part of one, and everything that it is made of, at any depth.

    Args:
        value: a node, or a part of one.
    """
    yield value
    if isinstance(value, tuple):
        for each in value:
            yield from parts(each)
    elif is_dataclass(value):
        for each in fields(value):
            yield from parts(getattr(value, each.name))


def selections(value: object) -> Iterator[Events]:
    """Yield every selection of events that a rule or a part of one names, at any depth.

    Args:
        value: a node, or a part of one.
    """
    yield from (part for part in parts(value) if isinstance(part, Events))


def canonical_json(node: object) -> str:
    """Write a node as JSON that is the same for equal nodes.

    Args:
        node: any node of `audiences.rules`.

    Returns:
        JSON with sorted keys and no spaces; `is` names the kind of each node.
    """
    return json.dumps(_plain(node), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def normalise(node: Node) -> Node:
    """Bring rules that mean the same by the laws of logic's order and repetition to one form.

    Args:
        node: a rule.

    Returns:
        The rule, and those inside its conditions, with nested and repeated `&`, `|` flattened and sorted, and
        double negation removed.
    """
    return cast("Node", _normal(node))


def fingerprint(node: Node) -> str:
    """Identify what a rule means: equal for rules that differ in order and wording only.

    Args:
        node: a rule.

    Returns:
        SHA-256 of the normalised rule's canonical JSON, 64 hexadecimal digits.
    """
    return hashlib.sha256(canonical_json(normalise(node)).encode()).hexdigest()


def _normal(value: object) -> object:
    match value:
        case Not(rule):
            inner = normalise(rule)
            return inner.rule if isinstance(inner, Not) else Not(inner)
        case AllOf(rules) | AnyOf(rules):
            return _flat(type(value), rules)
        case OneOf(_, values, every):
            distinct = sorted(set(values), key=canonical_json)
            plain = cast("OneOf", _rebuilt(value))
            if len(distinct) == 1:
                return Compare(plain.operand, "==", distinct[0], every)
            return replace(plain, values=tuple(distinct))
        case Named(names):
            return Named(tuple(sorted(set(names))))
        case tuple():
            return tuple(_normal(each) for each in value)
        case _:
            return _rebuilt(value)


def _rebuilt(value: object) -> object:
    if not is_dataclass(value) or isinstance(value, type):
        return value
    before = {each.name: getattr(value, each.name) for each in fields(value)}
    after = {name: _normal(part) for name, part in before.items()}
    return replace(value, **after) if any(after[name] is not before[name] for name in before) else value


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
