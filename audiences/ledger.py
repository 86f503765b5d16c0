"""The ledger with every table that the engine keeps in it."""

from __future__ import annotations

from pathlib import Path

from audiences import manual, scheduler
from exporters import ledger as delivery
from identity import overrides
from identity.privacy import consent, suppression
from identity.store.ledger import Ledger
from identity.store.ledger import open_ledger as open_file

__all__ = ["MIGRATIONS", "open_ledger"]

MIGRATIONS = (
    *consent.MIGRATIONS,
    *suppression.MIGRATIONS,
    *delivery.MIGRATIONS,
    *scheduler.MIGRATIONS,
    *overrides.MIGRATIONS,
    *manual.MIGRATIONS,
)
"""Every step that this program knows, oldest first within each owner."""


def open_ledger(path: Path) -> Ledger:
    """Open a project's ledger.

    Args:
        path: the file; made when missing.

    Raises:
        LedgerError: not a ledger, in use for too long, or made by a newer program.
    """
    return open_file(path, MIGRATIONS)
