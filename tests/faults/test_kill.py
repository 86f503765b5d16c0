"""A sync is killed by SIGKILL at every step: the ledger knows who may be there, and the next run goes on.

The sync runs in a process of its own against a platform in this one, over real HTTP, with its ledger in a
real file. It is killed inside and after each of its transactions, and before and after the platform does what
each of its requests asks.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from exporters.destination import Destination
from exporters.ledger import held_keys
from exporters.sync import sync_audience
from exporters.testing import PracticePlatform
from identity.privacy.consent import ConsentRecord, record_consent
from tests.exporters.memory import NOW, FakeClock, opened
from tests.faults.run_sync import ALIAS, AUDIENCE, BATCH, SmallBatches, candidates

ROOT = Path(__file__).parent.parent.parent
BEFORE, AFTER = range(10), range(5, 17)
"""Who is a member before and after; person 6 has refused meanwhile."""
REFUSED = 6
REQUESTS = 2 + 2
"""Two batches of removals (0 to 4, and 6), two of adds (10 to 16)."""
TRANSACTIONS = 2 * REQUESTS + 1
"""An intent and a confirmation for each, and how the sync ended."""


class KillingPlatform(PracticePlatform):
    """Kills whoever sends the n-th request, before or after doing what it asks."""

    def __init__(self) -> None:
        super().__init__()
        self.victim: subprocess.Popen[bytes] | None = None
        self.kill_at, self.applies, self.arrived = -1, False, 0
        self.killed = False

    def _answer(self, *request: Any) -> Any:
        here = self.victim is not None and self.arrived == self.kill_at
        self.arrived += 1
        if here and not self.applies:
            self._kill()
            return (500, {}), "unknown", 0
        answer = super()._answer(*request)
        if here:
            self._kill()
        return answer

    def _kill(self) -> None:
        assert self.victim is not None
        self.victim.send_signal(signal.SIGKILL)
        self.victim.wait()
        self.killed = True


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Iterator[KillingPlatform]:
    monkeypatch.setenv("META_ACCESS_TOKEN", "token-for-practice")
    monkeypatch.setenv("GOOGLE_ACCESS_TOKEN", "token-for-practice")
    with KillingPlatform() as platform:
        yield platform


def consent(folder: Path) -> None:
    with opened(folder) as ledger:
        record_consent(
            ledger,
            [
                ConsentRecord(f"token-{number}", "advertising", "granted", NOW, "event", f"m{number}")
                for number in range(20)
            ],
        )


def refuse(folder: Path) -> None:
    with opened(folder) as ledger:
        record_consent(
            ledger, [ConsentRecord(f"token-{REFUSED}", "advertising", "denied", NOW, "cli", "letter")]
        )


def sync_here(folder: Path, destination: Destination, members: range) -> None:
    people = candidates(destination.platform, members)
    with opened(folder) as ledger:
        sync_audience(
            ledger, destination, AUDIENCE, ALIAS, people, clock=FakeClock().clock, run="run", floor=1
        )


def killed_sync(
    folder: Path, platform: KillingPlatform, which: str, transaction: int = -1, when: str = "committed"
) -> int:
    """Run the sync in its own process; returns how that ended."""
    command = [sys.executable, "-m", "tests.faults.run_sync", str(folder), platform.url, which]
    command += [f"{AFTER.start}-{AFTER.stop}", str(transaction), when]
    with subprocess.Popen(
        command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE
    ) as process:
        platform.victim = process
        output, _ = process.communicate(timeout=60)
    platform.victim = None
    assert process.returncode != 0 or int(output) in (1, TRANSACTIONS)
    return process.returncode


def digests(which: str, members: Iterable[int]) -> set[str]:
    return {key.digest for each in candidates(which, members) for key in each.keys}


def check(folder: Path, platform: KillingPlatform, which: str) -> None:
    """Nobody is there whom the ledger does not know; the next run brings the platform in line."""
    destination = SmallBatches(which, platform.url)
    with opened(folder) as ledger, ledger.reading() as cursor:
        known = {key.digest for key in held_keys(cursor, destination.name, AUDIENCE)}
    assert platform.everybody() <= known
    sync_here(folder, destination, AFTER)
    desired = digests(which, [number for number in AFTER if number != REFUSED])
    assert platform.members(ALIAS) == platform.everybody() == desired
    with opened(folder) as ledger, ledger.reading() as cursor:
        held = held_keys(cursor, destination.name, AUDIENCE)
    assert {key.digest for key in held} == desired
    assert set(held.values()) == {"present"}
    (refused,) = digests(which, [REFUSED])
    adds = [request for request in platform.seen if request.operation == "add"]
    assert sum(refused.encode() in request.body for request in adds) == 1


def repeated(platform: KillingPlatform, since: int, which: str) -> int:
    """Identifiers that arrived more than once, with the same operation, after the first sync."""
    counted: Counter[tuple[str, str]] = Counter()
    for request in platform.seen[since:]:
        body = request.body.decode()
        for number in range(20):
            (digest,) = digests(which, [number])
            if digest in body:
                counted[request.operation, digest] += 1
    return sum(count - 1 for count in counted.values())


def prepared(folder: Path, platform: KillingPlatform, which: str) -> int:
    consent(folder)
    sync_here(folder, SmallBatches(which, platform.url), BEFORE)
    refuse(folder)
    assert platform.everybody() == digests(which, BEFORE)
    return len(platform.seen)


@pytest.mark.parametrize("which", ["meta", "google"])
def test_a_sync_that_nobody_kills_takes_the_steps_counted_here(
    tmp_path: Path, platform: KillingPlatform, which: str
) -> None:
    """So that the tests below reach every one of them."""
    since = prepared(tmp_path, platform, which)
    assert killed_sync(tmp_path, platform, which) == 0
    assert [request.operation for request in platform.seen[since:]] == ["remove", "remove", "add", "add"]
    check(tmp_path, platform, which)


@pytest.mark.parametrize("when", ["begun", "committed"])
@pytest.mark.parametrize("transaction", range(TRANSACTIONS))
def test_killed_at_a_transaction(
    tmp_path: Path, platform: KillingPlatform, transaction: int, when: str
) -> None:
    """Intents and confirmations, before they are on disk and after."""
    since = prepared(tmp_path, platform, "meta")
    assert killed_sync(tmp_path, platform, "meta", transaction, when) == -signal.SIGKILL
    check(tmp_path, platform, "meta")
    assert repeated(platform, since, "meta") <= BATCH


@pytest.mark.parametrize("applies", [False, True])
@pytest.mark.parametrize("request_number", range(REQUESTS))
@pytest.mark.parametrize("which", ["meta", "google"])
def test_killed_at_a_request(
    tmp_path: Path, platform: KillingPlatform, which: str, request_number: int, applies: bool
) -> None:
    """While the platform has not done it yet, and when it has, but the answer never came."""
    since = prepared(tmp_path, platform, which)
    platform.kill_at, platform.applies = platform.arrived + request_number, applies
    assert killed_sync(tmp_path, platform, which) == -signal.SIGKILL
    assert platform.killed
    check(tmp_path, platform, which)
    assert repeated(platform, since, which) <= BATCH


@pytest.mark.parametrize("applies", [False, True])
@pytest.mark.parametrize("which", ["meta", "google"])
def test_killed_while_the_audience_is_made(
    tmp_path: Path, platform: KillingPlatform, which: str, applies: bool
) -> None:
    """An empty list of that name may stay behind; nobody is in it."""
    consent(tmp_path)
    platform.kill_at, platform.applies = 0, applies
    assert killed_sync(tmp_path, platform, which) == -signal.SIGKILL
    assert platform.everybody() == set()
    sync_here(tmp_path, SmallBatches(which, platform.url), AFTER)
    assert platform.everybody() == digests(which, AFTER)
    assert (
        sorted(members for _, _, members in platform.audiences().values()) == [0, len(AFTER)][not applies :]
    )


def test_killed_again_and_again(tmp_path: Path, platform: KillingPlatform) -> None:
    """A run that dies each time it has confirmed one batch gets through all the same."""
    since = prepared(tmp_path, platform, "google")
    kills = 0
    while killed_sync(tmp_path, platform, "google", 1, "committed") != 0:
        kills += 1
    assert kills == REQUESTS
    check(tmp_path, platform, "google")
    assert repeated(platform, since, "google") == 0
