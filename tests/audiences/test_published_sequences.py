"""The published cases of sequences, written out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import pytest

from audiences.rules import Sequence, Step
from audiences.terms import Ago, Duration, Last
from identity.store.warehouse import Warehouse
from tests.audiences.sequence_streams import DAY, HOUR, Streams, holding, of, steps, without


@pytest.fixture(scope="module")
def store(engine: Warehouse) -> Streams:
    """Streams on every engine."""
    return Streams(engine)


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
