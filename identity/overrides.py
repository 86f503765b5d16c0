"""Overrides: what a person decided about who is who, replayed with the events and undone by removing it.

- `merge`: two identifiers are one person, whatever limits say: from then on one is another name of the other;
- `apart`: two identifiers are never one person, whatever events say;
- `split`: an identifier is taken out of its profile: what events said of it until then links it to nobody;
  later events link it anew (Segment's delete-profile-identifier API, and a prepaid phone's next owner).

Records live in the ledger, since they can't be derived from events; they hold tokens, never values.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, cast

from identity.errors import ConfigurationError, NotFoundError
from identity.store.ledger import Ledger, Migration

__all__ = ["MIGRATIONS", "Override", "OverrideKind", "list_overrides", "record_override", "undo_override"]

OverrideKind = Literal["merge", "split", "apart"]

MIGRATIONS: tuple[Migration, ...] = (
    (
        "overrides-1",
        (
            """CREATE TABLE overrides (
                number INTEGER PRIMARY KEY AUTOINCREMENT,
                kind TEXT NOT NULL CHECK (kind IN ('merge', 'split', 'apart')),
                identifier TEXT NOT NULL,
                other TEXT NOT NULL,
                author TEXT NOT NULL,
                reason TEXT NOT NULL,
                decided_at TEXT NOT NULL,
                undone_at TEXT,
                undone_by TEXT
            ) STRICT""",
        ),
    ),
)
"""The ledger's table of overrides; one that was undone keeps its row."""


@dataclass(frozen=True, slots=True)
class Override:
    """One decision.

    Attributes:
        number: its number in the ledger.
        kind: what was decided.
        identifier: id of the identifier that it is about.
        other: id of the other one; for `split` one that stays in the profile.
        author: who decided.
        reason: why, without personal data.
        decided_at: when, UTC; a `split` is of what events said until then.
        undone_at: when it was taken back, UTC, or None while it holds.
        undone_by: who took it back.
    """

    number: int
    kind: OverrideKind
    identifier: str
    other: str
    author: str
    reason: str
    decided_at: datetime
    undone_at: datetime | None = None
    undone_by: str | None = None


def record_override(
    ledger: Ledger, kind: OverrideKind, identifier: str, other: str, *, author: str, reason: str, at: datetime
) -> Override:
    """Record a decision; the next resolve follows it.

    Args:
        ledger: where to.
        kind: what is decided.
        identifier: id of the identifier that it is about.
        other: id of the other one; for `split` one that stays in the profile.
        author: who decides.
        reason: why, without personal data.
        at: when, UTC.

    Raises:
        ConfigurationError: both are the same identifier, no reason is given, or a decision that holds says
            the opposite of the same two.
    """
    if identifier == other:
        raise ConfigurationError("Both are the same identifier; name two different ones.")
    if not reason.strip() or not author.strip():
        raise ConfigurationError("An override needs a reason and an author: who reads it later will ask.")
    opposite = {"merge": "apart", "apart": "merge"}.get(kind)
    for known in list_overrides(ledger):
        if known.kind == opposite and {known.identifier, known.other} == {identifier, other}:
            raise ConfigurationError(
                f"Override {known.number} says the opposite of these two; undo it first: "
                f"audiences identity undo {known.number}"
            )
    decided_at = at.astimezone(UTC)
    with ledger.transaction() as cursor:
        cursor.execute(
            "INSERT INTO overrides (kind, identifier, other, author, reason, decided_at) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (kind, identifier, other, author.strip(), reason.strip(), _text(decided_at)),
        )
        number = cursor.lastrowid or 0
    return Override(number, kind, identifier, other, author.strip(), reason.strip(), decided_at)


def list_overrides(ledger: Ledger, *, undone: bool = False) -> tuple[Override, ...]:
    """The decisions that hold, in order.

    Args:
        ledger: where from.
        undone: True also gives those that were taken back.
    """
    with ledger.reading() as cursor:
        rows = cursor.execute(
            "SELECT number, kind, identifier, other, author, reason, decided_at, undone_at, undone_by "
            "FROM overrides WHERE ? OR undone_at IS NULL ORDER BY number",
            (undone,),
        ).fetchall()
    return tuple(
        Override(
            number,
            cast("OverrideKind", kind),
            identifier,
            other,
            author,
            reason,
            datetime.fromisoformat(decided_at),
            datetime.fromisoformat(undone_at) if undone_at else None,
            undone_by,
        )
        for number, kind, identifier, other, author, reason, decided_at, undone_at, undone_by in rows
    )


def undo_override(ledger: Ledger, number: int, *, author: str, at: datetime) -> None:
    """Take a decision back; its row stays, and the next resolve is as if it had never been made.

    Args:
        ledger: where it is.
        number: its number.
        author: who takes it back.
        at: when, UTC.

    Raises:
        NotFoundError: no override of that number holds.
    """
    with ledger.transaction() as cursor:
        cursor.execute(
            "UPDATE overrides SET undone_at = ?, undone_by = ? WHERE number = ? AND undone_at IS NULL",
            (_text(at.astimezone(UTC)), author, number),
        )
        if cursor.rowcount != 1:
            raise NotFoundError(f"No override {number} holds; `audiences identity overrides` lists them.")


def _text(instant: datetime) -> str:
    return instant.isoformat(timespec="microseconds")
