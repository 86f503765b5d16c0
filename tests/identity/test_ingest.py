"""Ingest: every good event once, nothing personal in plain, consent not lost."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlglot import exp

from audiences.privacy import FieldPrivacy
from identity.errors import InputError
from identity.identifiers import IdentityRules, custom
from identity.mapping import Mapped, Reading
from identity.privacy.consent import ConsentRecord, Decision, decide, record_consent
from tests.conftest import NOW, House

FIXTURES = Path(__file__).parent.parent / "fixtures" / "events"


def rows(house: House, table: str, *columns: str) -> list[dict[str, object]]:
    return house.warehouse.query(exp.select(*(columns or ("*",))).from_(table)).to_pylist()  # type: ignore[no-any-return]


def event(message_id: str, **fields: object) -> dict[str, object]:
    return {"messageId": message_id, "type": "track", "event": "A", "userId": "u1", **fields}


def test_a_message_id_counts_once_for_ever(house: House) -> None:
    """Within a file, across files, and whatever the repetition says."""
    report = house.say(event("1"), event("1", event="B"), event("2"))
    assert (report.read, report.accepted, report.duplicates) == (3, 2, 1)
    again = house.say(event("2"), event("3"), name="more.ndjson")
    assert (again.accepted, again.duplicates) == (1, 1)
    assert {row["message_id"]: row["name"] for row in rows(house, "events")} == {"1": "A", "2": "A", "3": "A"}


def test_identical_rows_without_an_id_are_two_events_and_reading_again_adds_none(house: House) -> None:
    """A person may buy the same thing twice a day."""
    twice = {"type": "track", "event": "A", "userId": "u1", "timestamp": "2026-01-01"}
    assert house.say(twice, twice).accepted == 2
    assert house.say(twice, twice).duplicates == 2


def test_personal_values_stand_nowhere_in_plain(house: House) -> None:
    """Not in identifiers, traits, properties, context, keys, urls; not in the files on disk either."""
    canaries = {
        "email": "Canary.One@example.com",
        "phone": "+14155550171",
        "name": "Zyxwvut",
        "street": "Quuxlane 77",
        "birth": "1971-02-28",
        "ip": "203.0.113.77",
    }
    house.say(
        event(
            "1",
            type="identify",
            userId=canaries["email"],
            traits={
                "email": canaries["email"],
                "phone": canaries["phone"],
                "firstName": canaries["name"],
                "address": {"street": canaries["street"], "country": "PT"},
                "birthday": canaries["birth"],
                "emails": [canaries["email"], {canaries["email"]: 1}],
            },
            context={"ip": canaries["ip"], "traits": {"name": canaries["name"]}},
        ),
        event(
            f"order-{canaries['email']}",
            event=f"Mail to {canaries['email']}",
            anonymousId=canaries["email"],
            properties={
                "url": f"https://x.example/?e={canaries['email'].replace('@', '%40')}",
                "note": f"call {canaries['email']}",
                "shipping_address": {"line1": canaries["street"], "city": canaries["name"]},
                "recipients": [{"customer_email": canaries["email"]}],
            },
            context={"groupId": canaries["email"]},
        ),
    )
    house.resolve()
    (house.folder / "events.ndjson").unlink()
    house.warehouse.close()
    house.ledger.close()
    for path in house.folder.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        for canary in canaries.values():
            for spelling in (canary, canary.lower(), canary.replace("@", "%40")):
                assert spelling.encode() not in content, (path.name, canary)


def test_sealed_values_open_again_under_their_token(house: House) -> None:
    """The trait holds the same token as the identifier: one sealed value serves both."""
    house.say(event("1", type="identify", traits={"email": " Ann@Example.com", "plan": "free"}))
    (sealed,) = rows(house, "sealed_values")
    traits = {row["name"]: json.loads(str(row["value"])) for row in rows(house, "trait_changes")}
    assert traits == {"email": f"sealed:{sealed['token']}", "plan": "free"}
    kinds = {row["type"]: row["value"] for row in rows(house, "identifiers")}
    assert kinds == {"user_id": "u1", "email": None}


def test_refused_records_are_listed_with_their_place_and_without_their_values(house: House) -> None:
    """Reading the file again does not list them twice."""
    path = house.folder / "e.ndjson"
    path.write_bytes(b'{"type":"track","event":"A","userId":"u1"}\n{"secret-value\n{"type":"x-secret"}\n')
    assert house.read(path).refused == {"broken_json": 1, "unknown_type": 1}
    house.read(path)
    listed = rows(house, "quarantine", "source", "line", "byte_offset", "code", "reason")
    assert [(row["line"], row["byte_offset"], row["code"]) for row in listed] == [
        (2, 43, "broken_json"),
        (3, 58, "unknown_type"),
    ]
    assert "secret" not in str(listed)


def test_consent_of_events_reaches_the_gate(house: House) -> None:
    """Under every identifier of the event; the category is mapped to its purpose; only true grants."""
    for number, said in enumerate((True, False, "yes")):
        context = {"consent": {"categoryPreferences": {"Advertising": said}}}
        house.say(event(f"m{number}", userId=f"u{number}", context=context), name=f"{number}.ndjson")
    with house.ledger.transaction() as cursor:
        people = [(f"u{n}", [str(house.vault.token("user_id", f"u{n}"))]) for n in range(4)]
        found = decide(cursor, people, "advertising", NOW)
    assert list(found.values()) == [Decision.PERMITTED, Decision.DENIED, Decision.DENIED, Decision.NO_CONSENT]
    contexts = rows(house, "events", "context")
    assert all("consent" not in str(row["context"]) for row in contexts)


def test_a_grant_of_a_clock_in_the_future_does_not_outlive_a_refusal_of_today(house: House) -> None:
    """It counts as said when it was read."""
    ahead = (NOW + timedelta(days=30)).isoformat()
    context = {"consent": {"categoryPreferences": {"Advertising": True}}}
    house.say(event("1", timestamp=ahead, receivedAt=ahead, context=context))
    token = str(house.vault.token("user_id", "u1"))
    refusal = ConsentRecord(token, "advertising", "denied", NOW, "cli", "letter")
    record_consent(house.ledger, [refusal])
    with house.ledger.transaction() as cursor:
        for later in (NOW, NOW + timedelta(days=60)):
            assert decide(cursor, [("p", [token])], "advertising", later) == {"p": Decision.DENIED}


def test_a_bad_file_loses_nothing_of_the_ones_before_it(house: House) -> None:
    """What was committed stays."""
    house.say(event("1"))
    with pytest.raises(InputError):
        house.read(house.folder / "missing.ndjson")
    assert len(rows(house, "events")) == 1


def test_every_recorded_request_of_real_clients_is_understood(house: House) -> None:
    """Batches and single events, explicit nulls, traits in context, numeric ids, alias."""
    mapped = Mapped(Reading(format="ndjson", records="body"))
    report = house.read(FIXTURES / "recorded_requests.jsonl", mapped)
    # one request was sent again by its client, with the same message id
    assert (report.accepted, report.duplicates, report.refused) == (35, 1, {})
    kinds = {row["kind"] for row in rows(house, "events")}
    assert kinds == {"track", "identify", "page", "screen", "group", "alias"}


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 0, 2]])
def test_stored_events_do_not_depend_on_the_order_of_files(house: House, order: Sequence[int]) -> None:
    """Byte for byte, but for the file that an event came from."""
    messages = [
        event("1", timestamp="2026-01-01", properties={"v": 1}),
        event("2", type="identify", traits={"email": "a@example.com", "plan": None}, timestamp="2026-01-02"),
        event("3", type="page", name="Home", anonymousId="x", timestamp="2026-01-03"),
    ]
    for place in order:
        house.say(messages[place], name=f"{place}.ndjson")
    stored = house.warehouse.query(
        exp.select("message_id", "kind", "name", "occurred_at", "subject", "identifiers", "properties")
        .from_("events")
        .order_by("message_id")
    ).to_pylist()
    assert [(row["message_id"], row["kind"], row["name"], row["properties"]) for row in stored] == [
        ("1", "track", "A", '{"v":1}'),
        ("2", "identify", "", "{}"),
        ("3", "page", "Page Viewed", '{"name":"Home"}'),
    ]
    assert stored[0]["subject"] == str(house.vault.token("user_id", "u1"))
    assert stored[0]["occurred_at"] == datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None)


def test_a_custom_type_declared_personal_is_sealed_wherever_it_stands(house: House) -> None:
    """In traits, properties and external ids, in either spelling; rules still find it."""
    house.rules = IdentityRules(custom("member_key", personal=True), custom("card", personal=True))
    secrets = [f"PLAIN-{number}" for number in range(4)]
    outside = [
        {"type": "member_key", "id": secrets[2], "collection": "users", "encoding": "none"},
        {"type": "phone", "id": "+12065550123", "collection": "users", "encoding": "none"},
    ]
    house.say(
        event("1", type="identify", traits={"memberKey": secrets[0]}, context={"externalIds": outside}),
        event("2", properties={"member_key": secrets[1], "basket": [{"card": secrets[3]}]}),
    )
    stored = "".join(
        str(rows(house, table))
        for table in ("events", "trait_changes", "identifiers", "identifier_profiles", "links", "arrivals")
    )
    assert not any(secret in stored for secret in (*secrets, "2065550123"))
    assert json.loads(str(rows(house, "events", "properties")[1]["properties"]))["basket"][0]["card"]
    privacy = FieldPrivacy(house.vault, house.rules)
    assert privacy.is_personal("property", ("member_key",))
    assert privacy.tokenise("trait", ("memberKey",), secrets[0]) in stored
