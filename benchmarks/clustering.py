"""What a tail of unsorted events costs those who read, and what it costs to sort it in.

    python -m benchmarks.clustering [--events 4000000]

Events of 200 names, few of them frequent, with three properties, of a fiftieth as many profiles. Reading is
one pass with shared aggregates over each of 20 names. Processor seconds, since they depend less on what else
the machine does.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from sqlglot import exp

from identity.clustering import cluster_events
from identity.store.warehouse import Warehouse, open_warehouse
from identity.tables import create_tables, temporary

NAMES = 200
CHUNK = 500_000
SHARES = (0.05, 0.1, 0.2, 0.4)


def fill(warehouse: Warehouse, first: int, end: int, profiles: int) -> None:
    """Store events in no order, each of a profile already."""
    people = np.array([f"{number:08x}-0000-8000-8000-000000000000" for number in range(profiles)])
    for start in range(first, end, CHUNK):
        count = min(CHUNK, end - start)
        chance = np.random.default_rng(start)
        at = pa.array(chance.integers(0, 2 * 365 * 86_400 * 10**6, count), pa.timestamp("us"))
        prices, paths = chance.integers(0, 20_000, count) / 100, chance.integers(0, 1_000, count)
        properties = [
            f'{{"revenue":{price},"currency":"{("EUR", "USD")[path % 2]}","path":"/p/{path}"}}'
            for price, path in zip(prices.tolist(), paths.tolist(), strict=True)
        ]
        names = np.array([f"Event {number}" for number in range(NAMES)])
        warehouse.append(
            "events",
            pa.table(
                {
                    "message_id": np.arange(start, start + count).astype(str),
                    "kind": ["track"] * count,
                    "name": names[(NAMES * chance.random(count) ** 3).astype(int)],
                    "occurred_at": at,
                    "received_at": at,
                    "profile_id": people[chance.integers(0, profiles, count)],
                    "properties": properties,
                    "context": ['{"ip":"192.0.2.1","library":{"name":"js","version":"1.2"}}'] * count,
                }
            ),
        )


def read(warehouse: Warehouse) -> None:
    """Aggregate the events of every tenth name by profile."""
    for number in range(0, NAMES, 10):
        euros = exp.condition("variant_extract(properties, 'currency')::VARCHAR = 'EUR'", dialect="duckdb")
        revenue = exp.condition("variant_extract(properties, 'revenue')::DOUBLE", dialect="duckdb")
        figures = (
            exp.select("profile_id", "count(*) AS n", "max(occurred_at) AS last")
            .select(exp.Filter(this=exp.Sum(this=revenue), expression=exp.Where(this=euros)).as_("total"))
            .from_("profile_events")
            .where(exp.column("name").eq(f"Event {number}"))
            .group_by("profile_id")
        )
        warehouse.execute(temporary("figures", figures))


def measured(what: str, warehouse: Warehouse, rows: int, rounds: int = 3) -> float:
    """Print and return the processor's microseconds an event."""
    seconds = []
    for _ in range(rounds):
        before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        if what == "sort":
            cluster_events(warehouse, force=True)
        else:
            read(warehouse)
        after = resource.getrusage(resource.RUSAGE_SELF)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        seconds.append((used, time.perf_counter() - start))
    used, passed = min(seconds)
    each = used / rows * 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"{what:<6}{used:>8.2f} s of processor, {passed:.2f} s passed, {each:.3f} µs an event, {peak:.1f} GB"
    )
    return each


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=4_000_000)
    events = parser.parse_args().events
    with tempfile.TemporaryDirectory() as folder:
        warehouse = open_warehouse(f"duckdb:///{Path(folder) / 'warehouse.duckdb'}")
        create_tables(warehouse)
        fill(warehouse, 0, events, events // 50)
        print(f"{events:,} events, unsorted")
        measured("read", warehouse, events)
        measured("sort", warehouse, events, rounds=1)
        sorted_ = measured("read", warehouse, events)
        rows = events
        for share in SHARES:
            first, rows = rows, int(events / (1 - share))
            fill(warehouse, first, rows, events // 50)
            print(f"\n{share:.0%} of {rows:,} are tail")
            slower = measured("read", warehouse, rows) / sorted_
            print(f"{slower:.1f} times as long as sorted")
        measured("sort", warehouse, rows, rounds=1)
        warehouse.close()


if __name__ == "__main__":
    main()
