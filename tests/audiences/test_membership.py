"""Membership: history of who entered and exited, the same however often it is computed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlglot import exp

from audiences import Audience, RuleError, days, did, in_audience, trait
from audiences.compile import compile_audiences
from audiences.errors import MembershipError
from audiences.membership import compute_members, current_members, membership_history, store_memberships
from audiences.privacy import FieldPrivacy
from identity.profiles import find_profile
from tests.conftest import NOW, House


def visit(number: int, who: str, days_ago: float) -> dict[str, object]:
    at = (NOW - timedelta(days=days_ago)).isoformat()
    return {"messageId": f"m{number}", "type": "track", "event": "Visit", "userId": who, "timestamp": at}


RECENT = Audience("recent", did("Visit").within(days(7)))


@pytest.fixture
def filled(house: House) -> House:
    house.say(visit(1, "ann", 1), visit(2, "bob", 6), visit(3, "cat", 20))
    house.resolve()
    return house


def history(house: House) -> list[tuple[object, ...]]:
    rows = house.warehouse.query(
        exp.select("profile_id", "entered_at", "exited_at", "run")
        .from_("memberships")
        .order_by("entered_at", "profile_id")
    ).to_pylist()
    names = {
        find_profile(house.warehouse, house.vault, house.rules, f"user_id:{who}"): who
        for who in ("ann", "bob", "cat")
    }
    return sorted((names[row["profile_id"]], row["run"], row["exited_at"] is not None) for row in rows)


def test_entering_and_leaving_is_kept_as_history(filled: House) -> None:
    """Time alone moves people out of a window."""
    (first,) = store_memberships(filled.warehouse, [RECENT], NOW, run="one")
    assert (first.size, first.entered, first.exited) == (2, 2, 0)
    (later,) = store_memberships(filled.warehouse, [RECENT], NOW + timedelta(days=2), run="two")
    assert (later.size, later.entered, later.exited) == (1, 0, 1)
    assert history(filled) == [("ann", "one", False), ("bob", "one", True)]
    filled.say(visit(4, "bob", 0), name="more.ndjson")
    filled.resolve()
    (back,) = store_memberships(filled.warehouse, [RECENT], NOW + timedelta(days=3), run="three")
    assert (back.size, back.entered, back.exited) == (2, 1, 0)
    assert history(filled) == [("ann", "one", False), ("bob", "one", True), ("bob", "three", False)]


def test_computing_again_at_the_same_instant_changes_nothing(filled: House) -> None:
    """Also when another event came in between and is gone again."""
    store_memberships(filled.warehouse, [RECENT], NOW, run="one")
    before = history(filled)
    (again,) = store_memberships(filled.warehouse, [RECENT], NOW, run="two")
    assert (again.entered, again.exited) == (0, 0)
    assert history(filled) == before


def test_the_past_can_be_looked_at_and_not_stored(filled: House) -> None:
    """History is not rewritten."""
    store_memberships(filled.warehouse, [RECENT], NOW, run="one")
    earlier = NOW - timedelta(days=14)
    assert len(compute_members(filled.warehouse, [RECENT], earlier)["recent"]) == 1
    with pytest.raises(MembershipError, match="preview"):
        store_memberships(filled.warehouse, [RECENT], earlier, run="two")
    found = membership_history(filled.warehouse, "recent")
    assert found == {"members": 2, "since": NOW}
    assert len(current_members(filled.warehouse, "recent")) == 2


def test_a_window_ends_to_the_microsecond(filled: House) -> None:
    """`(as_of - 7 days, as_of]`: an event of exactly seven days ago is out."""
    edge = NOW + timedelta(days=1)
    assert len(compute_members(filled.warehouse, [RECENT], edge - timedelta(microseconds=1))["recent"]) == 2
    assert len(compute_members(filled.warehouse, [RECENT], edge)["recent"]) == 1


def test_personal_fields_are_compared_by_token(house: House) -> None:
    """`==`, `!=`, `is_in`, exists; in canonical form; anything else is an error that says so."""
    house.say(
        {
            "messageId": "1",
            "type": "identify",
            "userId": "ann",
            "traits": {"email": "Ann@Example.com", "firstName": "Ann"},
        },
        {"messageId": "2", "type": "identify", "userId": "bob", "traits": {"email": "bob@example.com"}},
    )
    house.resolve()
    privacy = FieldPrivacy(house.vault, house.rules)

    def count(rule: object) -> int:
        audience = Audience("x", rule)  # type: ignore[arg-type]
        return len(compute_members(house.warehouse, [audience], NOW, privacy)["x"])

    assert count(trait("email") == " ANN@example.com") == 1
    assert count(trait("email") != "ann@example.com") == 1
    assert count(trait("email").is_in(["ann@example.com", "bob@example.com", "x@example.com"])) == 2
    assert count(trait("firstName").exists()) == 1
    for rule in (trait("email").contains("@example.com"), trait("firstName") < "B", trait("email") == 5):
        with pytest.raises(RuleError, match="sealed"):
            count(rule)
    with pytest.raises(RuleError, match="sealed"):
        count(did("A").sum("phone") > 1)
    sql = compile_audiences([Audience("x", trait("email") == "ann@example.com")], NOW, privacy).sql("duckdb")
    assert "ann@example.com" not in sql


def test_audiences_are_built_on_each_other_in_any_order(filled: House) -> None:
    """By object or by key; unknown ones and circles are errors that name them."""
    quiet = Audience("quiet", ~RECENT)
    quiet_people = Audience("quiet_people", in_audience("quiet") & did("Visit"))
    found = compute_members(filled.warehouse, [quiet_people, quiet, RECENT], NOW)
    assert {key: len(people) for key, people in found.items()} == {"recent": 2, "quiet": 1, "quiet_people": 1}
    with pytest.raises(RuleError, match="Did you mean 'recent'"):
        compute_members(filled.warehouse, [RECENT, Audience("x", in_audience("recnt"))], NOW)
    circle = [
        Audience("a", in_audience("b")),
        Audience("b", in_audience("c")),
        Audience("c", in_audience("a")),
    ]
    with pytest.raises(RuleError, match=r"circle: \w → \w → \w → \w"):
        compute_members(filled.warehouse, circle, NOW)


def test_equal_conditions_are_one_column_and_each_event_name_is_scanned_once(filled: House) -> None:
    """A hundred audiences cost little more than one."""
    audiences = [
        Audience(f"a{n}", did("Visit").within(days(7)) >= 1, did("Visit") >= n) for n in range(1, 20)
    ]
    sql = compile_audiences(audiences, NOW).sql("duckdb")
    assert sql.count("FROM profile_events") == 1
    assert sql.count("COUNT(*)") == 2
    assert len(compute_members(filled.warehouse, audiences, NOW)["a1"]) == 2
