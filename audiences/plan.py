"""A plan: what apply would do, as a list of frozen steps. Building one writes nothing and sends nothing.

The steps are computed for real, inside a warehouse transaction that is taken back, so the plan's figures are
those that an apply at the same instant would reach.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from audiences.asking import question_of
from audiences.audience import Audience
from audiences.computed import ComputedTrait
from audiences.computing import MembershipChange, compute, compute_members, find_failures
from audiences.explain import explain
from audiences.membership import count_memberships, current_members
from audiences.order import depends_on
from audiences.permissions import refresh_permissions
from audiences.phrases import figure
from audiences.project import Definitions, Stores, resolve_project
from audiences.rules import Measure
from exporters.desired import SyncPreview, preview_audience
from exporters.destination import Destination
from exporters.ledger import still_held
from identity.errors import WarehouseError
from identity.privacy.hashing import Candidate
from identity.profiles import match_keys
from identity.resolve import ResolveReport, unresolved_events
from identity.shown import ShownProfile, show_profile
from identity.store.warehouse import Warehouse

__all__ = [
    "Compute",
    "Plan",
    "Resolve",
    "Retire",
    "Step",
    "Sync",
    "build_plan",
    "destinations_of",
    "everything",
    "members_with_keys",
    "preview_members",
    "retirements",
    "sentence_of",
    "taken_back",
    "with_dependencies",
]


@dataclass(frozen=True, slots=True)
class Resolve:
    """Merge identifiers into profiles.

    Attributes:
        pending: events that came in since the last resolve.
        report: what the resolve finds.
        touched: audience → its stored members whose profile the resolve merges, splits or moves.
    """

    pending: int
    report: ResolveReport
    touched: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Compute:
    """Compute one audience's members, or a computed trait's values, and store what changed.

    Attributes:
        audience: its key.
        sentence: its rule in words; of a trait, what it is.
        change: size, entered, exited.
    """

    audience: str
    sentence: str
    change: MembershipChange


@dataclass(frozen=True, slots=True)
class Sync:
    """Bring one destination in line with one audience.

    Attributes:
        audience: its key.
        destination: the destination's name.
        preview: what would be added, removed and held back.
    """

    audience: str
    destination: str
    preview: SyncPreview


@dataclass(frozen=True, slots=True)
class Retire:
    """Remove everything that a destination holds for an audience that is no longer sent there.

    Attributes:
        audience: its key.
        destination: the destination's name.
        held: identifiers to remove.
        reachable: False when no audience of the project names that destination any more, so that nobody
            knows how to reach it.
    """

    audience: str
    destination: str
    held: int
    reachable: bool


Step = Resolve | Compute | Sync | Retire


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in the order in which apply does them.

    Attributes:
        as_of: the instant that audiences are computed for, UTC.
        steps: what is to be done.
    """

    as_of: datetime
    steps: tuple[Step, ...]


class _TakenBack(Exception):
    """No error: leaves a transaction so that it is taken back."""


@contextmanager
def taken_back(warehouse: Warehouse) -> Iterator[None]:
    """What is written inside is seen inside, and is gone afterwards.

    Args:
        warehouse: without an open transaction.
    """
    try:
        with warehouse.transaction():
            yield
            raise _TakenBack
    except _TakenBack:
        pass


def build_plan(stores: Stores, definitions: Definitions, select: Sequence[str], as_of: datetime) -> Plan:
    """Work out what apply would do.

    Args:
        stores: the project's open stores.
        definitions: the loaded project.
        select: audience keys; empty for all.
        as_of: the instant to compute for, UTC.

    Raises:
        NotFoundError: no audience by one of those keys.
        RuleError: a rule that can't be computed.
    """
    try:
        return _rehearse(stores, definitions, select, as_of, {})
    except WarehouseError:
        # a query that the engine refuses undoes the rehearsal: find it, and rehearse without it
        question = question_of(stores, definitions, as_of)
        asked = everything(definitions, with_dependencies(definitions, select), select)
        broken = find_failures(stores.warehouse, asked, question)
        if not broken:
            raise
        return _rehearse(stores, definitions, select, as_of, broken)


def _rehearse(
    stores: Stores,
    definitions: Definitions,
    select: Sequence[str],
    as_of: datetime,
    broken: Mapping[str, str],
) -> Plan:
    steps: list[Step] = []
    chosen = with_dependencies(definitions, select)
    wanted = set(select) or {audience.key for audience in chosen}
    with taken_back(stores.warehouse):
        pending = unresolved_events(stores.warehouse)
        report = resolve_project(stores, definitions, as_of)
        touched = count_memberships(stores.warehouse, report.changes.touched)
        steps.append(Resolve(pending, report, touched))
        refresh_permissions(stores, definitions, as_of)
        question = question_of(stores, definitions, as_of)
        asked = everything(definitions, chosen, select)
        changes = compute(stores.warehouse, asked, question, run="plan", retire=not select, broken=broken)
        steps.extend(
            Compute(each.key, sentence_of(each), change) for each, change in zip(asked, changes, strict=True)
        )
        for audience in chosen:
            if audience.key not in wanted:
                continue
            for destination in definitions.destinations(audience):
                preview = preview_audience(
                    stores.ledger,
                    destination,
                    audience.key,
                    members_with_keys(stores, audience.key, destination),
                    as_of=as_of,
                )
                steps.append(Sync(audience.key, destination.name, preview))
    if not select:
        steps.extend(retirements(stores, definitions))
    return Plan(as_of, tuple(steps))


def preview_members(
    stores: Stores, definitions: Definitions, key: str, as_of: datetime, limit: int
) -> tuple[int, list[ShownProfile]]:
    """Compute one audience without storing it.

    Args:
        stores: the project's open stores.
        definitions: the loaded project.
        key: the audience's key.
        as_of: the instant to compute for, UTC.
        limit: members to show.

    Returns:
        The audience's size, and some members, masked.

    Raises:
        NotFoundError: no audience by that key.
        RuleError: a rule that can't be computed.
    """
    audience = definitions.audience(key)
    chosen = [each for each in with_dependencies(definitions, (key,)) if each.of == audience.of]
    with taken_back(stores.warehouse):
        refresh_permissions(stores, definitions, as_of)
        members = compute_members(stores.warehouse, chosen, question_of(stores, definitions, as_of))[key]
    if audience.of == "account":
        return len(members), []
    return len(members), [show_profile(stores.warehouse, stores.vault, each) for each in members[:limit]]


def with_dependencies(definitions: Definitions, select: Sequence[str]) -> tuple[Audience, ...]:
    """The audiences of those keys, in the project's order, after those that they are built on.

    Args:
        definitions: the loaded project.
        select: audience keys; empty for all.

    Raises:
        NotFoundError: no audience by one of those keys.
    """
    if not select:
        return definitions.audiences
    wanted = {definitions.audience(key).key for key in select}
    pending = list(wanted)
    while pending:
        for key in depends_on(definitions.audience(pending.pop())):
            if key not in wanted:
                wanted.add(key)
                pending.append(key)
    return tuple(audience for audience in definitions.audiences if audience.key in wanted)


def everything(
    definitions: Definitions, chosen: Sequence[Audience], select: Sequence[str]
) -> list[Audience | ComputedTrait]:
    """What a run computes: the chosen audiences, and with all of them the computed traits.

    Args:
        definitions: the loaded project.
        chosen: audiences, with those that they are built on.
        select: the keys that were asked for; empty for all.
    """
    return [*chosen, *(() if select else definitions.traits)]


def sentence_of(wanted: Audience | ComputedTrait) -> str:
    """An audience's rule in words, or what a computed trait is.

    Args:
        wanted: which.
    """
    if isinstance(wanted, Audience):
        return explain(wanted)
    return f"Computed trait: {figure(cast('Measure', wanted.operand))}."


def destinations_of(definitions: Definitions) -> dict[str, Destination]:
    """Every destination that the project's audiences name, by its name.

    Args:
        definitions: the loaded project.
    """
    return {
        each.name: each for audience in definitions.audiences for each in definitions.destinations(audience)
    }


def members_with_keys(stores: Stores, audience: str, destination: Destination) -> list[Candidate]:
    """The stored members of an audience with their hashed match keys for one destination.

    Args:
        stores: the project's open stores.
        audience: its key.
        destination: decides which keys, in which platform's format.
    """
    members = current_members(stores.warehouse, audience)
    return list(match_keys(stores.warehouse, stores.vault, members, destination.match, destination.platform))


def retirements(stores: Stores, definitions: Definitions) -> list[Retire]:
    """What destinations still hold for audiences that are no longer sent there.

    Args:
        stores: the project's open stores.
        definitions: the loaded project.
    """
    reachable = destinations_of(definitions)
    current = {(each.name, audience.key) for audience in definitions.audiences for each in audience.sync}
    return [
        Retire(audience, destination, held, destination in reachable)
        for destination, audience, held in still_held(stores.ledger)
        if (destination, audience) not in current
    ]
