"""Who is permitted for a purpose: the gate's answer for everybody who ever agreed to it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import pyarrow as pa
from sqlglot import exp

from identity.privacy.consent import Decision, decide, granted_subjects
from identity.store.ledger import Ledger
from identity.store.warehouse import Warehouse

__all__ = ["permitted_profiles"]

_AT_ONCE = 50_000
"""Identifiers that the gate is asked about at once, which bounds the memory that it takes."""


def permitted_profiles(warehouse: Warehouse, ledger: Ledger, purpose: str, as_of: datetime) -> list[str]:
    """Ask the gate, with all of a person's identifiers, for everybody whom a grant can permit.

    Args:
        warehouse: knows whose each identifier is.
        ledger: holds the records.
        purpose: for example `advertising`.
        as_of: the instant of asking, UTC.

    Returns:
        Ids of the profiles that are permitted, sorted.
    """
    found: list[str] = []
    with ledger.reading() as cursor:
        granted = granted_subjects(cursor, purpose, as_of)
        if not granted:
            return []
        for people in _chunks(warehouse, granted):
            decisions = decide(cursor, people.items(), purpose, as_of)
            found += (profile for profile, each in decisions.items() if each is Decision.PERMITTED)
    return sorted(found)


def _chunks(warehouse: Warehouse, subjects: list[str]) -> Iterator[dict[str, list[str]]]:
    """The profiles that identifiers point to, each with all of its identifiers, some at a time."""
    with warehouse.scratch("granted", pa.table({"subject": pa.array(subjects, pa.string())})) as name:
        whose = (
            exp.select("m.profile_id")
            .from_("identifier_profiles AS m")
            .join(
                exp.to_table(name).as_("g"),
                on=exp.column("identifier_id", "m").eq(exp.cast(exp.column("subject", "g"), "UUID")),
            )
        )
        rows = warehouse.query(
            exp.select("profile_id", "identifier_id")
            .from_("identifier_profiles")
            .where(exp.column("profile_id").isin(query=whose))
            .order_by("profile_id")
        )
    people: dict[str, list[str]] = {}
    asked = 0
    for profile, identifier in zip(*(rows[each].to_pylist() for each in rows.column_names), strict=True):
        if profile not in people and asked >= _AT_ONCE:
            yield people
            people, asked = {}, 0
        people.setdefault(profile, []).append(identifier)
        asked += 1
    if people:
        yield people
