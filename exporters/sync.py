"""The sync engine: brings what a platform holds in line with who is in an audience and may be sent.

Removals are derived (may hold, less desired), so nothing that crashes, is edited or is reset can lose one;
they go first, those of people who refused before the others. Each batch of adds asks the consent gate in the
same ledger transaction that writes its intent, again at every retry. A request whose answer never came leaves
its identifiers in flight: present for removals, absent for adds, so that a restart repeats at most one batch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from exporters import ledger as rows
from exporters.desired import FLOOR, REFUSED, ask_gate, desired_keys, owners_of
from exporters.destination import Channel, Clock, Destination, Receipt
from exporters.errors import AuthError, ExportError, RejectedError, TransientError
from exporters.ledger import State
from identity.privacy.consent import Decision
from identity.privacy.hashing import Candidate, HashedIdentifier
from identity.store.ledger import Cursor, Ledger

__all__ = ["ATTEMPTS", "SyncReport", "sync_audience"]

ATTEMPTS = 5
"""Requests for one batch before the sync gives up until its next run."""

_FIRST_WAIT = 1.0
_LONGEST_WAIT = 60.0
_LONGEST_RETRY_AFTER = 300.0
_REFUSALS_IN_A_ROW = 30
"""Refused requests without one that was taken: then it is not the rows but the destination."""

_log = logging.getLogger("exporters.sync")


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What a sync did; added, removed, unchanged, quarantined, invalid count identifiers, the rest people.

    Attributes:
        destination: its name.
        audience: the audience's key.
        members: people in the audience.
        eligible: people who are at the platform now.
        added: identifiers that the platform took.
        removed: identifiers that the platform removed.
        unchanged: identifiers that were there already.
        quarantined: identifiers that the platform refused by name.
        invalid: rows that the platform says it could not use, without naming them.
        unremoved: identifiers whose removal the platform refused; they stay in the ledger, to be tried again.
        held_back: reason → people, for those who are not sent.
        requests: requests sent, repeated ones included.
    """

    destination: str
    audience: str
    members: int
    eligible: int
    added: int
    removed: int
    unchanged: int
    quarantined: int
    invalid: int
    unremoved: int
    held_back: Mapping[str, int]
    requests: int


@dataclass(slots=True)
class _Counts:
    taken: int = 0
    added: int = 0
    removed: int = 0
    quarantined: int = 0
    invalid: int = 0
    unremoved: int = 0
    requests: int = 0
    refusals: int = 0


def sync_audience(
    ledger: Ledger,
    destination: Destination,
    audience: str,
    alias: str,
    candidates: Sequence[Candidate],
    *,
    clock: Clock,
    run: str,
    floor: int = FLOOR,
) -> SyncReport:
    """Bring a destination in line with an audience.

    Args:
        ledger: consent, and what the destination holds.
        destination: where to.
        audience: the audience's key, kept inside.
        alias: its opaque name at the platform.
        candidates: its members with their match keys; none removes everything.
        clock: instants of consent and of the ledger's rows, waiting, chance.
        run: the run's id, for the ledger.
        floor: smallest number of people that is sent.

    Raises:
        TransientError: the platform could not be reached; the next run goes on from here.
        RejectedError: the platform refuses all that is sent; its code says why.
        AuthError: the access token is missing, expired or lacks a right.
    """
    with ledger.reading() as cursor:
        decisions = ask_gate(cursor, candidates, destination.purpose, clock.now())
        held = rows.held_keys(cursor, destination.name, audience)
        quarantined = rows.quarantined_keys(cursor, destination.name, audience)
    desired = desired_keys(candidates, decisions, quarantined, floor)
    present = {key for key, state in held.items() if state == State.PRESENT}
    removals = sorted(held.keys() - desired.keys, key=lambda key: (key not in desired.refused, _order(key)))
    adds = sorted(desired.keys - present, key=_order)
    counts = _Counts()
    outcome = "failed"
    try:
        if removals or adds:
            with destination.open(clock) as channel:
                sending = _Sending(ledger, destination, audience, clock, run, counts, channel)
                sending.start(alias)
                sending.remove(removals)
                sending.add(adds, owners_of(candidates), set(held))
                sending.finish()
        outcome = "in part" if counts.unremoved else "succeeded"
    finally:
        with ledger.transaction() as cursor:
            rows.record_sync(
                cursor,
                run,
                destination.name,
                audience,
                at=clock.now(),
                outcome=outcome,
                counts=(counts.added, counts.removed),
                held_back=desired.held_back,
            )
        _log.info(
            "sync.%s destination=%s audience=%s added=%d removed=%d requests=%d",
            outcome,
            destination.name,
            audience,
            counts.added,
            counts.removed,
            counts.requests,
        )
    return SyncReport(
        destination.name,
        audience,
        members=len(candidates),
        eligible=desired.eligible,
        added=counts.added,
        removed=counts.removed,
        unchanged=len(desired.keys & present),
        quarantined=counts.quarantined,
        invalid=counts.invalid,
        unremoved=counts.unremoved,
        held_back=desired.held_back,
        requests=counts.requests,
    )


def _surely_not_applied(error: ExportError) -> bool:
    return isinstance(error, (AuthError, RejectedError)) or (
        isinstance(error, TransientError) and not error.unknown
    )


def _order(key: HashedIdentifier) -> tuple[str, str]:
    return key.recipe, key.digest


@dataclass(slots=True)
class _Sending:
    """One sync's conversation with one destination."""

    ledger: Ledger
    destination: Destination
    audience: str
    clock: Clock
    run: str
    counts: _Counts
    channel: Channel
    remote_id: str = ""
    suspects: dict[HashedIdentifier, str] = field(default_factory=dict)

    def start(self, alias: str) -> None:
        """Find or make the audience, before the first intent: whoever may not, leaves nothing in flight."""
        with self.ledger.reading() as cursor:
            self.remote_id = rows.remote_audience(cursor, self.destination.name, self.audience) or ""
        if not self.remote_id:
            self._patiently(lambda: self._create_audience(alias))

    def finish(self) -> None:
        """Say what the platform would not take.

        Raises:
            RejectedError: it took nothing of what was added.
        """
        for code in self.suspects.values():
            raise RejectedError(
                f"{self.destination.name} refuses what is added (code {code}) and took nothing of it, so no "
                "row is blamed: nothing is set aside, and the next run tries again.",
                code=code,
            )

    def remove(self, keys: Sequence[HashedIdentifier]) -> None:
        """Remove identifiers; each leaves the ledger when its batch is confirmed."""
        for batch in self._batches(keys):
            self._remove_batch(batch)

    def _remove_batch(self, keys: Sequence[HashedIdentifier]) -> None:
        def attempt() -> None:
            at = self.clock.now()
            with self.ledger.transaction() as cursor:
                batch = rows.begin_removals(cursor, self.run, self.destination.name, self.audience, keys, at)
            receipt = self._request(self.channel.remove, keys)
            with self.ledger.transaction() as cursor:
                rows.confirm_removals(
                    cursor,
                    batch,
                    self.clock.now(),
                    invalid=receipt.invalid,
                    request_id=receipt.request_id,
                )
            self.counts.removed += len(keys)

        try:
            self._patiently(attempt)
        except RejectedError as error:
            self._refused(error)
            if len(keys) == 1:
                self.counts.unremoved += 1
                _log.warning("sync.removal_refused destination=%s code=%s", self.destination.name, error.code)
                return
            middle = len(keys) // 2
            self._remove_batch(keys[:middle])
            self._remove_batch(keys[middle:])

    def add(
        self,
        keys: Sequence[HashedIdentifier],
        owners: Mapping[HashedIdentifier, Sequence[Candidate]],
        held: set[HashedIdentifier],
    ) -> None:
        """Add identifiers, each batch behind the gate; remove those whose people refused meanwhile."""
        refused_late: list[HashedIdentifier] = []
        for batch in self._batches(keys):
            refused_late.extend(self._add_batch(batch, owners, held))
        self.remove(sorted({key for key in refused_late if key in held}, key=_order))

    def _add_batch(
        self,
        keys: Sequence[HashedIdentifier],
        owners: Mapping[HashedIdentifier, Sequence[Candidate]],
        held: set[HashedIdentifier],
    ) -> list[HashedIdentifier]:
        sent: list[HashedIdentifier] = []
        begun: list[int] = []
        fresh: list[HashedIdentifier] = []

        def attempt() -> None:
            at = self.clock.now()
            with self.ledger.transaction() as cursor:
                sent[:] = self._permitted(cursor, keys, owners, at)
                if not sent:
                    return
                begun.append(
                    rows.begin_adds(cursor, self.run, self.destination.name, self.audience, sent, at)
                )
            fresh[:] = [key for key in sent if key not in held]
            try:
                receipt = self._request(self.channel.add, tuple(sent))
            except ExportError as error:
                if _surely_not_applied(error):
                    with self.ledger.transaction() as cursor:
                        rows.drop_unsent(cursor, self.destination.name, self.audience, fresh, begun[-1])
                else:
                    held.update(sent)
                raise
            refused = {sent[index]: code for index, code in receipt.rejected}
            with self.ledger.transaction() as cursor:
                if refused:
                    self._quarantine(cursor, refused)
                    rows.drop_unsent(
                        cursor,
                        self.destination.name,
                        self.audience,
                        [key for key in fresh if key in refused],
                        begun[-1],
                    )
                # the platform takes what is added, so what it refused by itself before was at fault
                self._quarantine(cursor, self.suspects)
                rows.confirm_adds(
                    cursor,
                    begun[-1],
                    self.clock.now(),
                    invalid=receipt.invalid,
                    request_id=receipt.request_id,
                )
            held.update(sent)
            self.suspects.clear()
            self.counts.taken += 1
            self.counts.added += len(sent) - len(refused)
            self.counts.invalid += receipt.invalid

        refused_later: list[HashedIdentifier] = []
        try:
            self._patiently(attempt)
        except RejectedError as error:
            refused_later = self._rejected_adds(error, tuple(sent), owners, held)
        permitted = set(sent)
        return [*(key for key in keys if key not in permitted), *refused_later]

    def _rejected_adds(
        self,
        error: RejectedError,
        sent: Sequence[HashedIdentifier],
        owners: Mapping[HashedIdentifier, Sequence[Candidate]],
        held: set[HashedIdentifier],
    ) -> list[HashedIdentifier]:
        """The platform applied nothing of a batch: set the bad rows aside and send the others."""
        self._refused(error)
        named = {sent[index]: code for index, code in error.rows if 0 <= index < len(sent)}
        if named:
            with self.ledger.transaction() as cursor:
                self._quarantine(cursor, named)
            rest = [key for key in sent if key not in named]
            return self._add_batch(rest, owners, held) if rest else []
        if len(sent) == 1:
            self.suspects[sent[0]] = error.code
            return []
        taken, middle = self.counts.taken, len(sent) // 2
        refused_late = [
            *self._add_batch(sent[:middle], owners, held),
            *self._add_batch(sent[middle:], owners, held),
        ]
        if self.counts.taken > taken and self.suspects:
            with self.ledger.transaction() as cursor:
                self._quarantine(cursor, self.suspects)
            self.suspects.clear()
        return refused_late

    def _quarantine(self, cursor: Cursor, refused: Mapping[HashedIdentifier, str]) -> None:
        rows.quarantine_keys(cursor, self.destination.name, self.audience, refused, self.clock.now())
        self.counts.quarantined += len(refused)

    def _permitted(
        self,
        cursor: Cursor,
        keys: Sequence[HashedIdentifier],
        owners: Mapping[HashedIdentifier, Sequence[Candidate]],
        at: datetime,
    ) -> list[HashedIdentifier]:
        people = {each.profile_id: each for key in keys for each in owners[key]}
        decisions = ask_gate(cursor, people.values(), self.destination.purpose, at)
        permitted = []
        for key in keys:
            found = {decisions[each.profile_id] for each in owners[key]}
            if Decision.PERMITTED in found and found.isdisjoint(REFUSED):
                permitted.append(key)
        return permitted

    def _request(
        self, call: Callable[[str, Sequence[HashedIdentifier]], Receipt], keys: Sequence[HashedIdentifier]
    ) -> Receipt:
        self.counts.requests += 1
        receipt = call(self.remote_id, keys)
        self.counts.refusals = 0
        return receipt

    def _create_audience(self, alias: str) -> None:
        self.counts.requests += 1
        self.remote_id = self.channel.create_audience(alias)
        with self.ledger.transaction() as cursor:
            rows.remember_audience(
                cursor,
                self.destination.name,
                self.audience,
                alias=alias,
                remote_id=self.remote_id,
                at=self.clock.now(),
            )

    def _patiently(self, attempt: Callable[[], None]) -> None:
        for tries in range(1, ATTEMPTS + 1):
            try:
                attempt()
            except TransientError as error:
                if tries == ATTEMPTS:
                    raise TransientError(
                        f"{self.destination.name}: {error} Gave up after {tries} tries; run again.",
                        unknown=error.unknown,
                    ) from error
                if error.retry_after is not None:
                    wait = min(max(error.retry_after, 0.0), _LONGEST_RETRY_AFTER)
                else:
                    wait = self.clock.random() * min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** (tries - 1))
                self.clock.sleep(wait)
            else:
                return

    def _refused(self, error: RejectedError) -> None:
        self.counts.refusals += 1
        if self.counts.refusals > _REFUSALS_IN_A_ROW:
            raise RejectedError(
                f"{self.destination.name} refuses every request (code {error.code}), so nothing more is "
                f"sent. {error}",
                code=error.code,
            )

    def _batches(self, keys: Sequence[HashedIdentifier]) -> Iterator[Sequence[HashedIdentifier]]:
        size = self.destination.limits.batch_rows
        for start in range(0, len(keys), size):
            yield keys[start : start + size]
