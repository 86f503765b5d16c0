"""Whose each row is, and whom a resolve touched: kept true by changing what changed, and by nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import Phase, example, given, settings
from sqlglot import exp

from identity.clustering import cluster_events
from identity.identifiers import IdentityRules, email
from identity.profiles import find_profile
from identity.touched import everybody_touched_since, forget_touched, touched_number, touched_since
from tests.conftest import House, open_house
from tests.identity.test_resolve import STREAM, join, visit
from tests.test_laws_incremental import Step, steps, take

ALONE = [visit(f"x{n}", 9, userId=f"x{n}", anonymousId=f"x{n}") for n in range(60)]
"""So many others that a few touched profiles are less than half."""


def wrong(house: House) -> list[object]:
    """Rows whose profile is not the one that their subject points to."""
    rows: list[object] = []
    for table in ("events", "trait_changes"):
        rows += house.warehouse.query(
            exp.select("t.message_id", "t.profile_id", "m.profile_id AS joined")
            .from_(exp.to_table(table).as_("t"))
            .join("identifier_profiles AS m", on="m.identifier_id = t.subject", join_type="left")
            .where("t.profile_id IS DISTINCT FROM m.profile_id")
        ).to_pylist()
    return rows


def known(house: House) -> dict[str, set[tuple[object, ...]]]:
    """Profile → everything that belongs to it."""
    found: dict[str, set[tuple[object, ...]]] = {}
    for view, columns in (
        ("profile_events", ("message_id", "name", "occurred_at")),
        ("profile_traits", ("message_id", "name", "value")),
        ("profile_identifiers", ("identifier_id", "type")),
    ):
        for row in house.warehouse.query(exp.select("profile_id", *columns).from_(view)).to_pylist():
            found.setdefault(row["profile_id"], set()).add((view, *(row[each] for each in columns)))
    return found


def touched(house: House, number: int) -> set[str]:
    assert not everybody_touched_since(house.warehouse, number)
    return set(house.warehouse.query(touched_since(number))["profile_id"].to_pylist())


def numbers(house: House) -> list[int]:
    return sorted(
        house.warehouse.query(exp.select("number").distinct().from_("touched_profiles"))["number"].to_pylist()
    )


@settings(max_examples=40, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(steps)
@example([("say", [(1, "a", "a@x.org", None)]), ("rules", 3),
          ("decide", ("split", "email:a@x.org", "user_id:a", 2)), ("undo", 0),
          ("rules", 6), ("say", [(0, None, "a@x.org", "d")])])  # fmt: skip
@example([("rules", 5), ("say", [(1, "a", None, "d"), (2, "b", None, "d"), (3, None, None, "d")]),
          ("say", [(0, "c", None, "d")]), ("rules", 3), ("rules", 0)])  # fmt: skip
def test_rows_know_their_profile_and_exactly_those_that_changed_are_touched(way: Sequence[Step]) -> None:
    """After any way of saying, changing rules and overriding; a resolve without a change takes no number."""
    said: list[dict[str, object]] = []
    with TemporaryDirectory() as folder, open_house(Path(folder), IdentityRules()) as house:
        house.say(*ALONE)
        house.resolve()
        for number, step in enumerate(way):
            take(house, step, said, f"{number}.ndjson")
            if number % 3 == 2:
                cluster_events(house.warehouse, force=True)
            before, seen = known(house), touched_number(house.warehouse)
            house.resolve()
            assert wrong(house) == []
            after = known(house)
            changed = {each for each in before | after if before.get(each) != after.get(each)}
            assert touched_number(house.warehouse) == seen + bool(changed)
            assert touched(house, seen) == changed


def test_before_a_resolve_a_row_is_nobodys(house: House) -> None:
    """Also that of an identifier that is known; and a row of blocked identifiers stays nobody's."""
    house.say(*STREAM)
    assert known(house) == {}
    house.resolve()
    who = find_profile(house.warehouse, house.vault, house.rules, "user_id:ann")
    before = known(house)[who]
    house.say(join("8", 8, "ann@example.com", userId="ann"), name="more.ndjson")
    assert known(house)[who] == before
    house.resolve()
    assert {each[1] for each in known(house)[who] - before} == {"8"}
    nobodys = exp.select("message_id").from_("events").where("profile_id IS NULL")
    assert house.warehouse.query(nobodys)["message_id"].to_pylist() == ["7"]


def test_a_merge_touches_both_profiles_and_a_new_event_its_own(house: House) -> None:
    """And nobody else."""
    house.say(*STREAM, *ALONE, visit("t", 9, anonymousId="tablet"))
    house.resolve()
    who = [
        find_profile(house.warehouse, house.vault, house.rules, each)
        for each in ("user_id:ann", "anonymous_id:tablet")
    ]
    house.say(visit("8", 10, anonymousId="tablet"), name="one.ndjson")
    house.resolve()
    assert touched(house, 1) == {who[1]}
    house.say(join("9", 10, "ann@example.com", anonymousId="tablet"), name="merge.ndjson")
    house.resolve()
    assert touched(house, 2) == set(who)
    assert touched(house, 1) == set(who)


def test_an_event_follows_its_subject_away_from_a_profile_that_no_identifier_leaves(house: House) -> None:
    """The address was blocked; now the event is its own, and the device stays where it was."""
    house.rules = IdentityRules(email(limit=1), blocked=["b@x.org"])
    shared = visit("2", 2, anonymousId="d", properties={"email": "b@x.org"})
    house.say(*ALONE, join("1", 1, "a@x.org", userId="a", anonymousId="d"), shared)
    house.resolve()
    ann = find_profile(house.warehouse, house.vault, house.rules, "anonymous_id:d")
    assert {each[1] for each in known(house)[ann] if each[0] == "profile_events"} == {"1", "2"}
    house.rules = IdentityRules(email(limit=1))
    assert house.resolve().changes.touched == ()
    assert find_profile(house.warehouse, house.vault, house.rules, "anonymous_id:d") == ann
    new = find_profile(house.warehouse, house.vault, house.rules, "email:b@x.org")
    assert {each[1] for each in known(house)[new] if each[0] == "profile_events"} == {"2"}
    assert wrong(house) == []
    assert touched(house, 1) == {ann, new}


def test_the_first_resolve_and_one_that_touches_most_touch_everybody(house: House) -> None:
    """A list would help nobody then; nothing to resolve is no change."""
    house.resolve()
    assert touched_number(house.warehouse) == 0
    assert not everybody_touched_since(house.warehouse, 0)
    house.say(*ALONE)
    house.resolve()
    assert everybody_touched_since(house.warehouse, 0)
    house.resolve()
    house.say(
        {"type": "track", "event": "Seen", "messageId": "n", "anonymousId": "null"}, name="nobody.ndjson"
    )
    house.resolve()
    assert touched_number(house.warehouse) == 1
    assert not everybody_touched_since(house.warehouse, 1)
    house.say(*(visit(f"y{n}", 10, userId=f"x{n}") for n in range(30)), name="half.ndjson")
    house.resolve()
    assert len(touched(house, 1)) == 30
    house.say(*(visit(f"z{n}", 10, userId=f"x{n}") for n in range(31)), name="most.ndjson")
    house.resolve()
    assert everybody_touched_since(house.warehouse, 2)
    assert not everybody_touched_since(house.warehouse, 3)


def test_who_has_seen_less_than_was_forgotten_has_to_look_at_everybody(house: House) -> None:
    """Others don't."""
    house.say(*ALONE)
    house.resolve()
    for number in range(3):
        house.say(visit(f"v{number}", 10, userId=f"x{number}"), name=f"{number}.ndjson")
        house.resolve()
    assert len(touched(house, 1)) == 3
    forget_touched(house.warehouse, 2)
    assert numbers(house) == [3, 4]
    assert everybody_touched_since(house.warehouse, 0)
    assert everybody_touched_since(house.warehouse, 1)
    assert len(touched(house, 2)) == 2
    forget_touched(house.warehouse, 4)
    assert everybody_touched_since(house.warehouse, 3)
    assert touched(house, 4) == set()


def test_a_resolve_that_is_taken_back_touched_nobody(house: House) -> None:
    """As a plan's is."""
    house.say(*ALONE)
    house.resolve()
    house.say(visit("8", 10, userId="x1"), name="one.ndjson")
    try:
        with house.warehouse.transaction():
            house.resolve()
            raise KeyError
    except KeyError:
        pass
    assert touched_number(house.warehouse) == 1
    assert touched(house, 1) == set()
    house.resolve()
    assert len(touched(house, 1)) == 1
