"""Consent: dated records, and the gate that is asked before every add. Nothing recorded means no.

A record is about one identifier and one purpose; the newest counts, a tie denies. A profile is permitted when
at least one of its identifiers is granted and none is denied: deny wins over every linked identifier, and so
across merges. Suppression stands above consent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Literal

from identity.errors import LedgerError
from identity.store.ledger import Cursor, Ledger, Migration

__all__ = [
    "MIGRATIONS",
    "ConsentRecord",
    "Decision",
    "consent_of",
    "decide",
    "granted_subjects",
    "record_consent",
]

MIGRATIONS: tuple[Migration, ...] = (
    (
        "consent-1",
        (
            """CREATE TABLE consent_records (
                subject TEXT NOT NULL,
                purpose TEXT NOT NULL,
                state TEXT NOT NULL CHECK (state IN ('granted', 'denied')),
                captured_at TEXT NOT NULL,
                source TEXT NOT NULL CHECK (source IN ('event', 'cli')),
                evidence TEXT NOT NULL,
                expires_at TEXT,
                PRIMARY KEY (subject, purpose, captured_at, state, evidence)
            ) STRICT, WITHOUT ROWID""",
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

    Raises:
        LedgerError: an instant without a time zone, or a record about nobody.
    """
    records = tuple(records)
    if not all(record.subject and record.purpose for record in records):
        raise LedgerError("A consent record names an identifier's id and a purpose.")
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
    asked = [(profile, tuple(subjects)) for profile, subjects in people]
    # one bound text holds every subject: no temporary table, and so nothing is written
    subjects = json.dumps(sorted({subject for _, each in asked for subject in each}))
    newest: dict[str, tuple[str, set[Decision]]] = {}
    now = _text(as_of)
    for subject, state, captured_at, expires_at in cursor.execute(_RECORDS, (subjects, purpose, now)):
        if state == "denied":
            answer = Decision.DENIED
        elif expires_at is not None and expires_at <= now:
            answer = Decision.EXPIRED
        else:
            answer = Decision.PERMITTED
        known = newest.get(subject)
        if known is None or captured_at > known[0]:
            newest[subject] = (captured_at, {answer})
        elif captured_at == known[0]:
            known[1].add(answer)
    answers = {subject: found for subject, (_, found) in newest.items()}
    for (subject,) in cursor.execute(_SUPPRESSED, (subjects,)):
        answers[subject] = {Decision.SUPPRESSED}
    decisions: dict[str, Decision] = {}
    for profile, each in asked:
        found: set[Decision] = set()
        for subject in each:
            found |= answers.get(subject, _NOTHING)
        if profile in decisions:
            found.add(decisions[profile])
        decisions[profile] = next((decision for decision in _STRONGEST if decision in found), _STRONGEST[-1])
    return decisions


_NOTHING: frozenset[Decision] = frozenset()
_STRONGEST = (
    Decision.SUPPRESSED,
    Decision.DENIED,
    Decision.PERMITTED,
    Decision.EXPIRED,
    Decision.NO_CONSENT,
)
"""What counts when a person's identifiers, or records of one instant, say different things."""

# CROSS JOIN keeps the order: look up each subject, instead of reading every record
_RECORDS = """
SELECT r.subject, r.state, r.captured_at, r.expires_at
FROM json_each(?) AS a CROSS JOIN consent_records AS r
WHERE r.subject = a.value AND r.purpose = ? AND (r.captured_at <= ? OR r.state = 'denied')
"""
_SUPPRESSED = "SELECT subject FROM suppressions WHERE subject IN (SELECT value FROM json_each(?))"


def granted_subjects(cursor: Cursor, purpose: str, as_of: datetime) -> list[str]:
    """The identifiers with a grant that has begun and not ended: nobody without one can be permitted.

    A newer record, another identifier or a suppression may still forbid it, which `decide` knows.

    Args:
        cursor: of any transaction.
        purpose: what is asked about.
        as_of: the instant of asking, UTC.
    """
    now = _text(as_of)
    return [subject for (subject,) in cursor.execute(_GRANTED, (purpose, now, now))]


_GRANTED = """
SELECT DISTINCT subject FROM consent_records
WHERE purpose = ? AND state = 'granted' AND captured_at <= ? AND (expires_at IS NULL OR expires_at > ?)
"""


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
    if instant.tzinfo is None:
        raise LedgerError("An instant of consent needs a time zone; give it in UTC.")
    # one width for all, so that text order is time order
    return instant.astimezone(UTC).isoformat(timespec="microseconds")
