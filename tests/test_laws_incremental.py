"""Laws of resolving in steps: what is stored is a function of events, rules and overrides, not of the way."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from sqlglot import exp

from identity.identifiers import IdentityRules, anonymous_id, custom, email, phone, user_id
from identity.overrides import OverrideKind, list_overrides, record_override, undo_override
from tests.conftest import House, open_house

START = datetime(2026, 1, 1, tzinfo=UTC)
USERS, ADDRESSES, DEVICES = "abc", ("a@x.org", "b@x.org", "c@x.org"), "defgh"

RULES = [
    IdentityRules(),
    IdentityRules(user_id(limit=2), anonymous_id(limit=2)),
    IdentityRules(email(limit=1), blocked=["b@x.org"]),
    IdentityRules(blocked=["d", "e"]),
    IdentityRules(anonymous_id(limit=2, window="weekly")),
    IdentityRules(anonymous_id(limit=1, window="monthly")),
    IdentityRules(email(), anonymous_id(priority=1, limit=3)),
    IdentityRules(phone(), conflict="drop_links"),
    IdentityRules(custom("member", unique=True), conflict="drop_links"),
    IdentityRules(max_merges=1, max_identifiers=4),
    IdentityRules(anonymous_id(blocked=["d"]), email(unique=True), conflict="drop_links"),
]

Event = tuple[int, str | None, str | None, str | None]
Step = tuple[str, object]

events = st.tuples(
    st.integers(0, 40),
    st.none() | st.sampled_from(USERS),
    st.none() | st.sampled_from(ADDRESSES),
    st.none() | st.sampled_from(DEVICES),
).filter(lambda event: any(event[1:]))
names = st.one_of(
    st.sampled_from([f"user_id:{each}" for each in USERS]),
    st.sampled_from([f"email:{each}" for each in ADDRESSES]),
    st.sampled_from([f"anonymous_id:{each}" for each in DEVICES]),
)
decisions = st.tuples(st.sampled_from(["merge", "split", "apart"]), names, names, st.integers(0, 40)).filter(
    lambda each: each[1] != each[2]
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.lists(events, min_size=1, max_size=5)),
        st.tuples(st.just("rules"), st.integers(0, len(RULES) - 1)),
        st.tuples(st.just("decide"), decisions),
        st.tuples(st.just("undo"), st.integers(0, 3)),
    ),
    min_size=2,
    max_size=7,
)


def message(number: int, event: Event) -> dict[str, object]:
    day, user, address, device = event
    at = (START + timedelta(days=day)).isoformat()
    given = {"userId": user, "anonymousId": device, "properties": {"email": address} if address else {}}
    return {
        "type": "track",
        "event": "Seen",
        "messageId": f"m{number:03}",
        "timestamp": at,
        "receivedAt": at,
        "context": {"traits": {"plan": "pro"}} if number % 3 == 0 else {},
        **{key: value for key, value in given.items() if value},
    }


def decide(house: House, decision: tuple[OverrideKind, str, str, int]) -> None:
    kind, one, other, day = decision
    tokens = [str(house.vault.token(*each.split(":", 1))) for each in (one, other)]
    opposite = {"merge": "apart", "apart": "merge"}.get(kind)
    if any(
        k.kind == opposite and {k.identifier, k.other} == set(tokens) for k in list_overrides(house.ledger)
    ):
        return
    at = START + timedelta(days=day)
    record_override(house.ledger, kind, *tokens, author="ann", reason="seen it", at=at)


def stored(house: House) -> dict[str, list[object]]:
    tables = {
        "identifier_profiles": ("identifier_id", "profile_id", "component"),
        "profiles": ("profile_id", "first_seen_at", "last_seen_at"),
        "merges": ("from_profile", "to_profile", "message_id", "merged_at", "component"),
        "events": ("message_id", "subject", "profile_id"),
        "trait_changes": ("message_id", "name", "subject", "profile_id"),
        "links": (
            "message_id",
            "identifiers",
            "subject",
            "moved_to",
            "occurred_at",
            "last_occurred_at",
            "received_at",
        ),
        "identifiers": ("identifier_id", "blocked"),
        "arrivals": ("message_id",),
    }
    return {
        table: house.warehouse.query(exp.select(*columns).from_(table).order_by(*columns)).to_pylist()
        for table, columns in tables.items()
    }


def newest(house: House, table: str, key: str, value: str) -> dict[str, str | None]:
    """The last row of each key, in the order in which they were appended."""
    rows = house.warehouse.query(exp.select(key, value).from_(table).order_by("rowid")).to_pylist()
    return {row[key]: row[value] for row in rows}


def take(house: House, step: Step, said: list[dict[str, object]], name: str) -> None:
    """Say, override or change the rules; what is said is added to `said`."""
    match step:
        case "say", given:
            fresh = [message(len(said) + nth, event) for nth, event in enumerate(given)]  # type: ignore[arg-type, var-annotated]
            said.extend(fresh)
            house.say(*fresh, name=name)
        case "rules", number:
            house.rules = RULES[number]  # type: ignore[call-overload]
        case "decide", decision:
            decide(house, decision)  # type: ignore[arg-type]
        case "undo", nth:
            held = list_overrides(house.ledger)
            if held:
                chosen = held[nth % len(held)]  # type: ignore[operator]
                undo_override(house.ledger, chosen.number, author="ann", at=START)


@settings(max_examples=60, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(steps)
@example([("rules", 8), ("decide", ("apart", "email:c@x.org", "anonymous_id:g", 0)),
          ("say", [(37, None, "c@x.org", "g")])])  # fmt: skip
@example([("say", [(1, "a", None, "d")]), ("say", [(0, "b", None, "d"), (3, "b", "a@x.org", None)])])
@example([("say", [(1, "a", "a@x.org", None)]), ("decide", ("split", "email:a@x.org", "user_id:a", 2)),
          ("say", [(1, None, "a@x.org", None), (3, "b", "a@x.org", None)]), ("undo", 0)])  # fmt: skip
def test_any_way_to_the_same_events_rules_and_overrides_stores_the_same(way: Sequence[Step]) -> None:
    """Byte for byte; and the history's newest rows are what is stored."""
    said: list[dict[str, object]] = []
    with (
        TemporaryDirectory() as one,
        TemporaryDirectory() as other,
        open_house(Path(one), IdentityRules()) as stepwise,
        open_house(Path(other), IdentityRules()) as whole,
    ):
        for number, step in enumerate(way):
            take(stepwise, step, said, f"{number}.ndjson")
            whole.rules = stepwise.rules
            stepwise.resolve()
            identifiers = newest(stepwise, "identifier_updates", "identifier_id", "profile_id")
            current = stepwise.warehouse.query(
                exp.select("identifier_id", "profile_id").from_("identifier_profiles")
            ).to_pylist()
            assert {key: each for key, each in identifiers.items() if each} == {
                row["identifier_id"]: row["profile_id"] for row in current if row["profile_id"]
            }
            profiles = newest(stepwise, "graph_updates", "profile_id", "canonical_id")
            living = stepwise.warehouse.query(exp.select("profile_id").from_("profiles"))
            assert {key for key, canonical in profiles.items() if key == canonical} == set(
                living["profile_id"].to_pylist()
            )
        for each in list_overrides(stepwise.ledger):
            record_override(
                whole.ledger, each.kind, each.identifier, each.other,
                author=each.author, reason=each.reason, at=each.decided_at,
            )  # fmt: skip
        if said:
            whole.say(*reversed(said))
        whole.resolve()
        assert stored(stepwise) == stored(whole)
