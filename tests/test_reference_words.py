"""What the words of the rule language mean, by example: values, dates, windows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from audiences.rules import (
    AllOf,
    Compare,
    Count,
    Events,
    Exists,
    FirstTime,
    Held,
    Latest,
    Named,
    Not,
    OneOf,
    Property,
    Recurs,
    Regularly,
    Relative,
    Trait,
)
from audiences.terms import Ago, Calendar, Dates, Flag, Instant, Last, Number, Text, Value, Window
from tests.reference import Change, Event, Person
from tests.reference_events import inside
from tests.reference_values import MISSING, dig, folded, read
from tests.strategies import AS_OF
from tests.told import DAY, WEEK, A, B, ago, having, holds, person

# ------------------------------------------------------------------------------------------------- values


@pytest.mark.parametrize(
    "held, path, found",
    [
        ({"a": {"b": 1}}, "a b", 1),
        ({"a": {"b": None}}, "a b", MISSING),
        ({"a": 1}, "a b", MISSING),
        ({"a": "b"}, "a b", MISSING),
        ({"a": [{"b": 1}, {"c": 2}, 3, None, {"b": None}, {"b": 4}]}, "a b", [1, 4]),
        ({"a": [{"b": [1, None]}, {"b": []}, {"b": [[2]]}]}, "a b", [1, None, [2]]),
        ({"a": [{"b": [{"c": 1}, {"c": 2}]}, {"b": [{"c": 3}]}]}, "a b c", [1, 2, 3]),
        ({"a": [[{"b": 1}]]}, "a b", MISSING),
        ({"a": [{"c": 1}]}, "a b", MISSING),
        ({"a": [{"b": []}]}, "a b", MISSING),
        ({"a": []}, "a", []),
        ({"a": []}, "a b", MISSING),
        ({"a": ""}, "a", ""),
        ({"a": False}, "a", False),
    ],
)
def test_a_path_leads_into_objects_and_into_each_element_of_arrays(held: Any, path: str, found: Any) -> None:
    """What is missing or null on the way is missing in the end."""
    assert dig(held, path.split()) == found


@pytest.mark.parametrize(
    "held, found",
    [
        (5, 5),
        ("5", 5.0),
        ("+05.50", 5.5),
        ("-0.000000001", -1e-9),
        ("0.0000000001", MISSING),
        ("999999999999999", 999999999999999.0),
        ("1000000000000000", MISSING),
        ("1e3", MISSING),
        (" 5", MISSING),
        ("5.", MISSING),
        (".5", MISSING),
        ("\u0665", MISSING),
        ("", MISSING),
        (True, MISSING),
        ({"a": 5}, MISSING),
        (["5", "x", 6], [5.0, None, 6]),
    ],
)
def test_numeric_texts_are_read_as_numbers_on_request(held: Any, found: Any) -> None:
    """A sign, up to 15 digits, a point with up to 9 more; anything else is no number."""
    assert read(held, "number") == found


@pytest.mark.parametrize(
    "text, found",
    [
        ("Jos\u00e9", "jose"),
        ("JOSE\u0301", "jose"),
        ("\u00c5NGSTR\u00d6M", "angstrom"),
        ("\u0130", "i"),
        ("\u00df", "\u00df"),
        ("\uac01", "\uac01"),
        ("ΟΔΟΣ", "οδοσ"),
        ("οδός", "οδοσ"),
        ("हिन्दी", "हिन्दी"),
        ("5%", "5%"),
    ],
)
def test_folding_drops_case_and_accents(text: str, found: str) -> None:
    """A letter stays one letter, and a Korean syllable one syllable."""
    assert folded(text) == found
    assert folded(folded(text)) == found


@pytest.mark.parametrize(
    "held, op, given, found",
    [
        (5, "==", Number(5), True),
        (5.0, "==", Number(5), True),
        ("5", "==", Number(5), False),
        (5, "==", Text("5"), False),
        (True, "==", Number(1), False),
        (1, "==", Flag(True), False),
        (False, "<", Flag(True), True),
        ("B", "<", Text("a"), True),
        ("a", "==", Text("A"), False),
        ("abc", "contains", Text("bc"), True),
        ("abc", "ends_with", Text("bc"), True),
        ("abc", "starts_with", Text("bc"), False),
        ("abc", "matches", Text("b"), True),
        ("b\n", "matches", Text("b$"), False),
        ("a$", "matches", Text("[$]$"), True),
        ("a$", "matches", Text(r"\$$"), True),
        ("2026-06-01", "<", Instant(AS_OF), True),
        ("2026-06-01T14:00:00+02:00", "==", Instant(AS_OF), True),
        ("2026-06-01T12:00", "==", Instant(AS_OF), True),
        ("20260601T120000Z", "==", Instant(AS_OF), False),
        ("2026-02-30", "<", Instant(AS_OF), False),
        (20260601, "<", Instant(AS_OF), False),
        ("0001-01-01T00:00:00Z", "<", Instant(AS_OF), False),
        ("2026-06-01T12:00:00+15:00", "<", Instant(AS_OF), False),
        ([1, 5], "==", Number(5), True),
        ([[5], {"a": 5}], "==", Number(5), False),
        ({"a": 5}, "==", Number(5), False),
        ([], "==", Number(5), False),
    ],
)
def test_types_do_not_mix(held: Any, op: Any, given: Value, found: bool) -> None:
    """A comparison with something of another type is false, and an array satisfies it by any element."""
    assert holds(Compare(Trait(("t",)), op, given), having(t=held)) == found


def test_every_element_may_be_asked_for() -> None:
    """There must be one; null and what is of another type fail; a value that is no array stands alone."""
    every, one_of = (
        Compare(Trait(("t",)), ">", Number(1), every=True),
        OneOf(Trait(("t",)), (Number(2), Text("x")), every=True),
    )
    for held, found in [([2, 3], True), ([], False), ([2, None], False), ([2, "x"], False), (2, True)]:
        assert holds(every, having(t=held)) == found, held
    for held, found in [([2, "x"], True), ([2, 3], False), ([], False), ("x", True)]:
        assert holds(one_of, having(t=held)) == found, held


def test_the_missing_satisfy_no_comparison_and_every_negation() -> None:
    """Null removes a trait; an empty text and an empty array are values."""
    nobody, empty = having(t=None), having(t="")
    equal = Compare(Trait(("t",)), "==", Text("x"))
    assert not holds(equal, nobody)
    assert holds(Not(equal), nobody)
    assert not holds(Exists(Trait(("t",))), nobody)
    assert holds(Exists(Trait(("t",))), empty)
    assert holds(Exists(Trait(("t",))), having(t=[]))
    assert not holds(Exists(Trait(("t",), "number")), empty)


# -------------------------------------------------------------------------------------------------- dates


@pytest.mark.parametrize(
    "told, relation, found",
    [
        ("2026-05-31T12:00:00Z", "within_last", False),
        ("2026-05-31T12:00:00.000001Z", "within_last", True),
        ("2026-06-01T12:00:00Z", "within_last", True),
        ("2026-05-31T12:00:00Z", "before_last", True),
        ("2026-05-31T12:00:00.000001Z", "before_last", False),
        ("2026-06-01T12:00:00Z", "within_next", False),
        ("2026-06-02T12:00:00Z", "within_next", True),
        ("2026-06-02T12:00:00Z", "after_next", False),
        ("2026-06-02T12:00:00.000001Z", "after_next", True),
        ("soon", "after_next", False),
        (["soon", "2026-06-02"], "within_next", True),
    ],
)
def test_a_date_lies_so_far_before_or_after(told: Any, relation: Any, found: bool) -> None:
    """Each instant is in one of four windows, to the microsecond."""
    assert holds(Relative(Trait(("t",)), relation, DAY), having(t=told)) == found


@pytest.mark.parametrize(
    "told, days, as_of, found",
    [
        ("1990-06-01", 0, "2026-06-01T12:00:00Z", True),
        ("1990-06-02", 0, "2026-06-01T12:00:00Z", False),
        ("1990-06-02", 0, "2026-06-01T22:30:00Z", True),
        ("1990-06-08", 7, "2026-06-01T12:00:00Z", True),
        ("1990-06-09", 7, "2026-06-01T12:00:00Z", False),
        ("1990-05-31", 7, "2026-06-01T12:00:00Z", False),
        ("1990-01-02", 7, "2026-12-28T12:00:00Z", True),
        ("1990-06-08T23:30:00-05:00", 7, "2026-06-01T12:00:00Z", True),
        ("2000-02-29", 0, "2026-02-28T12:00:00Z", True),
        ("2000-02-29", 0, "2026-03-01T12:00:00Z", False),
        ("2000-02-29", 0, "2028-02-28T12:00:00Z", False),
        ("2000-02-29", 0, "2028-02-29T12:00:00Z", True),
        ("2001-02-29", 400, "2026-02-28T12:00:00Z", False),
    ],
)
def test_a_day_of_the_year_comes_again(told: str, days: int, as_of: str, found: bool) -> None:
    """Today is that of the zone, the date is the one that is written; 29 February has its day every year."""
    who = Person((), [Change("t", told, "m", ago(days=300), ago(days=300))])
    rule = Recurs(Trait(("t",)), days, "Europe/Berlin")
    assert holds(rule, who, datetime.fromisoformat(as_of)) == found


def test_a_trait_is_held_since_it_last_became_so() -> None:
    """Saying it again interrupts nothing; another value, null, or a value of another type does."""

    def changed(*values: Any) -> Person:
        return Person(
            (),
            [
                Change("t", told, f"m{n}", ago(days=8 - 2 * n), ago(days=8 - 2 * n))
                for n, told in enumerate(values)
            ],
        )

    def both(who: Person) -> tuple[bool, bool]:
        long, short = (Held(Trait(("t",)), Text("x"), op, WEEK) for op in (">=", "<"))
        return holds(long, who), holds(short, who)

    assert both(changed("x")) == (True, False)
    assert both(changed("x", "x", "x")) == (True, False)
    assert both(changed("x", "y", "x")) == (False, True)
    assert both(changed("x", None, "x")) == (False, True)
    assert both(changed("x", "y")) == (False, False)
    assert both(changed("y", ["x", 1])) == (False, True)
    exact = Person((), [Change("t", "x", "m", ago(days=7), ago(days=7))])
    assert both(exact) == (True, False)


def test_a_century_is_a_leap_year_every_fourth_time() -> None:
    """29 February has its own day in 2000, and is kept on the 28th in 2100."""
    for year, found in [(2000, False), (2100, True)]:
        day = datetime(year, 2, 28, 12, tzinfo=UTC)
        who = Person((), [Change("t", "1996-02-29", "m", day, day)])
        assert holds(Recurs(Trait(("t",)), 0, "UTC"), who, day) == found


# ------------------------------------------------------------------------------------------------ windows


@pytest.mark.parametrize(
    "unit, back, current, zone, first, last",
    [
        ("day", 0, True, "UTC", "2026-06-01T00:00:00Z", "2026-06-01T12:00:00Z"),
        ("day", 1, True, "Asia/Kolkata", "2026-05-30T18:30:00Z", "2026-06-01T12:00:00Z"),
        ("week", 1, False, "UTC", "2026-05-25T00:00:00Z", "2026-05-31T23:59:59.999999Z"),
        ("month", 2, False, "Europe/Berlin", "2026-03-31T22:00:00Z", "2026-05-31T21:59:59.999999Z"),
        ("quarter", 1, False, "UTC", "2026-01-01T00:00:00Z", "2026-03-31T23:59:59.999999Z"),
        ("quarter", 1, False, "America/New_York", "2026-01-01T05:00:00Z", "2026-04-01T03:59:59.999999Z"),
        ("year", 0, True, "UTC", "2026-01-01T00:00:00Z", "2026-06-01T12:00:00Z"),
    ],
)
def test_calendar_periods_begin_at_local_midnight(
    unit: Any, back: int, current: bool, zone: str, first: str, last: str
) -> None:
    """Weeks on Monday, quarters in January, April, July and October; summer time moves midnight."""
    calendar = Calendar(unit, back, current, zone)
    begin, end = datetime.fromisoformat(first), datetime.fromisoformat(last)
    microsecond = timedelta(microseconds=1)
    assert [inside(calendar, at, AS_OF) for at in (begin, end)] == [True, True]
    assert [inside(calendar, at, AS_OF) for at in (begin - microsecond, end + microsecond)] == [False, False]


def test_a_day_that_has_no_midnight_begins_when_the_clock_jumps() -> None:
    """In Santiago 6 September 2026 begins at one o'clock."""
    as_of = datetime(2026, 9, 6, 12, tzinfo=UTC)
    today = Calendar("day", 0, True, "America/Santiago")
    jump = datetime(2026, 9, 6, 4, tzinfo=UTC)
    assert inside(today, jump, as_of)
    assert not inside(today, jump - timedelta(microseconds=1), as_of)


@pytest.mark.parametrize(
    "bounds, found",
    [("(]", (False, True)), ("[]", (True, True)), ("()", (False, False)), ("[)", (True, False))],
)
def test_bounds_say_what_happens_at_the_ends(bounds: Any, found: tuple[bool, bool]) -> None:
    """Of the instant a week ago, and of now."""
    window = Last(WEEK, bounds)
    assert (inside(window, ago(days=7), AS_OF), inside(window, AS_OF, AS_OF)) == found


def test_dates_begin_and_end_where_they_say() -> None:
    """What begins with an instant has it, what ends with it does not; a side may be open."""
    start, end = ago(days=2), ago(days=1)
    for dates, found in [
        (Dates(start, end), (False, True, False)),
        (Dates(None, end), (True, True, False)),
        (Dates(start, None), (False, True, True)),
    ]:
        around = (start - timedelta(microseconds=1), start, end)
        assert tuple(inside(dates, at, AS_OF) for at in around) == found


def counted(window: Window) -> Count:
    return Count(Events(Named(("A",)), window))


def test_stopping_and_restarting_are_counts_in_neighbouring_windows() -> None:
    """Stopped: once in the while before, never since; restarted: long ago, not in between, again since."""
    often, never = (">=", Number(1)), ("==", Number(0))
    stopped = AllOf(
        (Compare(counted(Ago(WEEK, DAY)), *often), Compare(counted(Last(DAY)), *never))  # type: ignore[arg-type]
    )
    restarted = AllOf(
        (
            Compare(counted(Ago(None, WEEK)), *often),  # type: ignore[arg-type]
            Compare(counted(Ago(WEEK, DAY)), *never),  # type: ignore[arg-type]
            Compare(counted(Last(DAY)), *often),  # type: ignore[arg-type]
        )
    )
    for days, found in [
        ((1,), (True, False)),
        ((7,), (False, False)),
        ((0.5,), (False, False)),
        ((7, 0.5), (False, True)),
        ((8, 0.5), (False, True)),
        ((8, 1, 0.5), (False, False)),
        ((8, 2), (True, False)),
        ((8,), (False, False)),
    ]:
        who = person(*(("A", ago(days=each)) for each in days))
        assert (holds(stopped, who), holds(restarted, who)) == found, days


def test_a_window_looks_at_the_clock_it_is_told_to() -> None:
    """An event that arrived late is old by one clock and new by the other."""
    who = Person([Event("A", "m", ago(days=3), ago(hours=1))])
    for clock, found in [("occurred", False), ("received", True)]:
        events = Events(Named(("A",)), Last(DAY), clock=clock)  # type: ignore[arg-type]
        assert holds(Compare(Count(events), ">", Number(0)), who) == found


def test_regularly_counts_empty_periods_too() -> None:
    """An event at an edge belongs to the older period."""
    who = person(("A", ago(days=1)), ("A", ago(days=1, hours=1)), ("A", ago(hours=1)))

    def regularly(op: Any, number: int, at_least: int, of: int) -> bool:
        return holds(Regularly(A, op, number, DAY, at_least, of), who)

    assert regularly(">=", 1, 2, 2)
    assert regularly("==", 2, 1, 2)
    assert not regularly(">=", 2, 2, 3)
    assert regularly("==", 0, 1, 3)
    assert not regularly("==", 0, 1, 2)


def test_the_first_time_is_the_first_ever() -> None:
    """Not the first in the window; a condition on the event chooses what it is the first of."""
    who = person(("A", ago(days=9), {"p": 1}), ("A", ago(days=1), {"p": 2}))
    two = Compare(Property(("p",)), "==", Number(2))
    assert not holds(FirstTime(Events(Named(("A",)), Last(WEEK))), who)
    assert holds(FirstTime(Events(Named(("A",)), Last(WEEK), two)), who)
    assert holds(FirstTime(Events(Named(("A",)), Ago(None, WEEK))), who)
    assert not holds(FirstTime(B), who)


def test_the_latest_event_alone_is_asked() -> None:
    """The latest of those that match, by time and then by message id."""
    who = person(("A", ago(days=1), {"p": 1}), ("A", ago(days=1), {"p": 2}), ("B", AS_OF, {"p": 3}))

    def latest(number: int) -> bool:
        return holds(Latest(A, Compare(Property(("p",)), "==", Number(number))), who)

    assert [latest(number) for number in (1, 2, 3)] == [False, True, False]
