"""How long runs of this project take: the first, one after a thousand new events, one an hour later.

    python -m benchmarks.audience_runs --events 50000000 --audiences 100 [--data DIR]

Works on a copy of what `benchmarks.audiences` stored for `ours` in the same folder (run that first). Each run
computes and stores memberships in one transaction, as `audiences apply` does after its resolve; the new
events are put in with their profiles, and these noted, as a resolve leaves them. At the end everything is
compared with a computation from scratch.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import time
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from audiences.checking import check_memberships
from audiences.computing import compute
from benchmarks.audience_cases import cases
from benchmarks.audience_events import AS_OF, Data
from benchmarks.audience_ours import STORED, audiences_of, open_stored, question_of
from identity.store.duckdb import DuckDBWarehouse
from identity.touched import note_touched

NEW = 1_000


def add_events(warehouse: DuckDBWarehouse, at: datetime, nth: int) -> None:
    """Orders of a thousand people who did something before, and a note of whom they touch."""
    plain = warehouse._connection
    plain.execute(
        "CREATE OR REPLACE TEMP TABLE newly AS SELECT profile_id FROM profiles "
        f"ORDER BY hash(profile_id, {nth}) LIMIT {NEW}"
    )
    plain.execute(
        "INSERT INTO events BY NAME SELECT 'new ' || $nth || ' ' || row_number() OVER () AS message_id, "
        "'track' AS kind, 'Order Completed' AS name, $at AS occurred_at, $at AS received_at, "
        '\'{"revenue": 49.5, "currency": "EUR"}\'::JSON::VARIANT AS properties, profile_id FROM newly',
        {"nth": nth, "at": at.replace(tzinfo=None)},
    )
    note_touched(warehouse, "newly")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--audiences", type=int, default=100)
    parser.add_argument("--data", type=Path, default=Path("benchmark-data"))
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    folder = Data.at(asked.data, asked.events, asked.seed).folder
    place = folder / "runs.duckdb"
    # a log that an interrupted run left would be replayed onto the fresh copy
    place.with_name("runs.duckdb.wal").unlink(missing_ok=True)
    shutil.copy(folder / STORED, place)
    warehouse = open_stored(place)
    audiences = audiences_of(cases(asked.audiences, asked.seed))
    question = question_of(warehouse, audiences)
    print(f"{asked.events:,} events, {asked.audiences} audiences\n{'run':<34}{'seconds':>9}{'looked at':>12}")

    def run(name: str, at: datetime) -> None:
        start = time.perf_counter()
        changes = compute(warehouse, audiences, replace(question, as_of=at), run=name)
        seconds = time.perf_counter() - start
        assert not any(each.problem for each in changes)
        looked = {each.looked_at for each in changes} - {None}
        moved = sum(each.entered + each.exited for each in changes)
        shown = f"{max(looked):,}" if looked else "everybody"
        print(f"{name:<34}{seconds:>9.2f}{shown:>12}  {moved:,} entered or left", flush=True)

    # the first note stands for everybody, as the first resolve's does
    add_events(warehouse, AS_OF - timedelta(seconds=1), 0)
    run("the first, of everybody", AS_OF)
    for nth in (1, 2, 3):
        at = AS_OF + timedelta(minutes=nth)
        add_events(warehouse, at, nth)
        run(f"{NEW:,} new events, a minute later", at)
    run("an hour later, nothing new", AS_OF + timedelta(hours=1))
    run("a day later, nothing new", AS_OF + timedelta(days=1))
    start = time.perf_counter()
    checked = check_memberships(warehouse, audiences, question)
    print(
        f"from scratch: {len(checked.differences)} of {len(checked.compared)} audiences differ "
        f"({time.perf_counter() - start:.1f} s)"
    )
    warehouse.close()
    place.unlink()
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:,.1f} GB")


if __name__ == "__main__":
    main()
