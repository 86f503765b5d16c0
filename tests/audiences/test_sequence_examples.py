"""Sequences by example: the published cases, and what each part of a sequence promises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest

from audiences.chains import is_one_pass, sequence_ids, sequence_steps
from audiences.rules import Compare, Events, Exclusion, Named, Prefixed, Property, Sequence, Step
from audiences.terms import Ago, Duration, Last, Number, Window
from identity.store.warehouse import Warehouse
from tests.audiences.sequence_streams import AS_OF, START, Happened, Streams, holders

HOUR, DAY = 3_600, 86_400
NOW = (AS_OF - START).total_seconds()


@pytest.fixture(scope="module")
def store(engine: Warehouse) -> Streams:
    """Streams on every engine."""
    return Streams(engine)


def of(name: str, window: Window | None = None) -> Events:
    """Events of one name."""
    return Events(Named((name,)), window)


def steps(*names: str, within: float = 0, window: Window | None = None) -> tuple[Step, ...]:
    """Steps by name, each but the first within a time after the one before."""
    first, *others = names
    length = Duration(int(within)) if within else None
    return (Step(of(first, window)), *(Step(of(name, window), length) for name in others))


def stream(who: str, written: str) -> list[Happened]:
    """Events written as `name-age`, an age in `d`, `h` or `s`."""
    units = {"d": DAY, "h": HOUR, "s": 1}
    found = []
    for number, each in enumerate(written.split()):
        name, _, age = each.partition("-")
        ago = float(age[:-1]) * units[age[-1]]
        found.append(Happened(who, name, NOW - ago, f"{who} {number}", received=NOW - ago))
    return found


def holding(store: Streams, node: Sequence, people: Mapping[str, str]) -> set[str]:
    """For whom a sequence holds; plain Python must agree."""
    return asked(store, node, [event for who, written in people.items() for event in stream(who, written)])


def asked(store: Streams, node: Sequence, happened: list[Happened]) -> set[str]:
    """For whom a sequence holds, in SQL and in plain Python."""
    store.load(happened)
    found = store.ids(sequence_ids(node, store.rows, store.engine, AS_OF))
    assert set(found) == holders(node, happened)
    assert len(found) == len(set(found))
    return set(found)


class Published(NamedTuple):
    """One published case: its name, the sequence, what people did, and for whom it holds."""

    name: str
    node: Sequence
    people: Mapping[str, str]
    members: str


PAIR_IN_A_WEEK = Sequence(steps("view", "view", within=3 * DAY, window=Last(Duration(7 * DAY))))
PAIR_IN_8_DAYS = Sequence(steps("view", "view", within=3 * DAY, window=Last(Duration(8 * DAY))))
NEW_PAIR = Sequence(steps("new", "new", within=8 * DAY, window=Last(Duration(8 * DAY))))
VIEW_THEN_NEW = Sequence(steps("view", "new", within=2 * DAY, window=Last(Duration(14 * DAY))))
FUNNEL = steps("signup", "view", "insight", "invite", "view2")
IN_FUNNEL = {
    "p1": "signup-311h view-310h x-309h insight-308h x-307.5h invite-307h x-306.5h view2-306h",
    "p2": "signup-311h view-310h insight-308h x-307.5h invite-307h x-306.5h view2-306h",
    "p3": "signup-311h x-310.5h view-310h insight-308h invite-307h x-306.5h view2-306h",
}
STRICT_FUNNEL = {
    "p1": "signup-10h",
    "p2": "view-10h signup-9h",
    "p3": "signup-10h view-9h blah-8h insight-7h",
    "p4": "insight-10h blah-9h view-8h signup-7h",
    "p5": "view-10h signup-9h blah-8h view-7h insight-6h",
    "p6": "blah-10h signup-9h blah-8h view-7h",
    "p7": "blah-10h signup-9h view-8h insight-7h blah-6h",
    "p8": "insight-10h view-9h",
}
UNORDERED_FUNNEL = {
    "p1": "signup-10h",
    "p2": "view-10h signup-9h",
    "p3": "signup-10h view-9h blah-8h insight-7h",
    "p4": "insight-10h view-9h signup-8h",
    "p5": "view-10h signup-9h blah-8h insight-7h",
    "p6": "blah-10h insight-9h",
    "p7": "view-10h blah-9h",
    "p8": "insight-10h view-9h",
}


def without(after: int | None, before: int | None, name: str = "x") -> tuple[Exclusion, ...]:
    """Nothing of a name between two steps."""
    return (Exclusion(of(name), after, before),)


def funnel_without(after: int, before: int) -> Sequence:
    """The long funnel with nothing between two steps."""
    return Sequence(FUNNEL, without(after, before), within=Duration(14 * DAY))


PUBLISHED = [
    Published(
        "ph_negation_sequence",
        PAIR_IN_8_DAYS,
        {
            "p1": "view-1h view-49h new-4d",
            "p2": "view-1h view-49h",
            "p3": "view-35d view-37d new-4d",
            "p4": "new-4d",
            "p5": "view-5d new-4d",
            "p6": "view-1h view-97h new-4d",
        },
        "p1 p2",
    ),
    Published(
        "ph_cohort_in_cohort_sequence",
        NEW_PAIR,
        {
            "p1": "view-1h view-49h",
            "p2": "view-1h view-49h new-1h new-145h",
            "p3": "view-1h view-49h",
            "p4": "view-1h view-145h new-1h new-145h",
        },
        "p2 p4",
    ),
    Published("ph_sequence", PAIR_IN_A_WEEK, {"p1": "view-1h view-49h", "p2": "view-2d"}, "p1"),
    Published(
        "ph_sequence_or_restarted", PAIR_IN_A_WEEK, {"p1": "view-1h view-49h", "p2": "new-18d new-5d"}, "p1"
    ),
    Published(
        "ph_sequence_and_count",
        PAIR_IN_A_WEEK,
        {"p1": "view-1h view-49h some-2d some-4d", "p2": "view-2d"},
        "p1",
    ),
    Published(
        "ph_two_sequences",
        VIEW_THEN_NEW,
        {"p1": "view-1h view-49h view-10d new-9d", "p2": "view-10d new-9d"},
        "p1 p2",
    ),
    Published(
        "ph_funnel_exclusion",
        Sequence(steps("signup", "paid"), without(0, 1), within=Duration(14 * DAY)),
        {
            "p1": "signup-311h paid-310h",
            "p2": "signup-309h x-308.5h paid-308h",
            "p3": "signup-307h paid-306h",
        },
        "p1 p3",
    ),
    Published("ph_funnel_exclusion_1_2", funnel_without(1, 2), IN_FUNNEL, "p2 p3"),
    Published("ph_funnel_exclusion_3_4", funnel_without(3, 4), IN_FUNNEL, ""),
    Published("ph_funnel_exclusion_1_3", funnel_without(1, 3), IN_FUNNEL, "p3"),
    Published(
        "ph_funnel_same_timestamp_loose",
        Sequence(steps("signup", "view"), ties="loose"),
        {"a": "signup-497d view-497d", "b": "signup-497d", "either way round": "view-497d signup-497d"},
        "a,either way round",
    ),
    Published(
        "ph_cohort_same_timestamp_strict",
        Sequence(steps("view", "new", within=3 * DAY, window=Last(Duration(7 * DAY)))),
        {"a": "view-1d new-1d", "b": "view-1d new-86399s"},
        "b",
    ),
    Published(
        "ph_funnel_wrong_order",
        Sequence(steps("signup", "movie")),
        {
            "p1": "signup-3d",
            "p2": "movie-4d signup-3d movie-2d",
            "p3": "movie-3d",
            "p4": "movie-3d signup-2d",
        },
        "p2",
    ),
    Published(
        "ph_funnel_repeat_steps",
        Sequence(steps("signup", "view", "view")),
        {
            "p1": "view-9d signup-8d",
            "p4": "view-9d view-8d signup-7d view-6d",
            "p5": "signup-9d view-8d view-7d",
        },
        "p5",
    ),
    Published(
        "ph_strict_funnel_step2", Sequence(steps("signup", "view"), adjacent=True), STRICT_FUNNEL, "p3 p7"
    ),
    Published(
        "ph_unordered_funnel_all3",
        Sequence(steps("signup", "view", "insight"), any_order=True),
        UNORDERED_FUNNEL,
        "p3 p4 p5",
    ),
    Published("am_then_ordered", Sequence(steps("A", "B")), {"u1": "A-2d B-1d", "u2": "B-2d A-1d"}, "u1"),
    Published(
        "cja_after_1w_within_2w",
        Sequence((Step(of("A")), Step(of("B"), Duration(14 * DAY), Duration(7 * DAY), "first"))),
        {"u1": "A-20d B-19d", "u2": "A-20d B-10d", "u3": "A-20d B-2d"},
        "u2",
    ),
    Published(
        "cja_within_2_events",
        Sequence((Step(of("A")), Step(of("B"), within_events=2))),
        {"u1": "A-9h x-8h B-7h", "u2": "A-9h x-8h y-7h B-6h"},
        "u1",
    ),
    Published(
        "cja_exclude_start",
        Sequence(steps("A", "C"), without(None, 0, "B")),
        {"u1": "A-9h B-8h C-7h", "u2": "A-9h C-8h", "u3": "A-9h C-8h B-7h", "u4": "B-9h A-8h C-7h"},
        "u1 u2 u3",
    ),
    Published(
        "exclusion_second_try_wins",
        Sequence(steps("A", "C"), without(0, 1, "B")),
        {"u1": "A-9h B-8h A-7h C-6h"},
        "u1",
    ),
    Published(
        "pit_two_steps_need_two_events", Sequence(steps("A", "A")), {"u1": "A-1d", "u2": "A-1d A-2d"}, "u2"
    ),
    Published(
        "pit_sequence_not_greedy_first",
        Sequence(steps("A", "B", within=7 * DAY)),
        {"u1": "A-20d A-3d B-1d"},
        "u1",
    ),
    Published(
        "pit_sequence_not_greedy_last",
        Sequence((*steps("A", "B", within=7 * DAY), Step(of("C"), Duration(DAY)))),
        {"u1": "A-6d B-5d C-108h B-1d"},
        "u1",
    ),
    Published(
        "pit_within_inclusive",
        Sequence(steps("A", "B", within=7 * DAY)),
        {"u1": "A-10d B-3d", "u2": "A-10d B-259199s"},
        "u1",
    ),
    Published(
        "abandoned_cart_and_still_nothing",
        Sequence(
            steps("cart", window=Ago(Duration(DAY), Duration(HOUR))),
            without(0, None, "order"),
        ),
        {
            "u1": "cart-2h",
            "u2": "cart-2h order-1.5h",
            "u3": "cart-2h order-0.5h",
            "u4": "cart-0.5h",
            "u5": "order-2h",
        },
        "u1",
    ),
]


@pytest.mark.parametrize("case", PUBLISHED, ids=lambda case: case.name)
def test_a_published_sequence_holds_for_whom_it_should(store: Streams, case: Published) -> None:
    """The sequences inside the published cases, alone; what else a case asks for is no part of a sequence."""
    expected = case.members.split(",") if "," in case.members else case.members.split()
    assert holding(store, case.node, case.people) == set(expected)


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


# --------------------------------------------------------------------------------------------------- promises


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


def test_in_any_order_means_close_together(store: Streams) -> None:
    """As many events as there are steps of a kind, all in one stretch of time."""
    node = Sequence(steps("A", "B", "A"), within=Duration(10), any_order=True)
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
        assert store.ids(sequence_ids(node, store.rows, store.engine, AS_OF)) == members


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
