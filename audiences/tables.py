"""The warehouse tables that audiences own, beside `memberships`."""

from __future__ import annotations

from identity.store.warehouse import Warehouse
from identity.tables import Table, make_tables

__all__ = ["TABLES", "create_audience_tables"]

TABLES = (
    Table(
        "account_memberships",
        "History of which account was in an audience of accounts from when to when.",
        {
            "audience": "VARCHAR",
            "account": "VARCHAR",
            "entered_at": "TIMESTAMP",
            "exited_at": "TIMESTAMP",
            "run": "VARCHAR",
        },
    ),
    Table(
        "computed_traits",
        "The value of every computed trait that a profile has, since when, and the run that found it.",
        {
            "name": "VARCHAR",
            "profile_id": "UUID",
            "value": "VARIANT",
            "changed_at": "TIMESTAMP",
            "run": "VARCHAR",
        },
    ),
    Table(
        "computations",
        "The current version of every audience and computed trait: what it means, as of when it was "
        "computed, what it had seen of `touched_profiles`, and, after a failed run, since when it is stale.",
        {
            "key": "VARCHAR",
            "kind": "VARCHAR",
            "fingerprint": "VARCHAR",
            "rule": "VARCHAR",
            "version": "BIGINT",
            "as_of": "TIMESTAMP",
            "run": "VARCHAR",
            "members": "BIGINT",
            "touched": "BIGINT",
            "stale_since": "TIMESTAMP",
            "problem": "VARCHAR",
        },
    ),
    Table(
        "consented_profiles",
        "Who is permitted for which purpose, of the purposes that rules ask about, as of the last run.",
        {"purpose": "VARCHAR", "profile_id": "UUID"},
    ),
    Table(
        "manual_members",
        "Whom a person put into an audience (`in`) or out of it (`out`), as that was at the last run.",
        {"audience": "VARCHAR", "profile_id": "UUID", "state": "VARCHAR"},
    ),
)


def create_audience_tables(warehouse: Warehouse) -> None:
    """Make the tables that are missing.

    Args:
        warehouse: an open warehouse that has identity's tables.

    Raises:
        WarehouseError: the warehouse refused.
    """
    make_tables(warehouse, TABLES)
