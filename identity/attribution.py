"""Whose each row is: the column `profile_id` of events and trait changes, and which profiles that touched.

The column says what the row's subject points to, so that no query has to join. A resolve keeps it true by
changing the rows whose answer changed and no others: new ones, those of identifiers that went to another
profile (found by the profile that they leave, which a clustered table prunes), and those whose subject is
another one now.
"""

from __future__ import annotations

from sqlglot import exp

from identity.clustering import CLUSTERED, note_moved
from identity.store.warehouse import Warehouse
from identity.tables import temporary
from identity.touched import note_touched, touched_number

__all__ = ["begin_attribution", "follow_profiles", "follow_subjects"]


def begin_attribution(warehouse: Warehouse) -> None:
    """Forget which rows changed their subject in the last resolve.

    Args:
        warehouse: an open warehouse with its tables.
    """
    for table in CLUSTERED:
        query = exp.select(exp.column("rowid").as_("place")).from_(table).limit(0)
        warehouse.execute(temporary(_resubjected(table), query))


def follow_subjects(warehouse: Warehouse, chosen: str) -> None:
    """Give events, and the trait changes that they made, other subjects.

    Args:
        warehouse: an open warehouse with its tables, after `begin_attribution`.
        chosen: a table of `message_id` and the `subject` that each has from now on.
    """
    for table in CLUSTERED:
        changed = (
            exp.select("t.rowid AS place", "c.subject")
            .from_(exp.to_table(table).as_("t"))
            .join(exp.to_table(chosen).as_("c"), using="message_id")
            .where("t.subject IS DISTINCT FROM c.subject")
        )
        warehouse.execute(temporary("resolve_followed", changed))
        _set(warehouse, table, "subject", exp.column("subject", "resolve_followed"))
        places = exp.select("place").from_("resolve_followed")
        warehouse.execute(exp.insert(places, _resubjected(table)))


def follow_profiles(warehouse: Warehouse, *, everything: bool) -> None:
    """Bring `profile_id` in line with what a resolve stored, and note the profiles that it touched.

    Args:
        warehouse: holds the resolve's answer, what was there before in `resolve_before`, and the rows that
            changed their subject.
        everything: True when all components were looked at.
    """
    if not touched_number(warehouse):
        # no row has a profile yet, and nobody has been told of any
        for table in CLUSTERED:
            _set_first(warehouse, table)
        everybody = exp.select("profile_id").from_("profiles")
        warehouse.execute(temporary("resolve_touched", everybody))
        note_touched(warehouse, "resolve_touched")
        return
    # an identifier also touches the profiles that it left and came to
    moved = (
        exp.select("b.profile_id AS former", "a.profile_id AS now")
        .from_("resolve_answers AS a")
        .join("resolve_before AS b", on="a.identifier_id = b.identifier_id", join_type="full")
        .where("a.profile_id IS DISTINCT FROM b.profile_id")
    )
    warehouse.execute(temporary("resolve_moves", moved))
    touched = _touched_by("resolve_moves")
    for table in CLUSTERED:
        name = f"resolve_followed_{table}"
        warehouse.execute(temporary(name, _wrong(table, everything=everything)))
        _set(warehouse, table, "profile_id", exp.column("now", name))
        note_moved(warehouse, table, name)
        touched = exp.union(touched, _touched_by(name))
    warehouse.execute(temporary("resolve_touched", touched))
    note_touched(warehouse, "resolve_touched")


def _resubjected(table: str) -> str:
    return f"resolve_resubjected_{table}"


def _set(warehouse: Warehouse, table: str, column: str, value: exp.Column) -> None:
    """Set a column of the rows that a temporary table names by their place."""
    warehouse.execute(
        exp.update(
            table,
            {column: value},
            from_=value.table,
            where=exp.column("rowid", table).eq(exp.column("place", value.table)),
        )
    )


def _set_first(warehouse: Warehouse, table: str) -> None:
    warehouse.execute(
        exp.update(
            table,
            {"profile_id": exp.column("profile_id", "m")},
            from_="identifier_profiles AS m",
            where=exp.and_(
                exp.column("subject", table).eq(exp.column("identifier_id", "m")),
                exp.condition("m.profile_id IS NOT NULL"),
            ),
        )
    )


def _wrong(table: str, *, everything: bool) -> exp.Query:
    """The rows whose profile is another one now: `place`, `former` and `now`."""
    wrong = (
        exp.select("t.rowid AS place", "t.profile_id AS former", "m.profile_id AS now")
        .from_(exp.to_table(table).as_("t"))
        .join("identifier_profiles AS m", on="m.identifier_id = t.subject", join_type="left")
        .where("t.profile_id IS DISTINCT FROM m.profile_id")
    )
    if everything:
        return wrong
    left = exp.select("former").from_("resolve_moves").where("former IS NOT NULL")
    resubjected = exp.select("place").from_(_resubjected(table))
    moved = exp.union(
        wrong.where(exp.column("profile_id", "t").isin(query=left)),
        wrong.where("t.profile_id IS NOT NULL", exp.column("rowid", "t").isin(query=resubjected)),
    )
    # apart from the others, so that rows without a profile are found by the zone maps
    fresh = wrong.where("t.profile_id IS NULL", "t.subject IS NOT NULL")
    return exp.union(fresh, exp.select("*").from_(moved.subquery("moved")), distinct=False)


def _touched_by(moves: str) -> exp.Query:
    def side(name: str) -> exp.Select:
        column = exp.column(name)
        return exp.select(column.as_("profile_id")).from_(moves).where(column.is_(exp.null()).not_())

    return exp.union(side("former"), side("now"))
