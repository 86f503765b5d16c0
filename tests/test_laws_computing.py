"""Laws of runs: what is computed of the few that changed is what is computed of everybody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlglot import exp

from audiences.computing import compute
from audiences.membership import current_members
from audiences.rules import Exists, InAudience, Not, Trait
from audiences.tables import create_audience_tables
from identity.store.warehouse import Warehouse
from identity.tables import TABLES, make_tables, temporary, uuid
from identity.touched import note_touched
from tests.reference import Event, Group, Person, World, members
from tests.stored import ask, audience, fill
from tests.stored import make_tables as make_relations
from tests.strategies import AS_OF, rules, worlds

NEEDED = ("memberships", "touched_profiles", "settings")
LATER = (timedelta(0), timedelta(seconds=1), timedelta(hours=1), timedelta(days=1), timedelta(days=40))
relaxed = settings(
    max_examples=15,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.fixture(scope="module")
def warehouse(engine: Warehouse) -> Warehouse:
    """A warehouse with everything that a run reads and writes."""
    make_relations(engine)
    make_tables(engine, [table for table in TABLES if table.name in NEEDED])
    create_audience_tables(engine)
    return engine


def empty(warehouse: Warehouse) -> None:
    """Forget every run."""
    for table in (*NEEDED, "account_memberships", "computations", "computed_traits"):
        warehouse.execute(exp.delete(table))


def until(world: World, instant: datetime, kept: Mapping[str, bool]) -> World:
    """What was stored by an instant: all that had been received, and some of the rest before its time."""

    def some(rows: Any) -> list[Any]:
        return [row for row in rows if row.received_at <= instant or kept[row.message_id]]

    people = {
        name: replace(person, events=some(person.events), traits=some(person.traits))
        for name, person in world.people.items()
    }
    accounts = {
        name: replace(account, traits=some(account.traits)) for name, account in world.accounts.items()
    }
    return replace(world, people=people, accounts=accounts)


def touch(warehouse: Warehouse, before: World, now: World) -> None:
    """Note who got something between two moments, as a resolve would."""
    changed = [
        name
        for name, person in now.people.items()
        if (len(person.events), len(person.traits))
        != (len(before.people[name].events), len(before.people[name].traits))
    ]
    if changed:
        rows = exp.values([exp.Tuple(expressions=[uuid(name)]) for name in changed], "t", ["profile_id"])
        warehouse.execute(temporary("newly_touched", exp.select("profile_id").from_(rows)))
        note_touched(warehouse, "newly_touched")


def test_somebody_becomes_a_member_of_what_asks_for_nothing_when_they_become_known(
    warehouse: Warehouse,
) -> None:
    """Their only message is stored already, and no rule looks at it."""
    ann = "00000000-0000-0000-0000-000000000001"
    later = AS_OF + timedelta(hours=1)
    groups = [Group("without", Not(Exists(Trait(("plan",)))))]
    world = World({ann: Person([Event("Visit", "m1", AS_OF, later, {})])})
    empty(warehouse)
    fill(warehouse, world)
    touch(warehouse, World({ann: Person()}), world)
    audiences = [audience(group) for group in groups]
    for at, wanted in ((AS_OF, []), (later, [ann])):
        compute(warehouse, audiences, ask(warehouse, world, audiences, at), run=str(at))
        assert current_members(warehouse, "without", "profile") == wanted


@relaxed
@given(
    worlds(),
    st.lists(rules("profile"), min_size=1, max_size=4),
    rules("account"),
    st.lists(st.sampled_from(LATER), min_size=1, max_size=3),
    st.randoms(use_true_random=False),
)
def test_looking_at_the_few_that_changed_is_looking_at_everybody(
    warehouse: Warehouse, world: World, drawn: list[Any], of_account: Any, steps: list[timedelta], chance: Any
) -> None:
    """After any runs at any instants, with late, early and future messages, members are the oracle's."""
    groups = [Group(f"a{number}", rule) for number, rule in enumerate(drawn)]
    groups += [Group("others", Not(InAudience("a0"))), Group("firms", of_account, "account")]
    rows = [row for each in world.people.values() for row in (*each.events, *each.traits)]
    rows += [row for each in world.accounts.values() for row in each.traits]
    kept = {row.message_id: chance.random() < 0.3 for row in rows}
    empty(warehouse)
    instant = AS_OF - sum(steps, timedelta())
    before = World({name: Person() for name in world.people}, {})
    for number, step in enumerate([timedelta(0), *steps]):
        instant += step
        now = until(world, instant, kept)
        fill(warehouse, now)
        touch(warehouse, before, now)
        before = now
        audiences = [audience(group) for group in groups]
        question = ask(warehouse, now, audiences, instant)
        changes = compute(warehouse, audiences, question, run=f"run {number}")
        expected = members(now, groups, instant)
        for group, change in zip(groups, changes, strict=True):
            assert change.problem is None
            found = current_members(warehouse, group.key, group.of)
            assert set(found) == expected[group.key], group.rule
            assert change.size == len(expected[group.key])
        again = compute(warehouse, audiences, question, run=f"again {number}")
        assert all((each.entered, each.exited) == (0, 0) for each in again)
