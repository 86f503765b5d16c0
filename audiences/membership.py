"""Membership: who is in each audience, kept as history of who entered and exited when."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
from sqlglot import exp

from audiences.computed import ComputedTrait
from audiences.conditions import is_figure
from audiences.engines import Engine
from audiences.scope import Subject
from identity.store.warehouse import Warehouse
from identity.tables import instant, temporary, uuid

__all__ = [
    "Stored",
    "audiences_of",
    "count_memberships",
    "current_members",
    "end_memberships",
    "store_members",
    "store_traits",
    "values_of",
]

_KEPT_IN: dict[Subject, tuple[str, str]] = {
    "profile": ("memberships", "profile_id"),
    "account": ("account_memberships", "account"),
}
_AT_ONCE = 50
"""Audiences whose members are compared in one statement, which bounds the memory that it takes."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What storing one audience or computed trait changed.

    Attributes:
        entered: who are new.
        exited: who left, or have no value any more.
        changed: who have another value than before.
    """

    entered: int
    exited: int
    changed: int = 0


def store_members(
    warehouse: Warehouse,
    of: Subject,
    keys: Sequence[str],
    computed: str,
    looked_at: str | None,
    as_of: datetime,
    run: str,
) -> dict[str, Stored]:
    """Bring the history of some audiences in line with a computation; inside the caller's transaction.

    Args:
        warehouse: holds the history.
        of: what they are sets of.
        keys: the audiences.
        computed: the table of the computation, a BOOLEAN column an audience.
        looked_at: the table of everybody that it looked at; None when it looked at everybody.
        as_of: the instant that it was computed for, aware, not before the last stored one.
        run: the run's id, kept with every row that it adds.

    Returns:
        What changed, by key.
    """
    found: dict[str, Stored] = {}
    for start in range(0, len(keys), _AT_ONCE):
        chunk = keys[start : start + _AT_ONCE]
        found |= _store(warehouse, of, chunk, computed, looked_at, instant(as_of), run)
    return found


def _store(
    warehouse: Warehouse,
    of: Subject,
    keys: Sequence[str],
    computed: str,
    looked_at: str | None,
    at: exp.Expr,
    run: str,
) -> dict[str, Stored]:
    table, owner = _KEPT_IN[of]
    now = _union(
        exp.select(exp.Literal.string(key).as_("audience"), owner)
        .from_(computed)
        .where(exp.column(key, quoted=True))
        for key in keys
    )
    still_open = exp.column("exited_at").is_(exp.null())
    before = exp.select("audience", owner).from_(table).where(exp.column("audience").isin(*keys), still_open)
    if looked_at is not None:
        before = before.where(exp.column(owner).isin(query=exp.select(owner).from_(looked_at)))
    for name, more, less in (("exiting", before, now), ("entering", now, before)):
        # a union stands in a SELECT of its own: EXCEPT binds as tightly as UNION
        sides = [
            exp.select("*").from_(each.copy().subquery(alias, copy=False), copy=False)
            for each, alias in ((more, "m"), (less, "l"))
        ]
        warehouse.execute(temporary(name, exp.Except(this=sides[0], expression=sides[1], distinct=True)))

    def same(other: str) -> exp.Expr:
        return exp.and_(
            *(exp.column(each, table).eq(exp.column(each, other)) for each in ("audience", owner))
        )

    leaving = exp.and_(same("exiting"), exp.column("exited_at", table).is_(exp.null()))
    warehouse.execute(exp.update(table, {"exited_at": at}, from_="exiting", where=leaving))
    # somebody who left and came back at the very same instant was never gone
    back = exp.and_(same("entering"), exp.column("exited_at", table).eq(at.copy()))
    returned = warehouse.execute(exp.update(table, {"exited_at": exp.null()}, from_="entering", where=back))
    fresh: exp.Query = exp.select(
        "audience", owner, at.copy(), exp.cast(exp.null(), "TIMESTAMP"), exp.Literal.string(run)
    ).from_("entering")
    if returned:
        open_now = exp.select("audience", owner).from_(table).where(still_open.copy())
        left = exp.Except(
            this=exp.select("audience", owner).from_("entering"), expression=open_now, distinct=True
        )
        fresh = exp.select(
            "audience", owner, at.copy(), exp.cast(exp.null(), "TIMESTAMP"), exp.Literal.string(run)
        ).from_(left.subquery("left_to_enter"))
    warehouse.execute(exp.insert(fresh, table, columns=["audience", owner, "entered_at", "exited_at", "run"]))
    # rows of nobody: entered and exited at the same instant
    nobody = exp.and_(
        exp.column("exited_at").eq(at.copy()), exp.column("entered_at").eq(exp.column("exited_at"))
    )
    warehouse.execute(exp.delete(table).where(nobody))
    counts = {name: _counted(warehouse, name, "audience") for name in ("entering", "exiting")}
    return {key: Stored(counts["entering"].get(key, 0), counts["exiting"].get(key, 0)) for key in keys}


def store_traits(
    warehouse: Warehouse,
    engine: Engine,
    traits: Sequence[ComputedTrait],
    computed: str,
    looked_at: str | None,
    as_of: datetime,
    run: str,
) -> dict[str, Stored]:
    """Bring the values of some computed traits in line with a computation; inside the caller's transaction.

    Args:
        warehouse: holds the values.
        engine: whose SQL.
        traits: which.
        computed: the table of the computation, a column a trait.
        looked_at: the table of everybody that it looked at; None when it looked at everybody.
        as_of: the instant that it was computed for, aware.
        run: the run's id, kept with every row that it adds.

    Returns:
        What changed, by key.
    """
    if not traits:
        return {}
    keys = [each.key for each in traits]
    now = _union(_values_of(engine, each, computed) for each in traits)
    before = exp.select("name", "profile_id", "value").from_("computed_traits")
    before = before.where(exp.column("name").isin(*keys))
    if looked_at is not None:
        before = before.where(exp.column("profile_id").isin(query=exp.select("profile_id").from_(looked_at)))
    # both sides are small texts here; stored values of some engines can't be compared with each other
    both = (
        exp.select(
            exp.func("COALESCE", exp.column("name", "n"), exp.column("name", "b")).as_("name"),
            exp.func("COALESCE", exp.column("profile_id", "n"), exp.column("profile_id", "b")).as_(
                "profile_id"
            ),
            exp.column("value", "n").as_("value"),
            exp.column("name", "n").is_(exp.null()).as_("gone"),
            exp.column("name", "b").is_(exp.null()).as_("fresh"),
        )
        .from_(now.subquery("n"))
        .join(before.subquery("b"), on="n.name = b.name AND n.profile_id = b.profile_id", join_type="full")
        .where(
            exp.NullSafeNEQ(
                this=exp.cast(exp.column("value", "n"), "TEXT"),
                expression=exp.cast(exp.column("value", "b"), "TEXT"),
            )
        )
    )
    warehouse.execute(temporary("changed_traits", both))
    changed = exp.and_(
        *(
            exp.column(each, "computed_traits").eq(exp.column(each, "changed_traits"))
            for each in ("name", "profile_id")
        )
    )
    some = exp.select("1").from_("changed_traits").where(changed)
    warehouse.execute(exp.delete("computed_traits").where(exp.Exists(this=some)))
    rows = (
        exp.select("name", "profile_id", "value", instant(as_of), exp.Literal.string(run))
        .from_("changed_traits")
        .where(exp.not_(exp.column("gone")))
    )
    columns = ["name", "profile_id", "value", "changed_at", "run"]
    warehouse.execute(exp.insert(rows, "computed_traits", columns=columns))
    gone, fresh, every = (
        _counted(warehouse, "changed_traits", "name", where)
        for where in (exp.column("gone"), exp.column("fresh"), exp.true())
    )
    return {
        key: Stored(
            fresh.get(key, 0), gone.get(key, 0), every.get(key, 0) - fresh.get(key, 0) - gone.get(key, 0)
        )
        for key in keys
    }


def _values_of(engine: Engine, trait: ComputedTrait, computed: str) -> exp.Select:
    held = exp.column(trait.key, quoted=True)
    value = engine.wrapped(held) if is_figure(trait.operand) else held
    return (
        exp.select(exp.Literal.string(trait.key).as_("name"), "profile_id", value.as_("value"))
        .from_(computed)
        .where(held.copy().is_(exp.null()).not_())
    )


def end_memberships(warehouse: Warehouse, keys: Sequence[str], as_of: datetime) -> None:
    """Let everybody exit audiences, and forget values of computed traits, that lost their rule.

    Args:
        warehouse: holds the history.
        keys: audiences and computed traits that the project no longer defines.
        as_of: when, aware.
    """
    for table, _ in _KEPT_IN.values():
        still_open = exp.and_(exp.column("audience").isin(*keys), exp.column("exited_at").is_(exp.null()))
        warehouse.execute(exp.update(table, {"exited_at": instant(as_of)}, where=still_open))
    warehouse.execute(exp.delete("computed_traits").where(exp.column("name").isin(*keys)))


def current_members(warehouse: Warehouse, key: str, of: Subject = "profile") -> list[str]:
    """The stored members of an audience, as sorted ids of profiles or of accounts.

    Args:
        warehouse: holds the history.
        key: the audience's key.
        of: what it is a set of.
    """
    table, owner = _KEPT_IN[of]
    found = warehouse.query(
        exp.select(owner)
        .from_(table)
        .where(exp.column("audience").eq(key), exp.column("exited_at").is_(exp.null()))
        .order_by(owner)
    )
    return list(found[owner].to_pylist())


def values_of(warehouse: Warehouse, profile_id: str) -> dict[str, tuple[str, datetime]]:
    """The computed traits of a profile: name → value as JSON text, and since when it has it, UTC.

    Args:
        warehouse: holds the values.
        profile_id: whose.
    """
    rows = warehouse.query(
        exp.select("name", "value", "changed_at")
        .from_("computed_traits")
        .where(exp.column("profile_id").eq(uuid(profile_id)))
        .order_by("name")
    ).to_pylist()
    return {row["name"]: (row["value"], row["changed_at"].replace(tzinfo=UTC)) for row in rows}


def audiences_of(warehouse: Warehouse, profile_id: str) -> dict[str, datetime]:
    """The audiences that a profile is stored as a member of, and since when, UTC.

    Args:
        warehouse: holds the history.
        profile_id: whose.
    """
    rows = warehouse.query(
        exp.select("audience", "entered_at")
        .from_("memberships")
        .where(exp.column("profile_id").eq(uuid(profile_id)), exp.column("exited_at").is_(exp.null()))
        .order_by("audience")
    ).to_pylist()
    return {row["audience"]: row["entered_at"].replace(tzinfo=UTC) for row in rows}


def count_memberships(warehouse: Warehouse, profile_ids: Sequence[str]) -> dict[str, int]:
    """Audience → how many of some profiles are stored as its members; only those that have any.

    Args:
        warehouse: holds the history.
        profile_ids: whose memberships.
    """
    with warehouse.scratch("wanted", pa.table({"wanted_id": pa.array(profile_ids, pa.string())})) as name:
        rows = warehouse.query(
            exp.select("m.audience", exp.Count(this=exp.Star()).as_("n"))
            .from_("memberships AS m")
            .join(
                exp.to_table(name).as_("w"),
                on=exp.column("profile_id", "m").eq(exp.cast(exp.column("wanted_id", "w"), "UUID")),
            )
            .where(exp.column("exited_at", "m").is_(exp.null()))
            .group_by("m.audience")
            .order_by("m.audience")
        ).to_pylist()
    return {row["audience"]: row["n"] for row in rows}


def _counted(warehouse: Warehouse, table: str, by: str, where: exp.Expr | None = None) -> dict[str, int]:
    query = exp.select(by, exp.Count(this=exp.Star()).as_("n")).from_(table).group_by(by)
    rows = warehouse.query(query.where(where) if where is not None else query).to_pylist()
    return {row[by]: row["n"] for row in rows}


def _union(queries: Iterable[exp.Query]) -> exp.Query:
    first, *others = queries
    for each in others:
        first = exp.union(first, each, distinct=False, copy=False)
    return first
