"""Explaining: why two identifiers are one person or not, what holds a profile together, and how it looks."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from identity.errors import NotFoundError
from identity.explanation import Cluster, Explanation, explain_identifiers, show_cluster
from identity.identifiers import IdentityRules, anonymous_id, custom, email
from identity.overrides import list_overrides, record_override
from identity.picture import cluster_page, cluster_svg
from tests.conftest import NOW, House
from tests.identity.test_resolve import STREAM, join, visit


def explained(house: House, one: str, other: str) -> Explanation:
    return explain_identifiers(
        house.warehouse,
        house.vault,
        house.rules,
        list_overrides(house.ledger),
        house.token(one),
        house.token(other),
    )


def clustered(house: House, identifier: str) -> Cluster:
    return show_cluster(
        house.warehouse, house.vault, house.rules, list_overrides(house.ledger), house.token(identifier)
    )


def refused(found: Explanation) -> list[str]:
    assert not found.joined
    return [step.refused for step in found.steps if step.refused]


def test_the_shortest_chain_of_events_is_given_with_its_dates(house: House) -> None:
    """Each step names the first event that joined the two."""
    house.say(*STREAM, visit("9", 9, userId="ann", anonymousId="laptop"))
    house.resolve()
    found = explained(house, "anonymous_id:phone", "anonymous_id:laptop")
    assert found.joined
    assert [step.message_id for step in found.steps] in (["3", "4"], ["3", "9"])
    assert (f"{found.steps[0].occurred_at:%m-%d}", found.steps[0].event) == ("01-03", "identify")


def test_a_limit_that_refused_is_named_with_its_event(house: House) -> None:
    """In words."""
    house.say(*STREAM)
    house.resolve()
    found = explained(house, "user_id:bob", "user_id:cat")
    assert refused(found) == ["the profile would hold more than 1 user_id"]
    assert [step.message_id for step in found.steps] == ["5", "6"]


def test_a_blocked_value_that_both_carry_is_named(house: House) -> None:
    """Though it is no link at all."""
    house.say(visit("1", 1, userId="a", anonymousId="null"), visit("2", 2, userId="b", anonymousId="null"))
    house.resolve()
    assert (
        refused(explained(house, "user_id:a", "user_id:b"))
        == ["this anonymous_id is blocked: it links nobody"] * 2
    )


def test_an_override_that_parted_or_joined_two_is_named(house: House) -> None:
    """With its number and reason."""
    house.say(*STREAM)
    house.resolve()
    for kind, one, other in (
        ("apart", "anonymous_id:phone", "anonymous_id:laptop"),
        ("merge", "user_id:bob", "user_id:cat"),
        ("split", "email:bob@example.com", "user_id:bob"),
    ):
        pair = (house.token(one), house.token(other))
        record_override(house.ledger, kind, *pair, author="ann", reason="asked", at=NOW)  # type: ignore[arg-type]
    house.resolve()
    assert "override 1: these two are never one person" in refused(
        explained(house, "anonymous_id:phone", "anonymous_id:laptop")
    )
    joined = explained(house, "user_id:bob", "user_id:cat")
    assert joined.joined
    assert [step.event for step in joined.steps] == ["override 2: asked"]
    assert "override 3: split off" in refused(explained(house, "email:bob@example.com", "user_id:bob"))[0]


def test_unique_types_and_windows_are_named(house: House) -> None:
    """Each in its own words."""
    house.rules = IdentityRules(anonymous_id(limit=1, window="weekly"))
    house.say(visit("1", 1, userId="a", anonymousId="x"), visit("2", 2, userId="a", anonymousId="y"))
    house.resolve()
    assert refused(explained(house, "user_id:a", "anonymous_id:y")) == [
        "the profile would hold more than 1 anonymous_id (weekly)"
    ]
    house.rules = IdentityRules(custom("member", unique=True), conflict="drop_links")
    house.say(
        visit("3", 3, anonymousId="z", properties={"member": "m1"}),
        visit("4", 4, anonymousId="z", properties={"member": "m2"}),
        name="more.ndjson",
    )
    house.resolve()
    assert refused(explained(house, "member:m1", "member:m2")) == [
        "the profile would hold two member, which is unique"
    ]


def test_a_dropped_link_is_named_whichever_event_carried_it_first(house: House) -> None:
    """The pair was seen in two lists; the newer one brought the refusal, the older one is shown."""
    house.rules = IdentityRules(conflict="drop_links")
    house.say(
        visit("1", 1, userId="a", anonymousId="till"),
        visit("2", 2, userId="a", anonymousId="till", properties={"email": "a@example.com"}),
        visit("3", 3, userId="b", anonymousId="till"),
    )
    house.resolve()
    found = explained(house, "user_id:a", "user_id:b")
    assert refused(found) == ["the profile would hold two user_id, which is unique"]
    assert [step.message_id for step in found.steps] == ["1", "3"]


def test_another_name_of_an_identifier_is_refused_in_its_own_name(house: House) -> None:
    """A merged one as well; and a type that the rules no longer name is said to be so."""
    house.say(*STREAM, visit("8", 8, userId="bob", anonymousId="y"))
    house.resolve()
    pair = (house.token("user_id:cat"), house.token("email:cat@example.com"))
    record_override(house.ledger, "merge", *pair, author="ann", reason="asked", at=NOW)
    house.resolve()
    assert refused(explained(house, "user_id:bob", "email:cat@example.com")) == [
        "the profile would hold more than 1 user_id"
    ]
    house.say(visit("9", 9, userId="cat", properties={"phone": "415-555-0100"}), name="more.ndjson")
    token = house.token("phone:415-555-0100")
    house.rules = IdentityRules()
    house.resolve()
    found = clustered(house, "user_id:cat")
    assert found.graph.edges[house.token("user_id:cat"), token]["reason"] == "the rules no longer name phone"


def test_a_full_profile_is_named(house: House) -> None:
    """It holds a thousand identifiers, as many as it may."""
    house.rules = IdentityRules(anonymous_id(limit=2_000))
    house.say(*(visit(f"m{n:04}", 1, userId="a", anonymousId=f"d{n}") for n in range(1_005)))
    house.resolve()
    assert refused(explained(house, "user_id:a", "anonymous_id:d1004")) == [
        "the profile holds 1,000 identifiers, as many as it may"
    ]


def test_a_profile_that_merged_too_often_is_named(house: House) -> None:
    """It absorbed as many others as it may."""
    house.rules = IdentityRules(max_merges=1)
    house.say(
        *(visit(f"1{name}", 1, anonymousId=name) for name in "xyz"),
        *(visit(f"2{name}", 2, userId="a", anonymousId=name) for name in "xyz"),
    )
    house.resolve()
    assert refused(explained(house, "user_id:a", "anonymous_id:z")) == [
        "the profile absorbed 1 others, as many as it may"
    ]


def test_strangers_have_no_chain_and_unknown_identifiers_are_an_error(house: House) -> None:
    """The way out is said; the value is not repeated."""
    house.say(*STREAM)
    house.resolve()
    found = explained(house, "user_id:ann", "user_id:bob")
    assert (found.joined, found.steps) == (False, ())
    with pytest.raises(NotFoundError, match="audiences resolve"):
        explained(house, "user_id:ann", "user_id:nobody")


def test_what_glues_people_together_is_counted(house: House) -> None:
    """A shared e-mail of four people, each with a device of their own."""
    house.rules = IdentityRules(email(limit=5))
    house.say(
        *(join(f"{n}", n, "office@example.com", userId=f"u{n}") for n in range(1, 5)),
        *(visit(f"v{n}", n, userId=f"u{n}", anonymousId=f"d{n}") for n in range(1, 5)),
    )
    house.resolve()
    found = clustered(house, "email:office@example.com")
    (glue,) = [each for each in found.glue if each.identifier.type == "email"]
    assert (glue.people, glue.neighbours, glue.blocked) == (4, 4, False)
    assert glue.identifier.value == "o•••@e•••.com"


def test_a_link_that_alone_holds_a_profile_together_is_a_bridge(house: House) -> None:
    """With how much lies on either side."""
    house.say(
        visit("1", 1, userId="a", anonymousId="x"),
        visit("2", 2, userId="a", anonymousId="y"),
        visit("3", 3, anonymousId="y", properties={"email": "a@example.com"}),
        visit("4", 4, anonymousId="z", properties={"email": "a@example.com"}),
    )
    house.resolve()
    bridges = clustered(house, "user_id:a").bridges
    assert [each.sides for each in bridges] == [(2, 3), (2, 3)]
    assert {each.step.message_id for each in bridges} == {"2", "3"}


def test_the_picture_is_svg_without_a_plain_value_and_always_the_same(house: House) -> None:
    """The page as well; a hostile value stays text."""
    house.say(
        *STREAM, join("8", 8, "eve@example.com", userId="<script>alert(1)</script>", anonymousId="kiosk")
    )
    house.resolve()
    found = clustered(house, "anonymous_id:kiosk")
    drawn = cluster_svg(found)
    texts = [each.text or "" for each in ET.fromstring(drawn).iter()]
    assert any("dashed: refused" in each for each in texts)
    assert drawn == cluster_svg(clustered(house, "anonymous_id:kiosk"))
    page = cluster_page(found)
    for secret in ("bob@example.com", "cat@example.com", "kiosk", "<script"):
        assert secret not in drawn
        assert secret not in page
    assert "holds 3 people together" in page


def test_a_big_component_is_drawn_in_part_and_says_so(house: House) -> None:
    """The nearest 120 identifiers."""
    house.say(*(visit(f"m{n}", 1, anonymousId=f"d{n}", context={"device": {"type": "ios", "id": "kiosk-1"}})
                for n in range(200)))  # fmt: skip
    house.resolve()
    drawn = cluster_svg(clustered(house, "ios.id:kiosk-1"))
    assert "120 identifiers" in drawn
    assert "81 more identifiers not drawn" in drawn
