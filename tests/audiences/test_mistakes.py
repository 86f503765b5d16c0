"""What can't be meant is an error with file and line, before anything is computed."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime

import pytest

from audiences import (
    Audience,
    ComputedTrait,
    RuleError,
    account,
    all_of,
    any_of,
    consented,
    days,
    did,
    did_anything,
    did_prefix,
    exclusion,
    funnel,
    hours,
    identified_by,
    in_account,
    in_audience,
    minutes,
    priority_list,
    prop,
    query,
    query_value,
    sample,
    seconds,
    sequence,
    split,
    step,
    top,
    trait,
    weeks,
)

ORDERS = did("Order Completed")
A, B = did("A"), did("B")
BUSINESS = Audience("business", trait("tier") == "business", of="account")
PEOPLE = Audience("people", trait("age") >= 18)

# fmt: off
MISTAKES: list[tuple[Callable[[], object], str]] = [
    # Python's operators
    (lambda: ORDERS and trait("a") == 1, "&"),
    (lambda: not ORDERS, "~"),
    (lambda: 1 < trait("a") < 5, "two comparisons"),
    (lambda: trait("a") == 1 & trait("b") == 2, "parentheses"),  # type: ignore[operator]
    (lambda: (trait("a") == 1) & trait("b"), "not a rule until it is compared"),
    (lambda: (trait("a") == 1) & "b", "parentheses"),
    (lambda: bool(A.followed_by(B)), "~"),
    (lambda: all_of([ORDERS]), "A list is not a rule"),
    (lambda: all_of(A == B), "compared with a value"),
    # values
    (lambda: trait("a") == None, "exists"),  # noqa: E711
    (lambda: trait("a") == [1], "text, number"),
    (lambda: trait("a") < True, "true and false have no order"),
    (lambda: trait("a").every() >= True, "true and false have no order"),
    (lambda: trait("a") == float("inf"), "no number"),
    (lambda: trait("a") == datetime(2026, 1, 1), "time zone"),
    (lambda: trait("a") == 2**60, "texts"),
    (lambda: trait("a") == "\0", "NUL"),
    (lambda: trait("a") == trait("b"), "not with another rule or field"),
    (lambda: trait(""), "no name or key is empty"),
    (lambda: trait("a..b"), "no name or key is empty"),
    (lambda: trait("a").contains(5), "text"),  # type: ignore[arg-type]
    (lambda: trait("a").contains(""), "not empty"),
    (lambda: trait("a").contains([]), "at least one"),
    (lambda: trait("a").every().contains(["x", "y"]), "one text"),
    (lambda: trait("a").is_in([]), "at least one"),
    (lambda: trait("a").is_in("abc"), "list"),
    (lambda: trait("a").between(5, 1), "smaller value first"),
    (lambda: trait("a").between(1, "x"), "one kind"),
    (lambda: trait("a").between(True, False), "no order"),
    (lambda: trait("a").every().every(), "leave every() out"),
    (lambda: trait("a").every().exists(), "leave every() out"),
    (lambda: trait("a").every().includes_all(["x"]), "leave every() out"),
    (lambda: trait("a").includes_all([]), "at least one"),
    (lambda: trait("a").as_number() == "5", "as_number"),
    (lambda: trait("a").folded() == 5, "folded"),
    (lambda: trait("a").folded().as_number(), "one way only"),
    (lambda: trait("a").folded().matches("x"), "can't follow folded"),
    (lambda: trait("a").matches("a.*?"), "lazy"),
    (lambda: trait("a").as_number().matches("a"), "as_number"),
    (lambda: trait("a").matches(5), "pattern as a text"),  # type: ignore[arg-type]
    (lambda: trait("a").within_last(7), "days(7)"),  # type: ignore[arg-type]
    (lambda: trait("a").folded().within_last(days(7)), "reads a date"),
    (lambda: prop("a").within_last(days(7)), "looks at traits"),
    (lambda: prop("a").held("x", for_at_least=days(1)), "looks at traits"),
    (lambda: trait("a").held("x"), "for_at_least"),
    (lambda: trait("a").held("x", for_at_least=days(1), for_less_than=days(1)), "one length"),
    (lambda: trait("a").recurs_within(days=days(7), tz="UTC"), "days of the calendar"),  # type: ignore[arg-type]
    (lambda: trait("a").recurs_within(days=0, tz="UTC"), "from 1 to 365"),
    (lambda: trait("a").recurs_today(), "tz='Europe/Berlin'"),
    # events and windows
    (lambda: did(""), "not empty"),
    (lambda: did(), "name"),  # noqa: PLW0108
    (lambda: did("A", 5), "text"),  # type: ignore[arg-type]
    (lambda: did("A", window=3), "did"),
    (lambda: did_prefix(""), "not empty"),
    (lambda: did("A") >= 1.5, "whole number"),
    (lambda: did("A") >= -1, "whole number"),
    (lambda: did("A") >= "1", "with a number"),
    (lambda: did("A").count().exists(), "always has a value"),
    (lambda: did("A").count_between(5, 2), "smaller value first"),
    (lambda: did("A").within(30), "days"),  # type: ignore[arg-type]
    (lambda: did("A").within(days(1), bounds="[["), "bounds"),  # type: ignore[arg-type]
    (lambda: did("A").within(days(1)).within(days(2)), "window"),
    (lambda: did("A").between(days(1), days(1)), "empty window"),
    (lambda: did("A").between(2, 5), "count_between"),  # type: ignore[arg-type]
    (lambda: did("A").between(date(2026, 2, 1), date(2026, 1, 1)), "earlier date first"),
    (lambda: did("A").before("2026-01-01"), "duration or a date"),  # type: ignore[arg-type]
    (lambda: did("A").since(days(30)), "within(days(30))"),  # type: ignore[arg-type]
    (lambda: did("A").this("month"), "tz='Europe/Berlin'"),
    (lambda: did("A").this("month", tz="Europe/Berln"), "Did you mean 'Europe/Berlin'"),
    (lambda: did("A").this("month", tz="localtime"), "no time zone"),
    (lambda: did("A").this("mont", tz="UTC"), "Did you mean 'month'"),  # type: ignore[arg-type]
    (lambda: did("A").this("day", and_last=-1, tz="UTC"), "and_last"),
    (lambda: did("A").last_full(0, "day", tz="UTC"), "from 1"),
    (lambda: did("A").where(), "needs a condition"),
    (lambda: did("A").where(trait("a") == 1), "prop"),
    (lambda: did("A").where(did("B")), "prop"),
    (lambda: did("A").where((prop("a") == 1) | did("B")), "prop"),
    (lambda: did("A").latest(trait("a") == 1), "prop"),
    (lambda: did("A").first_time(), "needs one"),
    (lambda: did("A").stopped(was=days(1), quiet=days(2)), "quiet must be shorter"),
    (lambda: did("A").within(days(1)).stopped(was=days(2), quiet=days(1)), "leave the window out"),
    (lambda: did("A").restarted(was=days(1), quiet=days(1)), "quiet must be shorter"),
    (lambda: did("A").regularly(at_least=4, of=3, period=days(1)), "not more than of"),
    (lambda: did("A").regularly(at_least=1, of=3, period=days(1), times=0), "from 1"),
    (lambda: did("A").regularly(at_least=1, of=3, period=3), "days(7)"),  # type: ignore[arg-type]
    (lambda: days(0), "above 0"),
    (lambda: seconds(-1), "above 0"),
    (lambda: hours(True), "whole number"),
    (lambda: days(1.5), "whole number"),  # type: ignore[arg-type]
    (lambda: weeks(6_000), "100 years"),
    (lambda: minutes(10**9), "100 years"),
    # figures
    (lambda: did("A").sum("v") >= "5", "number"),
    (lambda: did("A").sum("v") >= 1e-10, "nine digits"),
    (lambda: did("A").sum(""), "no name or key is empty"),
    (lambda: did("A").sum("v", numeric_texts="yes"), "True or False"),  # type: ignore[arg-type]
    (lambda: did("A").sum("v").contains("x"), "this is a number"),
    (lambda: did("A").sum("v").every(), "one value"),
    (lambda: did("A").sum("v"). includes_all([1]), "one value"),
    (lambda: did("A").distinct("v") == 1.5, "whole number"),
    (lambda: did("A").active_days() >= 1, "tz='Europe/Berlin'"),
    (lambda: did("A").days_since_last() >= 1.5, "whole number"),
    (lambda: did("A").percentile("v", 90), "such as 0.9"),
    (lambda: did("A").most_frequent("v", at_least=0), "from 1"),
    (lambda: did("A").most_frequent("v").every(), "one value"),
    (lambda: Audience("x", did("A").sum("v")), "not a rule until it is compared"),  # type: ignore[arg-type]
    # sequences
    (lambda: A.followed_by("B"), "takes events"),  # type: ignore[arg-type]
    (lambda: A.followed_by(A.followed_by(B)), "not a sequence"),  # type: ignore[arg-type]
    (lambda: A.followed_by(B, within=7), "days(7)"),  # type: ignore[arg-type]
    (lambda: A.followed_by(B, after=days(2), within=days(1)), "longer than within="),
    (lambda: A.followed_by(B, same="p").followed_by(A), "same one at each step"),
    (lambda: A.followed_by(B).followed_by(A, same="p"), "same one at each step"),
    (lambda: A.followed_by(B, same=[]), "names no property"),
    (lambda: A.followed_by(B, without=exclusion(A, after=1)), "without=[…]"),
    (lambda: A.repeated(1, within=days(1)), "from 2"),
    (lambda: A.repeated(3, within=None), "days(7)"),  # type: ignore[arg-type]
    (lambda: A.repeated(21, within=days(1)), "from 2 to 20"),
    (lambda: sequence(), "takes its steps"),  # noqa: PLW0108
    (lambda: sequence(*[A] * 21), "at most 20 steps"),
    (lambda: sequence(step(A, within=days(1)), B), "first step"),
    (lambda: sequence(A, step(B, within=days(1)), any_order=True), "no order"),
    (lambda: sequence(A, B, any_order=True, without=A), "no in-between"),
    (lambda: sequence(A, B, ties="free"), "'strict' or 'loose'"),  # type: ignore[arg-type]
    (lambda: sequence(A, B, adjacent=1), "True or False"),  # type: ignore[arg-type]
    (lambda: sequence(A, without=B), "exclusion(…, after=1)"),
    (lambda: sequence(A, B, without=exclusion(A, before=3)), "names step 3"),
    (lambda: sequence(A, step(B, after=days(2)), within=days(1)), "later than within="),
    (lambda: step(A, since="start"), "'previous' or 'first'"),  # type: ignore[arg-type]
    (lambda: step(A, within_events=0), "from 1"),
    (lambda: exclusion(A), "~did"),
    (lambda: exclusion(A, after=2, before=2), "earlier step"),
    (lambda: exclusion(A, after=1, before=2, within=days(1)), "after= alone"),
    (lambda: exclusion(A, before=0), "from 1"),
    (lambda: funnel(A), "two steps or more"),
    (lambda: funnel(A, B).reached(3), "from 1 to 2"),
    (lambda: funnel(A, B).dropped_after(2), "from 1 to 1"),
    (lambda: funnel(A, B) & A, "until you ask .reached(2)"),
    (lambda: Audience("x", funnel(A, B)), "until you ask .reached(2)"),  # type: ignore[arg-type]
    (lambda: Audience("x", step(A)), "a rule starts with"),  # type: ignore[arg-type]
    # combining
    (lambda: any_of(), "at least one rule"),  # noqa: PLW0108
    (lambda: in_audience("VIPs"), "lower-case"),
    (lambda: sample(0, split="s"), "above 0"),
    (lambda: sample(0.1, split=""), "not empty"),
    (lambda: split("s", a=50, b=40), "90.0 in all"),
    (lambda: split("s", a=100), "two parts"),
    (lambda: split("s", a=0, b=100), "above 0"),
    (lambda: split("s", name=50, parts=50), "can't be named"),
    (lambda: top(10, by=A), "figure that is a number"),  # type: ignore[arg-type]
    (lambda: top(10, by=A.first("v")), "figure that is a number"),
    (lambda: top(by=A.count()), "a share of them"),
    (lambda: top(10, share=0.1, by=A.count()), "a share of them"),
    (lambda: top(0, by=A.count()), "from 1"),
    (lambda: top(share=10, by=A.count()), "such as 0.1"),
    (lambda: identified_by(), "takes types"),  # noqa: PLW0108
    (lambda: consented(""), "not empty"),
    (lambda: query("DROP TABLE profiles"), "only reads"),
    (lambda: query("SELECT user_id FROM profiles"), "exactly profile_id"),
    (lambda: query_value("SELECT profile_id FROM profiles"), "profile_id, value"),
    (lambda: query(5), "text"),  # type: ignore[arg-type]
    (lambda: priority_list(PEOPLE), "two audiences or more"),
    (lambda: priority_list(PEOPLE, PEOPLE), "an audience twice"),
    (lambda: priority_list(PEOPLE, BUSINESS), "is not"),
    # audiences
    (lambda: Audience("x"), "at least one rule"),
    (lambda: Audience("X", ORDERS), "lower-case"),
    (lambda: Audience("x y", ORDERS), "lower-case"),
    (lambda: Audience("profile_id", ORDERS), "profile_id"),
    (lambda: Audience("x", prop("a") == 1), "outside of an event"),
    (lambda: Audience("x", trait("a")), "not a rule until it is compared"),  # type: ignore[arg-type]
    (lambda: Audience("x", ORDERS, desciption="…"), "Did you mean 'description'"),
    (lambda: Audience("x", ORDERS, every=6), "hours"),  # type: ignore[arg-type]
    (lambda: Audience("x", ORDERS, sync="meta"), "list of destinations"),  # type: ignore[arg-type]
    (lambda: Audience("x", ORDERS, sync=["meta"]), "no destination"),  # type: ignore[list-item]
    (lambda: Audience("x", ORDERS, of="company"), "'profile' or 'account'"),  # type: ignore[arg-type]
    # accounts
    (lambda: Audience("x", account.any_user(ORDERS)), "in_account(account.any_user(…))"),
    (lambda: Audience("x", BUSINESS), "in_account(audience)"),
    (lambda: Audience("x", in_account(PEOPLE)), "account.any_user(audience)"),
    (lambda: Audience("x", PEOPLE, of="account"), "account.any_user(audience)"),
    (lambda: Audience("x", account.any_user(BUSINESS), of="account"), "in_account(audience)"),
    (lambda: Audience("x", in_account(ORDERS), of="account"), "in_account(…) asks about a profile"),
    (lambda: Audience("x", identified_by("email"), of="account"), "identified_by(…) asks about a profile"),
    (lambda: Audience("x", consented("ads"), of="account"), "consented(…) asks about a profile"),
    (lambda: Audience("x", ~sample(0.1, split="s"), of="account"), "sample(…)"),
    (lambda: Audience("x", top(1, by=A.count()), of="account"), "top(…) asks about a profile"),
    (lambda: Audience("x", trait("a").held(1, for_at_least=days(1)), of="account"), "held(…)"),
    (lambda: in_account(query("SELECT profile_id FROM profiles")), "query(…) asks about a profile"),
    (lambda: in_account(query_value("SELECT profile_id, 1 AS value FROM profiles") > 1), "query_value(…)"),
    (lambda: in_account(prop("a") == 1), "outside of an event"),
    (lambda: account.at_least(0, ORDERS), "from 1"),
    (lambda: account.any_user(account), "a rule about profiles"),  # type: ignore[arg-type]
    (lambda: Audience("x", account, of="account"), "is not a rule"),  # type: ignore[arg-type]
    (lambda: account.any_user(account.any_user(ORDERS)), "is about profiles"),
    # computed traits
    (lambda: ComputedTrait("X", ORDERS.count()), "key of a computed trait"),
    (lambda: ComputedTrait("x", ORDERS), "takes a figure"),  # type: ignore[arg-type]
    (lambda: ComputedTrait("x", ORDERS.count() >= 1), "takes a figure"),  # type: ignore[arg-type]
    (lambda: ComputedTrait("x", trait("a")), "takes a figure"),  # type: ignore[arg-type]
    (lambda: ComputedTrait("x", ORDERS.unique("v").every()), "takes a figure"),
    (lambda: ComputedTrait("x", ORDERS.count(), description=5), "is a text"),  # type: ignore[arg-type]
    (lambda: ComputedTrait("x", ORDERS.count()) >= "5", "with a number"),
    (lambda: did_anything().sum("v").between(1, "x"), "with a number"),
]
# fmt: on


@pytest.mark.parametrize(("write", "says"), MISTAKES, ids=[str(number) for number in range(len(MISTAKES))])
def test_a_mistake_is_an_error_with_its_place_and_the_way_out(write: Callable[[], object], says: str) -> None:
    """At the line of the definition, before anything is computed."""
    with pytest.raises(RuleError, match=re.escape(says)) as caught:
        write()
    line = write.__code__.co_firstlineno
    assert str(caught.value).startswith(f"{__file__}:{line}: ")


def test_an_audience_of_accounts_is_sent_nowhere() -> None:
    """Destinations take people; the error names the way to them."""

    class Destination:
        name = "meta:act_1"
        purpose = "advertising"

    with pytest.raises(RuleError, match=r"in_account\(in_audience\('x'\)\)"):
        Audience("x", ORDERS, of="account", sync=[Destination()])
