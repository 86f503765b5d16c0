"""The tables and views that identity owns in the warehouse, and what each column holds.

A value classed personal stands in `sealed_values` only; everywhere else its token stands for it, as a UUID
in identifier columns and as the text `sealed:<uuid>` inside traits, properties and context.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING

from sqlglot import exp

from identity.errors import KeyFileError, WarehouseError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from identity.store.warehouse import Warehouse

__all__ = [
    "SCHEMA_VERSION",
    "TABLES",
    "Table",
    "bind_key",
    "create_tables",
    "get_setting",
    "instant",
    "make_tables",
    "set_setting",
    "temporary",
    "uuid",
]

SCHEMA_VERSION = "3"
"""Version of the tables below, kept in `settings`."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table: its name, its columns with their types, and one sentence of purpose."""

    name: str
    purpose: str
    columns: Mapping[str, str]


TABLES = (
    Table(
        "events",
        "Every accepted message once, without its personal values; `profile_id` is the profile that its "
        "subject points to now, NULL until the first resolve and for nobody's.",
        {
            "message_id": "VARCHAR",
            "kind": "VARCHAR",
            "name": "VARCHAR",
            "occurred_at": "TIMESTAMP",
            "received_at": "TIMESTAMP",
            "clamped": "BOOLEAN",
            "subject": "UUID",
            "identifiers": "UUID[]",
            "account": "VARCHAR",
            "properties": "VARIANT",
            "context": "VARIANT",
            "source": "VARCHAR",
            "profile_id": "UUID",
        },
    ),
    Table(
        "arrivals",
        "Events that wait for their first resolve, with what it needs of them.",
        {
            "message_id": "VARCHAR",
            "occurred_at": "TIMESTAMP",
            "received_at": "TIMESTAMP",
            "subject": "UUID",
            "identifiers": "UUID[]",
        },
    ),
    Table(
        "links",
        "Every list of identifiers that events carried, once (once an event where limits are windowed): its "
        "first event, its newest, and the identifier whose profile its events belong to: `subject`, or "
        "`moved_to` where a cap or a split sent them elsewhere; `place` only numbers the rows.",
        {
            "place": "BIGINT",
            "identifiers": "UUID[]",
            "subject": "UUID",
            "moved_to": "UUID",
            "occurred_at": "TIMESTAMP",
            "message_id": "VARCHAR",
            "last_occurred_at": "TIMESTAMP",
            "received_at": "TIMESTAMP",
        },
    ),
    Table(
        "trait_changes",
        "One row a trait that a message set; a NULL value removes it; `account` when a group message set it; "
        "`profile_id` as in `events`.",
        {
            "message_id": "VARCHAR",
            "subject": "UUID",
            "account": "VARCHAR",
            "name": "VARCHAR",
            "value": "VARIANT",
            "occurred_at": "TIMESTAMP",
            "received_at": "TIMESTAMP",
            "profile_id": "UUID",
        },
    ),
    Table(
        "identifiers",
        "Every identifier ever seen; `value` only when its type is pseudonymous.",
        {
            "identifier_id": "UUID",
            "type": "VARCHAR",
            "value": "VARCHAR",
            "blocked": "BOOLEAN",
        },
    ),
    Table(
        "sealed_values",
        "The only place of personal values, each sealed under the key file's key.",
        {"token": "UUID", "class": "VARCHAR", "sealed": "BLOB"},
    ),
    Table(
        "identifier_profiles",
        "The identity graph's answer: which profile an identifier points to, NULL when every event left it "
        "out; and the component of all links that it lies in, held or not.",
        {"identifier_id": "UUID", "profile_id": "UUID", "component": "BIGINT"},
    ),
    Table(
        "profiles",
        "Every profile, with the first receipt and the last occurrence of its events.",
        {"profile_id": "UUID", "first_seen_at": "TIMESTAMP", "last_seen_at": "TIMESTAMP"},
    ),
    Table(
        "merges",
        "Which profile was merged into which, and the message that caused it.",
        {
            "from_profile": "UUID",
            "to_profile": "UUID",
            "message_id": "VARCHAR",
            "merged_at": "TIMESTAMP",
            "component": "BIGINT",
        },
    ),
    Table(
        "graph_updates",
        "Append-only history of profiles: the newest row of a profile names the one that stands for it now, "
        "itself while it lives, NULL when nothing is left of it; with the event that caused it.",
        {
            "profile_id": "UUID",
            "canonical_id": "UUID",
            "message_id": "VARCHAR",
            "occurred_at": "TIMESTAMP",
            "resolved_at": "TIMESTAMP",
        },
    ),
    Table(
        "identifier_updates",
        "Append-only history of identifiers: which profile each pointed to from which resolve on, or NULL.",
        {"identifier_id": "UUID", "profile_id": "UUID", "resolved_at": "TIMESTAMP"},
    ),
    Table(
        "property_kinds",
        "Which kinds of values each property of each event has had; `path` is a JSON array of its keys.",
        {"name": "VARCHAR", "path": "VARCHAR", "kind": "VARCHAR"},
    ),
    Table(
        "touched_profiles",
        "Whom each resolve touched, by its number; a row without a profile stands for everybody.",
        {"profile_id": "UUID", "number": "BIGINT"},
    ),
    Table(
        "memberships",
        "History of who was in an audience from when to when.",
        {
            "audience": "VARCHAR",
            "profile_id": "UUID",
            "entered_at": "TIMESTAMP",
            "exited_at": "TIMESTAMP",
            "run": "VARCHAR",
        },
    ),
    Table(
        "quarantine",
        "Records that were refused: where they stand and why, never what they hold.",
        {
            "source": "VARCHAR",
            "line": "BIGINT",
            "byte_offset": "BIGINT",
            "code": "VARCHAR",
            "reason": "VARCHAR",
            "refused_at": "TIMESTAMP",
        },
    ),
    Table(
        "settings",
        "What the stored results were computed with.",
        {"name": "VARCHAR", "value": "VARCHAR"},
    ),
)


def create_tables(warehouse: Warehouse) -> None:
    """Make the tables and views that are missing.

    Args:
        warehouse: an open warehouse.

    Raises:
        WarehouseError: the tables are of another version of this program, or the engine refused.
    """
    _refuse_other_version(warehouse)
    make_tables(warehouse, TABLES)
    for name, query in _views().items():
        warehouse.execute(exp.Create(this=exp.to_table(name), kind="VIEW", expression=query, replace=True))
    if get_setting(warehouse, "schema_version") is None:
        set_setting(warehouse, "schema_version", SCHEMA_VERSION)


def make_tables(warehouse: Warehouse, tables: Iterable[Table]) -> None:
    """Make the tables that are missing.

    Args:
        warehouse: an open warehouse.
        tables: which.

    Raises:
        WarehouseError: the warehouse refused.
    """
    for table in tables:
        columns = [
            exp.ColumnDef(
                this=exp.to_identifier(name, quoted=True),
                kind=exp.DataType.build(kind, dialect="duckdb"),
            )
            for name, kind in table.columns.items()
        ]
        warehouse.execute(
            exp.Create(
                this=exp.Schema(this=exp.to_table(table.name), expressions=columns),
                kind="TABLE",
                exists=True,
            )
        )


def _refuse_other_version(warehouse: Warehouse) -> None:
    """Before anything is made: views of this version don't fit the tables of another."""
    made = (
        exp.select("table_name")
        .from_("information_schema.tables")
        .where(exp.column("table_name").eq("settings"), exp.column("table_schema").eq(exp.CurrentSchema()))
    )
    if not warehouse.query(made).num_rows:
        return
    version = get_setting(warehouse, "schema_version")
    if version not in (None, SCHEMA_VERSION):
        raise WarehouseError(
            f"The warehouse has tables of version {version}, this program reads version {SCHEMA_VERSION}; "
            "use the program that made it, or ingest the events into a new file (the ledger stays)."
        )


def get_setting(warehouse: Warehouse, name: str) -> str | None:
    """Read one setting of the warehouse, or None.

    Args:
        warehouse: an open warehouse with its tables.
        name: the setting's name.
    """
    found = warehouse.query(exp.select("value").from_("settings").where(exp.column("name").eq(name)))
    return found["value"][0].as_py() if found.num_rows else None


def set_setting(warehouse: Warehouse, name: str, value: str) -> None:
    """Write one setting of the warehouse.

    Args:
        warehouse: an open warehouse with its tables.
        name: the setting's name.
        value: its new value.
    """
    warehouse.execute(exp.delete("settings").where(exp.column("name").eq(name)))
    row = exp.Tuple(expressions=[exp.Literal.string(name), exp.Literal.string(value)])
    warehouse.execute(exp.insert(exp.Values(expressions=[row]), "settings", columns=["name", "value"]))


def bind_key(warehouse: Warehouse, key_id: str) -> None:
    """Refuse a key other than the one that the warehouse was made with; the first key is remembered.

    Args:
        warehouse: an open warehouse with its tables.
        key_id: public id of the key in use.

    Raises:
        KeyFileError: the warehouse belongs to another key, so its tokens would silently stop matching.
    """
    known = get_setting(warehouse, "key_id")
    if known is None:
        set_setting(warehouse, "key_id", key_id)
    elif known != key_id:
        raise KeyFileError(
            f"The key file holds key {key_id}, but this warehouse was sealed with key {known}; "
            "put the right key file in place."
        )


def instant(moment: datetime) -> exp.Expr:
    """An instant as a literal of the warehouse: naive UTC, to the microsecond.

    Args:
        moment: aware.
    """
    text = moment.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")
    return exp.cast(exp.Literal.string(text), "TIMESTAMP")


def uuid(text: str) -> exp.Expr:
    """The id of an identifier or a profile as a literal of the warehouse.

    Args:
        text: as queries return it.
    """
    return exp.cast(exp.Literal.string(text), "UUID")


def temporary(name: str, query: exp.Query) -> exp.Create:
    """The statement that keeps a query's rows for as long as the warehouse is open.

    Args:
        name: the temporary table; one of that name is replaced.
        query: what it holds.
    """
    return exp.Create(
        this=exp.to_table(name),
        kind="TABLE",
        expression=query,
        replace=True,
        properties=exp.Properties(expressions=[exp.TemporaryProperty()]),
    )


def _views() -> dict[str, exp.Select]:
    def view(columns: str, table: str) -> exp.Select:
        return exp.select(*columns.split()).from_(table)

    trait = "message_id name value occurred_at received_at"
    event = "message_id kind name occurred_at received_at account properties"
    identifiers = (
        exp.select("m.profile_id", "m.identifier_id", "i.type")
        .from_("identifier_profiles AS m")
        .join("identifiers AS i", on="i.identifier_id = m.identifier_id")
    )
    return {
        "profile_events": view(f"profile_id {event}", "events").where("profile_id IS NOT NULL"),
        "profile_traits": view(f"profile_id {trait}", "trait_changes").where(
            "profile_id IS NOT NULL", "account IS NULL"
        ),
        "account_traits": view(f"account {trait}", "trait_changes").where("account IS NOT NULL"),
        "profile_identifiers": identifiers.where("m.profile_id IS NOT NULL"),
    }
