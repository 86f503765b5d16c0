"""What persons permitted, as rules ask about it: the gate's answer, kept up to date at every run."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlglot import exp

from audiences import Audience, account, consented, did
from audiences.ledger import open_ledger
from audiences.manual import record_decision, undo_decision
from audiences.permissions import refresh_permissions
from audiences.plan import build_plan, preview_members
from audiences.project import Definitions, Project, Stores
from audiences.tables import create_audience_tables
from identity import permitted
from identity.overrides import record_override
from identity.permitted import permitted_profiles
from identity.privacy.consent import ConsentRecord, Decision, decide, record_consent
from identity.privacy.suppression import suppress, unsuppress
from identity.privacy.vault import Vault
from identity.store.ledger import Ledger
from identity.store.warehouse import Warehouse
from identity.tables import create_tables, set_setting
from identity.touched import touched_number, touched_since
from tests.conftest import NOW, House
from tests.shop import Shop

DAY = timedelta(days=1)
ADS = Audience("ads", did("Seen"), consented("advertising"))


@pytest.fixture
def shop(house: House) -> Shop:
    """Everybody was seen; an audience asks who permits advertising, and another is built on it."""
    return Shop(house, [ADS, Audience("others", did("Seen"), ~ADS)])


def test_who_agrees_enters_and_who_refuses_leaves(shop: Shop) -> None:
    """Looking at that one person only, and at nobody while nobody says anything."""
    assert shop.run(NOW)["ads"] == set()
    shop.agree("user_id:u1")
    assert shop.run(NOW + DAY)["ads"] == {"u1"}
    assert shop.looked_at == {"ads": 1, "others": 1}
    assert shop.run(NOW + 2 * DAY)["ads"] == {"u1"}
    assert shop.looked_at == {"ads": 0, "others": 0}
    shop.agree("user_id:u1", "denied", at=NOW + 2 * DAY)
    found = shop.run(NOW + 3 * DAY)
    assert found["ads"] == set()
    assert "u1" in found["others"]
    assert shop.looked_at == {"ads": 1, "others": 1}


def test_consent_that_an_event_brings_counts_in_the_run_that_reads_it(shop: Shop) -> None:
    """As the banner's category, which the project names as a purpose."""
    shop.run(NOW)
    said = {"type": "identify", "messageId": "c1", "userId": "u2", "timestamp": "2026-05-02T00:00:00Z"}
    shop.house.say({**said, "context": {"consent": {"categoryPreferences": {"Advertising": True}}}})
    assert shop.run(NOW + DAY)["ads"] == {"u2"}


def test_a_grant_ends_by_itself(shop: Shop) -> None:
    """At its instant, without any event; and begins at its own."""
    shop.agree("user_id:u1", at=NOW + DAY, until=NOW + 3 * DAY)
    assert shop.run(NOW)["ads"] == set()
    assert shop.run(NOW + DAY)["ads"] == {"u1"}
    assert shop.run(NOW + 3 * DAY - timedelta(microseconds=1))["ads"] == {"u1"}
    assert shop.run(NOW + 3 * DAY)["ads"] == set()
    assert shop.looked_at["ads"] == 1


def test_who_refused_under_another_identifier_is_not_permitted(shop: Shop) -> None:
    """Whether they had it before, or became one with who had; a split lets each speak for themselves."""
    shop.see({"anonymousId": "d1"})
    shop.agree("anonymous_id:d1", "denied")
    shop.agree("user_id:u1")
    assert shop.run(NOW)["ads"] == {"u1"}
    shop.see({"anonymousId": "d1", "userId": "u1"})
    assert shop.run(NOW + DAY)["ads"] == set()
    one, two = shop.house.token("anonymous_id:d1"), shop.house.token("user_id:u1")
    record_override(shop.house.ledger, "apart", one, two, author="ann", reason="no", at=NOW)
    assert shop.run(NOW + 2 * DAY)["ads"] == {"u1"}


def test_a_grant_under_any_identifier_is_the_persons(shop: Shop) -> None:
    """Also of whoever has that identifier later."""
    shop.see({"anonymousId": "d1"})
    shop.agree("anonymous_id:d1")
    assert shop.run(NOW)["ads"] == {"d1"}
    shop.see({"anonymousId": "d1", "userId": "u1"})
    assert shop.run(NOW + DAY)["ads"] == {"u1"}


def test_who_is_suppressed_is_not_permitted(shop: Shop) -> None:
    """Until that is lifted."""
    shop.agree("user_id:u1")
    token = shop.house.token("user_id:u1")
    suppress(shop.house.ledger, [token], "asked", NOW)
    assert shop.run(NOW)["ads"] == set()
    unsuppress(shop.house.ledger, [token])
    assert shop.run(NOW + DAY)["ads"] == {"u1"}


def test_another_purpose_is_no_consent(shop: Shop) -> None:
    """Nor is a refusal of it one of this."""
    for purpose, state in (("analytics", "granted"), ("advertising", "denied")):
        record_consent(
            shop.house.ledger,
            [ConsentRecord(shop.house.token("user_id:u1"), purpose, state, NOW, "cli", "x")],
        )
    assert shop.run(NOW)["ads"] == set()


def purposes(shop: Shop) -> set[str]:
    found = shop.house.warehouse.query(exp.select("purpose").from_("consented_profiles"))
    return set(found["purpose"].to_pylist())


def test_only_purposes_that_a_rule_asks_about_are_looked_up(shop: Shop) -> None:
    """Wherever in the rule it stands; what no rule asks any more is forgotten."""
    for number, purpose in enumerate(("advertising", "email", "research", "analytics"), start=1):
        record = ConsentRecord(
            shop.house.token(f"user_id:u{number}"), purpose, "granted", NOW, "cli", "paper"
        )
        record_consent(shop.house.ledger, [record])
    shop.run(NOW)
    assert purposes(shop) == {"advertising"}
    shop.audiences = [
        Audience("silent", ~(consented("email") & did("Seen"))),
        Audience("firms", account.no_user(consented("research")), of="account"),
    ]
    refresh_permissions(shop.stores, shop.definitions, NOW)
    assert purposes(shop) == {"email", "research"}
    shop.audiences = [Audience("seen", did("Seen"))]
    refresh_permissions(shop.stores, shop.definitions, NOW)
    assert purposes(shop) == set()


def test_a_plan_and_a_preview_know_who_permits_at_their_instant(shop: Shop) -> None:
    """And store nothing."""
    shop.run(NOW)
    shop.agree("user_id:u1", until=NOW + 3 * DAY)
    seen = touched_number(shop.house.warehouse)
    sizes = [preview_members(shop.stores, shop.definitions, "ads", NOW + days * DAY, 5)[0] for days in (1, 3)]
    assert sizes == [1, 0]
    planned = build_plan(shop.stores, shop.definitions, ["ads"], NOW + DAY)
    assert [step.change.entered for step in planned.steps if hasattr(step, "change")] == [1]
    assert touched_number(shop.house.warehouse) == seen
    assert purposes(shop) == set()


PEOPLE = [str(UUID(int=number)) for number in range(1, 41)]
"""Most have no identifier here, so that a list of the others is no list of everybody."""
IDENTIFIERS = [str(UUID(int=1000 + number)) for number in range(6)]
KEYS = ("vip", "calm")


@pytest.fixture(scope="module")
def ledger() -> Iterator[Ledger]:
    """A ledger for many worlds."""
    with TemporaryDirectory() as folder, open_ledger(Path(folder) / "ledger.sqlite") as opened:
        yield opened


@pytest.fixture(scope="module")
def warehouse(engine: Warehouse) -> Warehouse:
    """A warehouse with everything that a project has in it."""
    create_tables(engine)
    create_audience_tables(engine)
    everybody = pa.table({"profile_id": PEOPLE})
    engine.append("profiles", everybody)
    return engine


hours = st.integers(0, 6)
places = st.lists(st.none() | st.integers(0, 3), min_size=len(IDENTIFIERS), max_size=len(IDENTIFIERS))
records = st.tuples(
    st.integers(0, 5), st.sampled_from(["granted", "denied"]), hours, st.none() | st.integers(0, 7)
)
by_hand = st.tuples(
    st.sampled_from(KEYS),
    st.integers(0, 5),
    st.sampled_from(["in", "out"]),
    st.none() | st.integers(1, 3),
    st.none() | st.integers(0, 3),
)
steps = st.tuples(
    places,
    st.lists(records, max_size=5),
    st.lists(by_hand, max_size=4),
    st.sets(st.integers(0, 5), max_size=1),
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(st.lists(steps, min_size=1, max_size=3), st.integers(1, 4))
def test_what_is_stored_is_what_the_ledger_says(
    warehouse: Warehouse, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, drawn: list[Any], at_once: int
) -> None:
    """After any steps: who is permitted is whom the gate permits of everybody; of decisions the newest
    counts; and touched are exactly those for whom something is another.
    """
    monkeypatch.setattr(permitted, "_AT_ONCE", at_once)
    for table in ("consented_profiles", "manual_members", "touched_profiles"):
        warehouse.execute(exp.delete(table))
    set_setting(warehouse, "touched_number", "1")
    with ledger.transaction() as cursor:
        for statement in (
            "DELETE FROM consent_records",
            "DELETE FROM manual_decisions",
            "DELETE FROM suppressions",
        ):
            cursor.execute(statement)
    audiences = (Audience("vip", consented("advertising")), Audience("calm", did("Seen")))
    definitions = Definitions(Path(), Project(), audiences)
    stores = Stores(warehouse, ledger, Vault(bytes(32)))
    decided: list[Any] = []
    before: set[tuple[str, str, str]] = set()
    for number, (homes, said, hands, unwanted) in enumerate(drawn):
        as_of = NOW + (number + 1) * timedelta(hours=2)
        warehouse.execute(exp.delete("identifier_profiles"))
        home = [None if each is None else PEOPLE[each] for each in homes]
        rows = {"identifier_id": IDENTIFIERS, "profile_id": pa.array(home, pa.string())}
        warehouse.append("identifier_profiles", pa.table(rows))
        for index, (identifier, state, hour, end) in enumerate(said):
            record = ConsentRecord(
                IDENTIFIERS[identifier],
                "advertising",
                state,
                NOW + hour * timedelta(hours=1),
                "cli",
                f"{number} {index}",
                None if end is None else NOW + end * timedelta(hours=1),
            )
            record_consent(ledger, [record])
        suppress(ledger, [IDENTIFIERS[each] for each in unwanted], "asked", NOW)
        for key, identifier, state, lasts, undone in hands:
            until = None if lasts is None else as_of + lasts * timedelta(hours=1)
            back = None if undone is None else as_of + undone * timedelta(hours=1)
            made = record_decision(
                ledger, key, IDENTIFIERS[identifier], state, author="a", reason="b", at=as_of, until=until
            )
            if back is not None:
                undo_decision(ledger, made, author="a", at=back)
            decided.append((key, identifier, state, until, back))
        seen = touched_number(warehouse)
        refresh_permissions(stores, definitions, as_of)

        owners = {
            person: [IDENTIFIERS[i] for i, each in enumerate(home) if each == person] for person in PEOPLE
        }
        with ledger.reading() as cursor:
            gate = decide(cursor, owners.items(), "advertising", as_of)
        now = {("advertising", person, "") for person in PEOPLE if gate[person] is Decision.PERMITTED}
        for person in PEOPLE:
            for key in KEYS:
                states = [
                    state
                    for about, identifier, state, until, back in decided
                    if about == key
                    and home[identifier] == person
                    and (until is None or as_of < until)
                    and (back is None or as_of < back)
                ]
                now |= {(key, person, state) for state in states[-1:]}
        stored = warehouse.query(exp.select("purpose", "profile_id").from_("consented_profiles")).to_pylist()
        listed = warehouse.query(exp.select("*").from_("manual_members")).to_pylist()
        found = [(row["purpose"], row["profile_id"], "") for row in stored]
        found += [(row["audience"], row["profile_id"], row["state"]) for row in listed]
        assert sorted(found) == sorted(now)
        touched = warehouse.query(touched_since(seen))["profile_id"].to_pylist()
        assert sorted(touched) == sorted({person for _, person, _ in before ^ now})
        assert touched_number(warehouse) == seen + bool(touched)
        before = now


def test_nobody_is_looked_up_when_nobody_agreed(house: House) -> None:
    """A refusal permits nothing, and a grant of an identifier that nobody has neither."""
    assert permitted_profiles(house.warehouse, house.ledger, "advertising", NOW) == []
    for subject, state in (("user_id:u1", "denied"), ("user_id:u2", "granted")):
        record = ConsentRecord(house.token(subject), "advertising", state, NOW, "cli", "x")
        record_consent(house.ledger, [record])
    assert permitted_profiles(house.warehouse, house.ledger, "advertising", NOW) == []
