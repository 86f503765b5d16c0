"""The ledger: what was committed is there, whatever happens."""

from __future__ import annotations

import contextlib
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from identity.errors import LedgerError
from identity.store.ledger import Migration, open_ledger

NOTES: tuple[Migration, ...] = (("notes-1", ("CREATE TABLE notes (text TEXT) STRICT",)),)
MORE: tuple[Migration, ...] = (*NOTES, ("notes-2", ("ALTER TABLE notes ADD COLUMN at TEXT",)))


def test_a_transaction_is_committed_whole_or_not_at_all(tmp_path: Path) -> None:
    """An exception inside takes everything back."""
    with open_ledger(tmp_path / "l.sqlite", NOTES) as ledger:
        with ledger.transaction() as cursor:
            cursor.execute("INSERT INTO notes VALUES ('kept')")
        with contextlib.suppress(ZeroDivisionError), ledger.transaction() as cursor:
            cursor.execute("INSERT INTO notes VALUES ('lost')")
            raise ZeroDivisionError
        with ledger.reading() as cursor:
            assert cursor.execute("SELECT text FROM notes").fetchall() == [("kept",)]


def test_what_was_committed_survives_a_kill(tmp_path: Path) -> None:
    """The process dies by SIGKILL right after its commit returned."""
    script = (
        "import os, sys\nfrom identity.store.ledger import open_ledger\n"
        "ledger = open_ledger(sys.argv[1], (('n', ('CREATE TABLE notes (text TEXT)',)),))\n"
        "with ledger.transaction() as cursor: cursor.execute(\"INSERT INTO notes VALUES ('kept')\")\n"
        "ledger._connection.execute('BEGIN IMMEDIATE')\n"
        "ledger._connection.execute(\"INSERT INTO notes VALUES ('lost')\")\n"
        f"os.kill(os.getpid(), {int(signal.SIGKILL)})"
    )
    path = tmp_path / "l.sqlite"
    died = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert died.returncode == -signal.SIGKILL
    with open_ledger(path, (("n", ()),)) as ledger, ledger.reading() as cursor:
        assert cursor.execute("SELECT text FROM notes").fetchall() == [("kept",)]


def test_another_process_can_read_while_one_writes(tmp_path: Path) -> None:
    """`audiences status` works while a job runs; it sees what was committed."""
    path = tmp_path / "l.sqlite"
    with (
        open_ledger(path, NOTES) as writer,
        open_ledger(path, NOTES) as reader,
        writer.transaction() as cursor,
    ):
        cursor.execute("INSERT INTO notes VALUES ('not yet')")
        with reader.reading() as seen:
            assert seen.execute("SELECT count(*) FROM notes").fetchone() == (0,)


def test_new_steps_are_applied_once_and_a_newer_ledger_is_refused(tmp_path: Path) -> None:
    """An old program must not write into tables that it does not know."""
    path = tmp_path / "l.sqlite"
    open_ledger(path, NOTES).close()
    open_ledger(path, MORE).close()
    open_ledger(path, MORE).close()
    with pytest.raises(LedgerError, match="newer program"):
        open_ledger(path, NOTES)


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    """It lists who consented to what, under tokens."""
    path = tmp_path / "l.sqlite"
    open_ledger(path, NOTES).close()
    assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0


@pytest.mark.parametrize("content", [b"this is no database at all, but a text file\n" * 20])
def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path, content: bytes) -> None:
    """With its name, and nothing is written to it."""
    path = tmp_path / "l.sqlite"
    path.write_bytes(content)
    with pytest.raises(LedgerError, match="can't be opened"):
        open_ledger(path, NOTES)
    assert path.read_bytes() == content
    with pytest.raises(LedgerError, match="folder"):
        open_ledger(tmp_path / "no" / "l.sqlite", NOTES)


def test_transactions_do_not_nest(tmp_path: Path) -> None:
    """Otherwise an inner commit would be none."""
    with (
        open_ledger(tmp_path / "l.sqlite", NOTES) as ledger,
        ledger.transaction(),
        pytest.raises(LedgerError, match="do not nest"),
    ):
        ledger.transaction().__enter__()


def test_a_refused_commit_is_taken_back_and_the_ledger_goes_on(tmp_path: Path) -> None:
    """The refusal belongs to one transaction, not to the ledger."""
    tables = (
        "CREATE TABLE people (id INTEGER PRIMARY KEY) STRICT",
        "CREATE TABLE notes (person INTEGER REFERENCES people DEFERRABLE INITIALLY DEFERRED) STRICT",
    )
    with open_ledger(tmp_path / "l.sqlite", (("notes-1", tables),)) as ledger:
        with pytest.raises(LedgerError, match="refused"), ledger.transaction() as cursor:
            cursor.execute("INSERT INTO notes VALUES (5)")
        with ledger.transaction() as cursor:
            assert cursor.execute("SELECT count(*) FROM notes").fetchone() == (0,)
