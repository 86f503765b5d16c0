"""A profile as it is shown: its traits with their source, its accounts, and how it stood at an instant."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from identity.errors import NotFoundError
from identity.identifiers import IdentityRules, anonymous_id
from identity.overrides import list_overrides
from identity.profiles import find_profile, subjects_of
from identity.shown import ShownProfile, show_profile, show_profile_as_of
from tests.conftest import House
from tests.identity.test_resolve import STREAM, join, visit


def as_of(house: House, identifier: str, day: int) -> ShownProfile:
    return then(house, [house.token(identifier)], day)


def then(house: House, identifiers: Sequence[str], day: int) -> ShownProfile:
    return show_profile_as_of(
        house.warehouse,
        house.vault,
        house.rules,
        list_overrides(house.ledger),
        identifiers,
        datetime(2026, 1, day, 12, tzinfo=UTC),
    )


def test_a_trait_names_the_event_that_set_it(house: House) -> None:
    """The newest wins across merged profiles; null deletes."""
    house.say(
        {**join("1", 1, "ann@example.com", userId="ann"), "traits": {"plan": "free", "city": "Oslo"}},
        {**join("2", 2, "ann@example.com", anonymousId="x"), "traits": {"plan": "pro", "city": None}},
        visit("3", 3, userId="ann", anonymousId="x"),
    )
    house.resolve()
    shown = show_profile(
        house.warehouse, house.vault, find_profile(house.warehouse, house.vault, house.rules, "user_id:ann")
    )
    assert {name: (each.value, each.message_id) for name, each in shown.traits.items()} == {
        "plan": ("pro", "2")
    }


def test_accounts_come_with_their_own_traits(house: House) -> None:
    """From group messages, and from events that name their group."""
    house.say(
        {
            "messageId": "g",
            "type": "group",
            "userId": "ann",
            "groupId": "acme",
            "timestamp": "2026-01-01T00:00:00Z",
            "traits": {"plan": "enterprise", "seats": 9},
        },
        visit("2", 2, userId="ann", context={"groupId": "globex"}),
    )
    house.resolve()
    shown = show_profile(
        house.warehouse, house.vault, find_profile(house.warehouse, house.vault, house.rules, "user_id:ann")
    )
    assert [(each.account, {k: v.value for k, v in each.traits.items()}) for each in shown.accounts] == [
        ("acme", {"plan": "enterprise", "seats": 9}),
        ("globex", {}),
    ]


def test_as_of_an_instant_a_profile_is_what_its_events_until_then_make_of_it(house: House) -> None:
    """Identifiers, traits, events and merges; what came later is not known."""
    house.say(*STREAM)
    house.resolve()
    now = show_profile(
        house.warehouse, house.vault, find_profile(house.warehouse, house.vault, house.rules, "user_id:ann")
    )
    then = as_of(house, "anonymous_id:phone", 3)
    assert then.profile_id == now.profile_id
    assert len(then.identifiers) == 3
    assert len(now.identifiers) == 4
    assert (len(then.merged), len(now.merged)) == (0, 1)
    assert then.last_seen_at == datetime(2026, 1, 3, tzinfo=UTC)
    laptop = as_of(house, "anonymous_id:laptop", 3)
    assert laptop.profile_id == now.merged[0][0]
    assert as_of(house, "anonymous_id:laptop", 20) == now
    with pytest.raises(NotFoundError, match="Nobody was known by that id on 2026-01-02"):
        as_of(house, "user_id:ann", 2)


def test_a_profile_is_itself_at_any_instant_since_its_first_event(house: House) -> None:
    """Whichever of its identifiers came later or belonged to another profile then."""
    house.say(*STREAM)
    house.resolve()
    who = find_profile(house.warehouse, house.vault, house.rules, "user_id:ann")
    everyone = subjects_of(house.warehouse, who)
    for day in (1, 2, 3, 4, 20):
        for identifiers in (everyone, everyone[::-1]):
            assert then(house, identifiers, day).profile_id == who


@pytest.mark.parametrize("windowed", [False, True])
def test_as_of_now_every_profile_is_as_it_is_stored(house: House, windowed: bool) -> None:
    """Also where limits bound, windowed or not."""
    if windowed:
        house.rules = IdentityRules(anonymous_id(limit=1, window="weekly"))
        house.say(
            *(visit(f"t{n}", 9, userId="bob", anonymousId="kiosk") for n in range(3)), name="twice.ndjson"
        )
    house.say(*STREAM, *(visit(f"k{n}", 8 + n, userId=f"k{n}", anonymousId="kiosk") for n in range(6)))
    house.resolve()
    for who in ("user_id:bob", "user_id:cat", "user_id:k3", "anonymous_id:kiosk"):
        stored = show_profile(
            house.warehouse, house.vault, find_profile(house.warehouse, house.vault, house.rules, who)
        )
        assert as_of(house, who, 30) == stored
