"""Many audiences in one query, beside one query each.

python benchmarks/compute.py [--events 1000000] [--audiences 20]
"""

from __future__ import annotations

import argparse
import time
from datetime import UTC, datetime
from uuid import UUID

import numpy as np
import pyarrow as pa

from audiences import Audience, days, did, prop
from audiences.compile import compile_audiences
from identity.store.warehouse import Warehouse, open_warehouse
from identity.tables import create_tables

AS_OF = datetime(2026, 6, 1, tzinfo=UTC)
NAMES = ("Page Viewed", "Product Viewed", "Cart Opened", "Order Completed", "Signed In")


def fill(warehouse: Warehouse, events: int, profiles: int) -> None:
    """Store events of five names over a hundred days, and the people that they belong to."""
    chance = np.random.default_rng(1)
    people = np.array([str(UUID(int=number)) for number in range(1, profiles + 1)])
    who = people[chance.integers(0, profiles, events)]
    end = np.datetime64("2026-06-01", "us")
    at = pa.array(end - chance.integers(0, 100 * 86_400, events).astype("timedelta64[s]"), pa.timestamp("us"))
    revenue = chance.integers(0, 20_000, events) / 100
    warehouse.append(
        "events",
        pa.table(
            {
                "message_id": np.arange(events).astype(str),
                "kind": ["track"] * events,
                "name": np.array(NAMES)[chance.integers(0, len(NAMES), events)],
                "occurred_at": at,
                "received_at": at,
                "subject": who,
                "properties": [f'{{"revenue":{value},"currency":"EUR"}}' for value in revenue],
            }
        ),
    )
    warehouse.append("identifier_profiles", pa.table({"identifier_id": people, "profile_id": people}))
    seen = pa.array([datetime(2026, 1, 1)] * profiles, pa.timestamp("us"))
    warehouse.append("profiles", pa.table({"profile_id": people, "first_seen_at": seen}))


def timed(warehouse: Warehouse, audiences: list[Audience]) -> float:
    """Seconds for one query."""
    start = time.perf_counter()
    warehouse.query(compile_audiences(audiences, AS_OF))
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--audiences", type=int, default=20)
    asked = parser.parse_args()
    warehouse = open_warehouse("duckdb:///:memory:")
    create_tables(warehouse)
    fill(warehouse, asked.events, asked.events // 10)
    audiences = []
    for number in range(asked.audiences):
        events = did(NAMES[number % 5]).within(days(1 + 4 * number))
        rule = (
            events >= 1 + number % 3
            if number % 2
            else events.where(prop("currency") == "EUR").sum("revenue") >= 50 * (1 + number % 4)
        )
        audiences.append(Audience(f"a{number}", rule))
    timed(warehouse, audiences[:1])
    together = timed(warehouse, audiences)
    alone = sum(timed(warehouse, [audience]) for audience in audiences)
    warehouse.close()
    print(f"{asked.events:,} events, {asked.audiences} audiences")
    print(f"one query for all   {together:.2f} s")
    print(f"one query each      {alone:.2f} s   ({alone / together:.1f} times as long)")


if __name__ == "__main__":
    main()
