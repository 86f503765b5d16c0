"""Computed traits: a figure under a name, which stands for itself wherever a rule names it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from audiences import (
    Audience,
    ComputedTrait,
    RuleError,
    account,
    days,
    did,
    everyone,
    in_account,
    nobody,
    prop,
    top,
    trait,
)
from audiences.computed import with_computed
from audiences.handles import Combinable
from audiences.rules import AllOf, Compare, Exists, Node, Not, OneOf
from audiences.terms import Number, Text

ORDERS = did("Order Completed")
SPEND = ComputedTrait("spend", ORDERS.within(days(90)).sum("revenue"), description="EUR in 90 days.")
COUNT = ComputedTrait("orders", ORDERS.count())
COUPON = ComputedTrait("coupon", ORDERS.last("coupon"))
HATS = ComputedTrait("hats", ORDERS.unique("hat"))
MEASURES = {each.key: each.measure for each in (SPEND, COUNT, COUPON, HATS)}


def test_a_computed_trait_knows_what_it_is_and_where_it_stands() -> None:
    """Key, figure, description, file and line."""
    assert (SPEND.key, SPEND.description) == ("spend", "EUR in 90 days.")
    assert SPEND.measure == ORDERS.within(days(90)).sum("revenue").measure
    assert SPEND.place.startswith(f"{__file__}:")
    assert repr(SPEND) == "ComputedTrait('spend')"


def test_it_compares_as_its_figure() -> None:
    """Inside a rule there is only the figure."""
    assert (SPEND >= 500).as_node() == Compare(SPEND.measure, ">=", Number(500.0))
    assert SPEND.exists().as_node() == Exists(SPEND.measure)
    assert COUPON.is_in(["a"]).as_node() == OneOf(COUPON.measure, (Text("a"),))
    assert (HATS.every() == "red").as_node() == Compare(HATS.measure, "==", Text("red"), every=True)
    assert top(10, by=SPEND).as_node() == top(10, by=ORDERS.within(days(90)).sum("revenue")).as_node()
    with pytest.raises(RuleError, match="one value"):
        SPEND.every()


NAMED: list[tuple[Callable[[], Combinable], Callable[[], Combinable]]] = [
    (lambda: trait("spend") >= 500, lambda: SPEND >= 500),
    (lambda: trait("spend").between(1, 5), lambda: SPEND.between(1, 5)),
    (lambda: trait("spend").as_number() >= 500, lambda: SPEND >= 500),
    (lambda: trait("spend").exists(), SPEND.exists),
    (lambda: trait("orders").exists(), everyone),
    (lambda: trait("orders").is_in([1, 2]), lambda: COUNT.is_in([1, 2])),
    (lambda: trait("coupon").contains("x"), lambda: COUPON.contains("x")),
    (lambda: trait("hats").every() == "red", lambda: HATS.every() == "red"),
    (
        lambda: ~((trait("spend") >= 1) | (trait("plan") == "x")) & ORDERS,
        lambda: ~((SPEND >= 1) | (trait("plan") == "x")) & ORDERS,
    ),
    (lambda: in_account(trait("spend") >= 1), lambda: in_account(trait("spend") >= 1)),
    (lambda: trait("spend.eur") >= 1, lambda: trait("spend.eur") >= 1),
    (lambda: ORDERS.where(prop("spend") >= 1), lambda: ORDERS.where(prop("spend") >= 1)),
    (lambda: everyone() | nobody(), lambda: everyone() | nobody()),
]


@pytest.mark.parametrize(("named", "written"), NAMED)
def test_a_rule_that_names_it_means_its_figure(
    named: Callable[[], Combinable], written: Callable[[], Combinable]
) -> None:
    """At any depth; other traits, and properties and accounts' traits of that name, stay."""
    assert with_computed(named().as_node(), MEASURES) == written().as_node()
    assert with_computed(named().as_node(), {}) == named().as_node()


def test_traits_of_accounts_are_others() -> None:
    """In a rule about accounts only those of its profiles are replaced."""
    rule = (trait("spend") >= 1) & account.any_user(trait("spend") >= 1)
    expected = (trait("spend") >= 1) & account.any_user(SPEND >= 1)
    assert with_computed(rule.as_node(), MEASURES, of="account") == expected.as_node()


NONSENSE: list[tuple[Callable[[], Combinable], str]] = [
    (lambda: trait("spend") == "500", "compared with a number, not with a text"),
    (lambda: trait("spend").contains("5"), "contains looks at texts"),
    (lambda: trait("orders") >= 1.5, "whole number"),
    (lambda: trait("spend").every() >= 1, "leave every() out"),
    (lambda: trait("coupon").folded() == "x", "leave folded()"),
    (lambda: trait("coupon").as_number() == 5, "leave folded()"),
    (lambda: trait("spend").within_last(days(7)), "only a plain one"),
    (lambda: trait("spend").recurs_today(tz="UTC"), "only a plain one"),
    (lambda: trait("spend").held(5, for_at_least=days(7)), "only a plain one"),
]


@pytest.mark.parametrize(("write", "says"), NONSENSE, ids=[says for _, says in NONSENSE])
def test_a_question_without_an_answer_is_an_error_at_the_rule(
    write: Callable[[], Combinable], says: str
) -> None:
    """With the rule's own place."""
    with pytest.raises(RuleError, match=says.replace("(", r"\(").replace(")", r"\)")) as caught:
        with_computed(write().as_node(), MEASURES, place="project.py:7")
    assert str(caught.value).startswith("project.py:7: trait(")


def test_an_audience_keeps_its_meaning_when_the_figure_is_named() -> None:
    """The rule that names it and the rule that embeds it are one."""
    named = Audience("x", trait("spend") >= 500, trait("plan") != "free")
    embedded = Audience("x", SPEND >= 500, trait("plan") != "free")
    replaced: Node = with_computed(named.rule, MEASURES)
    assert replaced == embedded.rule
    assert replaced == AllOf(
        (Compare(SPEND.measure, ">=", Number(500.0)), Not((trait("plan") == "free").node))
    )
