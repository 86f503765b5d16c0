"""Ingest by columns: what is stored is what reading message by message stores, byte for byte."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import UUID

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlglot import exp

from identity.identifiers import IdentityRules, custom, phone
from tests.conftest import House, open_house

RULES = IdentityRules(phone(limit=3), custom("loyalty", personal=True))
TABLES = {
    "events": ("message_id",),
    "arrivals": ("message_id",),
    "trait_changes": ("message_id", "name"),
    "identifiers": ("identifier_id",),
    "quarantine": ("source", "line", "code"),
    "property_kinds": ("name", "path", "kind"),
}

texts = st.sampled_from(
    ["", "x", "Ünï", "ann@example.com", "see bob@example.com", "5", "a\u0000b", "\\", "'; --", "2026-01-01"]
)
scalars = st.one_of(
    st.none(), st.booleans(), st.sampled_from([0, 1, -3, 2.5, 10**15, 1e300]), texts, st.integers(-5, 5)
)
keys = st.sampled_from(["a", "B", "email", "first_name", "phone", "loyalty", "x@example.com", "", "price"])
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=5,
)
bags = st.dictionaries(keys, values, max_size=4)
ids = st.one_of(
    st.none(), st.sampled_from(["u1", "u2", "null", "", "0", "ann@example.com", "x" * 300]), st.integers(0, 3)
)
times = st.sampled_from(
    [
        None,
        "2026-05-01T10:00:00Z",
        "2026-05-01T10:00:00.123456+02:00",
        "2026-05-01 10:00",
        "2031-01-01T00:00:00Z",
        "not a time",
        "",
        1777630000,
        "2026-02-30T00:00:00Z",
    ]
)
contexts = st.fixed_dictionaries(
    {},
    optional={
        "ip": st.just("203.0.113.7"),
        "traits": bags,
        "consent": st.just({"categoryPreferences": {"Advertising": True, "Other": False}}),
        "device": st.sampled_from(
            [{"id": "d1", "type": "ios"}, {"advertisingId": "a", "type": "android"}, 5]
        ),
        "externalIds": st.just([{"id": "L1", "type": "loyalty", "collection": "users", "encoding": "none"}]),
        "page": st.just({"path": "/a", "title": "call +1 415 555 0001"}),
    },
)
messages = st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            ["track", "track", "track", "identify", "page", "Track", "group", "alias", "x", 5]
        )
    },
    optional={
        "messageId": st.one_of(
            st.sampled_from(["m1", "m2", "m3", "", "ann@example.com"]), st.uuids().map(str)
        ),
        "event": st.sampled_from(["Order", "Order", "Visit", "", " ", "bob@example.com", None, 7]),
        "userId": ids,
        "anonymousId": ids,
        "timestamp": times,
        "sentAt": times,
        "originalTimestamp": times,
        "receivedAt": times,
        "properties": st.one_of(bags, bags, st.none(), st.just("text")),
        "traits": st.one_of(bags, st.none()),
        "context": st.one_of(contexts, contexts, st.none()),
        "name": texts,
        "groupId": st.sampled_from(["g1", "", None]),
        "event_name": st.just("old"),
        "user_id": st.just("old-u"),
    },
)
odd_lines = st.sampled_from(
    [b"", b"{", b"[1,2]", b"5", b'{"batch": [{"type":"track"}]}', b"\xff\xfe", b"null"]
)
lines = st.lists(
    st.one_of(messages.map(orjson.dumps), messages.map(orjson.dumps), odd_lines), min_size=1, max_size=25
)


@contextmanager
def one_by_one() -> Iterator[None]:
    """Let no message be read by columns."""

    def nothing(contents: Any, *_: Any) -> tuple[None, list[int]]:
        return None, list(range(len(contents)))

    with (
        mock.patch("identity.ingest.make_rows", nothing),
        mock.patch("identity.ingest.columnar_rows", return_value=None),
    ):
        yield


def stored(house: House) -> dict[str, Any]:
    """Everything that an ingest wrote, in an order of its own."""
    found: dict[str, Any] = {}
    for table, order in TABLES.items():
        rows = house.warehouse.query(exp.select("*").from_(table)).to_pylist()
        found[table] = sorted(rows, key=lambda row: [str(row[name]) for name in order])
    sealed = house.warehouse.query(exp.select("*").from_("sealed_values")).to_pylist()
    # a seal has chance in it, so it is opened
    found["sealed_values"] = sorted(
        (row["token"], row["class"], house.vault.open(row["class"], UUID(row["token"]), row["sealed"]))
        for row in sealed
    )
    with house.ledger.reading() as cursor:
        found["consent"] = sorted(cursor.execute("SELECT * FROM consent_records").fetchall())
    return found


def told(house: House, files: dict[str, bytes]) -> list[Any]:
    """Ingest files in order; their reports without the folder."""
    reports = []
    for name, content in files.items():
        path = house.folder / name
        path.write_bytes(content)
        try:
            report = house.read(path)
            reports.append((report.read, report.accepted, report.duplicates, report.clamped, report.refused))
        except Exception as error:  # an empty file is an error on both ways
            reports.append(type(error).__name__)
    return reports


def both_ways(files: dict[str, bytes]) -> None:
    """The same files, by columns and one by one."""
    with tempfile.TemporaryDirectory() as first:
        with open_house(Path(first), RULES) as house:
            by_columns = told(house, files), stored(house)
        for name in ("warehouse.duckdb", "ledger.sqlite"):
            (Path(first) / name).unlink()
        for name in ("ledger.sqlite-wal", "ledger.sqlite-shm"):
            (Path(first) / name).unlink(missing_ok=True)
        with open_house(Path(first), RULES) as house, one_by_one():
            alone = told(house, files), stored(house)
    assert by_columns[0] == alone[0]
    for table, rows in alone[1].items():
        assert by_columns[1][table] == rows, table


@settings(
    max_examples=40,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(st.lists(lines, min_size=1, max_size=3))
def test_lines_store_what_they_store_one_by_one(drawn: list[list[bytes]]) -> None:
    """Odd and usual ones in any mixture, in one file or several, the same ids again."""
    both_ways({f"{number}.ndjson": b"\n".join(each) for number, each in enumerate(drawn)})


rows = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["track", "identify", "page"]),
        "messageId": st.one_of(st.sampled_from(["m1", "m2"]), st.uuids().map(str)),
        "event": st.sampled_from(["Order", "Visit", None]),
        "userId": st.sampled_from(["u1", "u2", None, "null"]),
        "anonymousId": st.sampled_from(["a1", None]),
        "timestamp": st.sampled_from(["2026-05-01T10:00:00Z", None, "not a time"]),
        "properties": st.fixed_dictionaries(
            {"price": st.sampled_from([None, 1.5, 2.0]), "email": st.sampled_from([None, "ann@example.com"])}
        ),
        "traits": st.fixed_dictionaries({"plan": st.sampled_from([None, "pro"])}),
    }
)


@settings(
    max_examples=30,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(st.lists(rows, min_size=1, max_size=20), st.booleans())
def test_parquet_rows_store_what_they_store_one_by_one(drawn: list[dict[str, Any]], as_text: bool) -> None:
    """Typed columns, and properties as structures or as JSON texts."""
    if as_text:
        drawn = [{**row, "properties": json.dumps(row["properties"])} for row in drawn]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        pq.write_table(pa.Table.from_pylist(drawn), path)
        both_ways({"rows.parquet": path.read_bytes()})


@pytest.mark.parametrize("count", [1, 5_000])
def test_usual_messages_are_read_by_columns(house: House, count: int) -> None:
    """Not one of them goes the long way."""
    said = [
        {
            "type": "track",
            "event": "Order",
            "messageId": f"m{number}",
            "userId": f"u{number % 100}",
            "timestamp": "2026-05-01T10:00:00Z",
            "properties": {"price": number, "currency": "EUR", "inner": {"a": [1, 2]}},
        }
        for number in range(count)
    ]
    with mock.patch("identity.ingest.parse_event", side_effect=AssertionError):
        report = house.say(*said)
    assert report.accepted == count
