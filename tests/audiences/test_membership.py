"""Membership: history of who entered and exited, the same however often it is computed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from sqlglot import exp

from audiences import Audience, RuleError, days, did, in_audience, trait
from audiences.checking import SAMPLE_EVERY, check_memberships, is_sampled
from audiences.compile import Question, compile_audiences
from audiences.computations import read_computations
from audiences.computed import ComputedTrait
from audiences.computing import MembershipChange, compute, compute_members
from audiences.errors import MembershipError
from audiences.kinds import read_kinds
from audiences.membership import current_members
from audiences.privacy import FieldPrivacy
from audiences.queries import query
from audiences.shared import shared_scans
from audiences.tables import create_audience_tables
from identity.errors import WarehouseError
from identity.profiles import find_profile
from identity.tables import uuid
from tests.conftest import NOW, House


def visit(number: int, who: str, days_ago: float) -> dict[str, object]:
    at = (NOW - timedelta(days=days_ago)).isoformat()
    return {"messageId": f"m{number}", "type": "track", "event": "Visit", "userId": who, "timestamp": at}


RECENT = Audience("recent", did("Visit").within(days(7)))


@pytest.fixture
def filled(house: House) -> House:
    create_audience_tables(house.warehouse)
    house.say(visit(1, "ann", 1), visit(2, "bob", 6), visit(3, "cat", 20))
    house.resolve()
    return house


def asked(house: House, audiences: Sequence[Audience], as_of: datetime) -> Question:
    privacy = FieldPrivacy(house.vault, house.rules)
    known = {each.key: each for each in audiences}
    return Question(as_of, privacy=privacy, audiences=known, kinds=read_kinds(house.warehouse))


def run(
    house: House, wanted: Sequence[Audience | ComputedTrait], as_of: datetime, name: str, **options: bool
) -> list[MembershipChange]:
    audiences = [each for each in wanted if isinstance(each, Audience)]
    return compute(house.warehouse, wanted, asked(house, audiences, as_of), run=name, **options)


def members(house: House, audiences: Sequence[Audience], as_of: datetime) -> dict[str, list[str]]:
    return compute_members(house.warehouse, audiences, asked(house, audiences, as_of))


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
    (first,) = run(filled, [RECENT], NOW, "one")
    assert (first.size, first.entered, first.exited) == (2, 2, 0)
    (later,) = run(filled, [RECENT], NOW + timedelta(days=2), "two")
    assert (later.size, later.entered, later.exited) == (1, 0, 1)
    assert history(filled) == [("ann", "one", False), ("bob", "one", True)]
    filled.say(visit(4, "bob", 0), name="more.ndjson")
    filled.resolve()
    (back,) = run(filled, [RECENT], NOW + timedelta(days=3), "three")
    assert (back.size, back.entered, back.exited) == (2, 1, 0)
    assert history(filled) == [("ann", "one", False), ("bob", "one", True), ("bob", "three", False)]


def test_computing_again_at_the_same_instant_changes_nothing(filled: House) -> None:
    """Also when another event came in between and is gone again."""
    run(filled, [RECENT], NOW, "one")
    before = history(filled)
    (again,) = run(filled, [RECENT], NOW, "two")
    assert (again.entered, again.exited) == (0, 0)
    assert history(filled) == before


def test_the_past_can_be_looked_at_and_not_stored(filled: House) -> None:
    """History is not rewritten."""
    run(filled, [RECENT], NOW, "one")
    earlier = NOW - timedelta(days=14)
    assert len(members(filled, [RECENT], earlier)["recent"]) == 1
    with pytest.raises(MembershipError, match="preview"):
        run(filled, [RECENT], earlier, "two")
    found = read_computations(filled.warehouse)["recent"]
    assert (found.members, found.as_of, found.version) == (2, NOW, 1)
    assert len(current_members(filled.warehouse, "recent")) == 2


def test_a_window_ends_to_the_microsecond(filled: House) -> None:
    """`(as_of - 7 days, as_of]`: an event of exactly seven days ago is out."""
    edge = NOW + timedelta(days=1)
    assert len(members(filled, [RECENT], edge - timedelta(microseconds=1))["recent"]) == 2
    assert len(members(filled, [RECENT], edge)["recent"]) == 1


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
    create_audience_tables(house.warehouse)

    def count(rule: object) -> int:
        audience = Audience("x", rule)  # type: ignore[arg-type]
        return len(members(house, [audience], NOW)["x"])

    assert count(trait("email") == " ANN@example.com") == 1
    assert count(trait("email") != "ann@example.com") == 1
    assert count(trait("email").is_in(["ann@example.com", "bob@example.com", "x@example.com"])) == 2
    assert count(trait("firstName").exists()) == 1
    for rule in (trait("email").contains("@example.com"), trait("firstName") < "B", trait("email") == 5):
        with pytest.raises(RuleError, match="sealed"):
            count(rule)
    with pytest.raises(RuleError, match="sealed"):
        count(did("A").sum("phone") > 1)
    by_address = Audience("x", trait("email") == "ann@example.com")
    sql = compile_audiences([by_address], asked(house, [by_address], NOW)).sql("duckdb")
    assert "ann@example.com" not in sql


def test_audiences_are_built_on_each_other_in_any_order(filled: House) -> None:
    """By object or by key; unknown ones and circles are errors that name them."""
    quiet = Audience("quiet", ~RECENT)
    quiet_people = Audience("quiet_people", in_audience("quiet") & did("Visit"))
    found = members(filled, [quiet_people, quiet, RECENT], NOW)
    assert {key: len(people) for key, people in found.items()} == {"recent": 2, "quiet": 1, "quiet_people": 1}
    with pytest.raises(RuleError, match="Did you mean 'recent'"):
        members(filled, [RECENT, Audience("x", in_audience("recnt"))], NOW)
    circle = [
        Audience("a", in_audience("b")),
        Audience("b", in_audience("c")),
        Audience("c", in_audience("a")),
    ]
    with pytest.raises(RuleError, match=r"circle: \w → \w → \w → \w"):
        members(filled, circle, NOW)


def test_equal_conditions_are_one_column_and_each_event_name_is_scanned_once(filled: House) -> None:
    """A hundred audiences cost little more than one."""
    audiences = [
        Audience(f"a{n}", did("Visit").within(days(7)) >= 1, did("Visit") >= n) for n in range(1, 20)
    ]
    sql = compile_audiences(audiences, asked(filled, audiences, NOW)).sql("duckdb")
    assert sql.count("FROM profile_events") == 1
    assert sql.count("COUNT(*)") == 2
    (scan,) = shared_scans(audiences, asked(filled, audiences, NOW))
    assert (scan.audiences, scan.asked, scan.computed) == (19, 38, 2)
    assert len(members(filled, audiences, NOW)["a1"]) == 2


def test_a_run_looks_only_at_whom_something_touched(filled: House) -> None:
    """New events and windows that moved past an event; nobody else."""
    filled.say(*(visit(100 + number, f"p{number}", 2) for number in range(30)), name="crowd.ndjson")
    filled.resolve()
    (first,) = run(filled, [RECENT], NOW, "one")
    assert first.looked_at is None
    (idle,) = run(filled, [RECENT], NOW, "two")
    assert idle.looked_at == 0
    # bob's visit of six days ago leaves the window; nobody else's instant lies on an edge
    (later,) = run(filled, [RECENT], NOW + timedelta(days=1, minutes=1), "three")
    assert (later.looked_at, later.exited) == (1, 1)
    filled.say(visit(200, "dan", 0), name="dan.ndjson")
    filled.resolve()
    (new,) = run(filled, [RECENT], NOW + timedelta(days=1, minutes=2), "four")
    assert (new.looked_at, new.entered) == (1, 1)


def test_a_definition_that_means_the_same_is_not_computed_again(filled: House) -> None:
    """Rewording and reordering keep the version's meaning; another window does not."""
    both = Audience("both", did("Visit").within(days(7)), trait("plan") != "free")
    run(filled, [both], NOW, "one")
    reordered = Audience("both", trait("plan") != "free", did("Visit").within(days(7)), description="Words.")
    (again,) = run(filled, [reordered], NOW, "two")
    assert again.looked_at == 0
    wider = Audience("both", trait("plan") != "free", did("Visit").within(days(30)))
    (other,) = run(filled, [wider], NOW, "three")
    assert (other.looked_at, other.entered) == (None, 1)


def test_what_an_audience_is_built_on_is_part_of_its_meaning(filled: House) -> None:
    """An edit below is computed above."""
    above = Audience("above", in_audience("recent"))
    run(filled, [RECENT, above], NOW, "one")
    wider = Audience("recent", did("Visit").within(days(30)))
    changes = run(filled, [wider, above], NOW, "two")
    assert [each.entered for each in changes] == [1, 1]


BROKEN = "SELECT profile_id FROM profile_events WHERE CAST(message_id AS INTEGER) > 0"


def test_one_that_fails_keeps_its_last_version_and_the_others_go_on(filled: House) -> None:
    """Stale since the first failure, and current again when it is mended."""
    good = "SELECT profile_id FROM profile_events WHERE name = 'Visit'"
    run(filled, [RECENT, Audience("asked", query(good))], NOW, "one")
    broken = Audience("asked", query(BROKEN))
    later = NOW + timedelta(days=2)
    recent, asked_for = run(filled, [RECENT, broken], later, "two")
    assert (recent.problem, recent.exited) == (None, 1)
    assert asked_for.problem is not None
    assert (asked_for.size, asked_for.stale_since) == (3, later)
    assert len(current_members(filled.warehouse, "asked")) == 3
    (still,) = run(filled, [broken], later + timedelta(days=1), "three")
    assert still.stale_since == later
    version = read_computations(filled.warehouse)["asked"]
    assert (version.version, version.as_of, version.stale_since) == (1, NOW, later)
    (mended,) = run(filled, [Audience("asked", query(good))], later + timedelta(days=2), "four")
    assert (mended.problem, mended.stale_since) == (None, None)
    assert read_computations(filled.warehouse)["asked"].stale_since is None


def test_readers_see_one_version_or_the_next(filled: House) -> None:
    """What a run stores is stored at once: a failure in the middle leaves all of the last version."""
    everybody = Audience("everybody", did("Visit"))
    run(filled, [RECENT, everybody], NOW, "one")
    before = history(filled), read_computations(filled.warehouse)
    later = NOW + timedelta(days=2)
    filled.warehouse.execute(exp.Drop(tables=[exp.to_table("computed_traits")], kind="TABLE"))
    visits = ComputedTrait("visits", did("Visit").count())
    with pytest.raises(WarehouseError):
        run(filled, [RECENT, everybody, visits], later, "two")
    create_audience_tables(filled.warehouse)
    assert (history(filled), read_computations(filled.warehouse)) == before


def test_a_computed_trait_follows_its_events_and_goes_with_its_rule(filled: House) -> None:
    """Its value is stored, changes, and is gone when the project no longer defines it."""
    visits = ComputedTrait("visits", did("Visit").within(days(7)).count())
    ann = find_profile(filled.warehouse, filled.vault, filled.rules, "user_id:ann")

    def value() -> object:
        rows = filled.warehouse.query(
            exp.select("profile_id", "value").from_("computed_traits").where(exp.column("name").eq("visits"))
        ).to_pylist()
        return {row["profile_id"]: float(row["value"]) for row in rows}.get(ann)

    run(filled, [visits], NOW, "one")
    assert value() == 1
    filled.say(visit(9, "ann", 0), name="ann.ndjson")
    filled.resolve()
    (change,) = run(filled, [visits], NOW + timedelta(minutes=1), "two")
    assert (value(), change.changed) == (2, 1)
    run(filled, [RECENT], NOW + timedelta(minutes=2), "three", retire=True)
    assert value() is None
    assert "visits" not in read_computations(filled.warehouse)


def test_an_audience_that_lost_its_rule_loses_its_members(filled: House) -> None:
    """When a run is of everything that there is."""
    run(filled, [RECENT], NOW, "one")
    run(filled, [Audience("other", did("Visit"))], NOW + timedelta(minutes=1), "two", retire=True)
    assert current_members(filled.warehouse, "recent") == []


def test_a_check_from_scratch_finds_what_is_not_so(filled: House) -> None:
    """A member too many, and one too few, with their ids; a sample sees its share of the profiles."""
    run(filled, [RECENT], NOW, "one")
    question = asked(filled, [RECENT], NOW)
    assert check_memberships(filled.warehouse, [RECENT], question).differences == ()
    cat = find_profile(filled.warehouse, filled.vault, filled.rules, "user_id:cat")
    ann = find_profile(filled.warehouse, filled.vault, filled.rules, "user_id:ann")
    filled.warehouse.execute(
        exp.update("memberships", {"profile_id": uuid(cat)}, where=exp.column("profile_id").eq(uuid(ann)))
    )
    (difference,) = check_memberships(filled.warehouse, [RECENT], question).differences
    assert (difference.missing, difference.extra) == (1, 1)
    assert set(difference.examples) == {ann, cat}
    seen = [
        each
        for part in range(32)
        for each in check_memberships(filled.warehouse, [RECENT], question, sample=part).differences
    ]
    assert sum(each.missing for each in seen) == sum(each.extra for each in seen) == 1
    assert [version for version in range(1, 50) if is_sampled(version)] == [SAMPLE_EVERY, 2 * SAMPLE_EVERY]


def test_what_has_new_data_is_not_compared(filled: House) -> None:
    """The check says that it is behind instead of calling it wrong."""
    run(filled, [RECENT], NOW, "one")
    filled.say(visit(10, "eve", 0), name="eve.ndjson")
    filled.resolve()
    checked = check_memberships(filled.warehouse, [RECENT], asked(filled, [RECENT], NOW))
    assert (checked.behind, checked.compared) == (("recent",), {})
