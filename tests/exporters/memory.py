"""A platform in memory that crashes, refuses and forgets to answer on demand; and people to send to it."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from exporters import ledger as delivery
from exporters.destination import Channel, Clock, Limits, Receipt
from exporters.errors import AuthError, RejectedError, TransientError
from identity.privacy import consent, suppression
from identity.privacy.consent import ConsentRecord, record_consent
from identity.privacy.hashing import Candidate, HashedIdentifier, hash_value
from identity.store.ledger import Cursor, Ledger, open_ledger

NOW = datetime(2026, 6, 1, tzinfo=UTC)
MIGRATIONS = (*consent.MIGRATIONS, *suppression.MIGRATIONS, *delivery.MIGRATIONS)
PURPOSE = "advertising"

_ids = itertools.count()


class Crash(BaseException):
    """The process died here."""


def opened(folder: Path) -> Ledger:
    """The ledger of a test, with the tables of consent and delivery."""
    return open_ledger(folder / "ledger.sqlite", MIGRATIONS)


def key_of(name: str, kind: str = "email") -> HashedIdentifier:
    """The hashed match key of somebody."""
    if kind == "phone":
        return hash_value("meta.phone", f"+1555{sum(name.encode()):07d}")
    return hash_value(f"meta.{kind}", f"{name}@example.com")


def person(name: str, *keys: HashedIdentifier) -> Candidate:
    """Somebody with an e-mail address, or with the keys given."""
    return Candidate(name, (f"token-{name}",), keys or (key_of(name),))


def say(ledger: Ledger, name: str, state: str, at: datetime = NOW - timedelta(days=1)) -> None:
    """Record consent under somebody's token."""
    evidence = f"message-{next(_ids)}"
    record_consent(ledger, [ConsentRecord(f"token-{name}", PURPOSE, state, at, "event", evidence)])  # type: ignore[arg-type]


def crowd(ledger: Ledger, count: int, prefix: str = "p") -> list[Candidate]:
    """People who consented."""
    people = [person(f"{prefix}{number:03d}") for number in range(count)]
    record_consent(
        ledger,
        [
            ConsentRecord(
                each.subjects[0], PURPOSE, "granted", NOW - timedelta(days=1), "event", each.profile_id
            )
            for each in people
        ],
    )
    return people


@dataclass(slots=True)
class FakeClock:
    """Time that passes only when somebody sleeps."""

    instant: datetime = NOW
    slept: list[float] = field(default_factory=list)
    on_sleep: Callable[[], None] = lambda: None

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.instant += timedelta(seconds=seconds)
        self.on_sleep()

    @property
    def clock(self) -> Clock:
        return Clock(now=lambda: self.instant, sleep=self.sleep, random=lambda: 0.5)


@dataclass(slots=True)
class MemoryPlatform:
    """A destination whose platform is a set.

    Attributes:
        batch: identifiers in one request.
        faults: what happens to the next requests: `drop_before` and `drop_after` lose the answer,
            `crash_before` and `crash_after` kill the process, `throttled`, `refused` and `unauthorised` say
            no; an empty text is no fault.
        poison: identifiers for which the platform refuses a whole request.
        names_rows: whether it says which row was the reason.
        answers_rows: whether it refuses poison alone and takes the other rows.
        members: remote id → who is there.
        requests: (operation, identifiers) of every request that arrived.
        on_add: is asked before every add that arrives.
        on_crash: makes sure that the dead process writes nothing more.
    """

    batch: int = 3
    name: str = "memory:1"
    platform: str = "meta"
    purpose: str = PURPOSE
    match: tuple[str, ...] = ("email", "phone")
    faults: deque[str] = field(default_factory=deque)
    poison: set[HashedIdentifier] = field(default_factory=set)
    names_rows: bool = True
    answers_rows: bool = False
    opens: bool = True
    creates: bool = True
    adds: bool = True
    removes: bool = True
    members: dict[str, set[HashedIdentifier]] = field(default_factory=dict)
    aliases: list[str] = field(default_factory=list)
    requests: list[tuple[str, tuple[HashedIdentifier, ...]]] = field(default_factory=list)
    on_add: Callable[[Sequence[HashedIdentifier]], None] = lambda _keys: None
    on_crash: Callable[[], None] = lambda: None

    @property
    def limits(self) -> Limits:
        return Limits(batch_rows=self.batch)

    @contextmanager
    def open(self, clock: Clock) -> Iterator[Channel]:
        if not self.opens:
            raise AuthError("There is no access token.")
        yield self

    def create_audience(self, alias: str) -> str:
        self._before("create", ())
        if not self.creates:
            raise RejectedError("No.", code="terms")
        remote_id = str(len(self.members))
        self.members[remote_id] = set()
        self.aliases.append(alias)
        self._after()
        return remote_id

    def add(self, remote_id: str, keys: Sequence[HashedIdentifier]) -> Receipt:
        self._before("add", keys)
        self.on_add(keys)
        bad = tuple((index, "bad_hash") for index, key in enumerate(keys) if key in self.poison)
        if not self.adds or (bad and not self.answers_rows):
            named = bad if self.names_rows and self.adds else ()
            raise RejectedError("No.", code="400", rows=named)
        self.members[remote_id] |= set(keys) - self.poison
        self._after()
        return Receipt(sent=len(keys), request_id=f"request-{len(self.requests)}", rejected=bad)

    def remove(self, remote_id: str, keys: Sequence[HashedIdentifier]) -> Receipt:
        self._before("remove", keys)
        if not self.removes:
            raise RejectedError("No.", code="flagged")
        self.members[remote_id] -= set(keys)
        self._after()
        return Receipt(sent=len(keys))

    def everybody(self) -> set[HashedIdentifier]:
        """Everybody whom the platform holds."""
        return set().union(*self.members.values())

    def counted(self, operation: str) -> int:
        """How many requests of a kind arrived."""
        return sum(each == operation for each, _ in self.requests)

    def _before(self, operation: str, keys: Sequence[HashedIdentifier]) -> None:
        assert len(keys) <= self.batch
        assert len(set(keys)) == len(keys)
        assert all(isinstance(key, HashedIdentifier) for key in keys)
        if self.faults and self.faults[0] == "crash_before":
            self.faults.popleft()
            self.on_crash()
            raise Crash
        self.requests.append((operation, tuple(keys)))
        match self.faults[0] if self.faults else "":
            case "drop_before":
                self.faults.popleft()
                raise TransientError("No answer.")
            case "throttled":
                self.faults.popleft()
                raise TransientError("Wait.", retry_after=7.0, unknown=False)
            case "refused":
                self.faults.popleft()
                raise RejectedError("No.", code="400")
            case "unauthorised":
                self.faults.popleft()
                raise AuthError("Renew.")

    def _after(self) -> None:
        match self.faults.popleft() if self.faults else "":
            case "drop_after":
                raise TransientError("No answer.")
            case "crash_after":
                self.on_crash()
                raise Crash


class CrashingLedger(Ledger):
    """A ledger whose process dies at a chosen transaction, and does nothing more.

    Attributes:
        crash_at: number of the transaction, from 0; None never.
        committed: whether that transaction still gets onto the disk.
        count: transactions so far.
    """

    def __init__(self, path: Path) -> None:
        opened_here = open_ledger(path, MIGRATIONS)
        super().__init__(opened_here._connection, path)
        self.crash_at: int | None = None
        self.committed = False
        self.count = 0
        self.dead = False

    def die(self) -> None:
        """Write nothing more."""
        self.dead = True

    @contextmanager
    def transaction(self) -> Iterator[Cursor]:
        if self.dead:
            raise Crash
        number, self.count = self.count, self.count + 1
        try:
            with super().transaction() as cursor:
                yield cursor
                if number == self.crash_at and not self.committed:
                    raise Crash
            if number == self.crash_at:
                raise Crash
        except Crash:
            self.dead = True
            raise
