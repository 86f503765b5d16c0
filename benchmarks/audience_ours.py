"""Audiences as this project computes them, on events that lie as an ingest and a resolve leave them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
from sqlglot import exp

from audiences.audience import Audience
from audiences.compile import Question, compile_audiences
from audiences.handles import Rule as Handled
from audiences.kinds import read_kinds
from audiences.tables import create_audience_tables
from benchmarks.audience_cases import Case
from benchmarks.audience_contender import THREADS, Contender
from benchmarks.audience_events import AS_OF, FIELDS, Data
from benchmarks.audience_nodes import rule_of
from identity.clustering import cluster_events
from identity.property_kinds import note_kinds
from identity.store.duckdb import DuckDBWarehouse
from identity.store.warehouse import Warehouse, open_warehouse
from identity.tables import create_tables, temporary

__all__ = ["OURS", "STORED", "audiences_of", "open_stored", "question_of"]

STORED = "ours.duckdb"
"""The warehouse inside the data's folder."""

PART_OF_KINDS = 100_000
"""Rows of each file whose kinds are noted: every property of every name is among them."""


def store(data: Data) -> None:
    """Write the events into a warehouse, sorted, with their profiles: what `audiences apply` would find."""
    place = data.folder / STORED
    place.unlink(missing_ok=True)
    warehouse = open_stored(place)
    create_tables(warehouse)
    create_audience_tables(warehouse)
    fields = ", ".join(f"{each}: {each}" for each in FIELDS)
    plain = warehouse._connection
    # a merge with an empty object leaves out what an event does not have
    said = f"json_merge_patch('{{}}', to_json({{{fields}}}))"
    owner = "lpad(to_hex(profile), 32, '0')::UUID"
    plain.execute(
        f"INSERT INTO profiles SELECT {owner}, TIMESTAMP '2020-01-01', TIMESTAMP '2020-01-01' "
        "FROM read_parquet($people)",
        {"people": data.people},
    )
    for part in data.parts:
        plain.execute(
            "INSERT INTO events BY NAME SELECT message_id::VARCHAR AS message_id, 'track' AS kind, name, "
            "occurred_at, occurred_at AS received_at, false AS clamped, "
            f"{said}::VARIANT AS properties, {owner} AS profile_id FROM read_parquet($part)",
            {"part": part},
        )
        plain.execute(
            f"CREATE OR REPLACE TEMP TABLE some_events AS SELECT name, {said}::VARCHAR AS properties "
            f"FROM read_parquet($part) LIMIT {PART_OF_KINDS}",
            {"part": part},
        )
        note_kinds(warehouse, "some_events")
    cluster_events(warehouse, force=True)
    warehouse.close()


def open_stored(place: Path) -> DuckDBWarehouse:
    """Open a warehouse with the threads that every contender has."""
    warehouse = open_warehouse(f"duckdb:///{place}")
    assert isinstance(warehouse, DuckDBWarehouse)
    warehouse._connection.execute(f"SET threads = {THREADS}; SET enable_progress_bar = false")
    return warehouse


def audiences_of(cases: Sequence[Case]) -> list[Audience]:
    """The described audiences as ours."""
    return [Audience(case.key, Handled(rule_of(case.rule))) for case in cases]


def question_of(warehouse: Warehouse, audiences: Sequence[Audience]) -> Question:
    """What a run asks."""
    known = {each.key: each for each in audiences}
    return Question(AS_OF, audiences=known, kinds=read_kinds(warehouse))


@dataclass(frozen=True, slots=True)
class Members:
    """The column of a computed table that says who is in an audience."""

    connection: duckdb.DuckDBPyConnection
    key: str


@contextmanager
def opened(data: Data) -> Iterator[DuckDBWarehouse]:
    """The warehouse as it was stored."""
    warehouse = open_stored(data.folder / STORED)
    try:
        yield warehouse
    finally:
        warehouse.close()


def members(warehouse: DuckDBWarehouse, cases: Sequence[Case]) -> Iterator[tuple[str, Members]]:
    """One query for all of them, into a table with a column an audience."""
    audiences = audiences_of(cases)
    query = compile_audiences(audiences, question_of(warehouse, audiences))
    warehouse.execute(temporary("computed", query))
    for case in cases:
        yield case.key, Members(warehouse._connection, case.key)


def numbers(found: Members) -> npt.NDArray[np.int64]:
    """The numbers that the profiles' ids were made of."""
    column = exp.column(found.key, quoted=True).sql("duckdb")
    rows = found.connection.execute(
        f"SELECT ('0x' || right(replace(profile_id::VARCHAR, '-', ''), 15))::BIGINT AS number "
        f"FROM computed WHERE {column}"
    )
    return np.asarray(rows.fetchnumpy()["number"], dtype=np.int64)


OURS = Contender(opened, members, numbers, store=store, stored=STORED)
