"""How long ingest takes, beside the engine's own reading of the same file.

python benchmarks/ingest.py [--copies 30]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import duckdb
import orjson

from audiences.ledger import open_ledger
from audiences.sample_shop import sample_lines
from identity.identifiers import IdentityRules, phone
from identity.ingest import ingest
from identity.privacy.vault import Vault
from identity.resolve import resolve
from identity.store.warehouse import open_warehouse
from identity.tables import create_tables

AS_OF = datetime(2026, 6, 1, tzinfo=UTC)


def write_events(path: Path, copies: int) -> int:
    """Write the sample shop many times over, each time with other people."""
    messages = [orjson.loads(line) for line in list(sample_lines(AS_OF))[:2320]]
    with path.open("wb") as file:
        for copy in range(copies):
            for message in messages:
                other = {**message, "messageId": f"{message['messageId']}-{copy}"}
                for field in ("userId", "anonymousId"):
                    if field in message:
                        other[field] = f"{message[field]}-{copy}"
                if "email" in message.get("traits", {}):
                    address = message["traits"]["email"].strip().replace("@", f"{copy}@")
                    other["traits"] = {**message["traits"], "email": address}
                file.write(orjson.dumps(other) + b"\n")
    return copies * len(messages)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--copies", type=int, default=30)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        events = write_events(place / "events.ndjson", parser.parse_args().copies)
        start = time.perf_counter()
        with duckdb.connect(str(place / "plain.duckdb")) as plain:
            plain.execute("CREATE TABLE e AS SELECT * FROM read_json(?)", [str(place / "events.ndjson")])
        engine = time.perf_counter() - start
        warehouse = open_warehouse(f"duckdb:///{place / 'w.duckdb'}")
        create_tables(warehouse)
        rules, vault = IdentityRules(phone(limit=3)), Vault(bytes(32))
        with open_ledger(place / "ledger.sqlite") as ledger:
            start = time.perf_counter()
            for _ in ingest(
                warehouse,
                ledger,
                vault,
                rules,
                [place / "events.ndjson"],
                as_of=AS_OF,
                standard_input=BytesIO(),
            ):
                pass
            ours = time.perf_counter() - start
            start = time.perf_counter()
            report = resolve(warehouse, vault, rules)
            resolved = time.perf_counter() - start
        warehouse.close()
    print(f"events                      {events:>10,}")
    print(f"DuckDB read_json, no checks {events / engine:>10,.0f} events/s")
    print(
        f"ingest: checked and sealed  {events / ours:>10,.0f} events/s   ({ours / engine:.1f} times as long)"
    )
    print(
        f"resolve                     {events / resolved:>10,.0f} events/s   ({report.profiles:,} profiles)"
    )


if __name__ == "__main__":
    main()
