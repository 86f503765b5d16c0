"""What is due, and who may run: both are rows of the ledger, so cron is all the daemon there is.

An audience is due when `every` has passed since it was last applied with success; missed runs become one. One
runner works on a project at a time: it holds a lease that it renews, and that another takes over when it has
expired, or when its holder on this machine is dead.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from audiences.audience import Audience
from identity.errors import AudienceEngineError
from identity.store.ledger import Cursor, Ledger, Migration

__all__ = ["LEASE", "MIGRATIONS", "BusyError", "due_audiences", "last_runs", "only_runner", "record_run"]

LEASE = timedelta(minutes=30)
"""How long a runner that can't be seen (on another machine) is believed to be alive."""

MIGRATIONS: tuple[Migration, ...] = (
    (
        "scheduler-1",
        (
            """CREATE TABLE audience_runs (
                audience TEXT NOT NULL,
                as_of TEXT NOT NULL,
                run TEXT NOT NULL,
                members INTEGER NOT NULL,
                entered INTEGER NOT NULL,
                exited INTEGER NOT NULL,
                succeeded INTEGER NOT NULL,
                PRIMARY KEY (audience, run)
            ) STRICT""",
            """CREATE TABLE runner (
                only INTEGER PRIMARY KEY CHECK (only = 1),
                machine TEXT NOT NULL,
                process INTEGER NOT NULL,
                expires_at TEXT NOT NULL
            ) STRICT""",
        ),
    ),
    ("scheduler-2", ("ALTER TABLE audience_runs ADD COLUMN stale_since TEXT",)),
)
"""The ledger's tables of runs and of the one runner."""


class BusyError(AudienceEngineError):
    """Another runner works on this project; try again later."""


def due_audiences(ledger: Ledger, audiences: Sequence[Audience], as_of: datetime) -> list[Audience]:
    """List the audiences whose time has come.

    Args:
        ledger: knows the last runs.
        audiences: those with `every` are looked at; the others run only by hand.
        as_of: now, UTC.
    """
    with ledger.reading() as cursor:
        found = cursor.execute(
            "SELECT audience, MAX(as_of) FROM audience_runs WHERE succeeded = 1 GROUP BY audience"
        ).fetchall()
    last = {key: datetime.fromisoformat(instant) for key, instant in found}
    return [
        audience
        for audience in audiences
        if audience.every is not None
        and (audience.key not in last or last[audience.key] + audience.every.delta <= as_of)
    ]


def record_run(
    cursor: Cursor,
    audience: str,
    as_of: datetime,
    run: str,
    counts: tuple[int, int, int],
    *,
    succeeded: bool,
    stale_since: datetime | None,
) -> None:
    """Write down that an audience was applied.

    Args:
        cursor: of an open ledger transaction.
        audience: its key.
        as_of: the instant that it was computed for, UTC.
        run: the run's id.
        counts: members, entered, exited.
        succeeded: False when a destination failed, so that it stays due.
        stale_since: since when it can't be computed and its last version is sent, UTC; None when it can.
    """
    cursor.execute(
        "INSERT INTO audience_runs (audience, as_of, run, members, entered, exited, succeeded, stale_since) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (audience, run) "
        "DO UPDATE SET succeeded = excluded.succeeded, stale_since = excluded.stale_since",
        (
            audience,
            _text(as_of),
            run,
            *counts,
            int(succeeded),
            None if stale_since is None else _text(stale_since),
        ),
    )


def last_runs(ledger: Ledger) -> list[dict[str, object]]:
    """The newest run of every audience, a row each with the columns of `audience_runs`.

    Args:
        ledger: knows the runs.
    """
    names = ("audience", "as_of", "run", "members", "entered", "exited", "stale_since", "succeeded")
    with ledger.reading() as cursor:
        found = cursor.execute(
            "SELECT audience, MAX(as_of), run, members, entered, exited, stale_since, succeeded "
            "FROM audience_runs GROUP BY audience ORDER BY audience"
        ).fetchall()
    return [{**dict(zip(names, row, strict=True)), "succeeded": bool(row[-1])} for row in found]


@contextmanager
def only_runner(ledger: Ledger, clock: Callable[[], datetime]) -> Iterator[Callable[[], None]]:
    """Be the only runner of a project until the context ends.

    Args:
        ledger: holds the lease.
        clock: the instant, UTC.

    Yields:
        A function that renews the lease; call it between steps of long work.

    Raises:
        BusyError: another runner holds the lease.
    """
    machine, process = platform.node(), os.getpid()

    def renew() -> None:
        with ledger.transaction() as cursor:
            held = cursor.execute("SELECT machine, process, expires_at FROM runner").fetchone()
            if held and held[:2] != (machine, process) and _alive(held, machine, clock()):
                raise BusyError(
                    f"Another run works on this project (process {held[1]} on {held[0]}, until {held[2]} at "
                    "the latest); try again later."
                )
            cursor.execute(
                "INSERT OR REPLACE INTO runner (only, machine, process, expires_at) VALUES (1, ?, ?, ?)",
                (machine, process, _text(clock() + LEASE)),
            )

    renew()
    try:
        yield renew
    finally:
        with ledger.transaction() as cursor:
            cursor.execute("DELETE FROM runner WHERE machine = ? AND process = ?", (machine, process))


def _alive(held: tuple[str, int, str], here: str, now: datetime) -> bool:
    machine, process, expires_at = held
    if datetime.fromisoformat(expires_at) <= now:
        return False
    if machine != here or os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _text(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="microseconds")
