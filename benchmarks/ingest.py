"""How long ingest takes from NDJSON and Parquet, beside the engine's own reading of the same files.

    python -m benchmarks.ingest [--events 1000000]

Made-up messages: tracks of five names with a user id, a cookie and four properties, and an identify with an
e-mail address among thirty-three. Ours checks every message, seals what is personal, counts a message once
and stores events in a DuckDB file; the engine alone does none of that.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from audiences.ledger import open_ledger
from identity.identifiers import IdentityRules, phone
from identity.ingest import ingest
from identity.privacy.vault import Vault
from identity.resolve import resolve
from identity.store.warehouse import open_warehouse
from identity.tables import create_tables

AS_OF = datetime(2026, 6, 1, tzinfo=UTC)
NAMES = ("Page Viewed", "Product Viewed", "Order Completed", "Signed In", "Cart Viewed")
EMPTY = {"event": None, "anonymousId": None, "properties": None, "traits": None}


def messages(count: int) -> Iterator[dict[str, Any]]:
    """Made-up messages, the same for a number."""
    chance = random.Random(1)
    for number in range(count):
        user = f"u{chance.randrange(count // 50 + 1)}"
        message: dict[str, Any] = {
            "messageId": f"m-{number:08d}-0000-4000-8000-{number:012d}",
            "userId": user,
            "timestamp": f"2026-05-{1 + number % 28:02d}T10:{number % 60:02d}:00.{number % 1000:03d}Z",
        }
        if number % 33 == 0:
            yield {**message, "type": "identify", "traits": {"email": f"{user}@example.com", "plan": "pro"}}
            continue
        yield {
            **message,
            "type": "track",
            "event": chance.choice(NAMES),
            "anonymousId": f"a{chance.randrange(count // 30 + 1)}",
            "properties": {
                "revenue": chance.randrange(1000) / 4,
                "currency": "EUR",
                "product_id": f"p{chance.randrange(1000)}",
                "position": chance.randrange(20),
            },
        }


def write(place: Path, count: int) -> None:
    """Write the messages both ways, in bounded memory."""
    with (place / "events.ndjson").open("wb") as file:
        file.writelines(orjson.dumps(message) + b"\n" for message in messages(count))
    writer = None
    rows: list[dict[str, Any]] = []
    for number, message in enumerate(messages(count), start=1):
        rows.append(EMPTY | message)
        if len(rows) == 200_000 or number == count:
            table = pa.Table.from_pylist(rows, schema=writer.schema if writer else None)
            writer = writer or pq.ParquetWriter(place / "events.parquet", table.schema)
            writer.write_table(table)
            rows = []
    assert writer is not None
    writer.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=1_000_000)
    count = parser.parse_args().events
    rules, vault = IdentityRules(phone(limit=3)), Vault(bytes(32))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        write(place, count)
        for form, read in (("ndjson", "read_json"), ("parquet", "read_parquet")):
            path = place / f"events.{form}"
            start = time.perf_counter()
            with duckdb.connect(str(place / f"plain-{form}.duckdb")) as plain:
                plain.execute(f"CREATE TABLE e AS SELECT * FROM {read}(?)", [str(path)])
            engine = time.perf_counter() - start
            warehouse = open_warehouse(f"duckdb:///{place / f'{form}.duckdb'}")
            create_tables(warehouse)
            with open_ledger(place / f"{form}.sqlite") as ledger:
                start = time.perf_counter()
                (report,) = ingest(
                    warehouse, ledger, vault, rules, [path], as_of=AS_OF, standard_input=BytesIO()
                )
                ours = time.perf_counter() - start
            assert report.accepted == count
            start = time.perf_counter()
            resolve(warehouse, vault, rules, as_of=AS_OF)
            resolved = time.perf_counter() - start
            warehouse.close()
            print(f"{form}: {count / ours:,.0f} events/s; {read} alone {count / engine:,.0f}; ", end="")
            print(f"{ours / engine:.1f} times as long; resolve {count / resolved:,.0f} events/s", flush=True)


if __name__ == "__main__":
    main()
