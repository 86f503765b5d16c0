"""A rule is said in one English sentence: grammatical, unambiguous, in the words of the glossary."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pytest

from audiences import (
    Audience,
    account,
    all_of,
    any_of,
    consented,
    days,
    did,
    did_anything,
    did_prefix,
    everyone,
    exclusion,
    funnel,
    hours,
    identified_by,
    in_account,
    in_audience,
    nobody,
    none_of,
    prop,
    query,
    query_value,
    sample,
    seconds,
    sequence,
    step,
    top,
    trait,
    weeks,
)
from audiences.explain import explain, explain_condition
from audiences.handles import Combinable
from audiences.phrases import explain_duration, figure

ORDERS = did("Order Completed")
SEEN = did("Seen")

SENTENCES: list[tuple[Callable[[], Combinable], str]] = [
    (lambda: ORDERS, "did “Order Completed”"),
    (lambda: ~ORDERS, "did not do “Order Completed”"),
    (lambda: ORDERS == 0, "did not do “Order Completed”"),
    (lambda: ~(ORDERS == 0), "did “Order Completed”"),
    (lambda: ORDERS >= 1, "did “Order Completed”"),
    (lambda: ORDERS.exactly(1), "did “Order Completed” exactly 1 time"),
    (lambda: ~(ORDERS > 2), "did not do “Order Completed” more than 2 times"),
    (lambda: ORDERS.count_between(2, 5), "did “Order Completed” 2 to 5 times"),
    (lambda: did("A", "B", "C"), "did “A”, “B” or “C”"),
    (lambda: ~did_prefix("Cart "), "did not do any event whose name starts with “Cart ”"),
    (lambda: did_anything() >= 10, "did any event at least 10 times"),
    (lambda: ORDERS.within(days(1)), "did “Order Completed” in the last day"),
    (lambda: ORDERS.within(hours(36)) >= 3, "did “Order Completed” at least 3 times in the last 36 hours"),
    (lambda: ORDERS.within(days(14)), "did “Order Completed” in the last 2 weeks"),
    (lambda: ORDERS.within(seconds(90)), "did “Order Completed” in the last 90 seconds"),
    (
        lambda: ORDERS.within(days(2), bounds="[)"),
        "did “Order Completed” in the last 2 days (first instant included, last left out)",
    ),
    (lambda: ORDERS.between(days(60), days(30)), "did “Order Completed” between 60 days and 30 days ago"),
    (lambda: ORDERS.before(days(30)), "did “Order Completed” 30 days ago or earlier"),
    (
        lambda: ORDERS.between(date(2026, 1, 1), date(2026, 4, 1)),
        "did “Order Completed” from 2026-01-01 up to 2026-04-01",
    ),
    (lambda: ORDERS.since(date(2026, 1, 1)), "did “Order Completed” since 2026-01-01"),
    (lambda: ORDERS.before(date(2026, 1, 1)), "did “Order Completed” before 2026-01-01"),
    (lambda: ORDERS.this("day", tz="Europe/Berlin"), "did “Order Completed” today (Europe/Berlin)"),
    (
        lambda: ORDERS.this("week", and_last=1, tz="UTC"),
        "did “Order Completed” this week or in the week before (UTC)",
    ),
    (
        lambda: ORDERS.this("month", and_last=2, tz="UTC"),
        "did “Order Completed” this month or in the 2 months before (UTC)",
    ),
    (lambda: ORDERS.last_full(1, "day", tz="UTC"), "did “Order Completed” yesterday (UTC)"),
    (lambda: ORDERS.last_full(1, "year", tz="UTC"), "did “Order Completed” last year (UTC)"),
    (
        lambda: ORDERS.last_full(3, "month", tz="UTC"),
        "did “Order Completed” in the last 3 whole months (UTC)",
    ),
    (lambda: ORDERS.received().within(days(2)), "did “Order Completed” received in the last 2 days"),
    (
        lambda: ORDERS.where(prop("currency") == "EUR", prop("sku").is_in(["a", "b"])),
        "did “Order Completed” with a currency that is “EUR” and a sku that is one of “a” or “b”",
    ),
    (
        lambda: ORDERS.where(~(prop("coupon").exists() | (prop("amount") < 2.5))),
        "did “Order Completed” with no coupon and no amount that is below 2.5",
    ),
    (
        lambda: ORDERS.where((prop("amount").as_number() > 5) | (prop("v").every() == 1)),
        "did “Order Completed” with an amount that is above 5 (numeric texts read as numbers) or a v of "
        "which every element is 1",
    ),
    (
        lambda: ORDERS.within(days(90)).sum("revenue") >= 1500,
        "has a sum of revenue of at least 1,500 over “Order Completed” in the last 90 days",
    ),
    (lambda: ~(ORDERS.avg("v") < 5), "does not have an average of v below 5 over “Order Completed”"),
    (
        lambda: ORDERS.sum("v", numeric_texts=True).between(1, 5),
        "has a sum of v, numeric texts included, from 1 to 5 over “Order Completed”",
    ),
    (lambda: ~ORDERS.min("v").exists(), "does not have a smallest value of v over “Order Completed”"),
    (lambda: ORDERS.median("v") > 3, "has a median of v above 3 over “Order Completed”"),
    (lambda: ORDERS.percentile("v", 0.8) > 3, "has an 80th percentile of v above 3 over “Order Completed”"),
    (
        lambda: ORDERS.percentile("v", 0.925) > 3,
        "has a 92.5th percentile of v above 3 over “Order Completed”",
    ),
    (lambda: SEEN.distinct("sku") >= 3, "has at least 3 different values of sku over “Seen”"),
    (
        lambda: ~(SEEN.within(days(7)).active_days(tz="UTC") >= 5),
        "did not do “Seen” on at least 5 days (UTC) in the last week",
    ),
    (lambda: SEEN.days_since_last() >= 30, "has a last “Seen” that was at least 30 whole days ago"),
    (
        lambda: ~did_prefix("S").days_since_last().between(1, 2),
        "has no last event whose name starts with “S” that was 1 to 2 whole days ago",
    ),
    (lambda: SEEN.days_since_last().exists(), "did “Seen”"),
    (lambda: SEEN.first("hat") == "red", "has, over “Seen”, a first hat that is “red”"),
    (
        lambda: ~SEEN.within(days(30)).last("hat").is_in(["red", "blue"]),
        "has, over “Seen” in the last 30 days, no last hat that is one of “red” or “blue”",
    ),
    (lambda: ~SEEN.last("hat").exists(), "has no last hat over “Seen”"),
    (
        lambda: SEEN.most_frequent("hat", at_least=2) == "red",
        "has, over “Seen”, a most frequent hat (at least 2 times) that is “red”",
    ),
    (lambda: SEEN.unique("hat").contains("r"), "has, over “Seen”, a value of hat that contains “r”"),
    (
        lambda: SEEN.unique("hat").every().ends_with("r"),
        "has, over “Seen”, a list of hat of which every element ends with “r”",
    ),
    (lambda: SEEN.within(days(7)).first_time(), "did “Seen” for the first time in the last week"),
    (
        lambda: SEEN.stopped(was=weeks(2), quiet=weeks(1)),
        "did “Seen” between 2 weeks and 1 week ago, and did not do “Seen” in the last week",
    ),
    (
        lambda: SEEN.restarted(was=weeks(2), quiet=weeks(1)),
        "did “Seen” 2 weeks ago or earlier, did not do “Seen” between 2 weeks and 1 week ago, "
        "and did “Seen” in the last week",
    ),
    (
        lambda: ~SEEN.regularly(at_least=2, of=3, period=days(3), times=2),
        "did not do “Seen” at least 2 times in at least 2 of the last 3 periods of 3 days",
    ),
    (
        lambda: SEEN.within(days(7)).latest(prop("hat") == "red", ~prop("shoe").exists()),
        "has a latest “Seen” in the last week that has a hat that is “red” and no shoe",
    ),
    (lambda: ~did_anything().latest(prop("hat").exists()), "has no latest event that has a hat"),
    (lambda: SEEN.followed_by(ORDERS, within=days(7)), "did “Seen”, then within 1 week “Order Completed”"),
    (
        lambda: ~SEEN.followed_by(ORDERS, after=hours(1), within=days(7), same="sku"),
        "did not do the sequence “Seen”, then at least 1 hour and at most 1 week later “Order Completed”, "
        "with the same sku",
    ),
    (
        lambda: SEEN.followed_by(ORDERS, without=did_anything().where(prop("x").exists())),
        "did “Seen”, then “Order Completed”, with no event with a x in between",
    ),
    (
        lambda: SEEN.within(days(3)).not_followed_by(ORDERS, within=hours(24)),
        "did “Seen” in the last 3 days with no “Order Completed” within 1 day after that",
    ),
    (lambda: ~SEEN.not_followed_by(ORDERS), "did not do “Seen” with no “Order Completed” after that"),
    (lambda: SEEN.repeated(3, within=days(7)), "did “Seen” 3 times, all within 1 week"),
    (
        lambda: ~sequence(did("A"), did("B"), did("C"), any_order=True),
        "did not do all of “A”, “B” and “C” in any order",
    ),
    (
        lambda: sequence(
            did("A"),
            step(did("B"), after=weeks(1), since="first"),
            step(did("C"), within_events=2),
            ties="loose",
            adjacent=True,
            without=[exclusion(did("X"), after=1, before=3), exclusion(did("Y"), before=1)],
        ),
        "did “A”, then at least 1 week after the first “B”, then among the next 2 events “C”, with no other "
        "event in between, each at the instant of the one before or later, with no “X” between step 1 and "
        "step 3, with no “Y” before step 1",
    ),
    (
        lambda: funnel(did("A"), did("B"), did("C")).dropped_after(2),
        "(did “A”, then “B”), and (did not do the sequence “A”, then “B”, then “C”)",
    ),
    (lambda: trait("plan") != "free", "has no trait plan that is “free”"),
    (lambda: trait("address.city").starts_with("L"), "has a trait address.city that starts with “L”"),
    (lambda: trait("n").matches("^a.$"), "has a trait n that matches the pattern “^a[^\\n]$”"),
    (lambda: ~trait("plan").exists(), "has no trait plan"),
    (lambda: trait("d") >= date(2026, 1, 1), "has a trait d that is at or after 2026-01-01"),
    (lambda: trait("d") < date(2026, 1, 1), "has a trait d that is before 2026-01-01"),
    (lambda: trait("age").between(18, 30), "has a trait age that is from 18 to 30"),
    (lambda: ~(trait("n").every() > 5), "has no trait n of which every element is above 5"),
    (
        lambda: trait("tags").excludes_all(["a", "b"]),
        "has a trait tags, and has no trait tags that is one of “a” or “b”",
    ),
    (lambda: trait("n").folded() == "josé", "has a trait n that is “josé” (ignoring case and accents)"),
    (lambda: trait("d").within_last(days(7)), "has a trait d that lies in the last week"),
    (lambda: ~trait("d").before_last(days(7)), "has no trait d that lies 1 week ago or earlier"),
    (lambda: trait("d").within_next(days(1)), "has a trait d that lies in the next day"),
    (lambda: trait("d").after_next(days(7)), "has a trait d that lies more than 1 week ahead"),
    (
        lambda: trait("b").recurs_within(days=7, tz="UTC"),
        "has a trait b whose day of the year comes again within 7 days (UTC)",
    ),
    (lambda: ~trait("b").recurs_today(tz="UTC"), "has no trait b whose day of the year is today (UTC)"),
    (
        lambda: trait("s").held("x", for_at_least=weeks(1)),
        "has had a trait s that is “x” without a break for at least 1 week",
    ),
    (
        lambda: ~trait("s").held("x", for_less_than=weeks(1)),
        "has not had a trait s that is “x” without a break for less than 1 week",
    ),
    (lambda: in_audience("vips"), "is in the audience vips"),
    (lambda: ~Audience("vips", ORDERS), "is not in the audience vips"),
    (lambda: sample(0.1, split="spring"), "is in the part from 0% to 10% of the split spring"),
    (lambda: ~identified_by("user_id", "email"), "has no identifier of type email or user_id"),
    (lambda: consented("advertising"), "has consented to advertising"),
    (lambda: top(10, by=ORDERS.sum("v")), "is among the top 10 by the sum of v over “Order Completed”"),
    (
        lambda: ~top(share=0.1, by=ORDERS.within(days(30)).count()),
        "is not among the top 10% by the count of “Order Completed” in the last 30 days",
    ),
    (
        lambda: query("select profile_id from profiles"),
        "is among those that the query “SELECT profile_id FROM profiles” returns",
    ),
    (
        lambda: ~(query_value("select profile_id, 1 as value from profiles") >= 5),
        "has no value of the query “SELECT profile_id, 1 AS value FROM profiles” that is at least 5",
    ),
    (
        lambda: in_account((trait("plan") == "pro") & SEEN),
        "belongs to an account that (has a trait plan that is “pro”, and did “Seen”)",
    ),
    (lambda: ~in_account(SEEN), "belongs to no account that did “Seen”"),
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
    (lambda: none_of(ORDERS, SEEN), "did not do “Order Completed”, and did not do “Seen”"),
    (
        lambda: ORDERS & SEEN.followed_by(ORDERS),
        "did “Order Completed”, and (did “Seen”, then “Order Completed”)",
    ),
    (lambda: ORDERS | everyone(), "either did “Order Completed”, or exists"),
    (lambda: ORDERS | nobody(), "did “Order Completed”"),
]


@pytest.mark.parametrize(
    ("write", "sentence"), SENTENCES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_rule_is_said_in_one_sentence(write: Callable[[], Combinable], sentence: str) -> None:
    """And its opposite's opposite in the same one."""
    assert explain(Audience("x", write())) == f"Everyone who {sentence}."
    assert explain((~~write()).as_node()) == f"Everyone who {sentence}."


@pytest.mark.parametrize("write", [write for write, _ in SENTENCES], ids=[text for _, text in SENTENCES])
def test_a_rule_and_its_opposite_are_said_differently(write: Callable[[], Combinable]) -> None:
    """Nobody signs off the reverse of what is meant."""
    assert explain(write().as_node()) != explain((~write()).as_node())


ACCOUNTS: list[tuple[Callable[[], Combinable], str, str]] = [
    (
        lambda: trait("tier") == "business",
        "has a trait tier that is “business”",
        "has no trait tier that is “business”",
    ),
    (lambda: account.any_user(SEEN), "has a profile that did “Seen”", "has no profile that did “Seen”"),
    (lambda: account.no_user(SEEN), "has no profile that did “Seen”", "has a profile that did “Seen”"),
    (
        lambda: account.all_users(SEEN & (trait("a") == 1)),
        "has profiles each of which (did “Seen”, and has a trait a that is 1)",
        "does not have profiles each of which (did “Seen”, and has a trait a that is 1)",
    ),
    (
        lambda: account.at_least(3, SEEN),
        "has at least 3 profiles each of which did “Seen”",
        "has fewer than 3 profiles each of which did “Seen”",
    ),
]


@pytest.mark.parametrize(("write", "yes", "no"), ACCOUNTS)
def test_a_rule_about_accounts_is_said_of_accounts(
    write: Callable[[], Combinable], yes: str, no: str
) -> None:
    """An audience knows what it is made of; a rule as data is told."""
    assert explain(Audience("x", write(), of="account")) == f"Every account that {yes}."
    assert explain((~write()).as_node(), "account") == f"Every account that {no}."


def test_everybody_and_nobody_have_no_condition() -> None:
    """Nothing to add to the word."""
    assert explain(Audience("x", everyone())) == explain((~nobody()).as_node()) == "Everyone."
    assert explain(Audience("x", nobody())) == explain((~everyone()).as_node()) == "Nobody."
    assert explain(Audience("x", everyone(), of="account")) == "Every account."
    assert explain(Audience("x", nobody(), of="account")) == "No account."


BRIEF: list[tuple[Callable[[], Combinable], str]] = [
    (lambda: trait("plan") == "free", "trait plan is “free”"),
    (lambda: trait("plan").is_in(["a", "b"]), "trait plan is one of “a” or “b”"),
    (lambda: trait("n").as_number() > 5, "trait n is above 5 (numeric texts read as numbers)"),
    (lambda: trait("tags").every() == "a", "every element of trait tags is “a”"),
    (lambda: trait("plan").exists(), "trait plan has a value"),
    (lambda: trait("d").within_next(days(3)), "trait d lies in the next 3 days"),
    (lambda: ORDERS.within(days(7)) >= 3, "did “Order Completed” at least 3 times in the last week"),
    (lambda: consented("advertising"), "has consented to advertising"),
]


@pytest.mark.parametrize(("write", "words"), BRIEF, ids=[words for _, words in BRIEF])
def test_one_condition_is_said_briefly(write: Callable[[], Combinable], words: str) -> None:
    """For a list of conditions that are true or false of one person."""
    assert explain_condition(write().as_node()) == words


def test_a_figure_has_a_name() -> None:
    """For computed traits, and for what people are ranked by."""
    assert [
        figure(each.measure)
        for each in (
            SEEN.within(days(7)).count(),
            SEEN.active_days(tz="UTC"),
            SEEN.distinct("hat"),
            SEEN.percentile("v", 0.01),
            SEEN.first("hat"),
            SEEN.most_frequent("hat", at_least=2),
            SEEN.unique("hat"),
            did_anything().days_since_last(),
        )
    ] == [
        "the count of “Seen” in the last week",
        "the number of days (UTC) with “Seen”",
        "the number of different values of hat over “Seen”",
        "the 1st percentile of v over “Seen”",
        "the first hat over “Seen”",
        "the most frequent hat, if it came up at least 2 times, over “Seen”",
        "the different values of hat over “Seen”",
        "the whole days since the last event",
    ]


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda: seconds(1), "1 second"),
        (lambda: seconds(3_601), "3,601 seconds"),
        (lambda: hours(48), "2 days"),
        (lambda: days(14), "2 weeks"),
    ],
)
def test_a_length_of_time_is_said_in_the_largest_unit(write: Callable[[], object], words: str) -> None:
    """Without a remainder."""
    assert explain_duration(write()) == words  # type: ignore[arg-type]
