"""What a changed rule means: verdicts that are true of all data, and edits in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from audiences.difference import Verdict, compare_rules
from audiences.rules import InAudience, Node, Not
from audiences.simplifying import simplified
from tests.reference import Group, Kind, World, members
from tests.strategies import AS_OF, worlds
from tests.strategies_edits import pairs

relaxed = settings(
    max_examples=200,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TRUE_OF: dict[Verdict, Callable[[set[str], set[str]], bool]] = {
    "equivalent": lambda before, now: before == now,
    "widened": lambda before, now: before <= now,
    "narrowed": lambda before, now: before >= now,
    "changed": lambda before, now: True,
}


@pytest.mark.parametrize("of", ["profile", "account"])
def test_a_verdict_is_true_whatever_the_data(of: Kind) -> None:
    """Of a rule and what one or two edits make of it, in any direction; every verdict comes up."""
    seen: Counter[str] = Counter()

    @relaxed
    @given(worlds(), pairs(of))
    def law(world: World, pair: tuple[Node, list[Node]]) -> None:
        rule, others = pair
        groups = [Group(str(number), each, of) for number, each in enumerate([rule, *others])]
        found = members(world, groups, AS_OF)
        for number, other in enumerate(others, start=1):
            there, back = compare_rules(rule, other), compare_rules(other, rule)
            assert {there.verdict, back.verdict} in (
                {"equivalent"}, {"changed"}, {"widened", "narrowed"}
            )
            seen[there.verdict] += 1
            assert TRUE_OF[there.verdict](found["0"], found[str(number)]), (rule, other, there)
            assert TRUE_OF[back.verdict](found[str(number)], found["0"]), (rule, other, back)
            assert there.edits or there.verdict == "equivalent"

    law()
    print(seen)
    assert set(seen) == set(TRUE_OF)


@relaxed
@given(worlds(), pairs())
def test_a_simplified_rule_means_the_same(world: World, pair: tuple[Node, list[Node]]) -> None:
    """Nobody comes or goes."""
    rules = [pair[0], *pair[1][:3]]
    groups = [Group(str(number), each) for number, each in enumerate(rules)]
    groups += [Group(f"simple {number}", simplified(each)) for number, each in enumerate(rules)]
    found = members(world, groups, AS_OF)
    for number, rule in enumerate(rules):
        assert found[str(number)] == found[f"simple {number}"], (rule, simplified(rule))
        assert simplified(simplified(rule)) == simplified(rule)
