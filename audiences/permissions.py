"""Bring what persons decided into the warehouse: consent that rules ask about, and members by hand.

Whoever's row changed counts as touched, so that the next computation looks at them again; a grant or a
decision that ends is found here without any event.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

import pyarrow as pa
from sqlglot import exp

from audiences.manual import in_force, list_decisions
from audiences.meaning import parts
from audiences.project import Definitions, Stores
from audiences.relations import CONSENTED, MANUAL
from audiences.rules import Consented
from identity.permitted import permitted_profiles
from identity.profiles import profiles_of
from identity.store.warehouse import Warehouse
from identity.tables import temporary
from identity.touched import note_touched

__all__ = ["refresh_permissions"]


def refresh_permissions(stores: Stores, definitions: Definitions, as_of: datetime) -> None:
    """Bring `consented_profiles` and `manual_members` in line with the ledger.

    Args:
        stores: the project's open stores, resolved.
        definitions: the loaded project, which says about which purposes its rules ask.
        as_of: the instant to decide for, UTC.
    """
    permitted = [
        (purpose, profile)
        for purpose in sorted(set(_purposes(definitions)))
        for profile in permitted_profiles(stores.warehouse, stores.ledger, purpose, as_of)
    ]
    by_hand = _by_hand(stores, as_of)
    with stores.warehouse.transaction():
        changed = [
            *_replace(stores.warehouse, CONSENTED, ("purpose", "profile_id"), permitted),
            *_replace(stores.warehouse, MANUAL, ("audience", "profile_id", "state"), by_hand),
        ]
        touched = exp.union(*(exp.select("profile_id").from_(each) for each in changed), distinct=True)
        stores.warehouse.execute(temporary("newly_decided", touched))
        note_touched(stores.warehouse, "newly_decided")


def _purposes(definitions: Definitions) -> Iterator[str]:
    for audience in definitions.audiences:
        yield from (part.purpose for part in parts(audience.rule) if isinstance(part, Consented))


def _by_hand(stores: Stores, as_of: datetime) -> list[tuple[str, str, str]]:
    """Audience, profile and state: of each profile's decisions in force the newest, whichever identifier."""
    holding = in_force(list_decisions(stores.ledger), as_of)
    profiles = profiles_of(stores.warehouse, [each.subject for each in holding])
    newest = {
        (each.audience, profile): each.state
        for each, profile in zip(holding, profiles, strict=True)
        if profile is not None
    }
    return [(audience, profile, state) for (audience, profile), state in newest.items()]


def _replace(
    warehouse: Warehouse, table: str, columns: Sequence[str], rows: Sequence[tuple[str, ...]]
) -> tuple[str, str]:
    """Let a table hold exactly some rows; name the temporary tables of those that went and that came."""
    gone, fresh = f"gone_from_{table}", f"new_in_{table}"
    lists = zip(*rows, strict=True) if rows else ([] for _ in columns)
    wanted = pa.table({name: pa.array(each, pa.string()) for name, each in zip(columns, lists, strict=True)})
    with warehouse.scratch("wanted_rows", wanted) as name:
        now = exp.select(
            *(
                exp.cast(exp.column(each), "UUID").as_(each) if each == "profile_id" else each
                for each in columns
            )
        ).from_(name)
        before = exp.select(*columns).from_(table)
        for change, more, less in ((gone, before, now), (fresh, now, before)):
            only = exp.Except(this=more.copy(), expression=less.copy(), distinct=True)
            warehouse.execute(temporary(change, only))
    same = exp.and_(*(exp.column(each, table).eq(exp.column(each, gone)) for each in columns))
    warehouse.execute(exp.delete(table).where(exp.Exists(this=exp.select("1").from_(gone).where(same))))
    warehouse.execute(exp.insert(exp.select(*columns).from_(fresh), table, columns=list(columns)))
    return gone, fresh
