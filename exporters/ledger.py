"""What every destination may hold, as rows of the ledger: the truth that removals are derived from.

A row is written, on disk, before the bytes that could put its identifier at the platform leave, and goes only
when its removal was confirmed. So the platform never holds what these tables do not know.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from identity.privacy.hashing import HashedIdentifier, restore
from identity.store.ledger import Cursor, Ledger, Migration

__all__ = [
    "MIGRATIONS",
    "Held",
    "HeldStatus",
    "State",
    "begin_adds",
    "begin_removals",
    "confirm_adds",
    "confirm_removals",
    "delivery_status",
    "drop_unsent",
    "held_keys",
    "quarantine_keys",
    "quarantined_keys",
    "record_sync",
    "remember_audience",
    "remote_audience",
    "still_held",
]

MIGRATIONS: tuple[Migration, ...] = (
    (
        "delivery-1",
        (
            """CREATE TABLE remote_audiences (
                destination TEXT NOT NULL,
                audience TEXT NOT NULL,
                alias TEXT NOT NULL,
                remote_id TEXT NOT NULL,
                created_at TEXT NOT NULL,
                PRIMARY KEY (destination, audience)
            ) STRICT""",
            """CREATE TABLE held (
                destination TEXT NOT NULL,
                audience TEXT NOT NULL,
                recipe TEXT NOT NULL,
                digest TEXT NOT NULL,
                kind TEXT NOT NULL,
                state TEXT NOT NULL CHECK (state IN ('add_inflight', 'present', 'remove_inflight')),
                batch INTEGER NOT NULL,
                since TEXT NOT NULL,
                PRIMARY KEY (destination, audience, recipe, digest)
            ) STRICT, WITHOUT ROWID""",
            """CREATE TABLE batches (
                id INTEGER PRIMARY KEY,
                run TEXT NOT NULL,
                destination TEXT NOT NULL,
                audience TEXT NOT NULL,
                operation TEXT NOT NULL CHECK (operation IN ('add', 'remove')),
                keys INTEGER NOT NULL,
                begun_at TEXT NOT NULL,
                confirmed_at TEXT,
                invalid INTEGER NOT NULL DEFAULT 0,
                request_id TEXT NOT NULL DEFAULT ''
            ) STRICT""",
            """CREATE TABLE quarantined_keys (
                destination TEXT NOT NULL,
                audience TEXT NOT NULL,
                recipe TEXT NOT NULL,
                digest TEXT NOT NULL,
                code TEXT NOT NULL,
                since TEXT NOT NULL,
                PRIMARY KEY (destination, audience, recipe, digest)
            ) STRICT, WITHOUT ROWID""",
            """CREATE TABLE syncs (
                run TEXT NOT NULL,
                destination TEXT NOT NULL,
                audience TEXT NOT NULL,
                finished_at TEXT NOT NULL,
                outcome TEXT NOT NULL,
                added INTEGER NOT NULL,
                removed INTEGER NOT NULL,
                held_back TEXT NOT NULL,
                PRIMARY KEY (run, destination, audience)
            ) STRICT""",
        ),
    ),
)
"""The ledger's tables of delivery; digests are hashed identifiers, and so personal data."""


class State(StrEnum):
    """What is known of a held identifier."""

    ADD_INFLIGHT = "add_inflight"
    PRESENT = "present"
    REMOVE_INFLIGHT = "remove_inflight"


@dataclass(frozen=True, slots=True)
class Held:
    """An identifier that the platform may hold.

    Attributes:
        key: the hashed identifier, as it was sent.
        state: what is known; anything but present means that an answer never came.
    """

    key: HashedIdentifier
    state: State


@dataclass(frozen=True, slots=True)
class HeldStatus:
    """What one destination holds for one audience.

    Attributes:
        destination: its name.
        audience: the audience's key.
        alias: the opaque name of the audience there.
        present: identifiers confirmed there.
        in_flight: identifiers whose last request has no answer yet.
        quarantined: identifiers that the platform refused.
        last_sync_at: end of the last sync, UTC, or None.
        outcome: of the last sync.
    """

    destination: str
    audience: str
    alias: str
    present: int
    in_flight: int
    quarantined: int
    last_sync_at: str | None
    outcome: str | None


def held_keys(cursor: Cursor, destination: str, audience: str) -> dict[HashedIdentifier, State]:
    """Everything that the platform may hold for an audience."""
    rows = cursor.execute(
        "SELECT kind, recipe, digest, state FROM held WHERE destination = ? AND audience = ?",
        (destination, audience),
    )
    return {restore(kind, recipe, digest): State(state) for kind, recipe, digest, state in rows}


def quarantined_keys(cursor: Cursor, destination: str, audience: str) -> set[tuple[str, str]]:
    """The (recipe, digest) pairs that the platform refused; they are not sent again."""
    rows = cursor.execute(
        "SELECT recipe, digest FROM quarantined_keys WHERE destination = ? AND audience = ?",
        (destination, audience),
    )
    return set(rows.fetchall())


def remote_audience(cursor: Cursor, destination: str, audience: str) -> str | None:
    """The platform's id of an audience, or None when it was not made yet."""
    row = cursor.execute(
        "SELECT remote_id FROM remote_audiences WHERE destination = ? AND audience = ?",
        (destination, audience),
    ).fetchone()
    return str(row[0]) if row else None


def remember_audience(
    cursor: Cursor, destination: str, audience: str, *, alias: str, remote_id: str, at: datetime
) -> None:
    """Keep the platform's id of an audience."""
    cursor.execute(
        "INSERT INTO remote_audiences (destination, audience, alias, remote_id, created_at) "
        "VALUES (?, ?, ?, ?, ?)",
        (destination, audience, alias, remote_id, _text(at)),
    )


def begin_adds(
    cursor: Cursor, run: str, destination: str, audience: str, keys: Sequence[HashedIdentifier], at: datetime
) -> int:
    """Write the intent to add; commit it before the first byte leaves.

    Returns:
        The batch's id.
    """
    batch = _begin(cursor, run, destination, audience, "add", len(keys), at)
    cursor.executemany(
        "INSERT INTO held (destination, audience, recipe, digest, kind, state, batch, since) "
        "VALUES (?, ?, ?, ?, ?, 'add_inflight', ?, ?) "
        "ON CONFLICT DO UPDATE SET state = 'add_inflight', batch = excluded.batch, since = excluded.since",
        [(destination, audience, key.recipe, key.digest, key.kind, batch, _text(at)) for key in keys],
    )
    return batch


def begin_removals(
    cursor: Cursor, run: str, destination: str, audience: str, keys: Sequence[HashedIdentifier], at: datetime
) -> int:
    """Write the intent to remove; the identifiers stay until the removal is confirmed.

    Returns:
        The batch's id.
    """
    batch = _begin(cursor, run, destination, audience, "remove", len(keys), at)
    cursor.executemany(
        "UPDATE held SET state = 'remove_inflight', batch = ?, since = ? "
        "WHERE destination = ? AND audience = ? AND recipe = ? AND digest = ?",
        [(batch, _text(at), destination, audience, key.recipe, key.digest) for key in keys],
    )
    return batch


def _begin(
    cursor: Cursor, run: str, destination: str, audience: str, operation: str, keys: int, at: datetime
) -> int:
    cursor.execute(
        "INSERT INTO batches (run, destination, audience, operation, keys, begun_at) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        (run, destination, audience, operation, keys, _text(at)),
    )
    return int(cursor.lastrowid or 0)


def confirm_adds(cursor: Cursor, batch: int, at: datetime, *, invalid: int, request_id: str) -> None:
    """The platform took a batch: its identifiers are present."""
    cursor.execute(
        "UPDATE held SET state = 'present', since = ? WHERE batch = ? AND state = 'add_inflight'",
        (_text(at), batch),
    )
    _confirm(cursor, batch, at, invalid, request_id)


def confirm_removals(cursor: Cursor, batch: int, at: datetime, *, invalid: int, request_id: str) -> None:
    """The platform removed a batch: only now do its identifiers leave the ledger."""
    cursor.execute("DELETE FROM held WHERE batch = ? AND state = 'remove_inflight'", (batch,))
    _confirm(cursor, batch, at, invalid, request_id)


def _confirm(cursor: Cursor, batch: int, at: datetime, invalid: int, request_id: str) -> None:
    cursor.execute(
        "UPDATE batches SET confirmed_at = ?, invalid = ?, request_id = ? WHERE id = ?",
        (_text(at), invalid, request_id, batch),
    )


def drop_unsent(
    cursor: Cursor, destination: str, audience: str, fresh: Iterable[HashedIdentifier], batch: int
) -> None:
    """Forget identifiers of a batch that the platform applied nothing of.

    Args:
        cursor: of an open transaction.
        destination: its name.
        audience: the audience's key.
        fresh: only identifiers that were not held before the batch; the others may still be there.
        batch: the batch that was refused.
    """
    cursor.executemany(
        "DELETE FROM held WHERE destination = ? AND audience = ? AND recipe = ? AND digest = ? "
        "AND batch = ? AND state = 'add_inflight'",
        [(destination, audience, key.recipe, key.digest, batch) for key in fresh],
    )


def quarantine_keys(
    cursor: Cursor, destination: str, audience: str, refused: Mapping[HashedIdentifier, str], at: datetime
) -> None:
    """Keep identifiers that the platform refused, with its code, so that they are not sent again."""
    cursor.executemany(
        "INSERT OR REPLACE INTO quarantined_keys (destination, audience, recipe, digest, code, since) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        [(destination, audience, key.recipe, key.digest, code, _text(at)) for key, code in refused.items()],
    )


def record_sync(
    cursor: Cursor,
    run: str,
    destination: str,
    audience: str,
    *,
    at: datetime,
    outcome: str,
    counts: tuple[int, int],
    held_back: Mapping[str, int],
) -> None:
    """Write down how a sync ended; `counts` are identifiers added and removed."""
    cursor.execute(
        "INSERT OR REPLACE INTO syncs "
        "(run, destination, audience, finished_at, outcome, added, removed, held_back) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (run, destination, audience, _text(at), outcome, *counts, json.dumps(dict(held_back))),
    )


def still_held(ledger: Ledger) -> list[tuple[str, str, int]]:
    """Every (destination, audience, identifiers) for which something may be held."""
    with ledger.reading() as cursor:
        return cursor.execute(
            "SELECT destination, audience, COUNT(*) FROM held GROUP BY 1, 2 ORDER BY 1, 2"
        ).fetchall()


def delivery_status(ledger: Ledger) -> list[HeldStatus]:
    """What every destination holds, and how its last sync ended."""
    with ledger.reading() as cursor:
        rows = cursor.execute(_STATUS).fetchall()
    return [HeldStatus(*row) for row in rows]


_STATUS = """
WITH pairs AS (
    SELECT destination, audience FROM held UNION SELECT destination, audience FROM syncs
    UNION SELECT destination, audience FROM remote_audiences
),
last AS (SELECT destination, audience, MAX(finished_at) AS at, outcome FROM syncs GROUP BY 1, 2)
SELECT p.destination, p.audience, COALESCE(r.alias, ''),
       (SELECT COUNT(*) FROM held AS h
        WHERE h.destination = p.destination AND h.audience = p.audience AND h.state = 'present'),
       (SELECT COUNT(*) FROM held AS h
        WHERE h.destination = p.destination AND h.audience = p.audience AND h.state <> 'present'),
       (SELECT COUNT(*) FROM quarantined_keys AS q
        WHERE q.destination = p.destination AND q.audience = p.audience),
       l.at, l.outcome
FROM pairs AS p
LEFT JOIN remote_audiences AS r ON r.destination = p.destination AND r.audience = p.audience
LEFT JOIN last AS l ON l.destination = p.destination AND l.audience = p.audience
ORDER BY 1, 2
"""


def _text(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="microseconds")
