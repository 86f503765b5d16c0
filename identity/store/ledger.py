"""The ledger: what must not be lost. SQLite, write-ahead log, every commit on disk before it returns.

The only module that imports sqlite3. A second process can read while a job writes. Statements are constant
text with bound parameters; tables belong to the modules that bring their migrations.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import PathLike, fspath
from pathlib import Path
from types import TracebackType

from identity.errors import LedgerError

__all__ = ["Cursor", "Ledger", "Migration", "open_ledger"]

Migration = tuple[str, tuple[str, ...]]
"""Id and statements of one step; applied once, in order, each in a transaction of its own."""

Cursor = sqlite3.Cursor
"""What a transaction hands out; named here so that other modules need not import the driver."""

_WAIT = 10.0
"""Seconds to wait for another writer."""


def open_ledger(path: str | PathLike[str], migrations: Sequence[Migration]) -> Ledger:
    """Open the ledger and bring its tables up to date.

    Args:
        path: the file; made when missing, readable by its owner only.
        migrations: every step that this program knows, oldest first.

    Raises:
        LedgerError: not a ledger, in use for too long, or made by a newer program.
    """
    place = Path(path)
    if not place.resolve().parent.is_dir():
        raise LedgerError(f"The folder of the ledger {fspath(path)!r} does not exist; make it first.")
    try:
        if not place.exists():
            place.touch(mode=0o600)
        connection = sqlite3.connect(place, timeout=_WAIT, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
        except BaseException:
            connection.close()
            raise
    except (sqlite3.Error, OSError) as error:
        raise LedgerError(f"{fspath(path)!r} can't be opened as a ledger: {error}.") from None
    ledger = Ledger(connection, place)
    try:
        _migrate(ledger, migrations)
    except BaseException:
        ledger.close()
        raise
    return ledger


class Ledger:
    """One open ledger, for one thread of one process."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self.path = path

    def __repr__(self) -> str:
        """Show where it lies."""
        return f"Ledger({str(self.path)!r})"

    @contextmanager
    def transaction(self) -> Iterator[Cursor]:
        """Everything inside is on disk when the context ends, or nothing of it.

        Raises:
            LedgerError: another process wrote for too long, or the disk refused.
        """
        if self._connection.in_transaction:
            raise LedgerError("A ledger transaction is open already; transactions do not nest.")
        with self._refusals():
            self._connection.execute("BEGIN IMMEDIATE")
        try:
            with self._refusals():
                yield self._connection.cursor()
                self._connection.execute("COMMIT")
        except BaseException:
            # a commit that was refused leaves the transaction open too
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    @contextmanager
    def reading(self) -> Iterator[Cursor]:
        """Read one consistent state; what others write meanwhile is not seen."""
        if self._connection.in_transaction:
            raise LedgerError("A ledger transaction is open already; transactions do not nest.")
        with self._refusals():
            self._connection.execute("BEGIN")
            try:
                yield self._connection.cursor()
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def close(self) -> None:
        """Release the file."""
        self._connection.close()

    def __enter__(self) -> Ledger:
        """Use the ledger until the context ends."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise LedgerError(
                    f"The ledger {str(self.path)!r} is being written by another process; try again later."
                ) from None
            raise LedgerError(f"The ledger {str(self.path)!r} refused: {error}.") from None
        except sqlite3.DatabaseError as error:
            raise LedgerError(f"The ledger {str(self.path)!r} refused ({type(error).__name__}).") from None


def _migrate(ledger: Ledger, migrations: Sequence[Migration]) -> None:
    with ledger.reading() as cursor:
        made = cursor.execute("SELECT 1 FROM sqlite_master WHERE name = 'migrations'").fetchone()
        done = {row[0] for row in cursor.execute("SELECT id FROM migrations")} if made else set()
    known = [name for name, _ in migrations]
    newer = sorted(done - set(known))
    if newer:
        raise LedgerError(
            f"The ledger {str(ledger.path)!r} was written by a newer program (it has {newer[0]!r}); "
            "use that one."
        )
    if not made:
        with ledger.transaction() as cursor:
            cursor.execute("CREATE TABLE IF NOT EXISTS migrations (id TEXT PRIMARY KEY) STRICT")
    for name, statements in migrations:
        if name in done:
            continue
        with ledger.transaction() as cursor:
            # another process may have been faster between the look and the lock
            if cursor.execute("SELECT 1 FROM migrations WHERE id = ?", (name,)).fetchone():
                continue
            for statement in statements:
                cursor.execute(statement)
            cursor.execute("INSERT INTO migrations (id) VALUES (?)", (name,))
