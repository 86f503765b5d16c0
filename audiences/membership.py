"""Membership: who is in each audience at an instant, kept as history of who entered and exited when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
from sqlglot import exp

from audiences.audience import Audience
from audiences.compile import NOTHING_PERSONAL, Privacy, compile_audiences
from audiences.errors import MembershipError
from identity.store.warehouse import Warehouse
from identity.tables import instant

__all__ = [
    "MembershipChange",
    "compute_members",
    "count_memberships",
    "current_members",
    "membership_history",
    "store_memberships",
]

_COMPUTED = "computed_members"


@dataclass(frozen=True, slots=True)
class MembershipChange:
    """What a computation changed.

    Attributes:
        audience: its key.
        size: members now.
        entered: who are new since the last stored computation.
        exited: who left since then.
    """

    audience: str
    size: int
    entered: int
    exited: int


def compute_members(
    warehouse: Warehouse,
    audiences: Sequence[Audience],
    as_of: datetime,
    privacy: Privacy = NOTHING_PERSONAL,
) -> dict[str, list[str]]:
    """Compute audiences without storing anything.

    Args:
        warehouse: holds events and profiles.
        audiences: with all that they are built on.
        as_of: the instant to compute for; aware.
        privacy: which fields are sealed.

    Returns:
        Audience key → profile ids, sorted.

    Raises:
        RuleError: a rule that can't be computed.
    """
    found = warehouse.query(compile_audiences(audiences, as_of, privacy))
    ids = found["profile_id"].to_pylist()
    return {
        audience.key: sorted(
            profile for profile, inside in zip(ids, found[audience.key].to_pylist(), strict=True) if inside
        )
        for audience in audiences
    }


def store_memberships(
    warehouse: Warehouse,
    audiences: Sequence[Audience],
    as_of: datetime,
    privacy: Privacy = NOTHING_PERSONAL,
    *,
    run: str,
) -> list[MembershipChange]:
    """Compute audiences and write who entered and exited; again at the same instant changes nothing.

    Args:
        warehouse: holds events, profiles and the history.
        audiences: with all that they are built on.
        as_of: the instant to compute for; aware, not before the last stored one.
        privacy: which fields are sealed.
        run: the run's id, kept with every row that it adds.

    Returns:
        One change an audience.

    Raises:
        MembershipError: the history already knows a later instant.
        RuleError: a rule that can't be computed.
    """
    query = compile_audiences(audiences, as_of, privacy)
    with warehouse.transaction():
        warehouse.execute(
            exp.Create(
                this=exp.to_table(_COMPUTED),
                kind="TABLE",
                replace=True,
                expression=query,
                properties=exp.Properties(expressions=[exp.TemporaryProperty()]),
            )
        )
        changes = [_store(warehouse, audience.key, as_of, run) for audience in audiences]
        warehouse.execute(exp.Drop(tables=[exp.to_table(_COMPUTED)], kind="TABLE"))
    return changes


def _store(warehouse: Warehouse, key: str, as_of: datetime, run: str) -> MembershipChange:
    at = instant(as_of)
    known = _latest(warehouse, key)
    if known is not None and known > as_of.astimezone(UTC):
        raise MembershipError(
            f"Audience {key!r} was stored as of {known.isoformat()} already; choose that instant or a later "
            "one, or `audiences preview` to look at an earlier one."
        )
    of_audience = exp.column("audience").eq(key)
    inside = exp.select("profile_id").from_(_COMPUTED).where(exp.column(key, quoted=True))
    open_rows = (
        exp.select("profile_id")
        .from_("memberships")
        .where(of_audience.copy(), exp.column("exited_at").is_(exp.null()))
    )
    exited = warehouse.execute(
        exp.update(
            "memberships",
            {"exited_at": at},
            where=exp.and_(
                of_audience.copy(),
                exp.column("exited_at").is_(exp.null()),
                exp.column("profile_id").isin(query=inside.copy()).not_(),
            ),
        )
    )
    # somebody who left and came back at the very same instant was never gone
    back = warehouse.execute(
        exp.update(
            "memberships",
            {"exited_at": exp.null()},
            where=exp.and_(
                of_audience.copy(),
                exp.column("exited_at").eq(at.copy()),
                exp.column("profile_id").isin(query=inside.copy()),
            ),
        )
    )
    fresh = exp.select(
        exp.Literal.string(key),
        exp.column("profile_id"),
        at.copy(),
        exp.cast(exp.null(), "TIMESTAMP"),
        exp.Literal.string(run),
    ).from_(exp.Except(this=inside.copy(), expression=open_rows, distinct=True).subquery("fresh"))
    entered = warehouse.execute(
        exp.insert(fresh, "memberships", columns=["audience", "profile_id", "entered_at", "exited_at", "run"])
    )
    # rows of nobody: entered and exited at the same instant
    warehouse.execute(
        exp.delete("memberships").where(
            exp.and_(of_audience.copy(), exp.column("entered_at").eq(exp.column("exited_at")))
        )
    )
    return MembershipChange(key, len(current_members(warehouse, key)), entered + back, exited)


def _latest(warehouse: Warehouse, key: str) -> datetime | None:
    found = warehouse.query(
        exp.select(
            exp.Greatest(
                this=exp.Max(this=exp.column("entered_at")),
                expressions=[exp.Max(this=exp.column("exited_at"))],
                ignore_nulls=True,
            ).as_("latest")
        )
        .from_("memberships")
        .where(exp.column("audience").eq(key))
    )
    latest = found["latest"][0].as_py()
    return latest.replace(tzinfo=UTC) if latest is not None else None


def current_members(warehouse: Warehouse, key: str) -> list[str]:
    """The stored members of an audience, as sorted profile ids.

    Args:
        warehouse: holds the history.
        key: the audience's key.
    """
    found = warehouse.query(
        exp.select("profile_id")
        .from_("memberships")
        .where(exp.column("audience").eq(key), exp.column("exited_at").is_(exp.null()))
        .order_by("profile_id")
    )
    return list(found["profile_id"].to_pylist())


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


def membership_history(warehouse: Warehouse, key: str) -> dict[str, object]:
    """How many are in an audience, and the last instant at which that changed (`members`, `since`).

    Args:
        warehouse: holds the history.
        key: the audience's key.
    """
    return {"members": len(current_members(warehouse, key)), "since": _latest(warehouse, key)}
