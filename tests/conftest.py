"""Stores that tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import orjson
import pytest
from hypothesis import settings

from audiences.ledger import open_ledger
from identity.identifiers import IdentityRules, phone
from identity.ingest import IngestReport, ingest
from identity.mapping import Mapped
from identity.overrides import list_overrides
from identity.privacy.vault import Vault
from identity.resolve import ResolveReport, resolve
from identity.store.ledger import Ledger
from identity.store.warehouse import Warehouse, open_warehouse
from identity.tables import create_tables

# a busy machine is no bug; CI repeats what it has seen
settings.register_profile("house", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("house")

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@dataclass(slots=True)
class House:
    """A warehouse, a ledger, a vault and identity rules, with short ways to fill them."""

    folder: Path
    warehouse: Warehouse
    ledger: Ledger
    vault: Vault
    rules: IdentityRules

    def read(self, path: Path, mapped: Mapped | None = None) -> IngestReport:
        """Ingest one file."""
        (report,) = ingest(
            self.warehouse,
            self.ledger,
            self.vault,
            self.rules,
            [path],
            as_of=NOW,
            standard_input=BytesIO(),
            mapped=mapped,
            purposes={"Advertising": "advertising"},
        )
        return report

    def say(self, *messages: dict[str, object], name: str = "events.ndjson") -> IngestReport:
        """Ingest messages."""
        path = self.folder / name
        path.write_bytes(b"".join(orjson.dumps(message) + b"\n" for message in messages))
        return self.read(path)

    def resolve(self) -> ResolveReport:
        """Resolve with the house's rules and overrides."""
        return resolve(self.warehouse, self.vault, self.rules, list_overrides(self.ledger), as_of=NOW)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A DuckDB file and a SQLite ledger in a folder of their own."""
    warehouse = open_warehouse(f"duckdb:///{tmp_path / 'warehouse.duckdb'}")
    create_tables(warehouse)
    with open_ledger(tmp_path / "ledger.sqlite") as ledger:
        yield House(tmp_path, warehouse, ledger, Vault(bytes(range(32))), IdentityRules(phone(limit=3)))
    warehouse.close()
