"""How long a resolve takes, side by side with others that only find connected components.

    python -m benchmarks.resolve [--links 1000000] [--without NAME ...] [--rounds 1]

Ours starts from the events in the warehouse file and ends when links, profiles, merges and history are
stored: grouping, coding, limits and writing back included. The others start from the same links as pairs of
texts in memory. Every contender runs in a process of its own and once on a little first, so that loading
libraries is not counted; peak memory is that process's. Afterwards three batches of 1,000 new events are
resolved one after another. Rivals come with the extra `bench`.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow.parquet as pq

from benchmarks.identity_events import Made, chunks, load, make
from benchmarks.rivals import RIVALS, pairs_of
from identity.identifiers import IdentityRules, anonymous_id, custom, phone
from identity.privacy.vault import Vault
from identity.resolve import resolve
from identity.store.warehouse import open_warehouse
from identity.tables import create_tables

RULES = IdentityRules(phone(limit=3), anonymous_id(limit=20), custom("ios.id", limit=5))
VAULT = Vault(bytes(32))
AT = datetime(2026, 1, 1, tzinfo=UTC)
BATCH = 1_000


def ours(folder: Path) -> dict[str, object]:
    """Resolve everything, then three small batches."""
    warm = open_warehouse("duckdb:///:memory:")
    create_tables(warm)
    load(warm, make(1_000))
    resolve(warm, VAULT, RULES, as_of=AT)
    warm.close()
    warehouse = open_warehouse(f"duckdb:///{folder / 'warehouse.duckdb'}")
    start = time.perf_counter()
    report = resolve(warehouse, VAULT, RULES, as_of=AT)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    batches = []
    for number in range(3):
        made = later(make(int((folder / "links").read_text())), number)
        for rows in chunks(made, first_number=1_000_000_000 + number * BATCH):
            warehouse.append("events", rows)
            warehouse.append("arrivals", rows)
        start = time.perf_counter()
        found = resolve(warehouse, VAULT, RULES, as_of=AT)
        batches.append((time.perf_counter() - start, found.looked_at, found.replayed))
    warehouse.close()
    return {
        "seconds": seconds,
        "found": report.profiles,
        "peak": peak,
        "replayed": report.replayed,
        "left_out": report.left_out,
        "batches": batches,
    }


def later(made: Made, number: int) -> Made:
    """A thousand of the events again, of mixed people, each after everything that happened before."""
    random = np.random.default_rng(number)
    rows = np.sort(random.choice(len(made.at), BATCH, replace=False))
    codes = [made.codes[made.offsets[row] : made.offsets[row + 1]] for row in rows]
    # a third of them on another's device: these bring new links
    for each, other in zip(codes[::3], reversed(codes), strict=False):
        each[-1] = other[-1]
    offsets = np.concatenate([[0], np.cumsum([len(each) for each in codes])])
    at = made.at.max() + 1 + np.arange(BATCH) + number * BATCH
    return Made(offsets, np.concatenate(codes), at, made.types, made.blocked)


def rival(name: str, folder: Path) -> dict[str, object]:
    """Let one of the others find components."""
    pairs = pq.read_table(folder / "pairs.parquet")
    RIVALS[name](pairs.slice(0, 1_000))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    found = RIVALS[name](pairs)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": seconds, "found": found, "peak": peak, "input": before}


def prepare(links: int, folder: Path) -> int:
    """Make the events once, as a warehouse and as pairs; return how many pairs."""
    made = make(links)
    warehouse = open_warehouse(f"duckdb:///{folder / 'warehouse.duckdb'}")
    create_tables(warehouse)
    load(warehouse, made)
    warehouse.close()
    (folder / "links").write_text(str(links))
    pairs = pairs_of(made)
    pq.write_table(pairs, folder / "pairs.parquet")
    return len(pairs)


def main() -> None:
    """Print one row a contender."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--links", type=int, default=1_000_000)
    parser.add_argument("--without", nargs="*", default=[], choices=list(RIVALS))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.contender == "prepare":
        print(json.dumps(prepare(chosen.links, chosen.folder)))
        return
    if chosen.contender:
        name, folder = chosen.contender, chosen.folder
        print(json.dumps(ours(folder) if name == "ours" else rival(name, folder)))
        return

    def run(name: str, folder: Path) -> object:
        arguments = ["--links", str(chosen.links), "--contender", name, "--folder", str(folder)]
        command = [sys.executable, "-m", "benchmarks.resolve", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{name} failed ({done.returncode}): {done.stderr.strip()[-200:]}", file=sys.stderr)
            return None
        return json.loads(done.stdout.splitlines()[-1])

    seconds: dict[str, list[float]] = {}
    facts: dict[str, dict[str, object]] = {}
    for _ in range(chosen.rounds):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            pairs = run("prepare", folder)
            for name in ("ours", *(each for each in RIVALS if each not in chosen.without)):
                found = run(name, folder)
                if not isinstance(found, dict):
                    continue
                print(json.dumps({name: found}), file=sys.stderr)
                facts[name] = found
                seconds.setdefault(name, []).append(found["seconds"])
    show(chosen.links, int(str(pairs)), {name: median(each) for name, each in seconds.items()}, facts)


def show(links: int, pairs: int, seconds: dict[str, float], facts: dict[str, dict[str, object]]) -> None:
    """Print what was measured."""
    print(f"{links:,} events that carry a link ({pairs:,} pairs) and {links * 3 // 10:,} visits")
    print(f"{'':<24}{'seconds':>9}{'ours is':>10}{'peak MB':>9}{'B/link':>8}{'found':>13}")
    for name, each in seconds.items():
        peak = int(str(facts[name]["peak"])) * 1024
        faster = "" if name == "ours" else f"{each / seconds['ours']:.2f}x"
        print(
            f"{name:<24}{each:>9.2f}{faster:>10}{peak / 1e6:>9,.0f}{peak / links:>8,.0f}"
            f"{int(str(facts[name]['found'])):>13,}"
        )
    mine = facts["ours"]
    print(f"\nours: {mine['replayed']:,} lists replayed, {mine['left_out']:,} identifiers left out by limits")
    for nth, (took, looked_at, replayed) in enumerate(mine["batches"], start=1):  # type: ignore[arg-type, misc]
        print(f"batch {nth} of {BATCH:,}: {took:.2f} s, {looked_at:,} lists looked at, {replayed:,} replayed")


if __name__ == "__main__":
    main()
