"""Golden cases: what other systems' documentation says comes out of a stream, through ingest and resolve.

`pytest tests/identity/test_golden.py --golden DIR` runs the `identity_cases.jsonl` of another folder;
without a path of tests, write `--golden=DIR`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlglot import exp

from identity.canonical import canonical
from identity.errors import ConfigurationError
from identity.identifiers import IdentityRules, user_id
from identity.overrides import record_override
from identity.privacy.classification import personal_class
from tests.conftest import NOW, House, open_house
from tests.identity.golden import Golden

DIFFERS: Mapping[str, str] = {
    "seg_blocked_case_sensitive": "blocked values are compared without case: `NULL` stands for nobody either",
    "ph_identify_merges_two_persons": "a merged profile keeps the older id, whoever was identified",
    "ph_unknown_id_joins_identified_person": "two user ids are two people, whether or not the second one was "
    "seen before; there the outcome hangs on which message arrives first",
    "ph_merge_dangerously_bypasses": "no event joins two user ids; a person does, by an override",
    "ph_Nan_is_legal": "blocked values are compared without case: `Nan` stands for nobody either",
    "mpo_identify_not_uuid4": "an anonymous id links whatever its form; no merge is silently ignored",
    "mpo_merge_any_two": "no event joins two user ids; a person does, by an override",
    "amp_two_users_one_device": "a device stays with its first user: later events without a user are theirs, "
    "and the second user has a profile without the device",
    "snowplow_last_user_restitches_all": "a device stays with its first user, and a second user's arrival "
    "rewrites nothing; a user id never loses its own profile",
    "mparticle_conversion_logout_new_anonymous": "logging out is no fact about who it is: the device's later "
    "events belong to the person whose device it is",
    "mparticle_isolation_keeps_anonymous_apart": "a device and the user who signs in on it are one profile",
}
"""Case → why ours comes out otherwise; a case that is not named here must agree, one that is must not."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test a case of the chosen folder."""
    if "golden" in metafunc.fixturenames:
        path = Path(metafunc.config.getoption("golden")) / "identity_cases.jsonl"
        if not path.is_file():
            raise pytest.UsageError(f"--golden: there is no {path}")
        cases = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        metafunc.parametrize("golden", [parameter(case) for case in cases])


def parameter(case: Mapping[str, Any]) -> Any:
    return pytest.param(Golden(case), id=str(case["name"]))


def profiles(house: House, golden: Golden) -> dict[str, frozenset[str]]:
    """Profile id → its identifiers, by the case's names."""
    names = {
        str(house.vault.token(kind, canonical(kind, value, "US") or "")): name
        for name, (kind, value) in golden.spelled.items()
    }
    found: dict[str, set[str]] = {}
    for row in rows(house, "identifier_profiles", "identifier_id", "profile_id"):
        if row["profile_id"] is not None:
            found.setdefault(row["profile_id"], set()).add(names[row["identifier_id"]])
    return {profile: frozenset(held) for profile, held in found.items()}


def rows(house: House, table: str, *columns: str) -> list[dict[str, Any]]:
    return house.warehouse.query(exp.select(*columns).from_(table).order_by(*columns)).to_pylist()


def events_by_profile(house: House) -> list[list[str]]:
    found: dict[str, list[str]] = {}
    for row in rows(house, "profile_events", "profile_id", "message_id"):
        found.setdefault(row["profile_id"], []).append(row["message_id"])
    return sorted(found.values())


def traits(house: House) -> dict[str, dict[str, Any]]:
    """Profile id → its newest traits."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows(house, "profile_traits", "occurred_at", "message_id", "name", "profile_id", "value"):
        found.setdefault(row["profile_id"], {})[row["name"]] = json.loads(row["value"])
    return found


def as_stored(house: House, name: str, value: Any) -> Any:
    kind = personal_class("trait", (name,))
    if kind is None:
        return value
    return f"sealed:{house.vault.token(kind, canonical(kind, str(value), 'US') or str(value))}"


def difference(house: House, golden: Golden) -> str | None:
    """What of the published outcome the warehouse does not say, or None."""
    expected = golden.case["expected"]
    held = profiles(house, golden)
    # an id that a system makes up on the way is no identifier that an event carried
    wanted = [frozenset(name for name in each if ":<" not in name) for each in expected["profiles"]]
    if sorted(map(sorted, held.values())) != sorted(map(sorted, wanted)):
        return f"profiles {sorted(map(sorted, held.values()))}"
    ids = {each: profile for profile, each in held.items()}
    if "events_by_profile" in expected:
        found = events_by_profile(house)
        if found != sorted(map(sorted, expected["events_by_profile"])):
            return f"events {found}"
    if "traits" in expected:
        kept = traits(house)
        for each, given in zip(wanted, expected["traits"], strict=True):
            if kept.get(ids[each], {}) != {
                name: as_stored(house, name, value) for name, value in given.items()
            }:
                return f"traits {kept.get(ids[each])}"
    founder = expected.get("canonical_events", {}).get("created_by")
    if founder and str(house.vault.profile_id(founder)) not in held:
        return "another event made the profile"
    for kind, value in expected.get("canonical", {}).items():
        first = min((each.at, each.message_id) for each in golden.told if f"{kind}:{value}" in each.ids)
        if str(house.vault.profile_id(first[1])) not in held:
            return f"the profile is not that of {value}"
    if "id_graph_updates" in expected:
        updates = expected["id_graph_updates"]
        made = {ours: str(house.vault.profile_id(cause)) for ours, into, cause in updates if ours == into}
        wanted_merges = [(made[ours], made[into], cause) for ours, into, cause in updates if ours != into]
        merges = [
            tuple(row.values()) for row in rows(house, "merges", "from_profile", "to_profile", "message_id")
        ]
        if merges != sorted(wanted_merges):
            return f"merges {merges}"
    return None


def told(house: House, golden: Golden, *, backwards: bool = False) -> House:
    """Ingest and resolve a case: as it arrived, or its later half first, then all reversed and repeated."""
    house.rules = golden.rules
    messages = list(golden.messages)
    parts = [messages]
    if backwards:
        parts = [messages[len(messages) // 2 :][::-1], [*messages[::-1], *messages]]
    for number, part in enumerate(parts):
        assert not house.say(*part, name=f"part{number}.ndjson").refused
        house.resolve()
    for deleted, stays, at in golden.deleted:
        one, other = (str(house.vault.token(*golden.spelled[name])) for name in (deleted, stays))
        record_override(house.ledger, "split", one, other, author="ann", reason="asked to", at=at)
    house.resolve()
    return house


def test_a_published_case_comes_out_as_published(golden: Golden, house: House) -> None:
    """Profiles, whose each event is, traits, and merges; or differs for the reason given."""
    if "error" in golden.case["expected"]:
        with pytest.raises(ConfigurationError, match="same identifier"):
            told(house, golden)
        return
    told(house, golden)
    occurred = {
        row["message_id"]: row["occurred_at"] for row in rows(house, "events", "message_id", "occurred_at")
    }
    assert occurred == {each.message_id: each.at.replace(tzinfo=None) for each in golden.told}
    found = difference(house, golden)
    if golden.name in DIFFERS:
        assert found, f"it agrees now; take it out of DIFFERS: {DIFFERS[golden.name]}"
    else:
        assert found is None, (golden.case["why"], found)


def everything(house: House) -> list[list[dict[str, Any]]]:
    return [
        rows(house, "identifier_profiles", "identifier_id", "profile_id"),
        rows(house, "profiles", "profile_id", "first_seen_at", "last_seen_at"),
        rows(house, "merges", "from_profile", "to_profile", "message_id"),
        rows(house, "events", "message_id", "occurred_at", "subject"),
    ]


def test_arrival_order_does_not_matter(golden: Golden, house: House, tmp_path: Path) -> None:
    """The later half first, then all reversed and repeated: the warehouse says the same."""
    if "error" in golden.case["expected"]:
        pytest.skip("an error has no order")
    (tmp_path / "other").mkdir()
    with open_house(tmp_path / "other", IdentityRules()) as other:
        assert everything(told(house, golden)) == everything(told(other, golden, backwards=True))


@pytest.fixture(scope="module")
def published() -> dict[str, Golden]:
    """The cases of this repository by name."""
    path = Path(__file__).parents[1] / "fixtures" / "golden" / "identity_cases.jsonl"
    cases = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {case["name"]: Golden(case) for case in cases if case["name"] in DIFFERS}


@pytest.mark.parametrize("name", ["ph_unknown_id_joins_identified_person", "mpo_merge_any_two"])
def test_a_higher_limit_lets_events_join_user_ids(
    name: str, published: Mapping[str, Golden], house: House
) -> None:
    """For those whose user ids change, as PostHog's and Mixpanel's may."""
    house.rules = IdentityRules(user_id(limit=5))
    house.say(*published[name].messages)
    house.resolve()
    assert difference(house, published[name]) is None


@pytest.mark.parametrize("name", ["ph_merge_dangerously_bypasses", "mpo_merge_any_two"])
def test_a_person_may_join_what_no_event_joins(
    name: str, published: Mapping[str, Golden], house: House
) -> None:
    """An override merges two user ids, with an author and a reason, and can be undone."""
    told(house, published[name])
    one, other = (
        str(house.vault.token(kind, value))
        for kind, value in sorted(published[name].spelled.values())
        if kind == "user_id"
    )
    record_override(house.ledger, "merge", one, other, author="ann", reason="one person", at=NOW)
    house.resolve()
    assert difference(house, published[name]) is None


@pytest.mark.parametrize(
    "name, newest",
    [
        ("amp_two_users_one_device", {"device_id:R", "user_id:Mary"}),
        ("snowplow_last_user_restitches_all", {"cookie:c1", "user_id:u2"}),
    ],
)
def test_dropping_links_gives_a_device_to_its_newest_user(
    name: str, newest: set[str], published: Mapping[str, Golden], house: House
) -> None:
    """With all events of the device alone, earlier ones too; the first user keeps a profile."""
    house.rules = IdentityRules(conflict="drop_links")
    house.say(*published[name].messages)
    house.resolve()
    held = profiles(house, published[name])
    assert sorted(map(len, held.values())) == [1, 2]
    assert newest in held.values()
