"""Why somebody is in an audience or not, and when that changes by itself."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from audiences.rules import (
    AllOf,
    Compare,
    Count,
    Events,
    Exists,
    InAudience,
    Named,
    Not,
    Property,
    Relative,
    Trait,
)
from audiences.terms import Ago, Duration, Last, Number, Text
from audiences.timers import needs_everybody
from audiences.why import Reason, explain_membership
from identity.store.warehouse import Warehouse
from tests.reference import Change, Event, Group, Person, World, members
from tests.stored import ask, audience, fill, make_tables
from tests.strategies import AS_OF, rules, worlds

ANN = "00000000-0000-0000-0000-000000000001"
DAY = Duration(86_400)


@pytest.fixture(scope="module")
def warehouse(engine: Warehouse) -> Warehouse:
    """A warehouse with the relations that rules read."""
    make_tables(engine)
    return engine


def order(number: int, days_ago: float, **properties: Any) -> Event:
    """An order of some days ago."""
    at = AS_OF - timedelta(days=days_ago)
    return Event("Order", f"m{number}", at, at, properties)


def why(warehouse: Warehouse, world: World, rule: Any, below: Any = None) -> Any:
    """Why Ann is in an audience of that rule, or not."""
    groups = [Group("asked", rule), *([Group("below", below)] if below is not None else [])]
    fill(warehouse, world)
    audiences = [audience(group) for group in groups]
    return explain_membership(warehouse, audiences[0], ask(warehouse, world, audiences, AS_OF), ANN)


def test_every_condition_has_its_answer_its_figure_and_its_events(warehouse: Warehouse) -> None:
    """The latest events first, and how many there are."""
    orders = Events(Named(("Order",)), Last(Duration(30 * 86_400)), Exists(Property(("a",))))
    rule = AllOf((Compare(Count(orders), ">=", Number(3.0)), Not(Exists(Trait(("plan",))))))
    world = World({ANN: Person([order(n, n, a=1) for n in range(1, 8)] + [order(9, 3)])})
    found = why(warehouse, world, rule)
    assert found.member
    count, no_plan = found.reason.parts
    assert (count.holds, count.figure, count.count) == (True, "7", 7)
    assert [each.message_id for each in count.events] == ["m1", "m2", "m3", "m4", "m5"]
    assert (no_plan.holds, no_plan.figure) == (True, "missing")


def test_the_rule_of_an_audience_inside_stands_below_it(warehouse: Warehouse) -> None:
    """So that the reason is found, and not only its name."""
    vip = Compare(Trait(("plan",)), "==", Text("vip"))
    said = Change("plan", "free", "m1", AS_OF, AS_OF)
    found = why(warehouse, World({ANN: Person((), [said])}), InAudience("below"), vip)
    assert not found.member
    (inner,) = found.reason.parts
    assert (inner.holds, inner.figure) == (False, '"free"')


def test_when_it_changes_by_itself_is_said_to_the_microsecond(warehouse: Warehouse) -> None:
    """An event that comes into a window, or leaves one, and a date in a trait."""
    recent = Compare(Count(Events(Named(("Order",)), Last(DAY))), ">=", Number(1.0))
    world = World({ANN: Person([order(1, 0.25), order(2, 0.5)])})
    found = why(warehouse, world, recent)
    assert (found.member, found.changes_at) == (True, AS_OF + timedelta(days=0.75))
    older = Compare(Count(Events(Named(("Order",)), Ago(None, DAY))), ">=", Number(1.0))
    found = why(warehouse, world, older)
    assert (found.member, found.changes_at) == (False, AS_OF + timedelta(days=0.5))
    due = (AS_OF + timedelta(days=9)).isoformat()
    renewal = World({ANN: Person((), [Change("due", due, "m1", AS_OF, AS_OF)])})
    found = why(warehouse, renewal, Relative(Trait(("due",)), "within_next", DAY))
    assert (found.member, found.changes_at) == (False, AS_OF + timedelta(days=8))
    never = why(warehouse, renewal, Compare(Trait(("due",)), "==", Text(due)))
    assert never.changes_at is None
    assert never.known_until > AS_OF + timedelta(days=365)


def test_a_change_that_has_not_come_in_yet_changes_it_when_it_does(warehouse: Warehouse) -> None:
    """It is stored already, and visible when it has both occurred and come in."""
    came_in = AS_OF + timedelta(hours=16)
    before = Change("plan", "free", "m1", AS_OF - timedelta(days=9), AS_OF - timedelta(days=9))
    late = Change("plan", "vip", "m2", AS_OF - timedelta(hours=8), came_in)
    world = World({ANN: Person((), [before, late])})
    found = why(warehouse, world, Compare(Trait(("plan",)), "==", Text("vip")))
    assert (found.member, found.changes_at) == (False, came_in)


def holds(reason: Reason) -> bool:
    """What the parts of a reason say of the whole."""
    match reason.words:
        case "all of":
            return all(part.holds for part in reason.parts)
        case "any of":
            return any(part.holds for part in reason.parts)
        case "not":
            return not reason.parts[0].holds
        case _:
            return reason.holds


@settings(max_examples=8, suppress_health_check=list(HealthCheck))
@given(worlds(), rules("profile"), st.sampled_from([1, 3_600, 86_400, 10**6, 10**7]))
def test_the_answer_and_its_next_change_are_those_of_plain_python(
    warehouse: Warehouse, world: World, rule: Any, later: int
) -> None:
    """The same until then, another one then; and parts add up to the whole."""
    assume(not needs_everybody(rule))
    group = Group("asked", rule)
    assume(ANN in members(world, [Group("all", AllOf(()))], AS_OF)["all"])
    found = why(warehouse, world, rule)
    assert found.member == (ANN in members(world, [group], AS_OF)["asked"])
    assert holds(found.reason) == found.reason.holds
    if found.changes_at is None:
        then = min(AS_OF + timedelta(seconds=later), found.known_until - timedelta(microseconds=1))
        assert (ANN in members(world, [group], then)["asked"]) == found.member
    else:
        assert (ANN in members(world, [group], found.changes_at)["asked"]) != found.member
        before = found.changes_at - timedelta(microseconds=1)
        assert (ANN in members(world, [group], before)["asked"]) == found.member
