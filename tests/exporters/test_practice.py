"""The practice platform refuses what the real ones would, so that passing against it means something."""

from __future__ import annotations

import copy
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from exporters.testing import PracticePlatform, say

DIGEST = "a" * 64
META: dict[str, Any] = {
    "session": {"session_id": 7, "batch_seq": 1, "last_batch_flag": True, "estimated_num_total": 1},
    "payload": {"schema": ["EMAIL"], "data": [[DIGEST]]},
}
GOOGLE: dict[str, Any] = {
    "destinations": [
        {
            "operatingAccount": {"accountType": "GOOGLE_ADS", "accountId": "1"},
            "productDestinationId": "1001",
        }
    ],
    "audienceMembers": [{"compositeData": {"userData": {"userIdentifiers": [{"emailAddress": DIGEST}]}}}],
    "consent": {"adUserData": "CONSENT_GRANTED", "adPersonalization": "CONSENT_GRANTED"},
    "encoding": "HEX",
    "termsOfService": {"customerMatchTermsOfServiceStatus": "ACCEPTED"},
}


@pytest.fixture
def platform() -> Iterator[PracticePlatform]:
    with PracticePlatform() as platform:
        meta = {
            "name": "m",
            "description": "Synced list",
            "subtype": "CUSTOM",
            "customer_file_source": "USER_PROVIDED_ONLY",
        }
        google = {
            "displayName": "g",
            "membershipDuration": "86400s",
            "ingestedUserListInfo": {"uploadKeyTypes": ["CONTACT_ID"]},
        }
        assert ask(platform, "POST", "/v25.0/act_1/customaudiences", meta)[0] == 200
        assert ask(platform, "POST", "/v1/accountTypes/GOOGLE_ADS/accounts/1/userLists", google)[0] == 200
        yield platform


def ask(
    platform: PracticePlatform, method: str, path: str, content: Any, token: str = "Bearer t"
) -> tuple[int, dict[str, Any]]:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    request = urllib.request.Request(platform.url + path, data, {"Authorization": token}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def changed(content: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with one place set, such as `payload.data`; a place that was not there is added."""
    found: Any = copy.deepcopy(content)
    top, names = found, path.split(".")
    for name in names[:-1]:
        found = found[int(name) if name.isdecimal() else name]
    found[int(names[-1]) if names[-1].isdecimal() else names[-1]] = value
    return top  # type: ignore[no-any-return]


def test_what_the_contract_says_is_taken(platform: PracticePlatform) -> None:
    """So what follows is refused for its one change."""
    assert ask(platform, "POST", "/v25.0/1000/users", META)[1]["num_received"] == 1
    assert ask(platform, "POST", "/v1/audienceMembers:ingest", GOOGLE)[1]["requestId"]
    assert platform.members("m") == platform.members("g") == {DIGEST}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("payload.data", [["ann@example.com"]]),
        ("payload.data", [[DIGEST.upper()]]),
        ("payload.data", [[DIGEST, DIGEST]]),
        ("payload.data", [[""]]),
        ("payload.data", [[DIGEST]] * 10_001),
        ("payload.data", []),
        ("payload.data", 7),
        ("payload.schema", ["EMAIL_ADDRESS"]),
        ("payload.is_raw", True),
        ("session.session_id", 0),
        ("session.session_id", "7"),
        ("session.batch_seq", 0),
        ("session", None),
        ("customer_consent", True),
    ],
)
def test_meta_refuses_what_is_off_its_contract(platform: PracticePlatform, path: str, value: object) -> None:
    """And applies nothing."""
    status, answer = ask(platform, "POST", "/v25.0/1000/users", changed(META, path, value))
    assert (status, answer["error"]["code"]) == (400, 100)
    assert platform.everybody() == frozenset()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("audienceMembers", []),
        ("audienceMembers", GOOGLE["audienceMembers"] * 10_001),
        ("audienceMembers.0", {"userData": {}}),
        ("audienceMembers.0.compositeData.userData.userIdentifiers", [{"address": {}}]),
        ("audienceMembers.0.compositeData.userData.userIdentifiers", [{"emailAddress": "ann@example.com"}]),
        ("consent.adUserData", "CONSENT_DENIED"),
        ("encoding", "BASE64"),
        ("termsOfService", {}),
        ("destinations.0.productDestinationId", "7"),
        ("destinations", []),
        ("addressInfo", {}),
    ],
)
def test_google_refuses_what_is_off_its_contract(
    platform: PracticePlatform, path: str, value: object
) -> None:
    """As a whole: one bad row, and nothing is processed."""
    status, answer = ask(platform, "POST", "/v1/audienceMembers:ingest", changed(GOOGLE, path, value))
    assert (status, answer["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert platform.everybody() == frozenset()


def test_a_request_without_a_token_or_without_sense_is_refused(platform: PracticePlatform) -> None:
    """In each platform's own words."""
    assert ask(platform, "POST", "/v25.0/1000/users", META, "")[1]["error"]["code"] == 190
    status, answer = ask(platform, "POST", "/v1/audienceMembers:ingest", GOOGLE, "Basic x")
    assert (status, answer["error"]["status"]) == (401, "UNAUTHENTICATED")
    for content in (b"", b"\xff", b"[]", b"7", b"null"):
        assert ask(platform, "POST", "/v25.0/1000/users", content)[0] == 400
        assert ask(platform, "POST", "/v1/audienceMembers:ingest", content)[0] == 400
    assert ask(platform, "POST", "/v25.0/7/users", META)[0] == 400
    assert ask(platform, "DELETE", "/v2/nothing", META)[0] == 404


def test_faults_come_in_order_and_end(platform: PracticePlatform) -> None:
    """Each for one request; every request is seen, its token is not."""
    platform.fail_next(say(503, "{}"), say(429, "{}"))
    statuses = [ask(platform, "POST", "/v25.0/1000/users", META)[0] for _ in range(3)]
    assert statuses == [503, 429, 200]
    platform.fail_next(say(503, "{}"))
    platform.recover()
    assert ask(platform, "DELETE", "/v25.0/1000/users", META)[0] == 200
    assert [request.status for request in platform.seen[2:]] == [503, 429, 200, 200]
    assert "Bearer" not in repr(platform.seen)
