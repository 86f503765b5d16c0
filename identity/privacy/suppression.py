"""Suppression: identifiers that must never be sent again, whatever consent says."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from identity.store.ledger import Ledger, Migration

__all__ = ["MIGRATIONS", "suppress", "suppressed_at", "unsuppress"]

MIGRATIONS: tuple[Migration, ...] = (
    (
        "suppression-1",
        (
            """CREATE TABLE suppressions (
                subject TEXT PRIMARY KEY,
                reason TEXT NOT NULL,
                suppressed_at TEXT NOT NULL
            ) STRICT""",
        ),
    ),
)
"""The ledger's table of suppressed identifiers; `subject` is an identifier's token, never a value."""


def suppress(ledger: Ledger, subjects: Iterable[str], reason: str, at: datetime) -> None:
    """Suppress identifiers: their people are removed by the next sync and never added again.

    Args:
        ledger: where to.
        subjects: identifier ids; one that is suppressed already keeps its first record.
        reason: a note without personal data.
        at: when, UTC.
    """
    rows = [(subject, reason, at.astimezone(UTC).isoformat(timespec="microseconds")) for subject in subjects]
    with ledger.transaction() as cursor:
        cursor.executemany(
            "INSERT INTO suppressions (subject, reason, suppressed_at) VALUES (?, ?, ?) "
            "ON CONFLICT DO NOTHING",
            rows,
        )


def unsuppress(ledger: Ledger, subjects: Iterable[str]) -> int:
    """Lift a suppression.

    Args:
        ledger: where from.
        subjects: identifier ids.

    Returns:
        How many were suppressed.
    """
    with ledger.transaction() as cursor:
        before = cursor.connection.total_changes
        cursor.executemany("DELETE FROM suppressions WHERE subject = ?", [(subject,) for subject in subjects])
        return cursor.connection.total_changes - before


def suppressed_at(ledger: Ledger, subjects: Iterable[str]) -> datetime | None:
    """Say since when any of some identifiers is suppressed, or None.

    Args:
        ledger: where from.
        subjects: identifier ids.
    """
    with ledger.reading() as cursor:
        found = [
            row[0]
            for subject in subjects
            for row in cursor.execute("SELECT suppressed_at FROM suppressions WHERE subject = ?", (subject,))
        ]
    return min(map(datetime.fromisoformat, found), default=None)
