"""Consent: dated records, and the gate that is asked before every add. Nothing recorded means no.

A record is about one identifier and one purpose; the newest counts, a tie denies. A profile is permitted when
at least one of its identifiers is granted and none is denied: deny wins over every linked identifier, and so
across merges. Suppression stands above consent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Literal

from identity.store.ledger import Cursor, Ledger, Migration

__all__ = ["MIGRATIONS", "ConsentRecord", "Decision", "consent_of", "decide", "record_consent"]

MIGRATIONS: tuple[Migration, ...] = (
    (
        "consent-1",
        (
            """CREATE TABLE consent_records (
                seq INTEGER PRIMARY KEY,
                subject TEXT NOT NULL,
                purpose TEXT NOT NULL,
                state TEXT NOT NULL CHECK (state IN ('granted', 'denied')),
                captured_at TEXT NOT NULL,
                source TEXT NOT NULL CHECK (source IN ('event', 'cli')),
                evidence TEXT NOT NULL,
                expires_at TEXT,
                UNIQUE (subject, purpose, evidence)
            ) STRICT""",
            "CREATE INDEX consent_by_subject ON consent_records (purpose, subject, captured_at)",
        ),
    ),
)
"""The ledger's tables of consent; `subject` is an identifier's token, never a value."""


@dataclass(frozen=True, slots=True)
class ConsentRecord:
    """What somebody said about one purpose, under one identifier.

    Attributes:
        subject: the identifier's id.
        purpose: for example `advertising`.
        state: granted or denied.
        captured_at: when it was said, UTC.
        source: `event` or `cli`.
        evidence: the message id, or the note of whoever recorded it; no personal data.
        expires_at: when a grant ends, UTC; None for never.
    """

    subject: str
    purpose: str
    state: Literal["granted", "denied"]
    captured_at: datetime
    source: Literal["event", "cli"]
    evidence: str
    expires_at: datetime | None = None


class Decision(StrEnum):
    """May this person be added for this purpose, and if not, why."""

    PERMITTED = "permitted"
    NO_CONSENT = "no_consent"
    DENIED = "denied"
    EXPIRED = "expired"
    SUPPRESSED = "suppressed"


def record_consent(ledger: Ledger, records: Iterable[ConsentRecord]) -> int:
    """Write consent records; one that is there already is left as it is.

    Args:
        ledger: where to.
        records: any number, in any order.

    Returns:
        How many were new.
    """
    rows = [
        (
            record.subject,
            record.purpose,
            record.state,
            _text(record.captured_at),
            record.source,
            record.evidence,
            _text(record.expires_at) if record.expires_at else None,
        )
        for record in records
    ]
    if not rows:
        return 0
    with ledger.transaction() as cursor:
        before = cursor.connection.total_changes
        cursor.executemany(
            "INSERT INTO consent_records "
            "(subject, purpose, state, captured_at, source, evidence, expires_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            rows,
        )
        return cursor.connection.total_changes - before


def decide(
    cursor: Cursor, people: Iterable[tuple[str, Sequence[str]]], purpose: str, as_of: datetime
) -> dict[str, Decision]:
    """Ask the gate for many people at once, inside the caller's transaction.

    Args:
        cursor: of the transaction that will also write the intent to add.
        people: (profile id, its identifiers' ids).
        purpose: what the destination is for.
        as_of: the instant of asking, UTC; records of later instants do not count as grants.

    Returns:
        A decision for every profile id given.
    """
    now = _text(as_of)
    rows = [(profile, subject) for profile, subjects in people for subject in subjects or ("",)]
    cursor.execute("CREATE TEMP TABLE IF NOT EXISTS asked (profile TEXT NOT NULL, subject TEXT NOT NULL)")
    cursor.execute("DELETE FROM asked")
    cursor.executemany("INSERT INTO asked (profile, subject) VALUES (?, ?)", rows)
    found = cursor.execute(_GATE, {"purpose": purpose, "now": now}).fetchall()
    cursor.execute("DELETE FROM asked")
    return {profile: _decision(*facts) for profile, *facts in found}


_GATE = """
WITH subjects AS (SELECT DISTINCT subject FROM asked),
newest AS (
    SELECT r.subject, r.state, r.expires_at,
           RANK() OVER (PARTITION BY r.subject ORDER BY r.captured_at DESC) AS place
    FROM subjects AS s CROSS JOIN consent_records AS r
    WHERE r.subject = s.subject AND r.purpose = :purpose
      AND (r.captured_at <= :now OR r.state = 'denied')
),
state AS (
    SELECT subject,
           MAX(state = 'denied') AS denied,
           MAX(state = 'granted' AND (expires_at IS NULL OR expires_at > :now)) AS granted,
           MAX(state = 'granted' AND expires_at <= :now) AS expired
    FROM newest WHERE place = 1 GROUP BY subject
)
SELECT a.profile,
       MAX(p.subject IS NOT NULL),
       MAX(COALESCE(c.denied, 0)),
       MAX(COALESCE(c.granted, 0)),
       MAX(COALESCE(c.expired, 0))
FROM asked AS a
LEFT JOIN state AS c ON c.subject = a.subject
LEFT JOIN suppressions AS p ON p.subject = a.subject
GROUP BY a.profile
"""


def _decision(suppressed: int, denied: int, granted: int, expired: int) -> Decision:
    if suppressed:
        return Decision.SUPPRESSED
    if denied:
        return Decision.DENIED
    if granted:
        return Decision.PERMITTED
    return Decision.EXPIRED if expired else Decision.NO_CONSENT


def consent_of(ledger: Ledger, subjects: Sequence[str]) -> list[ConsentRecord]:
    """Read every consent record of some identifiers, newest first.

    Args:
        ledger: where from.
        subjects: identifier ids.
    """
    with ledger.reading() as cursor:
        found = [
            row
            for subject in subjects
            for row in cursor.execute(
                "SELECT subject, purpose, state, captured_at, source, evidence, expires_at "
                "FROM consent_records WHERE subject = ?",
                (subject,),
            )
        ]
    records = [
        ConsentRecord(
            subject=row[0],
            purpose=row[1],
            state=row[2],
            captured_at=datetime.fromisoformat(row[3]),
            source=row[4],
            evidence=row[5],
            expires_at=datetime.fromisoformat(row[6]) if row[6] else None,
        )
        for row in found
    ]
    return sorted(records, key=lambda record: (record.captured_at, record.evidence), reverse=True)


def _text(instant: datetime) -> str:
    # one width for all, so that text order is time order
    return instant.astimezone(UTC).isoformat(timespec="microseconds")
