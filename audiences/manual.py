"""Whom a person puts into an audience, or out of it, by hand: with a reason, until a date, or until undone.

A decision is about one identifier, so it follows whoever that identifier points to. Records live in the
ledger, since they can't be derived from events; they hold tokens, never values.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, cast

from identity.errors import ConfigurationError, NotFoundError
from identity.store.ledger import Ledger, Migration

__all__ = ["MIGRATIONS", "Decision", "in_force", "list_decisions", "record_decision", "undo_decision"]

MIGRATIONS: tuple[Migration, ...] = (
    (
        "manual-members-1",
        (
            """CREATE TABLE manual_decisions (
                number INTEGER PRIMARY KEY AUTOINCREMENT,
                audience TEXT NOT NULL,
                subject TEXT NOT NULL,
                state TEXT NOT NULL CHECK (state IN ('in', 'out')),
                author TEXT NOT NULL,
                reason TEXT NOT NULL,
                decided_at TEXT NOT NULL,
                expires_at TEXT,
                undone_at TEXT,
                undone_by TEXT
            ) STRICT""",
        ),
    ),
)
"""The ledger's table of decisions; one that was undone, or has expired, keeps its row."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision.

    Attributes:
        number: its number in the ledger.
        audience: the audience's key.
        subject: id of the identifier whose person it is about.
        state: into the audience, or out of it.
        author: who decided.
        reason: why, without personal data.
        decided_at: when, UTC.
        expires_at: when it ends, UTC; None for never.
        undone_at: when it was taken back, UTC; None while it holds.
        undone_by: who took it back.
    """

    number: int
    audience: str
    subject: str
    state: Literal["in", "out"]
    author: str
    reason: str
    decided_at: datetime
    expires_at: datetime | None = None
    undone_at: datetime | None = None
    undone_by: str | None = None


def record_decision(
    ledger: Ledger,
    audience: str,
    subject: str,
    state: Literal["in", "out"],
    *,
    author: str,
    reason: str,
    at: datetime,
    until: datetime | None = None,
) -> int:
    """Record a decision; the next run follows it.

    Args:
        ledger: where to.
        audience: the audience's key.
        subject: id of an identifier of the person.
        state: into the audience, or out of it.
        author: who decides.
        reason: why, without personal data.
        at: when, UTC.
        until: when it ends, UTC; None for never.

    Returns:
        Its number.

    Raises:
        ConfigurationError: no reason or author is given, or it ends before it begins.
    """
    if not reason.strip() or not author.strip():
        raise ConfigurationError("A decision needs a reason and an author: who reads it later will ask.")
    if until is not None and until <= at:
        raise ConfigurationError("A decision ends after it begins; choose a later end.")
    with ledger.transaction() as cursor:
        cursor.execute(
            "INSERT INTO manual_decisions (audience, subject, state, author, reason, decided_at, expires_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (audience, subject, state, author.strip(), reason.strip(), _text(at), _text(until)),
        )
        return cursor.lastrowid or 0


def list_decisions(ledger: Ledger) -> tuple[Decision, ...]:
    """Every decision, in order, those that were undone or have expired included.

    Args:
        ledger: where from.
    """
    with ledger.reading() as cursor:
        rows = cursor.execute(
            "SELECT number, audience, subject, state, author, reason, decided_at, expires_at, "
            "undone_at, undone_by FROM manual_decisions ORDER BY number"
        ).fetchall()
    return tuple(
        Decision(
            number,
            audience,
            subject,
            cast("Literal['in', 'out']", state),
            author,
            reason,
            datetime.fromisoformat(decided),
            datetime.fromisoformat(ends) if ends else None,
            datetime.fromisoformat(undone) if undone else None,
            undone_by,
        )
        for number, audience, subject, state, author, reason, decided, ends, undone, undone_by in rows
    )


def in_force(decisions: Iterable[Decision], as_of: datetime) -> tuple[Decision, ...]:
    """The decisions that hold at an instant, in order.

    Args:
        decisions: any.
        as_of: the instant, aware.
    """
    return tuple(
        each
        for each in decisions
        if each.decided_at <= as_of
        and (each.expires_at is None or each.expires_at > as_of)
        and (each.undone_at is None or each.undone_at > as_of)
    )


def undo_decision(ledger: Ledger, number: int, *, author: str, at: datetime) -> None:
    """Take a decision back; its row stays, and the next run is as if it had never been made.

    Args:
        ledger: where it is.
        number: its number.
        author: who takes it back.
        at: when, UTC.

    Raises:
        NotFoundError: no decision of that number holds.
    """
    with ledger.transaction() as cursor:
        cursor.execute(
            "UPDATE manual_decisions SET undone_at = ?, undone_by = ? WHERE number = ? AND undone_at IS NULL",
            (_text(at), author, number),
        )
        if cursor.rowcount != 1:
            raise NotFoundError(f"No decision {number} holds; `audiences members list` lists them.")


def _text(instant: datetime | None) -> str | None:
    return instant.astimezone(UTC).isoformat(timespec="microseconds") if instant else None
