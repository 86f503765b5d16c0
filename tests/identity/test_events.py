"""Messages: which are accepted, why others are refused, when they happened, whom they point to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from identity.events import Event, Refusal, content_id, parse_event
from identity.identifiers import IdentityRules, custom, phone

FIXTURES = Path(__file__).parent.parent / "fixtures" / "events"
NOW = 1_700_000_000_000_000
SECOND = 1_000_000


def parse(message: object, rules: IdentityRules | None = None) -> Event:
    event = parse_event(message, "fallback", NOW, rules or IdentityRules())
    assert isinstance(event, Event), event
    return event


def refusal(message: object) -> str:
    found = parse_event(message, "fallback", NOW, IdentityRules())
    assert isinstance(found, Refusal)
    return found.code


def track(**fields: object) -> dict[str, object]:
    return {"type": "track", "event": "Signed In", "userId": "u1", **fields}


def test_every_example_of_the_segment_spec_is_accepted_but_the_four_without_a_person() -> None:
    """The spec's own shortened examples of group, page, screen and track name nobody."""
    refused = []
    for line in (FIXTURES / "segment_spec_examples.jsonl").read_text().splitlines():
        row = json.loads(line)
        found = parse_event(row["example"], "fallback", NOW, IdentityRules())
        if isinstance(found, Refusal):
            refused.append((Path(row["source"]).name, row["line"], found.code))
    assert refused == [
        ("group.md", 23, "missing_id"),
        ("page.md", 15, "missing_id"),
        ("screen.md", 13, "missing_id"),
        ("track.md", 13, "missing_id"),
    ]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ([], "not_an_object"),
        ("text", "not_an_object"),
        ({"userId": "u"}, "unknown_type"),
        ({"type": "purchase", "userId": "u"}, "unknown_type"),
        ({"type": ["track"], "userId": "u"}, "unknown_type"),
        ({"type": "track", "userId": "u"}, "missing_event"),
        ({"type": "track", "event": " ", "userId": "u"}, "missing_event"),
        ({"type": "track", "event": 5, "userId": "u"}, "missing_event"),
        (track(userId=None), "missing_id"),
        (track(userId=""), "missing_id"),
        (track(userId=True), "wrong_type"),
        (track(userId={"id": 1}), "wrong_type"),
        (track(properties="x"), "wrong_type"),
        (track(context=[]), "wrong_type"),
        (track(timestamp="yesterday"), "bad_timestamp"),
        (track(timestamp=1700000000), "bad_timestamp"),
        (track(sentAt="0000-00-00T00:00:00Z"), "bad_timestamp"),
        (track(timestamp="2033-01-01T00:00:00Z"), "future"),
        (track(timestamp="2033-01-01T00:00:00Z", receivedAt="2023-01-01T00:00:00Z"), "future"),
        ({"type": "group", "userId": "u"}, "missing_id"),
        ({"type": "alias", "userId": "u"}, "missing_id"),
    ],
)
def test_a_bad_message_is_refused_with_a_code(message: object, code: str) -> None:
    """Each reason has its own code, and its text repeats none of the message's values."""
    assert refusal(message) == code


def test_null_equals_absent() -> None:
    """A client that sends explicit nulls means the same as one that sends nothing."""
    nulls = track(anonymousId=None, properties={"a": None, "b": 1}, context=None, timestamp=None)
    assert parse(nulls) == parse(track(properties={"b": 1}))


def test_null_in_a_trait_is_kept_because_it_removes_the_trait() -> None:
    """Traits are the one place where null says something."""
    event = parse({"type": "identify", "userId": "u", "traits": {"plan": None}})
    assert event.traits == {"plan": None}


def test_the_older_spellings_of_the_spec_are_understood() -> None:
    """`action` and `user_id` stand in published examples."""
    assert parse({"action": "track", "event": "Signed In", "user_id": "u1"}) == parse(track())


def test_the_senders_clock_is_corrected() -> None:
    """occurred = received - (sent - original), whatever the sender's clock says."""
    event = parse(
        track(
            originalTimestamp="2020-01-01T00:00:00Z",
            sentAt="2020-01-01T00:00:05Z",
            receivedAt="2023-06-01T12:00:00Z",
        )
    )
    assert event.received_at - event.occurred_at == 5 * SECOND
    assert not event.clamped


def test_a_corrected_time_after_the_receipt_is_set_to_the_receipt_and_flagged() -> None:
    """Sent before it happened: the sender's two clocks disagree."""
    event = parse(
        track(
            originalTimestamp="2023-06-01T12:00:09Z",
            sentAt="2023-06-01T12:00:00Z",
            receivedAt="2023-06-01T12:00:01Z",
        )
    )
    assert event.occurred_at == event.received_at
    assert event.clamped


def test_a_timestamp_that_was_corrected_already_is_not_corrected_again() -> None:
    """An archive's `timestamp` beside a `receivedAt` is the corrected one."""
    event = parse(
        track(
            timestamp="2023-06-01T11:00:00Z", sentAt="2023-06-01T12:30:00Z", receivedAt="2023-06-01T12:00:00Z"
        )
    )
    assert event.received_at - event.occurred_at == 3600 * SECOND


@pytest.mark.parametrize(
    "text",
    ["2023-06-01T12:00:00Z", "2023-06-01T12:00:00+00:00", "2023-06-01T14:00:00+02:00", "2023-06-01T12:00:00"],
)
def test_instants_are_the_same_in_every_notation(text: str) -> None:
    """Offsets are converted; a time without a zone is UTC."""
    assert parse(track(timestamp=text)).occurred_at == 1_685_620_800 * SECOND


def test_a_message_without_any_time_happened_when_it_was_read() -> None:
    """The instant of reading is an argument."""
    assert parse(track()).occurred_at == NOW


def test_identifiers_come_in_order_of_priority_from_every_place() -> None:
    """userId first, e-mail second, the rest alphabetically."""
    message = {
        "type": "identify",
        "userId": 507,
        "anonymousId": "a1",
        "traits": {"email": "x@example.com", "memberNo": 12},
        "context": {
            "device": {"type": "iOS", "id": "D", "advertisingId": "IDFA", "adTrackingEnabled": True},
            "externalIds": [
                {"id": "G", "type": "ga_client_id", "collection": "users", "encoding": "none"},
                {"id": "Z", "type": "unheard_of"},
            ],
        },
    }
    rules = IdentityRules(custom("member_no"))
    assert list(parse(message, rules).identifiers) == [
        ("user_id", "507"),
        ("email", "x@example.com"),
        ("anonymous_id", "a1"),
        ("ga_client_id", "G"),
        ("ios.id", "D"),
        ("ios.idfa", "IDFA"),
        ("member_no", "12"),
    ]


def test_an_advertising_id_is_not_read_when_tracking_was_refused() -> None:
    """`adTrackingEnabled` must be true, not merely present."""
    device = {"type": "ios", "advertisingId": "IDFA", "adTrackingEnabled": False}
    event = parse(track(context={"device": device}))
    assert [kind for kind, _ in event.identifiers] == ["user_id"]


def test_a_telephone_number_is_an_identifier_only_when_the_project_says_so() -> None:
    """A family shares one; Segment's defaults leave it out as well."""
    message = {"type": "identify", "userId": "u", "traits": {"phone": "+14155550100"}}
    assert [kind for kind, _ in parse(message).identifiers] == ["user_id"]
    assert [kind for kind, _ in parse(message, IdentityRules(phone())).identifiers] == ["user_id", "phone"]


def test_an_id_made_from_content_tells_repetitions_apart() -> None:
    """Two identical rows of one file are two events; the same file again adds none."""
    assert content_id({"a": 1, "b": 2}, 0) == content_id({"b": 2, "a": 1}, 0)
    assert content_id({"a": 1}, 0) != content_id({"a": 1}, 1)


def test_a_message_id_that_could_be_personal_is_replaced_by_its_hash() -> None:
    """Message ids are stored in plain, so an address must not be one."""
    assert "@" not in parse(track(messageId="order-ann@example.com")).message_id


def test_external_ids_take_their_place_in_the_order_of_priority() -> None:
    """An event belongs to the profile of its highest identifier, wherever in the message that stands."""
    external = [{"id": "u", "type": "user_id", "collection": "users", "encoding": "none"}]
    event = parse({"type": "track", "event": "E", "anonymousId": "a", "context": {"externalIds": external}})
    assert event.identifiers == (("user_id", "u"), ("anonymous_id", "a"))
