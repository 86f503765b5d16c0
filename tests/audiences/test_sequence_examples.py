"""What each part of a sequence promises, by example."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from audiences.chains import is_one_pass, sequence_steps
from audiences.rules import Compare, Events, Exclusion, Named, Prefixed, Property, Sequence, Step
from audiences.terms import Duration, Last, Number
from identity.store.warehouse import Warehouse
from tests.audiences.sequence_streams import (
    NOW,
    Happened,
    Streams,
    asked,
    holding,
    of,
    steps,
    without,
)


@pytest.fixture(scope="module")
def store(engine: Warehouse) -> Streams:
    """Streams on every engine."""
    return Streams(engine)


def test_what_was_bought_is_no_excuse_for_what_was_only_viewed(store: Streams) -> None:
    """sg_viewed_but_not_bought_same_product; who viewed nothing in particular is in no such sequence (u3)."""
    node = Sequence(steps("view"), without(0, None, "buy"), (("pid",),))
    did: dict[str, list[tuple[str, dict[str, Any]]]] = {
        "u1": [("view", {"pid": "P1"}), ("buy", {"pid": "P1"})],
        "u2": [("view", {"pid": "P1"}), ("buy", {"pid": "P2"})],
        "u3": [("view", {}), ("buy", {})],
        "u4": [("view", {"pid": "P1"}), ("view", {"pid": "P2"}), ("buy", {"pid": "P1"})],
    }
    happened = [
        Happened(who, name, number, f"{who} {number}", properties)
        for who, several in did.items()
        for number, (name, properties) in enumerate(several)
    ]
    assert asked(store, node, happened) == {"u2", "u4"}


@pytest.mark.parametrize(
    "values, same",
    [
        ((5, 5.0), True),
        ((0, -0.0), True),
        ((True, True), True),
        (("x", "x"), True),
        (("", ""), True),
        ((5, "5"), False),
        ((True, "true"), False),
        ((True, 1), False),
        (("x", "X"), False),
        ((0.3, 0.1 + 0.2), False),
        (([5], [5]), False),
        (({"a": 1}, {"a": 1}), False),
        ((None, None), False),
    ],
)
def test_values_are_the_same_by_type_and_value(store: Streams, values: tuple[Any, Any], same: bool) -> None:
    """Numbers by size, never a text that looks like one; lists, objects and nothing equal nothing."""
    node = Sequence(steps("A", "B"), same=(("p", "q"),))
    first, second = values
    happened = [
        Happened("u", "A", 1, "m1", {"p": {"q": first}}),
        Happened("u", "B", 2, "m2", {"p": {"q": second}}),
    ]
    assert asked(store, node, happened) == ({"u"} if same else set())


def test_several_properties_are_the_same_together(store: Streams) -> None:
    """Not one in one pair of events and another in another pair."""
    node = Sequence(steps("A", "B"), same=(("p",), ("q",)))
    happened = [
        Happened("mixed", "A", 1, "m1", {"p": 1, "q": 1}),
        Happened("mixed", "B", 2, "m2", {"p": 1, "q": 2}),
        Happened("mixed", "B", 2, "m3", {"p": 2, "q": 1}),
        Happened("both", "A", 1, "m4", {"p": 1, "q": 1}),
        Happened("both", "B", 2, "m5", {"p": 1, "q": 1}),
    ]
    assert asked(store, node, happened) == {"both"}


def test_an_event_is_one_step(store: Streams) -> None:
    """Also where steps may share an instant, and another step lies between them."""
    loose = Sequence(steps("A", "B", "A"), ties="loose")
    assert not is_one_pass(loose)
    people = {"two": "A-1h B-1h", "three": "A-1h B-1h A-1h"}
    assert holding(store, loose, people) == {"three"}
    assert holding(store, Sequence(steps("A", "A", "A"), ties="loose"), people) == set()
    assert holding(store, Sequence(steps("A", "A"), ties="loose"), people) == {"three"}


def test_what_lies_at_the_instant_of_a_step_is_not_between(store: Streams) -> None:
    """Strictly between means later than the one and earlier than the other."""
    node = Sequence(steps("A", "B"), without(0, 1))
    people = {"edges": "A-3s x-3s x-1s B-1s", "inside": "A-3s x-2s B-1s"}
    assert holding(store, node, people) == {"edges"}


def test_nothing_has_followed_only_once_the_time_has_passed(store: Streams) -> None:
    """Undecided is false; the last instant counts as followed; what comes later doesn't matter."""
    node = Sequence(steps("A"), (Exclusion(of("B"), 0, None, Duration(10)),))
    people = {
        "passed": "A-10s",
        "undecided": "A-9.999999s",
        "followed": "A-20s B-11s",
        "followed at the end": "A-20s B-10s",
        "followed later": "A-20s B-9.999999s",
        "at the same instant": "A-20s B-20s",
        "another one passed": "A-40s A-20s B-15s",
    }
    assert holding(store, node, people) == {
        "passed",
        "followed later",
        "at the same instant",
        "another one passed",
    }


def test_a_distance_from_the_first_step_is_not_one_from_the_step_before(store: Streams) -> None:
    """And the latest first step is not always the one that fits."""
    since_first = (Step(of("A")), Step(of("B")), Step(of("C"), Duration(10), Duration(5), "first"))
    people = {
        "too soon": "A-9s B-8s C-7s",
        "soon after the latest": "A-20s A-13s B-12s C-11s",
        "late": "A-20s B-12s C-9s",
        "far between": "A-9s B-2s C-1s",
    }
    assert holding(store, Sequence(since_first), people) == {"soon after the latest", "far between"}


def test_the_least_distance_is_inclusive(store: Streams) -> None:
    """Exactly so long after is long enough, to the microsecond."""
    node = Sequence((Step(of("A")), Step(of("B"), None, Duration(5))))
    for ties in ("strict", "loose"):
        people = {"exactly": "A-9s B-4s", "too soon": "A-9s B-4.000001s"}
        assert holding(store, replace(node, ties=ties), people) == {"exactly"}


def test_a_later_event_may_be_the_better_step(store: Streams) -> None:
    """Neither the first nor the last that fits is always the one that leads on."""
    node = Sequence((*steps("A", "B", within=10), Step(of("C"), Duration(2))))
    assert holding(store, node, {"u": "A-19s B-18s B-14s C-13s B-10s C-7s"}) == {"u"}


@pytest.mark.parametrize("reverse", [False, True])
def test_rows_of_one_instant_are_told_apart(store: Streams, reverse: bool) -> None:
    """Whatever order they are stored in."""
    happened = [Happened("u", "A", 0, "m0")]
    happened += [Happened("u", "A", 5, f"m{number}") for number in range(1, 8)]
    happened += [Happened("u", "B", 6, "m8"), Happened("u", "B", 6, "m9")]
    ordered = list(reversed(happened)) if reverse else happened
    near = Sequence(steps("A", "A", "B"), within=Duration(2), ties="loose")
    assert asked(store, near, ordered) == {"u"}
    adjacent = Sequence(steps("A", "B"), adjacent=True)
    assert asked(store, adjacent, ordered) == {"u"}
    gone = [event for event in ordered if event.message_id != "m8"]
    assert asked(store, adjacent, [*gone, Happened("u", "x", 5, "m71")]) == set()


def test_positions_count_events_of_every_name_by_instant_and_message_id(store: Streams) -> None:
    """The next event is the next one in the canonical order."""
    adjacent = Sequence(steps("A", "B"), ties="loose", adjacent=True)
    happened = [
        Happened("next", "A", 1, "a1"),
        Happened("next", "B", 1, "a2"),
        Happened("before", "A", 1, "b2"),
        Happened("before", "B", 1, "b1"),
        Happened("apart", "A", 1, "c1"),
        Happened("apart", "other", 1, "c2"),
        Happened("apart", "B", 1, "c3"),
        # capital letters come first, whatever a database's language says
        Happened("by code point", "A", 1, "Z"),
        Happened("by code point", "B", 1, "a"),
    ]
    assert asked(store, adjacent, happened) == {"next", "by code point"}
    near = Sequence((Step(of("A")), Step(of("B"), within_events=2)), ties="loose")
    assert asked(store, near, happened) == {"next", "apart", "by code point"}


def test_what_excludes_one_of_equal_steps_leaves_the_others_alone(store: Streams) -> None:
    """An exclusion names one step, and steps that look alike are not alike then."""
    any_order = Sequence(steps("A", "A"), without(0, None), any_order=True)
    assert holding(store, any_order, {"one after": "A-5s x-4s A-3s", "none": "A-5s A-4s x-3s"}) == {
        "one after"
    }
    last_of_all = Sequence(steps("A", "A"), without(0, None, "A"), ties="loose")
    assert holding(store, last_of_all, {"at once": "A-1s A-1s", "apart": "A-3s A-1s"}) == {"at once"}


def test_in_any_order_means_close_together(store: Streams) -> None:
    """As many events as there are steps of a kind, all in one stretch of time."""
    node = Sequence(steps("A", "B", "A"), within=Duration(10), any_order=True)
    thrice = Sequence(steps("A", "A", "A"), within=Duration(10), ties="loose")
    repeated = {"often": "A-30s A-25s A-20s", "twice": "A-40s A-25s A-20s", "at once": "A-5s A-5s A-5s"}
    assert holding(store, thrice, repeated) == {"often", "at once"}
    people = {
        "close": "A-30s B-25s A-20s",
        "apart": "A-31s B-25s A-20s",
        "at once": "B-5s A-5s A-5s",
        "few": "A-5s B-5s",
    }
    assert holding(store, node, people) == {"close", "at once"}


@pytest.mark.parametrize(
    "node, one_pass",
    [
        (Sequence(steps("A", "B", "C", within=5), without(0, 2), (("p",),), Duration(9)), True),
        (Sequence(steps("A", "B"), (*without(None, 0), *without(1, None), *without(None, None))), True),
        (Sequence(steps("A"), (Exclusion(of("B"), 0, None, Duration(5)),)), True),
        (Sequence(steps("A", "B", "A", within=5)), True),
        (Sequence(steps("A", "B", "A", within=5), adjacent=True, ties="loose"), True),
        (Sequence(steps("A", "A", "A"), within=Duration(5), ties="loose"), True),
        (Sequence(steps("A", "A", "B"), ties="loose"), True),
        (Sequence((*steps("A", "B"), Step(of("C"), Duration(5), None, "first"))), True),
        (Sequence(steps("A", "B", "A"), within=Duration(5), any_order=True), True),
        (Sequence((*steps("A", "B"), Step(of("C"), None, Duration(5), "first"))), False),
        (Sequence(steps("A", "B", "A"), ties="loose"), False),
        (Sequence((Step(of("A")), Step(Events(Prefixed("A")))), any_order=True), False),
        (Sequence(steps("A", "B"), without(0, 1), any_order=True), False),
    ],
)
def test_what_can_be_found_in_one_pass_is(node: Sequence, one_pass: bool) -> None:
    """All but an `after` that counts from the first step, and events that could be two steps at once."""
    assert is_one_pass(node) is one_pass


def test_a_busy_profile_costs_what_its_events_cost(store: Streams) -> None:
    """Trying all choices of three among 20,000 events of each name would not end."""
    soon, since_first = (
        (Exclusion(of("B"), 2, None, Duration(1)),),
        Step(of("A"), Duration(9_000), Duration(5_000), "first"),
    )
    nodes = [
        (Sequence(steps("A", "B", "A", within=3_000), within=Duration(9_000)), ["busy"]),
        (Sequence(steps("A", "B", "A"), without(0, 2), ties="loose"), ["busy"]),
        (Sequence(steps("A", "B", "A"), without(0, 2, "B")), []),
        (Sequence(steps("A", "B", "A"), soon), []),
        (Sequence((*steps("A", "B", within=900), since_first)), ["busy"]),
        (
            Sequence((*steps("A", "B"), Step(Events(Prefixed("A")))), within=Duration(90), any_order=True),
            ["busy"],
        ),
        (Sequence(steps("A", "B", "A"), adjacent=True), ["busy"]),
    ]
    # every second an A, and a B one microsecond later
    store.load(Happened("busy", "AB"[n % 2], (n % 2) / 1_000_000 - n // 2, f"m{n}") for n in range(40_000))
    for node, members in nodes:
        assert store.found(node) == members


def test_every_selection_that_decides_is_named() -> None:
    """Those of steps and exclusions once each, and all events where positions count."""
    node = Sequence(steps("A", "B", "A"), without(0, 1))
    assert sequence_steps(node) == (of("A"), of("B"), of("x"))
    placed = Sequence((Step(of("A")), Step(of("B"), within_events=2)))
    assert sequence_steps(placed) == (of("A"), of("B"), Events(Prefixed("")))


def test_a_window_and_a_condition_belong_to_their_step(store: Streams) -> None:
    """The same name may be two steps that look at different events."""
    paid = Compare(Property(("p",)), "==", Number(5.0))
    node = Sequence((Step(Events(Named(("A",)), where=paid)), Step(of("A", Last(Duration(5))))))
    happened = [
        Happened("right", "A", NOW - 9, "m1", {"p": 5}),
        Happened("right", "A", NOW - 4, "m2", {"p": 1}),
        Happened("wrong way round", "A", NOW - 9, "m3", {"p": 1}),
        Happened("wrong way round", "A", NOW - 4, "m4", {"p": 5}),
        Happened("too early", "A", NOW - 9, "m5", {"p": 5}),
        Happened("too early", "A", NOW - 5, "m6", {"p": 5}),
    ]
    assert asked(store, node, happened) == {"right"}
