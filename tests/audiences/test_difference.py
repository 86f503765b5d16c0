"""What a changed rule means: verdicts that are true of all data, and edits in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import date

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from audiences import (
    account,
    days,
    did,
    did_anything,
    did_prefix,
    everyone,
    hours,
    identified_by,
    in_account,
    in_audience,
    nobody,
    prop,
    query,
    sample,
    sequence,
    step,
    top,
    trait,
)
from audiences.difference import Change, Verdict, compare_measures, compare_rules
from audiences.handles import Combinable
from audiences.rules import Node
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
            assert {there.verdict, back.verdict} in ({"equivalent"}, {"changed"}, {"widened", "narrowed"})
            seen[there.verdict] += 1
            assert TRUE_OF[there.verdict](found["0"], found[str(number)]), (rule, other, there)
            assert TRUE_OF[back.verdict](found[str(number)], found["0"]), (rule, other, back)
            assert there.edits or there.verdict == "equivalent"

    law()
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


A, B = did("Order"), did("Page")
PAID = A.where(prop("status") == "paid")
SUM, MAX, MIN = A.sum("v"), A.max("v"), A.min("v")
SEEN = trait("seen")
IN_A_DAY = A.followed_by(B, within=days(1))
HABIT = {"period": days(7), "of": 3}

WIDENED: list[tuple[Combinable, Combinable]] = [
    # logic
    (A & B, A),
    (A, A | B),
    (A & (trait("a") == 1), (A | B) & (trait("a") == 1)),
    (~(A | B), ~A),
    (nobody(), A),
    (A, everyone()),
    # thresholds, figures
    (A >= 3, A >= 2),
    (A > 3, A >= 3),
    (A == 3, A >= 2),
    (A < 3, A <= 3),
    (~(A >= 3), A < 5),
    (A.count_between(2, 5), A.count_between(1, 6)),
    (SUM >= 500, SUM > 499),
    (SUM > 5, SUM >= 5),
    (SUM < 5, SUM <= 5),
    (SUM < 5, ~(SUM >= 5)),
    (SUM == 5, SUM.between(1, 9)),
    (SUM >= 5, SUM.exists()),
    (MAX >= 5, MAX >= 4),
    (A.days_since_last() < 3, A.days_since_last() <= 3),
    (A.distinct("v") >= 3, A.distinct("v") >= 2),
    (top(10, by=SUM), top(20, by=SUM)),
    (top(share=0.1, by=SUM), top(share=0.2, by=SUM)),
    # events
    (A, did("Order", "Page")),
    (did("Cart Opened"), did_prefix("Cart ")),
    (did_prefix("Cart "), did_anything()),
    (PAID, A),
    (PAID, A.where((prop("status") == "paid") | (prop("status") == "open"))),
    (A.where(prop("n") >= 5), A.where(prop("n") >= 3)),
    (~A, ~PAID),
    (PAID.max("v") > 5, MAX > 5),
    (PAID.min("v") < 5, MIN < 5),
    (PAID.days_since_last() <= 5, A.days_since_last() <= 5),
    (PAID.unique("v").contains("x"), A.unique("v").contains("x")),
    (PAID.sum("v").exists(), SUM.exists()),
    (A.most_frequent("v", at_least=3).exists(), A.most_frequent("v", at_least=2).exists()),
    # windows
    (A.within(days(30)), A.within(days(90))),
    (A.within(days(30)), A),
    (A.within(days(30)), A.within(days(30), bounds="[]")),
    (A.within(days(30), bounds="[)"), A.within(days(30), bounds="[]")),
    (A.within(days(90)) <= 2, A.within(days(30)) <= 2),
    (~A.within(days(90)), ~A.within(days(30))),
    (A.between(days(20), days(10)), A.within(days(30))),
    (A.between(days(20), days(10)), A.between(days(30), days(5))),
    (A.before(days(30)), A.before(days(20))),
    (A.since(date(2026, 2, 1)), A.since(date(2026, 1, 1))),
    (A.between(date(2026, 2, 1), date(2026, 3, 1)), A.before(date(2026, 4, 1))),
    (A.this("month", tz="UTC"), A.this("month", and_last=1, tz="UTC")),
    (A.last_full(1, "day", tz="UTC"), A.last_full(2, "day", tz="UTC")),
    (A.within(days(7)).first_time(), A.within(days(9)).first_time()),
    (A.within(days(7)).first_time(), A.within(days(7))),
    (A.latest(prop("a") == 1, prop("b") == 2), A.latest(prop("a") == 1)),
    (A.latest(prop("a") == 1), A),
    # values
    (trait("a") == "x", trait("a").is_in(["x", "y"])),
    (trait("a").is_in(["x", "y"]), trait("a").is_in(["x", "y", "z"])),
    (trait("a") != "x", ~((trait("a") == "x") & A)),
    (trait("a") >= 5, trait("a") >= 3),
    (trait("a") >= date(2026, 2, 1), trait("a") > date(2026, 1, 1)),
    (trait("a") == "xyz", trait("a").contains("y")),
    (trait("a").contains("xyz"), trait("a").contains("y")),
    (trait("a").starts_with("xy"), trait("a").starts_with("x")),
    (trait("a").ends_with("xy"), trait("a").contains("y")),
    (trait("a").every() == "x", trait("a") == "x"),
    (trait("a") == "x", trait("a").exists()),
    (SEEN.within_last(days(7)), SEEN.within_last(days(9))),
    (SEEN.before_last(days(9)), SEEN.before_last(days(7))),
    (SEEN.within_next(days(7)), SEEN.within_next(days(9))),
    (SEEN.after_next(days(9)), SEEN.after_next(days(7))),
    (SEEN.recurs_within(days=7, tz="UTC"), SEEN.recurs_within(days=9, tz="UTC")),
    (SEEN.held("x", for_at_least=days(9)), SEEN.held("x", for_at_least=days(7))),
    (SEEN.held("x", for_less_than=days(7)), SEEN.held("x", for_less_than=days(9))),
    # who they are
    (sample(0.1, split="s"), sample(0.2, split="s")),
    (identified_by("email"), identified_by("email", "phone")),
    (in_account(trait("n") >= 5), in_account(trait("n") >= 3)),
    (in_account(account.at_least(3, A)), in_account(account.at_least(2, A))),
    (in_account(account.at_least(3, A)), in_account(account.any_user(A))),
    (in_account(account.all_users(PAID)), in_account(account.all_users(A))),
    (in_account(account.no_user(A)), in_account(account.no_user(PAID))),
    # habits, sequences
    (A.regularly(at_least=2, **HABIT), A.regularly(at_least=1, **HABIT)),
    (A.regularly(at_least=2, times=3, **HABIT), A.regularly(at_least=2, times=2, **HABIT)),
    (A.regularly(at_least=2, **HABIT), A.regularly(at_least=2, of=4, period=days(7))),
    (PAID.regularly(at_least=2, **HABIT), A.regularly(at_least=2, **HABIT)),
    (IN_A_DAY, A.followed_by(B, within=days(2))),
    (IN_A_DAY, A.followed_by(B)),
    (A.followed_by(B, after=hours(2)), A.followed_by(B, after=hours(1))),
    (A.followed_by(B, without=did("X")), A.followed_by(B)),
    (A.followed_by(B, without=did("X")), A.followed_by(B, without=did("X").within(days(1)))),
    (A.followed_by(B, same="id"), A.followed_by(B)),
    (PAID.followed_by(B), A.followed_by(B)),
    (A.not_followed_by(B, within=days(2)), A.not_followed_by(B, within=days(1))),
    (sequence(A, B), sequence(A, B, ties="loose")),
    (sequence(A, B, adjacent=True), sequence(A, B)),
    (sequence(A, B, within=days(1)), sequence(A, B, within=days(2))),
    (sequence(A, step(B, within_events=1)), sequence(A, step(B, within_events=2))),
]
EQUIVALENT: list[tuple[Combinable, Combinable]] = [
    (A >= 1, A > 0),
    (A, A.count() >= 1),
    (~A, A == 0),
    (~(A >= 3), A < 3),
    (A == 2, (A >= 2) & (A <= 2)),
    (~~A, A),
    (A & A & B, B & A),
    (~(A & B), ~A | ~B),
    ((A & B) & SEEN.exists(), A & (B & SEEN.exists())),
    (A & everyone(), A),
    (A | nobody(), A),
    (A & (A | B), A),
    (A | ~A, everyone()),
    (A >= 0, everyone()),
    (A.days_since_last().exists(), A),
    (A.active_days(tz="UTC") >= 1, A),
    (A.within(days(7)).received(), A.within(days(7)).received() > 0),
    (A.received(), A),
    ((trait("a") == "x") | (trait("a") == "y"), trait("a").is_in(["y", "x"])),
    ((trait("a") != "x") & (trait("a") != "y"), ~trait("a").is_in(["y", "x"])),
    (trait("a").is_in(["x"]), trait("a") == "x"),
    (in_account(account.no_user(A)), in_account(~account.any_user(A))),
    (in_account(account.at_least(1, A)), in_account(account.any_user(A))),
    (sequence(A), A),
    (did("A", "B"), did("B", "A")),
]
CHANGED: list[tuple[Combinable, Combinable]] = [
    (A, B),
    (A & B, A & did("X")),
    (SUM >= 5, PAID.sum("v") >= 5),
    (SUM >= 5, A.sum("w") >= 3),
    (MAX < 5, PAID.max("v") < 5),
    (A.avg("v") >= 5, A.within(days(9)).avg("v") >= 5),
    (A == 2, PAID == 2),
    (A.within(days(9)) >= 3, A.within(days(5)) >= 2),
    (A.within(days(9)), A.within(days(9)).received()),
    (A.regularly(at_least=2, **HABIT), A.received().regularly(at_least=2, **HABIT)),
    (A.within(days(9), bounds="()"), A.within(days(9), bounds="[)").where(prop("a") == 1)),
    (A.within(days(9)), A.since(date(2026, 1, 1))),
    (A.this("day", tz="UTC"), A.this("day", tz="Europe/Berlin")),
    (A.this("month", tz="UTC"), A.last_full(1, "month", tz="UTC")),
    (A.within(days(7)).first_time(), B.within(days(9)).first_time()),
    (did("Cart Opened", "Order"), did_prefix("Cart ")),
    (A.active_days(tz="UTC") >= 2, A >= 2),
    (PAID.unique("v").every() == "x", A.unique("v").every() == "x"),
    (SUM <= 5, ~(SUM >= 5)),
    (trait("a") < 5, ~(trait("a") >= 5)),
    (trait("a") >= 5, trait("a") >= date(2026, 1, 1)),
    (trait("a").folded() == "xy", trait("a").folded().contains("x")),
    (trait("a").ends_with("xy"), trait("a").starts_with("x")),
    (sequence(A, B, step(A, within=days(1))), sequence(A, B, step(A, within=days(1), since="first"))),
    (A.latest(prop("a") == 1), PAID.latest(prop("a") == 1)),
    (top(10, by=SUM), top(10, by=PAID.sum("v"))),
    (trait("a") == 1, trait("b") == 1),
    (trait("a") == 5, trait("a") == "5"),
    (trait("a").every() != "x", trait("a") != "y"),
    (trait("a").folded().contains("xy"), trait("a").contains("x")),
    (sample(0.1, split="s"), sample(0.2, split="t")),
    (SEEN.held("x", for_at_least=days(9)), SEEN.held("y", for_at_least=days(7))),
    (A.followed_by(B), B.followed_by(A)),
    (A.followed_by(B, after=days(1), within=days(2)), A.followed_by(B, after=days(2), within=days(3))),
    (A.not_followed_by(B), A.not_followed_by(B, within=days(1))),
    (
        A.followed_by(B, without=did("X"), same="id"),
        A.followed_by(B, without=did("X")),
    ),
    (in_account(account.all_users(A)), in_account(account.any_user(A))),
    (query("SELECT profile_id FROM profiles"), query("SELECT profile_id FROM profile_traits")),
]


def verdict(before: Combinable, now: Combinable) -> Verdict:
    return compare_rules(before.as_node(), now.as_node()).verdict


@pytest.mark.parametrize(("before", "now"), WIDENED)
def test_what_lets_more_in_is_proven_both_ways(before: Combinable, now: Combinable) -> None:
    """Widened, and narrowed in the other direction; turned round under `~`."""
    assert verdict(before, now) == "widened"
    assert verdict(now, before) == "narrowed"
    assert verdict(~before, ~now) == "narrowed"
    assert verdict(before & did("Else"), now & did("Else")) == "widened"


@pytest.mark.parametrize(("before", "now"), EQUIVALENT)
def test_the_same_in_other_words_is_equivalent(before: Combinable, now: Combinable) -> None:
    """Nobody moves, whatever the data."""
    assert verdict(before, now) == verdict(now, before) == verdict(~before, ~now) == "equivalent"


@pytest.mark.parametrize(("before", "now"), CHANGED)
def test_what_no_law_proves_is_changed(before: Combinable, now: Combinable) -> None:
    """Also where people could only come, or only go, by a law that is none."""
    assert verdict(before, now) == verdict(now, before) == "changed"


EDITS: list[tuple[Combinable, Combinable, list[str]]] = [
    (A >= 3, A >= 2, ["“Order”: “at least 3 times” became “at least 2 times”"]),
    (
        A.within(days(30)),
        A.within(days(90)),
        ["“Order”: “in the last 30 days” became “in the last 90 days”"],
    ),
    (A.within(days(30)), A, ["“Order”: “in the last 30 days” became “at any time”"]),
    (A, PAID, ["“Order”: “with any properties” became “with a status that is “paid””"]),
    (A, did("Order", "Page"), ["“Order” or “Page” instead of “Order”"]),
    (SUM >= 5, SUM >= 3, ["the sum of v over “Order”: “is at least 5” became “is at least 3”"]),
    (A & B, B, ["removed the condition “did “Order””"]),
    (A, B & A, ["added the condition “did “Page””"]),
    (A, B | A, ["added the alternative “did “Page””"]),
    (A | B, A, ["removed the alternative “did “Page””"]),
    (A & (B | (trait("a") == 1)), A & B, ["removed the alternative “trait a is 1”"]),
    (trait("a") == 1, trait("a") >= 1, ["trait a: “is 1” became “is at least 1”"]),
    (trait("a") != 1, trait("a") != 2, ["not trait a: “is 1” became “is 2”"]),
    (
        (A >= 3) & (B >= 3) & (trait("a") == 1),
        (trait("a") == 1) & (B >= 2) & (A >= 3),
        ["“Page”: “at least 3 times” became “at least 2 times”"],
    ),
    (
        IN_A_DAY,
        A.followed_by(B, within=days(2)),
        ["“did “Order”, then within 1 day “Page”” became “did “Order”, then within 2 days “Page””"],
    ),
    (
        in_account(account.any_user(A >= 2)),
        in_account(account.any_user(A >= 1)),
        ["its account: its profiles: “Order”: “at least 2 times” became “at least 1 time”"],
    ),
    (A & B, B & A, []),
    (~~A, A, []),
]


@pytest.mark.parametrize(("before", "now", "said"), EDITS)
def test_edits_are_said_in_words(before: Combinable, now: Combinable, said: list[str]) -> None:
    """What was edited, added and removed; another order is no edit."""
    assert list(compare_rules(before.as_node(), now.as_node()).edits) == said


def test_a_change_that_the_words_leave_out_is_said_to_be_one() -> None:
    """Such as the end of a long query."""
    long = f"SELECT profile_id FROM profiles WHERE {' AND '.join(['profile_id IS NOT NULL'] * 9)}"
    one, other = query(f"{long} AND 1 = 1"), query(f"{long} AND 1 = 2")
    change = compare_rules(one.as_node(), other.as_node())
    assert change.verdict == "changed"
    assert "leaves out" in change.edits[0]


def test_an_audience_changes_with_those_that_it_is_built_on() -> None:
    """In their direction, turned round under `~`; audiences that it does not name don't matter."""
    vip = in_audience("vip").as_node()
    built = (in_audience("vip") & A).as_node()
    turned = (~in_audience("vip")).as_node()
    nested = in_account(account.any_user(in_audience("vip"))).as_node()
    for below, verdict_of_not in (("widened", "narrowed"), ("narrowed", "widened"), ("changed", "changed")):
        given: dict[str, Verdict] = {"vip": below, "other": "changed"}  # type: ignore[dict-item]
        for rule in (vip, built, nested):
            assert compare_rules(rule, rule, given).verdict == below
        assert compare_rules(turned, turned, given).verdict == verdict_of_not
        assert any("vip" in edit for edit in compare_rules(built, built, given).edits)
    assert compare_rules(built, vip, {"vip": "widened"}).verdict == "widened"
    assert compare_rules(built, vip, {"vip": "narrowed"}).verdict == "changed"
    assert compare_rules(built, built, {"other": "changed"}) == Change("equivalent", ())


def test_measures_are_equivalent_or_changed() -> None:
    """More events make a figure neither wider nor narrower."""
    paid = A.where(prop("a") == 1, prop("b") == 2).sum("v").measure
    other = A.where(prop("b") == 2, prop("a") == 1).sum("v").measure
    assert compare_measures(paid, other).verdict == "equivalent"
    change = compare_measures(A.within(days(30)).count().measure, A.within(days(60)).count().measure)
    assert change == Change(
        "changed", ("the count of “Order”: “in the last 30 days” became “in the last 60 days”",)
    )
