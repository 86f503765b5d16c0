"""Laws of the rule language: on every engine the SQL answers what plain Python answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audiences.computed import ComputedTrait
from audiences.computing import compute_values
from audiences.figures import MeasureHandle
from audiences.rules import InAudience, Not
from identity.store.warehouse import Warehouse
from tests.reference import Group, World, members, value
from tests.stored import ask, evaluate, fill, kinds_of, make_tables
from tests.strategies import AS_OF, measures, rules, worlds

relaxed = settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@pytest.fixture(scope="module")
def warehouse(engine: Warehouse) -> Warehouse:
    """A warehouse with the relations that compiled rules read."""
    make_tables(engine)
    return engine


@relaxed
@given(
    worlds(),
    st.lists(rules("profile"), min_size=1, max_size=4),
    st.lists(rules("account"), min_size=1, max_size=2),
    st.booleans(),
)
def test_rules_mean_what_plain_python_says(
    warehouse: Warehouse, world: World, drawn: list[Any], of_accounts: list[Any], catalogued: bool
) -> None:
    """Everything in the language, about everything that events may hold, hostile texts and names included."""
    groups = [Group(f"a{number}", rule) for number, rule in enumerate(drawn)]
    groups += [Group(f"c{number}", rule, "account") for number, rule in enumerate(of_accounts)]
    groups += [Group("not_a0", Not(InAudience("a0")))]
    fill(warehouse, world)
    kinds = kinds_of(world) if catalogued else None
    found = evaluate(warehouse, world, groups, AS_OF, kinds)
    expected = members(world, groups, AS_OF)
    for group in groups:
        assert found[group.key] == expected[group.key], group.rule


@relaxed
@given(worlds(), st.lists(measures(), min_size=1, max_size=4), st.booleans())
def test_computed_traits_hold_what_plain_python_says(
    warehouse: Warehouse, world: World, drawn: Sequence[Any], catalogued: bool
) -> None:
    """Figures of every kind; who has none has none."""
    fill(warehouse, world)
    traits = [ComputedTrait(f"t{number}", MeasureHandle(each)) for number, each in enumerate(drawn)]
    question = ask(warehouse, world, (), AS_OF, kinds_of(world) if catalogued else None)
    found = compute_values(warehouse, traits, question)
    for trait, measure in zip(traits, drawn, strict=True):
        for name, person in world.people.items():
            expected = value(measure, person, AS_OF)
            held = found[trait.key].get(name)
            if isinstance(held, str):
                held = json.loads(held)
            if held is None:
                # of whom nothing was known yet there is no row, not even of a count of 0
                assert expected in (None, 0), measure
            elif isinstance(held, float):
                assert held == pytest.approx(expected), measure
            else:
                assert held == expected, measure
