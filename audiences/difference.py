"""What a change of a rule means: who may come and go by it, as far as the rules prove it, and in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Literal, cast

from audiences.edits import edits_of, edits_of_measure
from audiences.proving import implies
from audiences.rules import InAudience, Measure, Node
from audiences.simplifying import simplified

__all__ = ["Change", "Verdict", "compare_measures", "compare_rules"]

Verdict = Literal["equivalent", "widened", "narrowed", "changed"]
"""`widened`: whoever satisfied the rule still does; `narrowed`: nobody new does; both are proven."""


@dataclass(frozen=True, slots=True)
class Change:
    """How a rule changed.

    Attributes:
        verdict: `changed` when nothing is proven.
        edits: what was edited, in words.
    """

    verdict: Verdict
    edits: tuple[str, ...]


def compare_rules(before: Node, now: Node, audiences: Mapping[str, Verdict] | None = None) -> Change:
    """Say how a rule changed, whatever the data.

    Args:
        before: the earlier rule.
        now: the later one, about the same kind.
        audiences: what became of the audiences that the rules name, by key; others are as they were.
    """
    altered = {key: verdict for key, verdict in (audiences or {}).items() if verdict != "equivalent"}
    old = simplified(cast("Node", _renamed(before, {key: f"{key} before" for key in altered})))
    new = simplified(cast("Node", _renamed(now, {key: f"{key} now" for key in altered})))
    grown = {(f"{key} before", f"{key} now") for key, verdict in altered.items() if verdict == "widened"}
    shrunk = {(f"{key} now", f"{key} before") for key, verdict in altered.items() if verdict == "narrowed"}
    given = grown | shrunk
    verdict = _verdict(stay=implies(old, new, given), come_from_within=implies(new, old, given))
    named = _named(now)
    below = [
        f"the audience {key}, on which it is built, {_BECAME[altered[key]]}"
        for key in sorted(altered)
        if key in named
    ]
    edits = [*edits_of(before, now), *below]
    if not edits and verdict != "equivalent":
        edits = ["something changed that the sentence leaves out, such as the end of a long query"]
    return Change(verdict, tuple(edits))


def compare_measures(before: Measure, now: Measure) -> Change:
    """Say how a computed trait's measure changed: `equivalent` or `changed`.

    Args:
        before: the earlier measure.
        now: the later one.
    """
    equal = simplified(before) == simplified(now)
    return Change("equivalent" if equal else "changed", edits_of_measure(before, now))


_BECAME: dict[Verdict, str] = {"widened": "was widened", "narrowed": "was narrowed", "changed": "changed"}


def _verdict(*, stay: bool, come_from_within: bool) -> Verdict:
    if stay:
        return "equivalent" if come_from_within else "widened"
    return "narrowed" if come_from_within else "changed"


def _renamed(value: object, names: Mapping[str, str]) -> object:
    """The rule with other keys of audiences; no key has a space, so that none is taken."""
    match value:
        case InAudience(key):
            return InAudience(names.get(key, key))
        case tuple():
            return tuple(_renamed(each, names) for each in value)
    if not names or not is_dataclass(value) or isinstance(value, type):
        return value
    return replace(value, **{each.name: _renamed(getattr(value, each.name), names) for each in fields(value)})


def _named(value: object) -> set[str]:
    if isinstance(value, InAudience):
        return {value.key}
    if isinstance(value, tuple):
        return set().union(*map(_named, value))
    if not is_dataclass(value) or isinstance(value, type):
        return set()
    return set().union(*(_named(getattr(value, each.name)) for each in fields(value)))
