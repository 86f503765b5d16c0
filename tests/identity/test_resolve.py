"""Resolve: the stored profiles are a function of the set of events and of the rules."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from sqlglot import exp

from identity.errors import NotFoundError
from identity.identifiers import IdentityRules, anonymous_id, email, phone
from identity.profiles import find_profile, identifier_token, match_keys, subjects_of
from identity.resolve import unresolved_events
from identity.shown import show_profile
from tests.conftest import House


def visit(message_id: str, day: int, **fields: object) -> dict[str, object]:
    at = f"2026-01-{day:02}T00:00:00Z"
    return {"messageId": message_id, "type": "track", "event": "Visit", "timestamp": at, **fields}


def join(message_id: str, day: int, address: str, **fields: object) -> dict[str, object]:
    return {**visit(message_id, day, **fields), "type": "identify", "traits": {"email": address}}


STREAM = [
    visit("1", 1, anonymousId="phone"),
    visit("2", 2, anonymousId="laptop"),
    join("3", 3, "ann@example.com", userId="ann", anonymousId="phone"),
    join("4", 4, "ANN@example.com", anonymousId="laptop"),
    join("5", 5, "bob@example.com", userId="bob", anonymousId="kiosk"),
    join("6", 6, "cat@example.com", userId="cat", anonymousId="kiosk"),
    visit("7", 7, anonymousId="null"),
]


def profiles(house: House) -> set[frozenset[str]]:
    """Profiles as sets of the message ids that belong to them."""
    found: dict[str, set[str]] = {}
    for row in house.warehouse.query(
        exp.select("profile_id", "message_id").from_("profile_events")
    ).to_pylist():
        found.setdefault(row["profile_id"], set()).add(row["message_id"])
    return {frozenset(messages) for messages in found.values()}


def test_identifiers_merge_profiles_and_a_second_user_id_does_not(house: House) -> None:
    """The kiosk's second user keeps a profile of their own; a blocked id links nobody."""
    house.say(*STREAM)
    report = house.resolve()
    assert profiles(house) == {frozenset("1234"), frozenset("5"), frozenset("6")}
    assert (report.events, report.profiles, report.merges) == (7, 3, 1)
    assert (report.blocked, report.unattributed) == (1, 1)


def stored(house: House) -> list[object]:
    tables = {
        "identifier_profiles": ("identifier_id", "profile_id"),
        "profiles": ("profile_id", "first_seen_at", "last_seen_at"),
        "merges": ("from_profile", "to_profile", "message_id", "merged_at"),
        "events": ("message_id", "subject"),
    }
    return [
        house.warehouse.query(exp.select(*columns).from_(table).order_by(*columns)).to_pylist()
        for table, columns in tables.items()
    ]


@pytest.mark.parametrize("seed", range(4))
def test_any_order_any_split_and_any_repetition_store_the_same(
    house: House, seed: int, tmp_path: Path
) -> None:
    """Byte for byte, also when resolved in between."""
    house.say(*STREAM)
    house.resolve()
    expected = stored(house)
    for table in ("events", "trait_changes", "identifiers", "sealed_values", "settings"):
        house.warehouse.execute(exp.delete(table))
    shuffled = STREAM * 2
    random.Random(seed).shuffle(shuffled)
    for number in range(0, len(shuffled), 5):
        house.say(*shuffled[number : number + 5], name=f"part{number}.ndjson")
        house.resolve()
    assert stored(house) == expected


def test_changed_rules_give_what_they_would_have_given_from_the_start(house: House) -> None:
    """Blocked values, limits and priorities are applied to events that are there already."""
    house.say(*STREAM)
    house.resolve()
    house.rules = IdentityRules(phone(limit=3), email(limit=5), blocked=["ann@example.com"])
    assert house.resolve().blocked == 2
    assert profiles(house) == {frozenset("13"), frozenset("24"), frozenset("5"), frozenset("6")}
    house.rules = IdentityRules(anonymous_id(priority=1), phone(limit=3))
    house.resolve()
    assert frozenset("1234") in profiles(house)
    house.rules = IdentityRules(phone(limit=3))
    house.resolve()
    assert profiles(house) == {frozenset("1234"), frozenset("5"), frozenset("6")}


def test_only_what_is_touched_is_looked_at(house: House) -> None:
    """New events, blocked values and limits each touch their components; the rest has no history."""
    alone = [visit(f"x{n}", 9, userId=f"x{n}", anonymousId=f"x{n}") for n in range(5)]
    house.say(*STREAM, *alone)
    assert house.resolve().looked_at == 6 + 5
    assert house.resolve().looked_at == 0
    house.say(visit("8", 8, userId="bob"), name="new.ndjson")
    assert house.resolve().looked_at == 2 + 1
    house.rules = IdentityRules(phone(limit=3), blocked=["ann@example.com"])
    assert house.resolve().looked_at == 4
    house.rules = IdentityRules(phone(limit=3), anonymous_id(limit=1), blocked=["ann@example.com"])
    assert house.resolve().looked_at == 0
    house.rules = IdentityRules(phone(limit=3), anonymous_id(limit=1))
    assert house.resolve().looked_at == 4
    history = house.warehouse.query(
        exp.select("identifier_id", exp.Count(this=exp.Star()).as_("n"))
        .from_("identifier_updates")
        .group_by("identifier_id")
    ).to_pylist()
    untouched = {str(house.vault.token("user_id", f"x{n}")) for n in range(5)}
    assert {row["n"] for row in history if row["identifier_id"] in untouched} == {1}


def test_a_late_event_moves_what_it_should_have_moved_and_says_so(house: House) -> None:
    """It happened first, so the device is its person's; the history keeps both."""
    house.say(*STREAM)
    house.resolve()
    who = find_profile(house.warehouse, house.vault, house.rules, "anonymous_id:kiosk")
    house.say(visit("0", 1, userId="eve", anonymousId="kiosk"), name="late.ndjson")
    changes = house.resolve().changes
    assert (changes.merged, changes.split, changes.moved, changes.touched) == (0, 1, 1, (who,))
    eve = find_profile(house.warehouse, house.vault, house.rules, "anonymous_id:kiosk")
    assert eve == find_profile(house.warehouse, house.vault, house.rules, "user_id:eve")
    updates = house.warehouse.query(
        exp.select("profile_id")
        .from_("identifier_updates")
        .where(
            exp.column("identifier_id").eq(
                exp.cast(exp.Literal.string(str(house.vault.token("anonymous_id", "kiosk"))), "UUID")
            )
        )
        .order_by("rowid")
    )
    assert updates["profile_id"].to_pylist() == [who, eve]


def test_a_type_that_the_rules_no_longer_name_links_nobody(house: House) -> None:
    """And does not count as another type either."""
    house.say(
        visit("1", 1, anonymousId="a", properties={"phone": "415-555-0100"}),
        visit("2", 2, anonymousId="b", properties={"phone": "415-555-0100"}),
    )
    house.resolve()
    assert profiles(house) == {frozenset("12")}
    house.rules = IdentityRules()
    house.resolve()
    assert profiles(house) == {frozenset("1"), frozenset("2")}


def test_a_profile_keeps_its_id_when_later_events_come(house: House) -> None:
    """It is a keyed hash of the canonically first event's message id."""
    house.say(*STREAM[2:4])
    house.resolve()
    found = find_profile(house.warehouse, house.vault, house.rules, "user_id:ann")
    assert found == str(house.vault.profile_id("3"))
    house.say(visit("8", 8, userId="ann"), name="more.ndjson")
    house.resolve()
    assert find_profile(house.warehouse, house.vault, house.rules, "email:Ann@Example.com ") == found


def test_new_events_wait_for_the_next_resolve(house: House) -> None:
    """And the plan can say how many."""
    house.say(*STREAM)
    assert unresolved_events(house.warehouse) == 7
    house.resolve()
    assert unresolved_events(house.warehouse) == 0


def test_a_profile_is_shown_masked_unless_asked_otherwise(house: House) -> None:
    """Newest trait wins, null removes, repeated merges are listed."""
    house.say(*STREAM)
    house.say(
        {**join("8", 8, "ann@example.com", userId="ann"), "traits": {"plan": "free", "firstName": "Ann"}},
        {**join("9", 9, "x", userId="ann"), "traits": {"plan": None, "city": "Lisbon"}},
        name="more.ndjson",
    )
    house.resolve()
    who = find_profile(house.warehouse, house.vault, house.rules, "user_id:ann")
    shown = show_profile(house.warehouse, house.vault, who)
    assert {name: trait.value for name, trait in shown.traits.items()} == {
        "city": "L•••",
        "email": "a•••@e•••.com",
        "firstName": "A•••",
    }
    assert sorted((each.type, each.value) for each in shown.identifiers) == [
        ("anonymous_id", "lap•••p"),
        ("anonymous_id", "pho•••e"),
        ("email", "a•••@e•••.com"),
        ("user_id", "ann"),
    ]
    assert len(shown.merged) == 1
    assert "ann@example.com" not in repr(shown)
    revealed = show_profile(house.warehouse, house.vault, who, reveal=True)
    assert revealed.traits["firstName"].value == "Ann"


def test_asking_for_nobody_is_an_error_that_repeats_no_value(house: House) -> None:
    """With the way out, and the type that was meant."""
    house.say(*STREAM)
    house.resolve()
    for text, says in (
        ("email:no@example.com", "resolve"),
        ("emial:no@example.com", "Did you mean 'email'"),
        ("email:nonsense", "not a valid email"),
        ("nonsense", "TYPE:VALUE"),
    ):
        with pytest.raises(NotFoundError, match=says) as caught:
            find_profile(house.warehouse, house.vault, house.rules, text)
        assert "no@example.com" not in str(caught.value)


def test_match_keys_come_from_identifiers_and_newest_traits_hashed_for_one_platform(house: House) -> None:
    """Nothing plain leaves; somebody without a key is a candidate without keys."""
    rules = IdentityRules()
    house.rules = rules
    house.say(
        {
            **join("1", 1, "x.y+z@gmail.com", userId="a"),
            "traits": {"email": "x.y+z@gmail.com", "phone": "415-555-0100"},
        },
        {**join("2", 2, "", userId="a"), "traits": {"phone": "415 555 0199"}},
        visit("3", 3, userId="b"),
    )
    house.resolve()
    people = [find_profile(house.warehouse, house.vault, rules, who) for who in ("user_id:a", "user_id:b")]
    google, nobody = match_keys(house.warehouse, house.vault, people, ["email", "phone"], "google")
    assert [key.kind for key in google.keys] == ["email", "phone"]
    assert nobody.keys == ()
    assert set(subjects_of(house.warehouse, people[0])) < set(google.subjects)
    assert identifier_token(house.vault, rules, "phone:4155550199") in google.subjects
    assert "gmail" not in repr(google)
