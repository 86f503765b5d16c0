"""The edits that make one rule of another, each in a few words."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from audiences.explain import explain_condition
from audiences.meaning import normalise
from audiences.phrases import (
    about_field,
    counted,
    figure,
    name_of,
    quoted,
    than,
    what_events,
    where_phrase,
    window_phrase,
)
from audiences.rules import (
    ActiveDays,
    AllOf,
    AnyOf,
    Compare,
    Count,
    Events,
    Exists,
    Measure,
    Node,
    Not,
    OfAccount,
    OfProfiles,
    OneOf,
    OrderOp,
    QueryValue,
    Trait,
)
from audiences.terms import Number

__all__ = ["edits_of", "edits_of_measure"]

_NAMES: dict[type, tuple[str, str]] = {
    AllOf: ("added the condition", "removed the condition"),
    AnyOf: ("added the alternative", "removed the alternative"),
}


@dataclass(frozen=True, slots=True)
class _Said:
    """A condition in parts.

    Attributes:
        about: what it is about, such as the names of events; an empty text when the parts say it all.
        slot: conditions of one slot may be the same one before and after an edit.
        parts: what can be edited in it, in words, by name.
    """

    about: str
    slot: Hashable
    parts: dict[str, str] = field(hash=False)


def edits_of(before: Node, now: Node) -> tuple[str, ...]:
    """Say which edits make one rule of another.

    Args:
        before: the earlier rule.
        now: the later one.

    Returns:
        What changed in a condition, what was added, what was removed; nothing for rules in another order.
    """
    return tuple(_edits(before, now))


def edits_of_measure(before: Measure, now: Measure) -> tuple[str, ...]:
    """Say which edits make one computed trait's measure of another.

    Args:
        before: the earlier measure.
        now: the later one.
    """
    return tuple(_changed_parts(_said_of_measure(before), _said_of_measure(now)))


def _edits(before: Node, now: Node) -> Iterator[str]:
    either = isinstance(before, AnyOf) or isinstance(now, AnyOf)
    kind = AnyOf if either and not isinstance(before, AllOf) and not isinstance(now, AllOf) else AllOf
    old, new = _parts(before, kind), _parts(now, kind)
    meant_then, meant_now = set(map(normalise, old)), set(map(normalise, new))
    left = [each for each in old if normalise(each) not in meant_now]
    fresh = [each for each in new if normalise(each) not in meant_then]
    gone = []
    for each in left:
        twin = _twin(each, fresh, alone=len(left) == len(fresh) == 1)
        if twin is None:
            gone.append(each)
            continue
        fresh.remove(twin)
        yield from _edit(each, twin)
    added, removed = _NAMES[kind]
    yield from (f"{removed} {quoted(explain_condition(each))}" for each in gone)
    yield from (f"{added} {quoted(explain_condition(each))}" for each in fresh)


def _parts(node: Node, kind: type[AllOf] | type[AnyOf]) -> list[Node]:
    """The rules that a rule joins, each once, in the order in which they were written."""
    if not isinstance(node, kind):
        return [node]
    return list(dict.fromkeys(inner for each in node.rules for inner in _parts(each, kind)))


def _twin(node: Node, among: Sequence[Node], *, alone: bool) -> Node | None:
    """The condition that this one became: of its kind, with as much in common as any."""
    said = _said(node)
    for each in among:
        if _holds(each, node) or _holds(node, each):
            return each
    alike = [(each, other) for each in among if (other := _said(each)).slot == said.slot]
    if not alike:
        return among[0] if alone and among else None
    found, _ = max(alike, key=lambda pair: _common(said, pair[1]))
    return found


def _holds(group: Node, node: Node) -> bool:
    """Whether a rule is one of the alternatives of another."""
    return isinstance(group, AnyOf) and normalise(node) in map(normalise, _parts(group, AnyOf))


def _common(one: _Said, other: _Said) -> int:
    return (one.about == other.about) + sum(one.parts[name] == other.parts.get(name) for name in one.parts)


def _edit(before: Node, now: Node) -> Iterator[str]:
    match before, now:
        case Not(Compare() | OneOf() | Exists() as rule), Not(Compare() | OneOf() | Exists() as other) if (
            _said(rule).about == _said(other).about
        ):
            yield from (f"not {each}" for each in _edit(rule, other))
        case (AllOf(), AllOf()) | (AnyOf(), _) | (_, AnyOf()):
            yield from _edits(before, now)
        case OfAccount(rule), OfAccount(other):
            yield from (f"its account: {each}" for each in _edits(rule, other))
        case OfProfiles(), OfProfiles() if replace(before, rule=now.rule) == now:
            yield from (f"its profiles: {each}" for each in _edits(before.rule, now.rule))
        case _:
            yield from _changed_parts(_said(before), _said(now))


def _changed_parts(before: _Said, now: _Said) -> Iterator[str]:
    if before.slot != now.slot:
        old, new = _whole(before), _whole(now)
        if old != new:
            yield f"{quoted(old)} became {quoted(new)}"
        return
    if before.about != now.about:
        yield f"{now.about} instead of {before.about}"
    lead = f"{now.about}: " if now.about else ""
    for name, text in before.parts.items():
        if text != now.parts[name]:
            yield f"{lead}{quoted(text)} became {quoted(now.parts[name])}"


def _whole(said: _Said) -> str:
    parts = [text for text in said.parts.values() if text not in (_ANY_TIME, _ANY_PROPERTIES)]
    return " ".join([said.about, *parts]).strip()


# ------------------------------------------------------------------------------------ conditions in parts

_ANY_TIME = "at any time"
_ANY_PROPERTIES = "with any properties"


def _said(node: Node) -> _Said:
    match node:
        case Compare(Trait(path, read)) | OneOf(Trait(path, read)):
            value = about_field(node, read).removeprefix("that ")
            return _Said(f"trait {name_of(path)}", ("trait", path), {"value": value})
        case Exists(Trait(path)):
            return _Said(f"trait {name_of(path)}", ("trait", path), {"value": "has a value"})
        case Compare(Count(events), op, Number(number)):
            times = than(cast("OrderOp", op), counted(int(number), "time"))
            return _Said(_names(events), "Count", {"value": times, **_of_events(events)})
        case Compare(ActiveDays() as measure, op, Number(number)):
            said = _said_of_measure(measure)
            days = than(cast("OrderOp", op), counted(int(number), "day"))
            return replace(said, parts={"value": days, **said.parts})
        case Compare(operand) | OneOf(operand):
            said = _said_of_measure(cast("Measure", operand))
            return replace(said, parts={"value": about_field(node).removeprefix("that "), **said.parts})
        case Exists(operand):
            said = _said_of_measure(cast("Measure", operand))
            return replace(said, parts={"value": "has a value", **said.parts})
        case Not(rule):
            inner = _said(rule)
            return _Said("", ("Not", inner.slot), {"value": explain_condition(node)})
        case _:
            return _Said("", type(node).__name__, {"value": explain_condition(node)})


def _said_of_measure(measure: Measure) -> _Said:
    if isinstance(measure, QueryValue):
        return _Said(figure(measure), "QueryValue", {})
    events = measure.events
    bare = replace(measure, events=Events(events.selection))
    return _Said(figure(bare), type(measure).__name__, _of_events(events))


def _names(events: Events) -> str:
    return what_events(Events(events.selection))


def _of_events(events: Events) -> dict[str, str]:
    received = "received " if events.clock == "received" and events.window else ""
    return {
        "where": _ANY_PROPERTIES
        if events.where is None
        else f"with {where_phrase(events.where, yes=True, inner=False)}",
        "window": f"{received}{window_phrase(events.window)}" if events.window else _ANY_TIME,
    }
