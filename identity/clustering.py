"""Clustering: events lie sorted by name, profile and time, so that a question reads only its own slice.

A table is a sorted base and a tail: rows that came in since, in any order, at its end. Zone maps prune the
base by name and profile; the tail is read whole, so it is sorted in when it has grown. Rows of the base whose
profile changed lie at the wrong place, and count as tail.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot import exp

from identity.store.warehouse import Warehouse
from identity.tables import get_setting, set_setting

__all__ = ["CLUSTERED", "ClusterReport", "Clustered", "cluster_events", "note_moved"]

CLUSTERED = ("events", "trait_changes")
"""Tables that are kept in order, each with a `profile_id`."""

_ORDER = ("name", "profile_id", "occurred_at", "message_id")
_LARGEST_SHARE = 0.2
"""Of a table that may be tail. Twice the share costs half the sorting, and twice the reading in between."""
_SMALLEST_TAIL = 100_000
"""Rows below which a tail is not worth a rewrite: less than one row group."""


@dataclass(frozen=True, slots=True)
class Clustered:
    """One table as a clustering found it.

    Attributes:
        rows: all of them.
        tail: those that came in since it was last sorted.
        moved: those sorted already whose profile changed since.
        rewritten: True when the table was sorted now.
    """

    rows: int
    tail: int
    moved: int
    rewritten: bool


@dataclass(frozen=True, slots=True)
class ClusterReport:
    """What a clustering did.

    Attributes:
        events: the table of events.
        trait_changes: the table of trait changes.
    """

    events: Clustered
    trait_changes: Clustered


def cluster_events(warehouse: Warehouse, *, force: bool = False) -> ClusterReport:
    """Sort the tables whose tail has outgrown a fifth of them; every row stays as it is.

    Each is rewritten in a transaction of its own, or in the caller's. The engine sorts within its memory
    limit and spills the rest; the file needs room for the table twice, which later rewrites use again.

    Args:
        warehouse: an open warehouse with its tables.
        force: True sorts whatever has a tail or moved rows at all.

    Raises:
        WarehouseError: the engine refused, for example because the disk is full; nothing has changed then.
    """
    return ClusterReport(*(_cluster(warehouse, table, force=force) for table in CLUSTERED))


def note_moved(warehouse: Warehouse, table: str, places: str) -> None:
    """Count rows that no longer lie where their profile belongs.

    Args:
        warehouse: an open warehouse with its tables.
        table: one of `CLUSTERED`.
        places: a table with a column `place`: row ids of the rows that changed their profile.
    """
    base = exp.Literal.number(_count_of(warehouse, "clustered", table))
    moved = _rows(warehouse, places, exp.column("place") < base)
    if moved:
        set_setting(warehouse, f"moved_{table}", str(_count_of(warehouse, "moved", table) + moved))


def _cluster(warehouse: Warehouse, table: str, *, force: bool) -> Clustered:
    with warehouse.transaction():
        rows = _rows(warehouse, table)
        tail = rows - _count_of(warehouse, "clustered", table)
        moved = _count_of(warehouse, "moved", table)
        outgrown = tail + moved >= max(_SMALLEST_TAIL, _LARGEST_SHARE * rows)
        rewritten = outgrown or (force and tail + moved > 0)
        if rewritten:
            _rewrite(warehouse, table)
            set_setting(warehouse, f"clustered_{table}", str(rows))
            set_setting(warehouse, f"moved_{table}", "0")
    return Clustered(rows, tail, moved, rewritten)


def _rewrite(warehouse: Warehouse, table: str) -> None:
    """Write a table in order, and put it in the place of the other one; views find it by its name."""
    ordered = f"{table}_in_order"
    rows = exp.select("*").from_(table).order_by(*_ORDER)
    warehouse.execute(exp.Create(this=exp.to_table(ordered), kind="TABLE", expression=rows))
    warehouse.execute(exp.Drop(tables=[exp.to_table(table)], kind="TABLE"))
    renamed = exp.AlterRename(this=exp.to_table(table))
    warehouse.execute(exp.Alter(this=exp.to_table(ordered), kind="TABLE", actions=[renamed]))


def _count_of(warehouse: Warehouse, what: str, table: str) -> int:
    return int(get_setting(warehouse, f"{what}_{table}") or 0)


def _rows(warehouse: Warehouse, table: str, where: exp.Expr | None = None) -> int:
    query = exp.select(exp.Count(this=exp.Star()).as_("n")).from_(table)
    found = warehouse.query(query.where(where) if where is not None else query)
    return int(found["n"][0].as_py())
