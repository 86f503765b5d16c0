"""Who may be sent: consent, suppression, match keys and the size floor, before anything is sent.

Removals are derived from this: what a destination may hold, less what is desired.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from exporters.destination import Destination
from exporters.ledger import State, held_keys, quarantined_keys
from identity.privacy.consent import Decision, decide
from identity.privacy.hashing import Candidate, HashedIdentifier
from identity.store.ledger import Cursor, Ledger

__all__ = [
    "FLOOR",
    "REFUSED",
    "Desired",
    "SyncPreview",
    "ask_gate",
    "desired_keys",
    "owners_of",
    "preview_audience",
]

FLOOR = 100
"""People, after consent and for each kind of match key; a smaller audience is held, and emptied."""

REFUSED = (Decision.DENIED, Decision.SUPPRESSED)
"""A person said no: nobody's key that is theirs too may be sent."""


@dataclass(frozen=True, slots=True)
class SyncPreview:
    """What a sync would do; added, removed, unchanged count identifiers, the rest people.

    Attributes:
        destination: its name.
        audience: the audience's key.
        members: people in the audience.
        eligible: people who are or would be at the platform.
        added: identifiers to add.
        removed: identifiers to remove.
        unchanged: identifiers that stay.
        held_back: reason → people, for those who are not sent.
    """

    destination: str
    audience: str
    members: int
    eligible: int
    added: int
    removed: int
    unchanged: int
    held_back: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Desired:
    """Who may be sent, under which keys.

    Attributes:
        keys: identifiers that the platform should hold.
        refused: identifiers of people who refused or are suppressed.
        eligible: people behind `keys`.
        held_back: reason → people, for those who are not sent.
    """

    keys: frozenset[HashedIdentifier]
    refused: frozenset[HashedIdentifier]
    eligible: int
    held_back: Mapping[str, int]


def preview_audience(
    ledger: Ledger,
    destination: Destination,
    audience: str,
    candidates: Sequence[Candidate],
    *,
    as_of: datetime,
    floor: int = FLOOR,
) -> SyncPreview:
    """Work out what a sync would do; writes nothing, sends nothing.

    Args:
        ledger: consent, and what the destination holds.
        destination: where to.
        audience: the audience's key.
        candidates: its members with their match keys.
        as_of: the instant of asking for consent, UTC.
        floor: smallest number of people that is sent.
    """
    with ledger.reading() as cursor:
        decisions = ask_gate(cursor, candidates, destination.purpose, as_of)
        held = held_keys(cursor, destination.name, audience)
        quarantined = quarantined_keys(cursor, destination.name, audience)
    desired = desired_keys(candidates, decisions, quarantined, floor)
    present = {key for key, state in held.items() if state == State.PRESENT}
    return SyncPreview(
        destination.name,
        audience,
        members=len(candidates),
        eligible=desired.eligible,
        added=len(desired.keys - present),
        removed=len(held.keys() - desired.keys),
        unchanged=len(desired.keys & present),
        held_back=desired.held_back,
    )


def ask_gate(
    cursor: Cursor, candidates: Iterable[Candidate], purpose: str, at: datetime
) -> dict[str, Decision]:
    """Ask the consent gate for candidates, inside the caller's transaction.

    Args:
        cursor: of that transaction.
        candidates: who is asked about.
        purpose: the destination's.
        at: the instant of asking, UTC.
    """
    return decide(cursor, ((each.profile_id, each.subjects) for each in candidates), purpose, at)


def desired_keys(
    candidates: Sequence[Candidate],
    decisions: Mapping[str, Decision],
    quarantined: set[tuple[str, str]],
    floor: int,
) -> Desired:
    """Work out which identifiers a destination should hold.

    Args:
        candidates: the audience's members with their match keys.
        decisions: profile id → the gate's answer.
        quarantined: (recipe, digest) pairs that the platform refused before.
        floor: smallest number of people that is sent, for each kind of key.
    """
    refused: set[HashedIdentifier] = set()
    held_back: Counter[str] = Counter()
    for each in candidates:
        if decisions[each.profile_id] in REFUSED:
            refused.update(each.keys)
    usable: list[tuple[HashedIdentifier, ...]] = []
    people_by_kind: Counter[str] = Counter()
    for each in candidates:
        decision = decisions[each.profile_id]
        if decision != Decision.PERMITTED:
            held_back[decision] += 1
            continue
        keys = tuple(
            key for key in each.keys if key not in refused and (key.recipe, key.digest) not in quarantined
        )
        if not keys:
            # a key that somebody refused is refused for everybody who shares it
            shared = any(key in refused for key in each.keys)
            held_back[Decision.DENIED if shared else "no_match_key"] += 1
            continue
        usable.append(keys)
        people_by_kind.update({key.kind for key in keys})
    sent: set[HashedIdentifier] = set()
    eligible = 0
    for keys in usable:
        above = [key for key in keys if people_by_kind[key.kind] >= floor]
        sent.update(above)
        eligible += bool(above)
        held_back["below_floor"] += not above
    return Desired(
        frozenset(sent),
        frozenset(refused),
        eligible,
        {str(reason): count for reason, count in sorted(held_back.items()) if count},
    )


def owners_of(candidates: Iterable[Candidate]) -> dict[HashedIdentifier, list[Candidate]]:
    """Say who stands behind each identifier: more than one person, when they share it.

    Args:
        candidates: the audience's members with their match keys.
    """
    owners: dict[HashedIdentifier, list[Candidate]] = {}
    for each in candidates:
        for key in each.keys:
            owners.setdefault(key, []).append(each)
    return owners
