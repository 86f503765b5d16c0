"""Overrides: what a person decides wins over events, is replayed with them, and can be taken back."""

from __future__ import annotations

import pytest

from identity.errors import ConfigurationError, NotFoundError
from identity.identifiers import IdentityRules
from identity.overrides import OverrideKind, list_overrides, record_override, undo_override
from identity.profiles import find_profile, identifier_token
from tests.conftest import NOW, House
from tests.identity.test_resolve import STREAM, join, profiles, stored, visit


def decide(house: House, kind: OverrideKind, one: str, other: str) -> int:
    tokens = [identifier_token(house.vault, house.rules, each) for each in (one, other)]
    return record_override(house.ledger, kind, *tokens, author="ann", reason="asked them", at=NOW).number


def test_merge_joins_what_a_limit_keeps_apart_and_undo_parts_it_again(house: House) -> None:
    """Two user ids are one person, their events one history; without the override all is as before."""
    house.say(*STREAM)
    house.resolve()
    before = stored(house)
    number = decide(house, "merge", "user_id:bob", "user_id:cat")
    report = house.resolve()
    assert profiles(house) == {frozenset("1234"), frozenset("56")}
    assert (report.changes.merged, report.changes.split) == (1, 0)
    undo_override(house.ledger, number, author="ben", at=NOW)
    report = house.resolve()
    assert (report.changes.merged, report.changes.split) == (0, 1)
    assert stored(house) == before


def test_a_merged_identifier_counts_once_so_that_later_events_still_link(house: House) -> None:
    """One is another name of the other: the limit of one user id is not used up by two."""
    house.say(*STREAM)
    decide(house, "merge", "user_id:bob", "user_id:cat")
    house.say(visit("8", 8, userId="cat", anonymousId="new"), name="more.ndjson")
    house.resolve()
    assert find_profile(house.warehouse, house.vault, house.rules, "anonymous_id:new") == find_profile(
        house.warehouse, house.vault, house.rules, "user_id:bob"
    )


@pytest.mark.parametrize("conflict", ["demote", "drop_links"])
def test_never_merge_parts_two_whatever_events_say(house: House, conflict: str) -> None:
    """Retroactively, and for every event that comes."""
    house.rules = IdentityRules(conflict=conflict)  # type: ignore[arg-type]
    house.say(*STREAM)
    decide(house, "apart", "anonymous_id:phone", "anonymous_id:laptop")
    house.resolve()
    assert not any({"1", "2"} <= each for each in profiles(house))
    house.say(visit("8", 8, userId="ann", anonymousId="laptop"), name="more.ndjson")
    house.resolve()
    assert not any({"1", "2"} <= each for each in profiles(house))


def test_split_frees_an_identifier_for_its_next_owner(house: House) -> None:
    """A prepaid phone: what was said until then links nobody, what comes later does."""
    house.say(
        join("1", 1, "ann@example.com", userId="ann"),
        visit("2", 2, userId="ann", anonymousId="prepaid"),
        visit("3", 3, anonymousId="prepaid"),
    )
    house.resolve()
    assert profiles(house) == {frozenset("123")}
    record_override(
        house.ledger,
        "split",
        identifier_token(house.vault, house.rules, "anonymous_id:prepaid"),
        identifier_token(house.vault, house.rules, "user_id:ann"),
        author="ann",
        reason="number handed on",
        at=NOW.replace(year=2026, month=1, day=4),
    )
    assert house.resolve().changes.split == 1
    assert profiles(house) == {frozenset("12"), frozenset("3")}
    house.say(visit("5", 5, userId="bob", anonymousId="prepaid"), name="more.ndjson")
    house.resolve()
    assert profiles(house) == {frozenset("12"), frozenset("35")}


def test_an_override_of_identifiers_that_no_event_carried_changes_nothing(house: House) -> None:
    """Until one does."""
    house.say(*STREAM)
    house.resolve()
    before = stored(house)
    for kind, one in (("merge", "user_id:x"), ("apart", "user_id:y"), ("split", "user_id:z")):
        decide(house, kind, one, "user_id:ann")  # type: ignore[arg-type]
    house.resolve()
    assert stored(house) == before


def test_an_override_has_two_identifiers_a_reason_and_no_opposite(house: House) -> None:
    """Each mistake has its sentence."""
    number = decide(house, "merge", "user_id:ann", "user_id:bob")
    with pytest.raises(ConfigurationError, match=f"Override {number} says the opposite"):
        decide(house, "apart", "user_id:bob", "user_id:ann")
    with pytest.raises(ConfigurationError, match="same identifier"):
        decide(house, "merge", "user_id:ann", "user_id:ann")
    with pytest.raises(ConfigurationError, match="reason"):
        record_override(house.ledger, "apart", "a", "b", author="ann", reason=" ", at=NOW)


def test_an_override_that_was_undone_keeps_its_record_and_cant_be_undone_twice(house: House) -> None:
    """Who, when and why stay readable."""
    number = decide(house, "apart", "user_id:ann", "user_id:bob")
    undo_override(house.ledger, number, author="ben", at=NOW)
    assert list_overrides(house.ledger) == ()
    (kept,) = list_overrides(house.ledger, undone=True)
    assert (kept.author, kept.reason, kept.undone_by, kept.undone_at) == ("ann", "asked them", "ben", NOW)
    with pytest.raises(NotFoundError, match=f"No override {number} holds"):
        undo_override(house.ledger, number, author="ben", at=NOW)
