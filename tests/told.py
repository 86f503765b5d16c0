"""People of whom little is told, and whether a rule is true of one, in plain Python."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from audiences.rules import Events, Named, Node
from audiences.terms import Duration
from tests.reference import Change, Event, Group, Person, World, members
from tests.strategies import AS_OF

__all__ = ["AS_OF", "DAY", "WEEK", "A", "B", "ago", "having", "holds", "person"]

DAY = Duration(86_400)
WEEK = Duration(7 * 86_400)
A, B = Events(Named(("A",))), Events(Named(("B",)))


def ago(**since: float) -> datetime:
    return AS_OF - timedelta(**since)


def person(*told: tuple[str, datetime] | tuple[str, datetime, dict[str, Any]]) -> Person:
    """Somebody with these events, of which a later one in the list has the greater id."""
    rows = [(*each, {})[:3] for each in told]
    return Person([Event(name, f"m{n}", at, at, said) for n, (name, at, said) in enumerate(rows)])


def having(*values: Any, **traits: Any) -> Person:
    """Somebody with these values of property `p` in events A, a minute apart, and with traits."""
    events = [
        Event("A", f"m{n}", ago(minutes=99 - n), ago(minutes=99 - n), {"p": each})
        for n, each in enumerate(values)
    ]
    return Person(events, [Change(name, each, "t", AS_OF, AS_OF) for name, each in traits.items()])


def holds(rule: Node, who: Person, as_of: datetime = AS_OF) -> bool:
    return bool(members(World({"somebody": who}), [Group("rule", rule)], as_of)["rule"])
