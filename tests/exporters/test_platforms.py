"""Meta and Google: requests in the published shape, and answers understood."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exporters import google, meta
from exporters.destination import Destination
from exporters.errors import AuthError, RejectedError, TransientError
from exporters.testing import PracticePlatform, say
from identity.errors import ConfigurationError
from identity.privacy.hashing import hash_value
from tests.exporters.memory import FakeClock

FIXTURES = Path(__file__).parent.parent / "fixtures" / "platforms"
REFUSALS = [json.loads(line) for line in (FIXTURES / "refusals.jsonl").read_text().splitlines()]


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Iterator[PracticePlatform]:
    monkeypatch.setenv("META_ACCESS_TOKEN", "token-of-meta")
    monkeypatch.setenv("GOOGLE_ACCESS_TOKEN", "token-of-google")
    with PracticePlatform() as platform:
        yield platform


def destination(name: str, platform: PracticePlatform, **more: Any) -> Destination:
    options = {"match": ["email", "phone"], "purpose": "advertising", "base_url": platform.url, **more}
    if name == "meta":
        return meta.custom_audience("act_42", **options)
    return google.customer_match("123-456-7890", **options)


def body(platform: PracticePlatform, at: int = -1) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(platform.seen[at].body)
    return found


# Shapes


def test_meta_is_sent_one_identifier_a_row_in_a_session_of_its_own(platform: PracticePlatform) -> None:
    """Source: Meta, "Customer file custom audiences": POST and DELETE /{audience}/users."""
    ann, number = hash_value("meta.email", "Ann@Example.com"), hash_value("meta.phone", "+44 20 7946 0958")
    with destination("meta", platform).open(FakeClock().clock) as channel:
        remote = channel.create_audience("a1b2c3")
        receipt = channel.add(remote, [ann, number])
        channel.remove(remote, [number])
    created, added, removed = platform.seen
    assert (created.method, created.path) == ("POST", "/v25.0/act_42/customaudiences")
    assert body(platform, 0) == {
        "name": "a1b2c3",
        "description": "Synced list",
        "subtype": "CUSTOM",
        "customer_file_source": "USER_PROVIDED_ONLY",
    }
    assert (added.method, added.path) == ("POST", f"/v25.0/{remote}/users")
    session = body(platform, 1)["session"]
    assert session == {
        "session_id": session["session_id"],
        "batch_seq": 1,
        "last_batch_flag": True,
        "estimated_num_total": 2,
    }
    assert 0 < session["session_id"] < 2**63
    assert body(platform, 1)["payload"] == {
        "schema": ["EMAIL", "PHONE"],
        "data": [[ann.digest, ""], ["", number.digest]],
    }
    assert (removed.method, removed.path) == ("DELETE", f"/v25.0/{remote}/users")
    assert body(platform, 2)["payload"] == {"schema": ["EMAIL", "PHONE"], "data": [["", number.digest]]}
    assert receipt.request_id == str(session["session_id"])
    assert dict(added.headers)["Content-Type"] == "application/json"


def test_meta_counts_rows_that_it_can_not_use(platform: PracticePlatform) -> None:
    """It says how many, not which, and only about."""
    people = [hash_value("meta.email", f"p{number}@example.com") for number in range(5)]
    platform.bad_digests = {people[0].digest, people[3].digest}
    with destination("meta", platform).open(FakeClock().clock) as channel:
        receipt = channel.add(channel.create_audience("a1b2c3"), people)
    assert (receipt.sent, receipt.invalid, receipt.rejected) == (5, 2, ())


def test_google_is_sent_its_own_published_example(platform: PracticePlatform) -> None:
    """Source: Google, "Send audience members"; here each identifier is a member of its own."""
    published = json.loads((FIXTURES / "google_ingest.json").read_text())
    keys = [hash_value(f"google.{each['kind']}", each["input"]) for each in published["identifiers"]]
    with destination("google", platform, login_account="999-888-7777").open(FakeClock().clock) as channel:
        remote = channel.create_audience("a1b2c3")
        receipt = channel.add(remote, keys)
        channel.remove(remote, keys)
    assert platform.seen[0].path == "/v1/accountTypes/GOOGLE_ADS/accounts/1234567890/userLists"
    created = body(platform, 0)
    assert created["displayName"] == "a1b2c3"
    assert created["ingestedUserListInfo"]["uploadKeyTypes"] == ["CONTACT_ID"]
    assert int(created["membershipDuration"].removesuffix("s")) % 86_400 == 0
    expected = published["body"]
    (place,) = expected["destinations"]
    place["operatingAccount"] = {"accountType": "GOOGLE_ADS", "accountId": "1234567890"}
    place["loginAccount"] = {"accountType": "GOOGLE_ADS", "accountId": "9998887777"}
    place["productDestinationId"] = remote
    expected["audienceMembers"] = [
        {"compositeData": {"userData": {"userIdentifiers": [each["identifier"]]}}}
        for each in published["identifiers"]
    ]
    assert (platform.seen[1].path, body(platform, 1)) == (published["path"], expected)
    del expected["consent"], expected["termsOfService"]
    assert (platform.seen[2].path, body(platform, 2)) == ("/v1/audienceMembers:remove", expected)
    assert receipt.request_id


def test_google_names_the_rows_that_it_refuses(platform: PracticePlatform) -> None:
    """And applies nothing of the request."""
    people = [hash_value("google.email", f"p{number}@example.com") for number in range(5)]
    platform.bad_digests = {people[0].digest, people[3].digest}
    with destination("google", platform).open(FakeClock().clock) as channel:
        remote = channel.create_audience("a1b2c3")
        with pytest.raises(RejectedError) as caught:
            channel.add(remote, people)
    assert caught.value.rows == ((0, "INVALID_SHA256_FORMAT"), (3, "INVALID_SHA256_FORMAT"))
    assert platform.everybody() == frozenset()


def test_google_makes_a_list_under_a_second_name_when_the_first_is_taken(platform: PracticePlatform) -> None:
    """The answer to the first try was lost, so its list has no number that we know."""
    with destination("google", platform).open(FakeClock().clock) as channel:
        first, second = channel.create_audience("a1b2c3"), channel.create_audience("a1b2c3")
    assert first != second
    assert [name.partition("-")[0] for _, name, _ in platform.audiences().values()] == ["a1b2c3", "a1b2c3"]


# Answers


@pytest.mark.parametrize("row", REFUSALS, ids=lambda row: f"{row['platform']}-{row['status']}-{row['class']}")
def test_a_recorded_refusal_is_understood(platform: PracticePlatform, row: dict[str, Any]) -> None:
    """Try again later, renew the token, or give up: never one for another, and nobody is blamed for it."""
    kind = {"auth": AuthError, "rejected": RejectedError}.get(row["class"], TransientError)
    people = [hash_value(f"{row['platform']}.email", f"p{number}@example.com") for number in range(3)]
    with destination(row["platform"], platform).open(FakeClock().clock) as channel:
        remote = channel.create_audience("a1b2c3")
        platform.fail_next(say(row["status"], json.dumps({"error": row["error"]})))
        with pytest.raises(kind) as caught:
            channel.add(remote, people)
    if isinstance(caught.value, TransientError):
        assert caught.value.unknown is (row["class"] != "throttled")
    if isinstance(caught.value, RejectedError):
        assert caught.value.rows == ()
        assert str(row["error"]["code"]) in caught.value.code or row["platform"] == "google"
    assert "token-of" not in str(caught.value)


def test_a_refusal_that_names_a_row_for_another_reason_says_the_reason(platform: PracticePlatform) -> None:
    """Such as a list of the wrong type: the row is only where Google noticed."""
    (recorded,) = (row for row in REFUSALS if row["error"].get("details"))
    with destination("google", platform).open(FakeClock().clock) as channel:
        remote = channel.create_audience("a1b2c3")
        platform.fail_next(say(400, json.dumps({"error": recorded["error"]})))
        with pytest.raises(RejectedError) as caught:
            channel.add(remote, [hash_value("google.email", "ann@example.com")])
    assert caught.value.code == "INVALID_ARGUMENT/INVALID_USER_LIST_TYPE"


@pytest.mark.parametrize(
    "answer", ["[]", "null", '{"error": 7}', '{"error": {"details": [1, {"fieldViolations": [2]}]}}']
)
@pytest.mark.parametrize("name", ["meta", "google"])
def test_nonsense_in_a_refusal_is_a_refusal_all_the_same(
    platform: PracticePlatform, name: str, answer: str
) -> None:
    """Its status counts."""
    with destination(name, platform).open(FakeClock().clock) as channel:
        platform.fail_next(say(400, answer))
        with pytest.raises(RejectedError):
            channel.create_audience("a1b2c3")


@pytest.mark.parametrize("answer", ["{}", '{"id": 7.5}', '{"id": ""}', '{"id": "../../me"}'])
@pytest.mark.parametrize("name", ["meta", "google"])
def test_an_audience_without_a_usable_id_was_not_made(
    platform: PracticePlatform, name: str, answer: str
) -> None:
    """The id becomes part of a path."""
    with destination(name, platform).open(FakeClock().clock) as channel:
        platform.fail_next(say(200, answer))
        with pytest.raises(TransientError):
            channel.create_audience("a1b2c3")


def test_meta_must_say_that_it_received_every_row(platform: PracticePlatform) -> None:
    """A dead session swallows rows and answers 200."""
    with destination("meta", platform).open(FakeClock().clock) as channel:
        remote = channel.create_audience("a1b2c3")
        platform.fail_next(say(200, '{"num_received": 0, "num_invalid_entries": 0}'))
        with pytest.raises(TransientError):
            channel.add(remote, [hash_value("meta.email", "ann@example.com")])


# What can't be meant


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda **more: meta.custom_audience("42", **more), "act_42"),
        (lambda **more: meta.custom_audience("act_42/../x", **more), "act_42"),
        (lambda **more: google.customer_match("12-x", **more), "customer id"),
        (lambda **more: meta.custom_audience("act_42", version="25", **more), "v25.0"),
    ],
)
def test_an_account_that_can_not_be_is_refused_at_once(make: Any, says: str) -> None:
    """When the project is loaded, not when the first batch is due."""
    with pytest.raises(ConfigurationError, match=says):
        make(match=["email"], purpose="advertising")


@pytest.mark.parametrize(
    "make",
    [
        lambda **more: meta.custom_audience("act_42", **more),
        lambda **more: google.customer_match("1234567890", **more),
    ],
)
@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"match": []}, "list of match keys"),
        ({"match": "email"}, "list of match keys"),
        ({"match": ["e-mail"]}, "Did you mean 'email'"),
        ({"match": ["address"]}, "no match key"),
        ({"purpose": "Advertising!"}, "lower case"),
        ({"purpose": ""}, "lower case"),
        ({"base_url": "http://ads.example"}, "https"),
    ],
)
def test_what_can_not_be_meant_is_refused_at_once(make: Any, options: dict[str, Any], says: str) -> None:
    """With what it may be."""
    with pytest.raises(ConfigurationError, match=says):
        make(**{"match": ["email"], "purpose": "advertising", **options})
