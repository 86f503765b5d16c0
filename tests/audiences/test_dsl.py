"""Writing rules: every form builds one node, which is data."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pytest

import audiences
from audiences import (
    Audience,
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
    in_audience,
    minutes,
    nobody,
    none_of,
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
from audiences.dsl import EventsHandle
from audiences.fields import FieldHandle
from audiences.handles import Combinable
from audiences.meaning import canonical_json
from audiences.rules import (
    ActiveDays,
    Aggregate,
    AllOf,
    AnyOf,
    Compare,
    Consented,
    Count,
    Distinct,
    Events,
    Exclusion,
    Exists,
    FirstTime,
    Held,
    Identified,
    InAudience,
    InQuery,
    Latest,
    MostFrequent,
    Named,
    Node,
    Not,
    OneOf,
    Pick,
    Prefixed,
    Property,
    Quantile,
    QueryValue,
    Recency,
    Recurs,
    Regularly,
    Relative,
    Sampled,
    Sequence,
    Step,
    Top,
    Trait,
    UniqueList,
)
from audiences.terms import Ago, Calendar, Dates, Duration, Flag, Instant, Last, Number, Text, Window
from identity.errors import AudienceEngineError

DAY = Duration(86_400)
WEEK = Duration(7 * 86_400)
A, B, C, X = (Events(Named((name,))) for name in "ABCX")
PLAN = Trait(("plan",))


def within(window: Window, events: Events = A) -> Events:
    return Events(events.selection, window)


def at_least_once(events: Events) -> Node:
    return Compare(Count(events), ">=", Number(1.0))


def at(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day, tzinfo=UTC)


a, b, c, x = did("A"), did("B"), did("C"), did("X")

EVENTS: list[tuple[Callable[[], Combinable], Node]] = [
    (lambda: a, at_least_once(A)),
    (lambda: did("B", "A", "B"), at_least_once(Events(Named(("A", "B"))))),
    (lambda: did_prefix("Cart "), at_least_once(Events(Prefixed("Cart ")))),
    (did_anything, at_least_once(Events(Prefixed("")))),
    (lambda: a >= 3, Compare(Count(A), ">=", Number(3.0))),
    (lambda: a.count() == 0, Compare(Count(A), "==", Number(0.0))),
    (lambda: a != 2, Not(Compare(Count(A), "==", Number(2.0)))),
    (lambda: a.at_least(2), Compare(Count(A), ">=", Number(2.0))),
    (lambda: a.at_most(2), Compare(Count(A), "<=", Number(2.0))),
    (lambda: a.exactly(2), Compare(Count(A), "==", Number(2.0))),
    (
        lambda: a.count_between(2, 5),
        AllOf((Compare(Count(A), ">=", Number(2.0)), Compare(Count(A), "<=", Number(5.0)))),
    ),
    (
        lambda: a.where(prop("n") > 5).where(~prop("m").exists()),
        at_least_once(
            Events(
                Named(("A",)),
                None,
                AllOf((Compare(Property(("n",)), ">", Number(5.0)), Not(Exists(Property(("m",)))))),
            )
        ),
    ),
    (
        lambda: a.latest(prop("g") == "x"),
        Latest(A, Compare(Property(("g",)), "==", Text("x"))),
    ),
    (lambda: a.within(days(7)).first_time(), FirstTime(within(Last(WEEK)))),
    (
        lambda: a.stopped(was=weeks(2), quiet=weeks(1)),
        AllOf(
            (
                at_least_once(within(Ago(Duration(2 * WEEK.seconds), WEEK))),
                Compare(Count(within(Last(WEEK))), "==", Number(0.0)),
            )
        ),
    ),
    (
        lambda: a.restarted(was=weeks(1), quiet=days(1)),
        AllOf(
            (
                at_least_once(within(Ago(None, WEEK))),
                Compare(Count(within(Ago(WEEK, DAY))), "==", Number(0.0)),
                at_least_once(within(Last(DAY))),
            )
        ),
    ),
    (
        lambda: a.regularly(at_least=2, of=3, period=days(7), times=4),
        Regularly(A, ">=", 4, WEEK, 2, 3),
    ),
]

WINDOWS: list[tuple[Callable[[], Combinable], Events]] = [
    (lambda: a.within(seconds(90)), within(Last(Duration(90)))),
    (lambda: a.within(minutes(2)), within(Last(Duration(120)))),
    (lambda: a.within(hours(1), bounds="[]"), within(Last(Duration(3_600), "[]"))),
    (lambda: a.between(days(1), days(7)), within(Ago(WEEK, DAY))),
    (lambda: a.before(days(7)), within(Ago(None, WEEK))),
    (lambda: a.between(date(2026, 1, 1), date(2026, 2, 1)), within(Dates(at(2026, 1, 1), at(2026, 2, 1)))),
    (lambda: a.since(date(2026, 1, 1)), within(Dates(at(2026, 1, 1), None))),
    (
        lambda: a.before(datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))),
        within(Dates(None, at(2026, 1, 1))),
    ),
    (lambda: a.this("month", tz="Europe/Berlin"), within(Calendar("month", 0, True, "Europe/Berlin"))),
    (lambda: a.this("day", and_last=7, tz="UTC"), within(Calendar("day", 7, True, "UTC"))),
    (lambda: a.last_full(3, "quarter", tz="UTC"), within(Calendar("quarter", 3, False, "UTC"))),
    (lambda: a.received().within(days(1)), Events(A.selection, Last(DAY), None, "received")),
]

FIGURES: list[tuple[Callable[[], Combinable], Node]] = [
    (lambda: a.sum("v") >= 5, Compare(Aggregate(A, "sum", ("v",)), ">=", Number(5.0))),
    (lambda: a.avg("v.w") < 5, Compare(Aggregate(A, "avg", ("v", "w")), "<", Number(5.0))),
    (
        lambda: a.min(["v.w"], numeric_texts=True) == 5,
        Compare(Aggregate(A, "min", ("v.w",), "number"), "==", Number(5.0)),
    ),
    (lambda: a.max("v").exists(), Exists(Aggregate(A, "max", ("v",)))),
    (lambda: a.median("v") > 5, Compare(Quantile(A, ("v",), 0.5), ">", Number(5.0))),
    (lambda: a.percentile("v", 0.9) > 5, Compare(Quantile(A, ("v",), 0.9), ">", Number(5.0))),
    (lambda: a.distinct("v") >= 3, Compare(Distinct(A, ("v",)), ">=", Number(3.0))),
    (lambda: a.active_days(tz="UTC") >= 3, Compare(ActiveDays(A, "UTC"), ">=", Number(3.0))),
    (lambda: a.days_since_last() >= 30, Compare(Recency(A), ">=", Number(30.0))),
    (lambda: a.first("v") == "x", Compare(Pick(A, "first", ("v",)), "==", Text("x"))),
    (
        lambda: a.last("v").is_in(["x", 1, True]),
        OneOf(Pick(A, "last", ("v",)), (Text("x"), Number(1.0), Flag(True))),
    ),
    (
        lambda: a.most_frequent("v", at_least=2) == "x",
        Compare(MostFrequent(A, ("v",), 2), "==", Text("x")),
    ),
    (
        lambda: a.unique("v").every().starts_with("x"),
        Compare(UniqueList(A, ("v",)), "starts_with", Text("x"), every=True),
    ),
]

SEQUENCES: list[tuple[Callable[[], Combinable], Node]] = [
    (
        lambda: a.followed_by(b, within=days(7), after=days(1)).followed_by(c),
        Sequence((Step(A), Step(B, WEEK, DAY), Step(C))),
    ),
    (
        lambda: a.followed_by(b, same="p").followed_by(c, same="p", without=[x, a]),
        Sequence(
            (Step(A), Step(B), Step(C)),
            (Exclusion(X, 1, 2), Exclusion(A, 1, 2)),
            (("p",),),
        ),
    ),
    (
        lambda: a.not_followed_by(b, within=days(1)),
        Sequence((Step(A),), (Exclusion(B, 0, None, DAY),)),
    ),
    (
        lambda: a.not_followed_by(b, same=["p.q", ["r.s"]]),
        Sequence((Step(A),), (Exclusion(B, 0, None),), (("p", "q"), ("r.s",))),
    ),
    (
        lambda: a.followed_by(b).not_followed_by(c),
        Sequence((Step(A), Step(B)), (Exclusion(C, 1, None),)),
    ),
    (lambda: a.repeated(3, within=days(7)), Sequence((Step(A),) * 3, within=WEEK, ties="loose")),
    (
        lambda: sequence(a, step(b, within_events=2), ties="loose", adjacent=True, within=days(7), same="p"),
        Sequence((Step(A), Step(B, within_events=2)), (), (("p",),), WEEK, "loose", True),
    ),
    (
        lambda: sequence(a, b, c, any_order=True),
        Sequence((Step(A), Step(B), Step(C)), any_order=True),
    ),
    (
        lambda: sequence(a, step(b, after=days(1), within=days(7), since="first", without=x)),
        Sequence((Step(A), Step(B, WEEK, DAY, "first")), (Exclusion(X, 0, 1),)),
    ),
    (
        lambda: sequence(a, b, c, without=[x, exclusion(a, after=2, before=3)]),
        Sequence((Step(A), Step(B), Step(C)), (Exclusion(X, 0, 2), Exclusion(A, 1, 2))),
    ),
    (
        lambda: sequence(a, b, without=[exclusion(x, before=1), exclusion(x, after=2, within=days(1))]),
        Sequence((Step(A), Step(B)), (Exclusion(X, None, 0), Exclusion(X, 1, None, DAY))),
    ),
    (lambda: funnel(a, b, c).reached(1), at_least_once(A)),
    (lambda: funnel(a, b, c, within=days(7)).reached(2), Sequence((Step(A), Step(B)), within=WEEK)),
    (
        lambda: funnel(a, b, c, same="p").dropped_after(1),
        AllOf(
            (Sequence((Step(A),), same=(("p",),)), Not(Sequence((Step(A), Step(B)), same=(("p",),)))),
        ),
    ),
]

TRAITS: list[tuple[Callable[[], Combinable], Node]] = [
    (lambda: trait("plan") == "plus", Compare(PLAN, "==", Text("plus"))),
    (lambda: trait("plan") != "plus", Not(Compare(PLAN, "==", Text("plus")))),
    (lambda: trait("plan") == True, Compare(PLAN, "==", Flag(True))),  # noqa: E712
    (lambda: trait("a.b") >= -0.0, Compare(Trait(("a", "b")), ">=", Number(0.0))),
    (lambda: trait("plan") < date(2026, 1, 1), Compare(PLAN, "<", Instant(at(2026, 1, 1)))),
    (
        lambda: trait("plan").between(1, 2),
        AllOf((Compare(PLAN, ">=", Number(1.0)), Compare(PLAN, "<=", Number(2.0)))),
    ),
    (lambda: trait("plan").contains("x"), Compare(PLAN, "contains", Text("x"))),
    (
        lambda: trait("plan").contains(["x", "y"]),
        AnyOf((Compare(PLAN, "contains", Text("x")), Compare(PLAN, "contains", Text("y")))),
    ),
    (lambda: trait("plan").ends_with("x"), Compare(PLAN, "ends_with", Text("x"))),
    (lambda: trait("plan").matches("(a|b).$"), Compare(PLAN, "matches", Text(r"(?:a|b)[^\n]$"))),
    (lambda: trait("plan").every() > 5, Compare(PLAN, ">", Number(5.0), every=True)),
    (lambda: trait("plan").every().is_in([5]), OneOf(PLAN, (Number(5.0),), every=True)),
    (
        lambda: trait("plan").includes_all(["x", "y"]),
        AllOf((Compare(PLAN, "==", Text("x")), Compare(PLAN, "==", Text("y")))),
    ),
    (
        lambda: trait("plan").excludes_all(["x", "y"]),
        AllOf((Exists(PLAN), Not(OneOf(PLAN, (Text("x"), Text("y")))))),
    ),
    (lambda: trait("plan").as_number() >= 5, Compare(Trait(("plan",), "number"), ">=", Number(5.0))),
    (lambda: trait("plan").folded() == "José", Compare(Trait(("plan",), "folded"), "==", Text("José"))),
    (lambda: trait("plan").folded().exists(), Exists(PLAN)),
    (lambda: trait("plan").within_last(days(7)), Relative(PLAN, "within_last", WEEK)),
    (lambda: trait("plan").before_last(days(7)), Relative(PLAN, "before_last", WEEK)),
    (lambda: trait("plan").within_next(days(7)), Relative(PLAN, "within_next", WEEK)),
    (lambda: trait("plan").after_next(days(7)), Relative(PLAN, "after_next", WEEK)),
    (lambda: trait("plan").recurs_within(days=7, tz="UTC"), Recurs(PLAN, 7, "UTC")),
    (lambda: trait("plan").recurs_today(tz="UTC"), Recurs(PLAN, 0, "UTC")),
    (lambda: trait("plan").held("x", for_at_least=days(7)), Held(PLAN, Text("x"), ">=", WEEK)),
    (lambda: trait("plan").held(5, for_less_than=days(7)), Held(PLAN, Number(5.0), "<", WEEK)),
]

COMBINED: list[tuple[Callable[[], Combinable], Node]] = [
    (lambda: a & b & c, AllOf((at_least_once(A), at_least_once(B), at_least_once(C)))),
    (lambda: a | b, AnyOf((at_least_once(A), at_least_once(B)))),
    (lambda: ~a, Not(at_least_once(A))),
    (lambda: all_of(a, b), AllOf((at_least_once(A), at_least_once(B)))),
    (lambda: any_of(a), at_least_once(A)),
    (lambda: none_of(a, b), Not(AnyOf((at_least_once(A), at_least_once(B))))),
    (everyone, AllOf(())),
    (nobody, AnyOf(())),
    (lambda: in_audience("vips"), InAudience("vips")),
    (lambda: Audience("vips", a), InAudience("vips")),
    (lambda: sample(0.1, split="spring"), Sampled("spring", 0.0, 0.1)),
    (lambda: split("s", a=33.3, b=33.3, c=33.3, holdout=0.1).holdout, Sampled("s", 0.999, 1.0)),
    (lambda: split("s", a=50, b=30, holdout=20).b, Sampled("s", 0.5, 0.8)),
    (lambda: top(10, by=a.sum("v")), Top(Aggregate(A, "sum", ("v",)), count=10)),
    (lambda: top(share=0.1, by=a.count()), Top(Count(A), share=0.1)),
    (lambda: identified_by("user_id", "email"), Identified(("email", "user_id"))),
    (lambda: consented("advertising"), Consented("advertising")),
    (
        lambda: query("select profile_id from profiles -- all"),
        InQuery("SELECT profile_id FROM profiles"),
    ),
    (
        lambda: query_value("select profile_id, 1 as value from profiles") >= 1,
        Compare(QueryValue("SELECT profile_id, 1 AS value FROM profiles"), ">=", Number(1.0)),
    ),
]


@pytest.mark.parametrize(
    ("write", "node"),
    [
        *EVENTS,
        *((write, at_least_once(events)) for write, events in WINDOWS),
        *FIGURES,
        *SEQUENCES,
        *TRAITS,
        *COMBINED,
    ],
    ids=lambda value: "" if callable(value) else type(value).__name__,
)
def test_what_is_written_builds_one_node(write: Callable[[], Combinable], node: Node) -> None:
    """Exactly this one; and it can be written down as JSON."""
    assert write().as_node() == node
    json.loads(canonical_json(node))


def test_the_house_example_can_be_written_as_it_stands() -> None:
    """Three audiences, two destinations, one of accounts."""
    space: dict[str, object] = {}
    exec(EXAMPLE, space)
    big_spenders = space["big_spenders"]
    assert isinstance(big_spenders, Audience)
    assert [each.name for each in big_spenders.sync] == ["meta:act_42", "google:1234567890"]
    abandoners, at_risk = space["cart_abandoners"], space["at_risk_accounts"]
    assert isinstance(abandoners, Audience)
    assert abandoners.rule == Sequence(
        (Step(Events(Named(("Checkout Started",)), Last(Duration(3 * 86_400)))),),
        (Exclusion(Events(Named(("Order Completed",))), 0, None, DAY),),
    )
    assert isinstance(at_risk, Audience)
    assert at_risk.of == "account"


EXAMPLE = """
from audiences import Audience, Project, account, any_of, days, did, hours, prop, trait
from exporters import google, meta
from identity import IdentityRules, email, phone, user_id

project = Project(
    warehouse="duckdb:///acme.duckdb",
    identity=IdentityRules(user_id(limit=1), email(limit=5), phone(limit=3), blocked=["test@example.com"]),
)

ads = [
    meta.custom_audience("act_42", match=["email", "phone"], purpose="advertising"),
    google.customer_match("1234567890", match=["email"], purpose="advertising"),
]
orders = did("Order Completed")

big_spenders = Audience(
    "big_spenders",
    orders.within(days(90)).where(prop("currency") == "EUR").sum("revenue") >= 500,
    trait("plan") != "free",
    ~did("Refund Requested").within(days(30)),
    description="Spent 500 EUR or more in 90 days, and asked for no refund in 30.",
    sync=ads,
    every=hours(6),
)
cart_abandoners = Audience("cart_abandoners",
    did("Checkout Started").within(days(3)).not_followed_by(orders, within=hours(24)),
    sync=ads, every=hours(1))
at_risk_accounts = Audience("at_risk_accounts",
    trait("tier") == "business", account.no_user(did("Signed In").within(days(14))), of="account")
"""


def test_rules_that_mean_the_same_have_one_fingerprint() -> None:
    """Order, repetition, nesting, double negation and wording do not matter; meaning does."""
    one = Audience("one", trait("a") == 1, trait("b") == 2, description="one")
    two = Audience("two", ~~(trait("b") == 2) & ((trait("a") == 1) & (trait("a") == 1)))
    assert one.fingerprint == two.fingerprint
    assert one.fingerprint != Audience("one", trait("a") == 1, trait("b") == 3).fingerprint
    assert Audience("x", did("A", "B")).fingerprint == Audience("x", did("B", "A")).fingerprint
    assert (
        Audience("x", trait("a") == 1).fingerprint != Audience("x", trait("a") == 1, of="account").fingerprint
    )


def test_a_handle_can_be_used_twice() -> None:
    """Adding a window, a condition or a step makes a new one."""
    base = did("A").where(prop("n") == 1)
    before = base.as_node()
    base.within(days(1))
    base.where(prop("m") == 2)
    chain = base.followed_by(b)
    chain.followed_by(c)
    assert base.as_node() == before
    assert chain.sequence.steps == (Step(base.events), Step(B))


def test_a_priority_list_keeps_keys_and_leaves_out_who_is_earlier() -> None:
    """The first stays as it is; the others know whom they are built on, and where they were written."""
    gold, silver = Audience("gold", a), Audience("silver", b, c, every=hours(1), description="second")
    first, second, third = priority_list(gold, silver, Audience("bronze", x))
    assert first is gold
    assert second.rule == AllOf((at_least_once(B), at_least_once(C), Not(InAudience("gold"))))
    assert (second.key, second.every, second.description) == ("silver", hours(1), "second")
    assert second.place == silver.place
    assert third.rule == AllOf((at_least_once(X), Not(InAudience("gold")), Not(InAudience("silver"))))
    assert third.based_on == (gold, second)


def test_a_split_names_its_parts() -> None:
    """They lie side by side and make up the whole."""
    parts = split("spring", a=50, b=30, holdout=20)
    nodes = [rule.as_node() for rule in parts.parts.values()]
    assert nodes == [
        Sampled("spring", 0.0, 0.5),
        Sampled("spring", 0.5, 0.8),
        Sampled("spring", 0.8, 1.0),
    ]
    with pytest.raises(AttributeError, match=r"no 'holdut'\. Did you mean 'holdout'"):
        parts.holdut  # noqa: B018


def test_every_way_to_write_a_rule_stands_on_the_page_of_rules() -> None:
    """Names and methods alike, so that the page is the reference."""
    text = (Path(audiences.__file__).parent.parent / "docs" / "rules.md").read_text(encoding="utf-8")
    for name in audiences.__all__:
        exported = getattr(audiences, name)
        if inspect.isclass(exported) and issubclass(exported, AudienceEngineError):
            continue
        assert name == "Project" or name in text, name
    for handle in (EventsHandle, FieldHandle):
        for name in vars(handle) | {each: 1 for base in handle.__mro__ for each in vars(base)}:
            if not name.startswith("_") and callable(getattr(handle, name)):
                assert name in {"as_node", "uses", "refuse"} or f".{name}" in text or f"{name}(" in text, name


def test_no_exported_name_is_hidden_by_a_module() -> None:
    """`from audiences import sample` is the function, whatever was imported before."""
    modules = {path.stem for path in Path(audiences.__file__).parent.glob("*.py")}
    assert not modules & set(audiences.__all__)
