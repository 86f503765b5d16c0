"""One sync in a process of its own, which kills itself with SIGKILL at a chosen transaction.

Started by `test_kill.py`: `python -m tests.faults.run_sync FOLDER URL PLATFORM MEMBERS TRANSACTION WHEN`.
TRANSACTION counts the ledger's write transactions from 0, -1 for none; WHEN is `begun` (written, but not
committed) or `committed`. Requests are killed from the platform's side.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from exporters import google, meta
from exporters.destination import Channel, Clock, Limits
from exporters.sync import sync_audience
from identity.privacy.hashing import Candidate, hash_value
from identity.store.ledger import Cursor, Ledger, open_ledger
from tests.exporters.memory import MIGRATIONS, NOW, FakeClock

BATCH = 4
AUDIENCE = "big_spenders"
ALIAS = "a1b2c3d4"


class SmallBatches:
    """A destination that takes few rows at once, so that a few people are many batches."""

    def __init__(self, platform: str, url: str) -> None:
        self._whole = (
            meta.custom_audience("act_42", match=["email"], purpose="advertising", base_url=url)
            if platform == "meta"
            else google.customer_match("1234567890", match=["email"], purpose="advertising", base_url=url)
        )
        self.name, self.platform = self._whole.name, self._whole.platform
        self.purpose, self.match = self._whole.purpose, self._whole.match
        self.limits = Limits(batch_rows=BATCH)

    @contextmanager
    def open(self, clock: Clock) -> Iterator[Channel]:
        with self._whole.open(clock) as channel:
            yield channel


class DyingLedger(Ledger):
    """A ledger that kills its process at a transaction, before its commit or after."""

    def __init__(self, path: Path, at: int, when: str) -> None:
        super().__init__(open_ledger(path, MIGRATIONS)._connection, path)
        self._at, self._when, self.count = at, when, 0

    @contextmanager
    def transaction(self) -> Iterator[Cursor]:
        here = self.count == self._at
        self.count += 1
        with super().transaction() as cursor:
            yield cursor
            if here and self._when == "begun":
                os.kill(os.getpid(), signal.SIGKILL)
        if here:
            os.kill(os.getpid(), signal.SIGKILL)


def candidates(platform: str, members: Iterable[int]) -> list[Candidate]:
    """The members of the audience, by number."""
    return [
        Candidate(
            f"p{number}",
            (f"token-{number}",),
            (hash_value(f"{platform}.email", f"person{number}@example.com"),),
        )
        for number in members
    ]


def main(folder: str, url: str, platform: str, members: str, transaction: str, when: str) -> None:
    """Sync once."""
    first, last = map(int, members.split("-"))
    with DyingLedger(Path(folder) / "ledger.sqlite", int(transaction), when) as ledger:
        sync_audience(
            ledger,
            SmallBatches(platform, url),
            AUDIENCE,
            ALIAS,
            candidates(platform, range(first, last)),
            clock=FakeClock(NOW + timedelta(days=1)).clock,
            run="run-killed",
            floor=1,
        )
        print(ledger.count)


if __name__ == "__main__":
    main(*sys.argv[1:])
