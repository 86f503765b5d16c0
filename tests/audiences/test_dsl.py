"""Writing rules: what is meant is data, what can't be meant is an error with file and line."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime

import pytest

from audiences import Audience, RuleError, all_of, any_of, days, did, hours, in_audience, prop, trait
from audiences.explain import explain

ORDERS = did("Order Completed")

SENTENCES = [
    (lambda: ORDERS, "did “Order Completed”"),
    (lambda: ~ORDERS, "did not do “Order Completed”"),
    (lambda: ORDERS == 0, "did not do “Order Completed”"),
    (lambda: ORDERS >= 1, "did “Order Completed”"),
    (lambda: ORDERS.exactly(1), "did “Order Completed” exactly 1 time"),
    (lambda: ~(ORDERS > 2), "did not do “Order Completed” more than 2 times"),
    (lambda: ORDERS.within(days(1)), "did “Order Completed” in the last day"),
    (lambda: ORDERS.within(hours(36)) >= 3, "did “Order Completed” at least 3 times in the last 36 hours"),
    (lambda: ORDERS.within(days(14)), "did “Order Completed” in the last 2 weeks"),
    (lambda: ORDERS.between(days(60), days(30)), "did “Order Completed” between 60 days and 30 days ago"),
    (
        lambda: ORDERS.between(date(2026, 1, 1), date(2026, 4, 1)),
        "did “Order Completed” from 2026-01-01 up to 2026-04-01",
    ),
    (
        lambda: ORDERS.where(prop("currency") == "EUR", prop("sku").is_in(["a", "b"])),
        "did “Order Completed” with a currency that is “EUR” and a sku that is one of “a” or “b”",
    ),
    (
        lambda: ORDERS.where(~(prop("coupon").exists() | (prop("v") < 2.5))),
        "did “Order Completed” with no coupon and no v that is below 2.5",
    ),
    (
        lambda: ORDERS.within(days(90)).sum("revenue") >= 1500,
        "has a sum of revenue of at least 1,500 over “Order Completed” in the last 90 days",
    ),
    (lambda: ~(ORDERS.avg("v") < 5), "does not have an average of v below 5 over “Order Completed”"),
    (lambda: trait("plan") != "free", "has no trait plan that is “free”"),
    (lambda: trait("address.city").starts_with("L"), "has a trait address.city that starts with “L”"),
    (lambda: ~trait("plan").exists(), "has no trait plan"),
    (lambda: in_audience("vips"), "is in the audience vips"),
    (
        lambda: (trait("a") == 1) | ((trait("b") == 2) & ORDERS),
        "either has a trait a that is 1, or (has a trait b that is 2, and did “Order Completed”)",
    ),
    (
        lambda: ~((trait("a") == 1) & ORDERS),
        "either has no trait a that is 1, or did not do “Order Completed”",
    ),
    (
        lambda: all_of(trait("a") == 1, any_of(trait("b") == 2, ORDERS), ~ORDERS),
        "has a trait a that is 1, (either has a trait b that is 2, or did “Order Completed”), "
        "and did not do “Order Completed”",
    ),
]


@pytest.mark.parametrize(
    ("write", "sentence"), SENTENCES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_rule_is_said_in_one_sentence(write: Callable[[], object], sentence: str) -> None:
    """Grammatical, unambiguous, in the words of the glossary."""
    assert explain(Audience("x", write())) == f"Everyone who {sentence}."  # type: ignore[arg-type]


MISTAKES = [
    (lambda: ORDERS and trait("a") == 1, "&"),
    (lambda: not ORDERS, "~"),
    (lambda: 1 < trait("a") < 5, "two comparisons"),
    (lambda: trait("a") == 1 & trait("b") == 2, "parentheses"),  # type: ignore[operator]
    (lambda: trait("a") == None, "exists"),  # noqa: E711
    (lambda: trait("a") == [1], "text, number"),
    (lambda: trait("a") < True, "true and false have no order"),
    (lambda: trait("a") == float("inf"), "no number"),
    (lambda: trait("a") == datetime(2026, 1, 1), "time zone"),
    (lambda: trait("a") == 2**60, "texts"),
    (lambda: trait("a") == trait("b"), "not with another rule or field"),
    (lambda: trait("a").contains(5), "text"),  # type: ignore[arg-type]
    (lambda: trait("a").is_in([]), "at least one"),
    (lambda: trait("a").is_in("abc"), "list"),
    (lambda: trait(""), "no name or key is empty"),
    (lambda: did(""), "name"),
    (lambda: did("A", window=3), "did"),
    (lambda: did("A") >= 1.5, "whole number"),
    (lambda: did("A") >= -1, "whole number"),
    (lambda: did("A").sum("v") >= "5", "number"),
    (lambda: did("A").within(30), "days"),  # type: ignore[arg-type]
    (lambda: did("A").within(days(1)).within(days(2)), "window"),
    (lambda: did("A").where(trait("a") == 1), "prop"),
    (lambda: did("A").where(did("B")), "prop"),
    (lambda: days(0), "above 0"),
    (lambda: days(-1), "above 0"),
    (lambda: days(1.5), "whole number"),  # type: ignore[arg-type]
    (lambda: any_of(), "at least one rule"),  # noqa: PLW0108
    (lambda: all_of([ORDERS]), "A list is not a rule"),
    (lambda: Audience("x"), "at least one rule"),
    (lambda: Audience("X", ORDERS), "lower-case"),
    (lambda: Audience("x y", ORDERS), "lower-case"),
    (lambda: Audience("profile_id", ORDERS), "profile_id"),
    (lambda: Audience("x", prop("a") == 1), "outside of an event"),
    (lambda: Audience("x", trait("a")), "not a rule until it is compared"),
    (lambda: Audience("x", ORDERS, desciption="…"), "Did you mean 'description'"),
    (lambda: Audience("x", ORDERS, every=6), "hours"),
    (lambda: Audience("x", ORDERS, sync="meta"), "list of destinations"),
    (lambda: Audience("x", ORDERS, sync=["meta"]), "no destination"),
]


@pytest.mark.parametrize(("write", "says"), MISTAKES, ids=[str(number) for number in range(len(MISTAKES))])
def test_a_mistake_is_an_error_with_its_place_and_the_way_out(write: Callable[[], object], says: str) -> None:
    """At the line of the definition, before anything is computed."""
    with pytest.raises(RuleError, match=re.escape(says)) as caught:
        write()
    line = write.__code__.co_firstlineno
    assert str(caught.value).startswith(f"{__file__}:{line}: ")


def test_rules_that_mean_the_same_have_one_fingerprint() -> None:
    """Order, repetition, nesting, double negation and wording do not matter; meaning does."""
    one = Audience("one", trait("a") == 1, trait("b") == 2, description="one")
    two = Audience("two", ~~(trait("b") == 2) & ((trait("a") == 1) & (trait("a") == 1)))
    assert one.fingerprint == two.fingerprint
    assert one.fingerprint != Audience("one", trait("a") == 1, trait("b") == 3).fingerprint
