"""What the words of the rule language mean, by example: figures, sequences, people and accounts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

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
    Identified,
    InAudience,
    MostFrequent,
    Named,
    Node,
    Not,
    OfAccount,
    OfProfiles,
    Pick,
    Prefixed,
    Quantile,
    Recency,
    Sampled,
    Step,
    Top,
    Trait,
    UniqueList,
)
from audiences.rules import Sequence as SequenceNode
from audiences.terms import Duration, Number, Text
from tests.reference import Account, Change, Event, Group, Person, World, members, value
from tests.strategies import AS_OF
from tests.told import A, B, ago, having, holds, person

# ------------------------------------------------------------------------------------------------ figures

P = ("p",)


@pytest.mark.parametrize(
    "measure, values, found",
    [
        (Count(A), [], 0),
        (Count(Events(Prefixed(""))), [1, 2], 2),
        (Distinct(A, P), [5, 5.0, "5", True, True, None, {"x": 1}, ["5", 6, [7]]], 4),
        (Distinct(A, P), [None], 0),
        (Aggregate(A, "sum", P), [0.1, 0.2, "5", True, None], 0.3),
        (Aggregate(A, "sum", P), ["5", None], None),
        (Aggregate(A, "sum", P), [1e18, -1e18, 999_999], 999_999),
        (Aggregate(A, "sum", P), [1e18], None),
        (Aggregate(A, "sum", P, "number"), ["5", "x", 1], 6),
        (Aggregate(A, "sum", P), [[1, 2], 5], 5),
        (Quantile(A, P, 0.5), [[1, 2], 5], 5),
        (Aggregate(A, "avg", P), [1, 2, None], 1.5),
        (Aggregate(A, "min", P), [3, -2.5, 1e18], -2.5),
        (Aggregate(A, "max", P), [3, 1e18], 1e18),
        (Quantile(A, P, 0.5), [1, 2, 10], 2),
        (Quantile(A, P, 0.5), [10, 1, "x"], 5.5),
        (Quantile(A, P, 0.25), [0, 10], 2.5),
        (Quantile(A, P, 0.75), [0, 10, 100], 55),
        (Quantile(A, P, 1.0), [0, 10], 10),
        (Quantile(A, P, 0.9), [], None),
        (Pick(A, "first", P), [None, "a", "b"], "a"),
        (Pick(A, "last", P), ["a", [1, None], None], [1, None]),
        (Pick(A, "last", P), [None], None),
        (MostFrequent(A, P), ["b", "a", "a", "b"], "a"),
        (MostFrequent(A, P), ["a", 5, 10, True, False], False),
        (MostFrequent(A, P), [10, 9, "1"], 9),
        (MostFrequent(A, P), [5, 5.0, "5"], 5),
        (MostFrequent(A, P), [["a", "a"], "b"], "a"),
        (MostFrequent(A, P, 2), ["a", "b"], None),
        (
            UniqueList(A, P),
            ["b", "a", 10, 9, True, False, "b", ["c"], None],
            [False, True, 9, 10, "a", "b", "c"],
        ),
        (UniqueList(A, P), [None, {}], None),
        (Recency(A), [1], 0),
        (Recency(B), [1], None),
    ],
)
def test_figures_are_of_the_values_that_there_are(measure: Any, values: list[Any], found: Any) -> None:
    """Null and what is of another type count for nothing; nothing at all is missing, or 0 for counts."""
    assert value(measure, having(*values), AS_OF) == found


def test_days_are_those_of_the_zone_and_of_24_hours() -> None:
    """Two events of one day in London are on two days in Berlin; recency counts whole days of 24 hours."""
    late, later = datetime(2026, 5, 20, 21, 30, tzinfo=UTC), datetime(2026, 5, 20, 22, 30, tzinfo=UTC)
    who = person(("A", late), ("A", later))
    assert value(ActiveDays(A, "UTC"), who, AS_OF) == 1
    assert value(ActiveDays(A, "Europe/Berlin"), who, AS_OF) == 2
    for since, found in [({"days": 2}, 2), ({"days": 2, "microseconds": -1}, 1)]:
        assert value(Recency(A), person(("A", ago(**since))), AS_OF) == found


def test_a_sum_and_a_mean_compare_exactly() -> None:
    """0.1 + 0.2 is 0.3, and the mean of 0.1, 0.2 and 0.3 is 0.2."""
    who = having(0.1, 0.2)
    assert holds(Compare(Aggregate(A, "sum", P), "==", Number(0.3)), who)
    assert holds(Compare(Aggregate(A, "avg", P), "==", Number(0.2)), having(0.1, 0.2, 0.3))
    assert not holds(Compare(Aggregate(A, "sum", P), "<=", Number(0)), having())


# --------------------------------------------------------------------------------------------- sequences


def in_minutes(text: str) -> Person:
    """Somebody who did A, B … a minute apart; those written together at one instant; ids in that order."""
    told = [(name, ago(minutes=60 - n)) for n, names in enumerate(text.split()) for name in names]
    return person(*told)


def steps(text: str, **options: Any) -> tuple[Step, ...]:
    """Steps A, B …, of which all but the first have these options."""
    first, *rest = (Events(Named((name,))) for name in text)
    return (Step(first), *(Step(each, **options) for each in rest))


def x(after: int | None, before: int | None, **within: Any) -> Exclusion:
    return Exclusion(Events(Named(("X",))), after, before, **within)


MINUTE, TWO = Duration(60), Duration(120)
LOOSE = {"ties": "loose"}


@pytest.mark.parametrize(
    "did, sequence, found",
    [
        ("A B", SequenceNode(steps("AB")), True),
        ("B A", SequenceNode(steps("AB")), False),
        ("A", SequenceNode(steps("AA")), False),
        ("A A", SequenceNode(steps("AA")), True),
        ("AA", SequenceNode(steps("AA")), False),
        ("AA", SequenceNode(steps("AA"), **LOOSE), True),  # type: ignore[arg-type]
        ("AB", SequenceNode(steps("AB")), False),
        ("AB", SequenceNode(steps("AB"), **LOOSE), True),  # type: ignore[arg-type]
        ("BA", SequenceNode(steps("AB"), **LOOSE), True),  # type: ignore[arg-type]
        # distances
        ("A . B", SequenceNode(steps("AB", within=TWO)), True),
        ("A . . B", SequenceNode(steps("AB", within=TWO)), False),
        ("A . . A B", SequenceNode(steps("AB", within=TWO)), True),
        ("A B", SequenceNode(steps("AB", after=TWO)), False),
        ("A . B", SequenceNode(steps("AB", after=TWO)), True),
        ("A B . C", SequenceNode(steps("ABC", within=TWO)), True),
        ("A B . C", SequenceNode(steps("ABC", within=TWO, since="first")), False),
        ("A B . C", SequenceNode(steps("ABC"), within=TWO), False),
        ("A B . . A B C", SequenceNode(steps("ABC"), within=TWO), True),
        # other events
        ("A Y B", SequenceNode(steps("AB", within_events=1)), False),
        ("A Y B", SequenceNode(steps("AB", within_events=2)), True),
        ("A YY A B", SequenceNode(steps("AB", within_events=1)), True),
        ("A Y B", SequenceNode(steps("AB"), adjacent=True), False),
        ("A B Y A B", SequenceNode(steps("ABA")), True),
        ("A B Y A B", SequenceNode(steps("ABA"), adjacent=True), False),
        ("AY B", SequenceNode(steps("AB"), adjacent=True), False),
        ("YA B", SequenceNode(steps("AB"), adjacent=True), True),
        # any order
        ("C A B", SequenceNode(steps("ABC"), any_order=True), True),
        ("C A", SequenceNode(steps("ABC"), any_order=True), False),
        ("B A", SequenceNode(steps("AAB"), any_order=True), False),
        ("C . . A B", SequenceNode(steps("ABC"), within=TWO, any_order=True), False),
        ("C Y A B", SequenceNode(steps("ABC", within=MINUTE), any_order=True), True),
        # what must not lie between
        ("A X B", SequenceNode(steps("AB"), (x(0, 1),)), False),
        ("A X A B", SequenceNode(steps("AB"), (x(0, 1),)), True),
        ("X A B X", SequenceNode(steps("AB"), (x(0, 1),)), True),
        ("A A B", SequenceNode(steps("AB"), (Exclusion(A, 0, 1),)), True),
        ("A A B", SequenceNode(steps("AAB"), (Exclusion(A, 0, 2),)), False),
        ("AX B", SequenceNode(steps("AB"), (x(0, 1),)), True),
        ("AX B", SequenceNode(steps("AB"), (x(0, 1),), **LOOSE), True),  # type: ignore[arg-type]
        ("A XB", SequenceNode(steps("AB"), (x(0, 1),)), True),
        ("A B X C", SequenceNode(steps("ABC"), (x(0, 1),)), True),
        ("A B X C", SequenceNode(steps("ABC"), (x(0, 2),)), False),
        ("X A B", SequenceNode(steps("AB"), (x(None, 0),)), False),
        ("A X B", SequenceNode(steps("AB"), (x(None, 0),)), True),
        ("A X", SequenceNode(steps("A"), (x(0, None),)), False),
        ("A X A", SequenceNode(steps("A"), (x(0, None),)), True),
        ("A . . X", SequenceNode(steps("A"), (x(0, None, within=TWO),)), True),
        ("A . X", SequenceNode(steps("A"), (x(0, None, within=TWO),)), False),
        ("A", SequenceNode(steps("A"), (x(0, None, within=Duration(3600)),)), True),
        ("A", SequenceNode(steps("A"), (x(0, None, within=Duration(3601)),)), False),
    ],
)
def test_a_sequence_is_some_choice_of_different_events(did: str, sequence: Any, found: bool) -> None:
    """All instances of every step are tried; equal instants are in either order when that is asked for."""
    assert holds(sequence, in_minutes(did)) == found


def test_a_step_may_share_a_value_with_all_others() -> None:
    """A text, a number or a flag; what is excluded counts only with that value too."""

    def same(*told: tuple[str, Any], exclude: bool = False) -> bool:
        exclusions = (x(0, 1),) if exclude else ()
        who = person(*((name, ago(minutes=60 - n), {"p": said}) for n, (name, said) in enumerate(told)))
        return holds(SequenceNode(steps("AB"), exclusions, (P,)), who)

    assert same(("A", "s"), ("B", "s"))
    assert same(("A", 5), ("B", 5.0))
    assert not same(("A", 5), ("B", "5"))
    assert not same(("A", "s"), ("B", "t"))
    assert same(("A", "t"), ("A", "s"), ("B", "t"))
    assert not same(("A", None), ("B", None))
    assert not same(("A", ["s"]), ("B", ["s"]))
    assert not same(("A", "s"), ("X", "s"), ("B", "s"), exclude=True)
    assert same(("A", "s"), ("X", "t"), ("B", "s"), exclude=True)
    assert same(("A", "s"), ("X", None), ("B", "s"), exclude=True)


# -------------------------------------------------------------------------------------- people and accounts


def test_nobody_is_known_before_something_was_received() -> None:
    """An event that is still on its way makes no profile; one that lies in the future makes one."""
    soon = AS_OF + timedelta(hours=1)
    world = World(
        {
            "late": Person([Event("A", "m1", AS_OF, soon)]),
            "early": Person([Event("A", "m2", soon, AS_OF)]),
            "here": Person([Event("A", "m3", AS_OF, AS_OF)]),
            "joined": Person(),
            "nobody": Person(),
        },
        {"acme": Account({"joined": AS_OF}), "later": Account({"nobody": soon}), "empty": Account()},
    )
    groups = [
        Group("known", AllOf(())),
        Group("did", Compare(Count(A), ">", Number(0))),
        Group("did_not", Compare(Count(A), "==", Number(0))),
        Group("accounts", AllOf(()), "account"),
    ]
    assert members(world, groups, AS_OF) == {
        "known": {"early", "here", "joined"},
        "did": {"here"},
        "did_not": {"early", "joined"},
        "accounts": {"acme"},
    }


def test_an_event_belongs_to_its_account_or_to_all_of_its_profile() -> None:
    """An account counts events that name it, and those of its profiles that name none."""
    at = ago(hours=1)
    world = World(
        {
            "one": Person([Event("A", "m1", at, at), Event("A", "m2", at, at, {}, "b")]),
            "two": Person([Event("A", "m3", at, at, {}, "c")]),
        },
        {
            "a": Account({"one": at}),
            "b": Account({"one": at, "two": at}, [Change("tier", "gold", "g", at, at)]),
            "c": Account(),
        },
    )

    def which(rule: Node, of: Any = "account") -> set[str]:
        return members(world, [Group("rule", rule, of)], AS_OF)["rule"]

    once, twice = (Compare(Count(A), "==", Number(number)) for number in (1, 2))
    assert which(once) == {"a", "c"}
    assert which(twice) == {"b"}
    gold = Compare(Trait(("tier",)), "==", Text("gold"))
    assert which(gold) == {"b"}
    assert which(OfAccount(gold), "profile") == {"one", "two"}
    assert which(OfAccount(Not(gold)), "profile") == {"one"}
    assert which(Not(OfAccount(Not(gold))), "profile") == {"two"}
    assert which(OfProfiles("all", twice)) == {"a"}
    assert which(OfProfiles("any", twice)) == {"a", "b"}
    assert which(OfProfiles("none", twice)) == {"c"}
    assert which(OfProfiles("at_least", AllOf(()), 2)) == {"b"}


def test_a_rule_may_ask_for_identifiers_and_for_consent() -> None:
    """One of the types is enough; a purpose that was never asked for is not permitted."""
    who = Person(having(1).events, identifiers=frozenset({"email"}), permitted=frozenset({"advertising"}))
    assert holds(Identified(("email", "phone")), who)
    assert not holds(Identified(("phone",)), who)
    assert holds(Consented("advertising"), who)
    assert not holds(Consented("analytics"), who)


def ranked(top: Top, figures: Sequence[Any]) -> set[str]:
    world = World({name: having(figure) for name, figure in zip("abcdefgh", figures, strict=False)})
    return members(world, [Group("top", top)], AS_OF)["top"]


def test_the_first_by_a_figure_are_those_with_the_largest() -> None:
    """Ties go to the smaller id; whoever has no figure is in no share; a share is rounded down."""
    total = Aggregate(A, "sum", P)
    assert ranked(Top(total, 2), [10, 30, 20, 20, None]) == {"b", "c"}
    assert ranked(Top(total, 9), [10, 30, None]) == {"a", "b"}
    assert ranked(Top(total, share=0.5), [1, 2, 3, 4, None, None]) == {"c", "d"}
    assert ranked(Top(total, share=0.5), [1, 2, 3]) == {"c"}
    assert ranked(Top(total, share=0.1), [1, 2, 3]) == set()
    assert ranked(Top(Pick(A, "last", P), 1), ["z", True, 3, [4]]) == {"c"}


def test_a_split_shares_out_everybody_by_a_hash() -> None:
    """Of the split's key and the profile's id: shares that meet leave nobody out, and no clock moves them."""
    world = World({f"{number:032x}": having(1) for number in range(300)})

    def parts(split: str, as_of: datetime = AS_OF) -> list[set[str]]:
        shares = [(0.0, 0.25), (0.25, 0.5), (0.5, 1.0)]
        groups = [Group(str(share), Sampled(split, *share)) for share in shares]
        return list(members(world, groups, as_of, lambda split: f"key of {split} ").values())

    small, same, large = parts("one")
    assert len(small) + len(same) + len(large) == len(small | same | large) == 300
    assert 40 < len(small) < 110
    assert parts("one", AS_OF + timedelta(days=99)) == [small, same, large]
    assert parts("two")[0] != small
    digest = hashlib.md5(b"key of one " + b"0" * 32, usedforsecurity=False).hexdigest()
    assert ("0" * 32 in small) == (int(digest[:16], 16) / 2**64 < 0.25)


def test_a_list_made_by_hand_is_added_to_its_audience() -> None:
    """Those of it who are known are members, also for audiences that are built on it."""
    world = World({"in": having(1), "out": having(1)}, lists={"some": {"in", "unknown"}})
    groups = [Group("some", AnyOf(())), Group("others", Not(InAudience("some")))]
    assert members(world, groups, AS_OF) == {"some": {"in"}, "others": {"out"}}
