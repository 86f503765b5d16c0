"""Apply: do what a plan shows, step by step; each step is committed before the next begins."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from audiences.asking import question_of
from audiences.audience import Audience
from audiences.checking import SAMPLE_EVERY, check_memberships, describe, is_sampled
from audiences.compile import Question
from audiences.computations import read_computations, write_failure
from audiences.computing import MembershipChange, compute
from audiences.permissions import refresh_permissions
from audiences.plan import destinations_of, everything, members_with_keys, retirements, with_dependencies
from audiences.project import Definitions, Stores, resolve_project
from audiences.scheduler import record_run
from exporters.destination import Clock, Destination
from exporters.errors import ExportError
from exporters.sync import SyncReport, sync_audience
from identity.clustering import cluster_events
from identity.privacy.hashing import Candidate
from identity.resolve import ResolveReport

__all__ = ["Applied", "Failure", "apply_audiences"]


@dataclass(frozen=True, slots=True)
class Failure:
    """What could not be computed or brought in line; what is stored stays true, and the next run goes on.

    Attributes:
        audience: its key.
        destination: the destination's name; empty when the audience itself could not be computed.
        reason: what went wrong and what to do.
    """

    audience: str
    destination: str
    reason: str


@dataclass(frozen=True, slots=True)
class Applied:
    """What an apply did.

    Attributes:
        as_of: the instant that audiences were computed for, UTC.
        run: its id, as the ledger and the membership history name it.
        resolved: what the resolve found.
        changes: one an audience, and one a computed trait.
        syncs: one a destination and audience that was brought in line.
        failures: the others.
    """

    as_of: datetime
    run: str
    resolved: ResolveReport
    changes: tuple[MembershipChange, ...]
    syncs: tuple[SyncReport, ...]
    failures: tuple[Failure, ...]


def apply_audiences(
    stores: Stores,
    definitions: Definitions,
    select: Sequence[str],
    as_of: datetime,
    *,
    clock: Clock,
    renew: Callable[[], None] = lambda: None,
) -> Applied:
    """Resolve, compute, sync, and remove what is no longer sent anywhere.

    A destination that fails does not keep the others waiting.

    Args:
        stores: the project's open stores.
        definitions: the loaded project.
        select: audience keys; empty for all, which also retires what the project no longer names.
        as_of: the instant to compute for, UTC.
        clock: for talking to platforms.
        renew: is called between steps, to keep the runner's lease.

    Raises:
        NotFoundError: no audience by one of those keys.
        RuleError: a rule that can't be computed.
    """
    run = f"run-{as_of.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}"
    chosen = with_dependencies(definitions, select)
    wanted = set(select) or {audience.key for audience in chosen}
    resolved = resolve_project(stores, definitions, as_of)
    cluster_events(stores.warehouse)
    refresh_permissions(stores, definitions, as_of)
    question = question_of(stores, definitions, as_of)
    asked = everything(definitions, chosen, select)
    changes = compute(stores.warehouse, asked, question, run=run, retire=not select)
    syncs: list[SyncReport] = []
    failures = list(_sampled(stores, question, chosen))

    def sync(audience: str, destination: Destination, candidates: Sequence[Candidate]) -> bool:
        renew()
        alias = stores.vault.alias(f"{destination.name}/{audience}")
        try:
            report = sync_audience(
                stores.ledger,
                destination,
                audience,
                alias,
                candidates,
                clock=clock,
                run=run,
            )
        except ExportError as error:
            failures.append(Failure(audience, destination.name, str(error)))
            return False
        syncs.append(report)
        if report.unremoved:
            reason = (
                f"the platform refused to remove {report.unremoved} identifiers; the next run tries again."
            )
            failures.append(Failure(audience, destination.name, reason))
        return not report.unremoved

    by_key = {change.audience: change for change in changes}
    failures.extend(
        Failure(each.audience, "", f"it could not be computed, and keeps its last version: {each.problem}")
        for each in changes
        if each.problem
    )
    for audience in chosen:
        if audience.key not in wanted:
            continue
        outcomes = [
            sync(audience.key, destination, members_with_keys(stores, audience.key, destination))
            for destination in definitions.destinations(audience)
        ]
        change = by_key[audience.key]
        with stores.ledger.transaction() as cursor:
            record_run(
                cursor,
                audience.key,
                as_of,
                run,
                (change.size, change.entered, change.exited),
                succeeded=all(outcomes) and change.problem is None,
                stale_since=change.stale_since,
            )
    if not select:
        reachable = destinations_of(definitions)
        for step in retirements(stores, definitions):
            if step.reachable:
                sync(step.audience, reachable[step.destination], ())
            else:
                failures.append(
                    Failure(
                        step.audience,
                        step.destination,
                        f"{step.held} identifiers are still held there, and no audience names this "
                        "destination any more: name it again in any audience's sync= until they are gone.",
                    )
                )
    return Applied(as_of, run, resolved, tuple(changes), tuple(syncs), tuple(failures))


def _sampled(stores: Stores, question: Question, chosen: Sequence[Audience]) -> Iterator[Failure]:
    """Now and then compare a sample with a computation from scratch; what differs becomes stale."""
    versions = read_computations(stores.warehouse)
    by_version: dict[int, list[Audience]] = {}
    for each in chosen:
        if each.key in versions and is_sampled(versions[each.key].version):
            by_version.setdefault(versions[each.key].version, []).append(each)
    for version, audiences in by_version.items():
        checked = check_memberships(stores.warehouse, audiences, question, sample=version // SAMPLE_EVERY)
        for difference in checked.differences:
            problem = describe(difference)
            write_failure(stores.warehouse, difference.audience, question.as_of, problem)
            yield Failure(difference.audience, "", problem)
