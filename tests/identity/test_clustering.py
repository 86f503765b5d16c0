"""Clustering: the same rows in an order that lets a question read only its own slice."""

from __future__ import annotations

import re
from contextlib import closing

import numpy as np
import pyarrow as pa
import pytest
from sqlglot import exp

from identity.clustering import CLUSTERED, Clustered, cluster_events
from identity.profiles import find_profile
from identity.shown import show_profile
from identity.store.warehouse import open_warehouse
from identity.tables import create_tables, get_setting
from tests.conftest import House
from tests.identity.test_resolve import STREAM, join, visit

NAMES = ("Cart Opened", "Order Completed", "Page Viewed", "Signed In")
ODD = {
    "deep": {"list": [1, "1", None, True, {"x": [[]]}], "none": None},
    "wide": 2**64 - 1,
    "tiny": -1e-300,
    "text": "5",
    "number": 5,
    "empty": {},
    "é\"'\0": "\u2028",
}


def rows(house: House, table: str) -> list[dict[str, object]]:
    """Everything in a table, with the types that its variants hold."""
    variants = ("properties", "context") if table == "events" else ("value",)
    kinds = [
        exp.Anonymous(this="variant_typeof", expressions=[exp.column(each)]).as_(f"type_of_{each}")
        for each in variants
    ]
    query = exp.select("*", *kinds).from_(table).order_by("message_id")
    found: list[dict[str, object]] = house.warehouse.query(
        query.order_by("name") if table == "trait_changes" else query
    ).to_pylist()
    return found


def places(house: House, table: str) -> list[tuple[object, ...]]:
    """The sort keys as they lie; within a name, nobody's come first."""
    query = exp.select("name", "profile_id", "occurred_at", "message_id").from_(table).order_by("rowid")
    return [
        (
            row["name"],
            row["profile_id"] or "",
            row["occurred_at"],
            row["message_id"],
        )
        for row in house.warehouse.query(query).to_pylist()
    ]


def fill(house: House, count: int, first: int = 0, profiles: int = 5_000) -> None:
    """Store so many events in no order, each of a profile already."""
    chance = np.random.default_rng(first)
    who = chance.integers(0, profiles, count)
    at = pa.array(chance.integers(0, 10**15, count), pa.timestamp("us"))
    people = [f"{number * 2654435761 % 2**32:08x}-0000-8000-8000-{number:012x}" for number in range(profiles)]
    house.warehouse.append(
        "events",
        pa.table(
            {
                "message_id": np.arange(first, first + count).astype(str),
                "kind": ["track"] * count,
                "name": np.array(NAMES)[chance.integers(0, len(NAMES), count)],
                "occurred_at": at,
                "received_at": at,
                "profile_id": np.array(people)[who],
                "properties": [f'{{"revenue":{number / 4},"currency":"EUR"}}' for number in who.tolist()],
            }
        ),
    )


def explained(house: House, query: exp.Select) -> list[tuple[int, int]]:
    """Row groups that each scan of `events` read, of how many."""
    analyze = exp.Command(this="EXPLAIN", expression=f"ANALYZE {query.sql(dialect='duckdb')}")
    (plan,) = house.warehouse.query(analyze)["explain_value"].to_pylist()
    found = re.findall(r"Table: [\w.]*events\b.*?Row Groups Scanned: (\d+) / (\d+)", plan, re.DOTALL)
    return [(int(read), int(there)) for read, there in found]


def test_every_row_is_as_it_was_and_lies_in_order(house: House) -> None:
    """To the type of each property, also of rows that belong to nobody."""
    house.say(
        *STREAM,
        visit("a", 9, userId="ann", properties=ODD, context={"ip": "1.2.3.4", "page": ODD}),
        {
            **join("b", 2, "ann@example.com", userId="ann"),
            "traits": {"odd": ODD, "gone": None, "n": 5, "t": "5"},
        },
        {"messageId": "g", "type": "group", "userId": "bob", "groupId": "acme", "traits": {"seats": 9}},
    )
    house.resolve()
    before = {table: rows(house, table) for table in CLUSTERED}
    unsorted = [places(house, table) for table in CLUSTERED]
    report = cluster_events(house.warehouse, force=True)
    assert (report.events.rewritten, report.trait_changes.rewritten) == (True, True)
    assert {table: rows(house, table) for table in CLUSTERED} == before
    sorted_now = [places(house, table) for table in CLUSTERED]
    assert sorted_now == [sorted(each) for each in unsorted] != unsorted


def test_everything_goes_on_as_before(house: House) -> None:
    """Views, ingest and resolve find the new table, also when the file is opened again."""
    house.say(*STREAM)
    house.resolve()
    cluster_events(house.warehouse, force=True)
    house.say(join("8", 8, "ann@example.com", userId="ann"), STREAM[0], name="more.ndjson")
    report = house.resolve()
    assert (report.events, report.profiles) == (8, 3)
    who = find_profile(house.warehouse, house.vault, house.rules, "user_id:ann")
    assert sum(show_profile(house.warehouse, house.vault, who).events.values()) == 2
    house.warehouse.close()
    with closing(open_warehouse(f"duckdb:///{house.folder / 'warehouse.duckdb'}")) as again:
        create_tables(again)
        assert len(again.query(exp.select("*").from_("profile_events"))) == 7


def test_a_table_is_rewritten_when_a_fifth_of_it_is_tail(house: House) -> None:
    """And a hundred thousand rows at least; force does it with any tail, and nothing without."""
    fill(house, 99_999)
    assert cluster_events(house.warehouse).events == Clustered(99_999, 99_999, 0, rewritten=False)
    fill(house, 1, first=99_999)
    assert cluster_events(house.warehouse).events == Clustered(100_000, 100_000, 0, rewritten=True)
    fill(house, 110_000, first=100_000)
    assert cluster_events(house.warehouse).events.rewritten
    fill(house, 300_000, first=210_000)
    assert cluster_events(house.warehouse).events.rewritten
    fill(house, 100_000, first=510_000)
    assert cluster_events(house.warehouse).events == Clustered(610_000, 100_000, 0, rewritten=False)
    fill(house, 27_500, first=610_000)
    assert cluster_events(house.warehouse).events == Clustered(637_500, 127_500, 0, rewritten=True)
    fill(house, 1, first=637_500)
    assert not cluster_events(house.warehouse).events.rewritten
    assert cluster_events(house.warehouse, force=True).events == Clustered(637_501, 1, 0, rewritten=True)
    assert cluster_events(house.warehouse, force=True).events == Clustered(637_501, 0, 0, rewritten=False)


def test_rows_whose_profile_moved_count_as_tail(house: House) -> None:
    """Those of the base only: the others are tail already."""
    house.say(*STREAM)
    house.resolve()
    cluster_events(house.warehouse, force=True)
    house.say(
        visit("8", 9, anonymousId="laptop"),
        visit("9", 1, userId="eve", anonymousId="kiosk"),
        name="late.ndjson",
    )
    house.resolve()
    assert cluster_events(house.warehouse).events == Clustered(9, 2, 0, rewritten=False)
    who = find_profile(house.warehouse, house.vault, house.rules, "user_id:cat")
    house.say(visit("0", 1, userId="ann", anonymousId="tablet"), name="earlier.ndjson")
    house.resolve()
    # the two that were ann's before, and the laptop's two that came with them
    assert cluster_events(house.warehouse).events == Clustered(10, 3, 4, rewritten=False)
    assert cluster_events(house.warehouse, force=True).events == Clustered(10, 3, 4, rewritten=True)
    assert cluster_events(house.warehouse, force=True).events == Clustered(10, 0, 0, rewritten=False)
    assert find_profile(house.warehouse, house.vault, house.rules, "user_id:cat") == who


def test_a_rewrite_that_is_taken_back_leaves_everything(house: House) -> None:
    """Rows, their order, views and what is noted."""
    house.say(*STREAM)
    house.resolve()
    before = (rows(house, "events"), places(house, "events"))

    def cluster_and_fail() -> None:
        with house.warehouse.transaction():
            assert cluster_events(house.warehouse, force=True).events.rewritten
            raise KeyError

    with pytest.raises(KeyError):
        cluster_and_fail()
    assert (rows(house, "events"), places(house, "events")) == before
    assert get_setting(house.warehouse, "clustered_events") is None
    assert len(house.warehouse.query(exp.select("*").from_("profile_events"))) == 6


def test_a_question_reads_its_own_slice_only(house: House) -> None:
    """Pruned by name, and within a name by profile; what is not sorted is read whole."""
    fill(house, 500_000, profiles=2_000)
    one_name = exp.select("count(*)").from_("events").where(exp.column("name").eq("Page Viewed"))
    some = exp.select("profile_id").distinct().from_("events").order_by("profile_id").limit(3)
    house.warehouse.execute(exp.Create(this=exp.to_table("few"), kind="TABLE", expression=some))
    of_few = one_name.where(exp.column("profile_id").isin(query=exp.select("profile_id").from_("few")))
    ((read, there),) = explained(house, one_name)
    assert read == there == 5
    cluster_events(house.warehouse)
    ((read, there),) = explained(house, one_name)
    assert read <= 3 < there
    ((read, there),) = explained(house, of_few)
    assert read == 1


def test_properties_stay_as_fast_as_typed_columns(house: House) -> None:
    """The engine keeps each as a column of its own within the variant, in every full row group."""
    fill(house, 2 * 122_880)
    cluster_events(house.warehouse)
    typed = exp.column("segment_type").isin("DOUBLE", "VARCHAR")
    stored = house.warehouse.query(
        exp.select("segment_type", exp.Sum(this=exp.column("count")).as_("n"))
        .from_(exp.Anonymous(this="pragma_storage_info", expressions=[exp.Literal.string("events")]))
        .where(exp.column("column_name").eq("properties"), typed)
        .group_by("segment_type")
    ).to_pylist()
    assert {row["segment_type"]: int(row["n"]) for row in stored} == {"DOUBLE": 245_760, "VARCHAR": 245_760}
