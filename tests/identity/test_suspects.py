"""Suspects: what a steward should look at, and which identifier types make bad keys."""

from __future__ import annotations

from identity.identifiers import IdentityRules, custom, phone, user_id
from identity.suspects import find_suspects
from tests.conftest import House
from tests.identity.test_resolve import join, visit


def test_a_type_that_changes_with_every_visit_is_rejected(house: House) -> None:
    """Tens of values a person identify nobody; a device of one's own is good."""
    house.rules = IdentityRules(custom("session"))
    house.say(
        *(
            visit(
                f"{who}-{nth}", nth, userId=who, anonymousId=f"d-{who}", properties={"session": f"{who}{nth}"}
            )
            for who in ("ann", "bob")
            for nth in range(1, 13)
        )
    )
    house.resolve()
    verdicts = {each.type: each for each in find_suspects(house.warehouse, house.vault, house.rules).types}
    assert verdicts["session"].values_per_person == 12
    assert verdicts["session"].verdict.startswith("reject: 12 values a person")
    assert verdicts["anonymous_id"].verdict == "good"
    assert verdicts["user_id"].verdict == "a person's own id"
    assert verdicts["session"].left_out == 14


def test_an_identifier_that_many_share_is_named_with_how_many(house: House) -> None:
    """Masked, with its id to look at; once blocked it says so."""
    house.say(*(join(f"{n}", n, "office@example.com", userId=f"u{n}") for n in range(1, 13)))
    house.resolve()
    found = find_suspects(house.warehouse, house.vault, house.rules)
    (shared,) = found.shared
    assert (shared.people, shared.identifier.type, shared.identifier.value) == (12, "email", "o•••@e•••.com")
    (verdict,) = [each.verdict for each in found.types if each.type == "email"]
    assert verdict.startswith("weak: 100% of its values belong to several people")
    house.rules = IdentityRules(phone(limit=3), blocked=["office@example.com"])
    house.resolve()
    (shared,) = find_suspects(house.warehouse, house.vault, house.rules).shared
    assert shared.blocked


def test_profiles_with_several_people_in_them_come_first_with_the_reasons(house: House) -> None:
    """Several ids of persons, contradicting names, many identifiers."""
    house.rules = IdentityRules(user_id(limit=3))
    house.say(
        {
            **join("1", 1, "x@example.com", userId="ann"),
            "traits": {"email": "x@example.com", "first_name": "Ann"},
        },
        {
            **join("2", 2, "x@example.com", userId="bob"),
            "traits": {"email": "x@example.com", "first_name": "Bob"},
        },
        visit("3", 3, userId="cat", anonymousId="alone"),
    )
    house.resolve()
    (suspect,) = find_suspects(house.warehouse, house.vault, house.rules).profiles
    assert suspect.reasons == ("2 ids of persons in one profile", "contradicting traits: first_name")


def test_the_link_that_alone_holds_a_suspect_together_is_named(house: House) -> None:
    """Two people with devices of their own, and one shared address."""
    house.rules = IdentityRules(user_id(limit=2))
    house.say(
        *(
            visit(f"{who}{nth}", nth, userId=who, anonymousId=f"{who}-{nth}")
            for who in "ab"
            for nth in (1, 2)
        ),
        join("j1", 3, "office@example.com", userId="a"),
        join("j2", 4, "office@example.com", userId="b"),
    )
    house.resolve()
    (suspect,) = find_suspects(house.warehouse, house.vault, house.rules).profiles
    assert suspect.reasons[0] == "2 ids of persons in one profile"
    assert suspect.reasons[1].startswith("one link holds 3 and 4 identifiers together: ")
    assert "o•••@e•••.com" in suspect.reasons[1]


def test_storms_end_within_limits_and_are_reported(house: House) -> None:
    """2,500 identifiers on one device, an id `undefined` on every event, one e-mail on them all."""
    house.rules = IdentityRules(custom("ios.id"))
    house.say(
        *(
            visit(
                f"m{n}",
                1 + n % 28,
                userId="undefined",
                anonymousId=f"a{n}",
                properties={"email": "everybody@example.com"},
                context={"device": {"type": "ios", "id": "kiosk-1"}},
            )
            for n in range(2_500)
        )
    )
    report = house.resolve()
    assert (report.profiles, report.identifiers, report.left_out, report.blocked) == (1, 7, 2_495, 1)
    found = find_suspects(house.warehouse, house.vault, house.rules)
    assert [each.neighbours for each in found.shared[:3]] == [2_502, 2_502, 2_502]
    assert {each.identifier.type for each in found.shared[:3]} == {"email", "ios.id", "user_id"}
