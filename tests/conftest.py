"""Stores that tests share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import orjson
import pytest
from hypothesis import settings
from sqlglot import exp

from audiences.ledger import open_ledger
from identity.identifiers import IdentityRules, phone
from identity.ingest import IngestReport, ingest
from identity.mapping import Mapped
from identity.overrides import list_overrides
from identity.privacy.vault import Vault
from identity.profiles import identifier_token
from identity.resolve import ResolveReport, resolve
from identity.store.ledger import Ledger
from identity.store.warehouse import Warehouse, open_warehouse
from identity.tables import create_tables
from tests.postgres_server import fresh_schema, installations, server

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

    def token(self, identifier: str) -> str:
        """The id of an identifier written `TYPE:VALUE`."""
        return identifier_token(self.vault, self.rules, identifier)

    def profile_of(self, kind: str) -> dict[str, str]:
        """Value → profile id, of the identifiers of one pseudonymous type that point to a profile."""
        rows = self.warehouse.query(
            exp.select("i.value", "m.profile_id")
            .from_("identifier_profiles AS m")
            .join("identifiers AS i", using="identifier_id")
            .where(exp.column("type", "i").eq(kind), exp.condition("m.profile_id IS NOT NULL"))
        ).to_pylist()
        return {row["value"]: row["profile_id"] for row in rows}

    def resolve(self) -> ResolveReport:
        """Resolve with the house's rules and overrides."""
        return resolve(self.warehouse, self.vault, self.rules, list_overrides(self.ledger), as_of=NOW)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let golden cases come from another folder."""
    parser.addoption(
        "--golden",
        type=Path,
        default=Path(__file__).parent / "fixtures" / "golden",
        metavar="DIR",
        help="folder with identity_cases.jsonl (default: tests/fixtures/golden)",
    )


@contextmanager
def open_house(folder: Path, rules: IdentityRules) -> Iterator[House]:
    """A DuckDB file and a SQLite ledger in a folder."""
    warehouse = open_warehouse(f"duckdb:///{folder / 'warehouse.duckdb'}")
    create_tables(warehouse)
    with open_ledger(folder / "ledger.sqlite") as ledger:
        yield House(folder, warehouse, ledger, Vault(bytes(range(32))), rules)
    warehouse.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A house in a folder of its own."""
    with open_house(tmp_path, IdentityRules(phone(limit=3))) as house:
        yield house


@pytest.fixture(scope="session")
def postgres_servers() -> Iterator[Callable[[str], str]]:
    """Gives the URL of a server of a major version of PostgreSQL, started when it is first asked for."""
    with ExitStack() as running:
        urls: dict[str, str] = {}

        def started(version: str) -> str:
            if not installations():
                pytest.skip("PostgreSQL is not on this machine")
            if version not in urls:
                urls[version] = running.enter_context(server(installations()[version]))
            return urls[version]

        yield started


@pytest.fixture(scope="session")
def postgres_schemas(postgres_servers: Callable[[str], str]) -> Iterator[Callable[[str], str]]:
    """Gives the URL of a new, empty schema in a major version of PostgreSQL."""
    with ExitStack() as made:
        yield lambda version: made.enter_context(fresh_schema(postgres_servers(version)))


@pytest.fixture
def postgres_url(postgres_servers: Callable[[str], str]) -> Iterator[str]:
    """The URL of a new, empty schema in the oldest PostgreSQL that is here."""
    with fresh_schema(postgres_servers(next(iter(installations()), ""))) as url:
        yield url


@pytest.fixture(scope="module")
def open_engine(request: pytest.FixtureRequest) -> Iterator[Callable[[str], Warehouse]]:
    """Gives an empty warehouse on the engine of a name."""
    with ExitStack() as opened:

        def fresh(name: str) -> Warehouse:
            url = "duckdb:///:memory:"
            if name == "postgres":
                url = request.getfixturevalue("postgres_schemas")(next(iter(installations()), ""))
            warehouse = open_warehouse(url)
            opened.callback(warehouse.close)
            return warehouse

        yield fresh


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def engine(request: pytest.FixtureRequest, open_engine: Callable[[str], Warehouse]) -> Warehouse:
    """An empty warehouse on every engine that runs rules here."""
    return open_engine(request.param)
