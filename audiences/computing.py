"""Compute audiences and computed traits: only what changed, in one pass for all, and store it at once.

An audience that still means what it meant is computed for the profiles that something touched since its last
version; any other, and one that looks at several profiles at a time, for everybody. A failure leaves the last
version in place, marked stale; the others go on. Whatever is stored is stored in one transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import MappingProxyType

from sqlglot import exp

from audiences.audience import Audience
from audiences.compile import Question, compile_audiences
from audiences.computations import (
    Computation,
    forget_computations,
    meaning_of,
    read_computations,
    write_computations,
    write_failure,
)
from audiences.computed import ComputedTrait
from audiences.dirty import gather_dirty
from audiences.errors import MembershipError, RuleError
from audiences.membership import Stored, end_memberships, store_members, store_traits
from audiences.order import depends_on
from audiences.rules import Recency
from audiences.stored_rules import rule_json
from audiences.timers import needs_everybody, timers
from identity.errors import WarehouseError
from identity.store.warehouse import Warehouse
from identity.tables import temporary
from identity.touched import everybody_touched_since, forget_touched, touched_number

__all__ = [
    "MembershipChange",
    "compute",
    "compute_members",
    "compute_values",
    "find_failures",
    "looks_at_everybody",
    "with_parts_of",
]

_MOST = 3
"""When more than a third of the profiles have to be looked at, looking at all of them is cheaper."""

_Wanted = Audience | ComputedTrait


@dataclass(frozen=True, slots=True)
class MembershipChange:
    """What a run made of one audience or computed trait.

    Attributes:
        audience: its key.
        size: members (profiles with a value, for a trait) now.
        entered: who are new since the last stored computation.
        exited: who left, or lost their value, since then.
        changed: who have another value of a computed trait than then.
        looked_at: profiles that the run looked at for it; None for everybody.
        problem: why it could not be computed, so that the last version stays; None when it could.
        stale_since: the instant of the first run that failed since the last version, UTC.
    """

    audience: str
    size: int
    entered: int
    exited: int
    changed: int = 0
    looked_at: int | None = None
    problem: str | None = None
    stale_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Batch:
    """What is computed by one query: of one kind, since one earlier version, or for everybody."""

    kind: str
    since: tuple[datetime, int] | None
    wanted: tuple[_Wanted, ...]


def compute(
    warehouse: Warehouse,
    wanted: Sequence[_Wanted],
    question: Question,
    *,
    run: str,
    everybody: bool = False,
    retire: bool = False,
    broken: Mapping[str, str] = MappingProxyType({}),
) -> list[MembershipChange]:
    """Compute and store; again at the same instant changes nothing.

    Args:
        warehouse: holds events, profiles and the history.
        wanted: audiences and computed traits.
        question: as of when, and with what; its `audiences` are all that rules may name.
        run: the run's id, kept with every row that it adds.
        everybody: True to look at everybody, whatever changed.
        retire: True when `wanted` is all that there is: what else is stored loses its members and values.
        broken: key → problem of those that are known to fail, and are not tried; inside a transaction one
            failure would undo everything.

    Returns:
        One change for each that is wanted, in that order.

    Raises:
        MembershipError: the history already knows a later instant.
    """
    known = read_computations(warehouse)
    for each in wanted:
        if each.key in known and known[each.key].as_of > question.as_of:
            raise MembershipError(
                f"{each.key!r} was stored as of {known[each.key].as_of.isoformat()} already; choose that "
                "instant or a later one, or `audiences preview` to look at an earlier one."
            )
    seen = touched_number(warehouse)
    results: list[tuple[_Batch, str, int | None]] = []
    failed = {each.key: broken[each.key] for each in wanted if each.key in broken}
    tried = [each for each in wanted if each.key not in broken]
    for number, batch in enumerate(_batches(warehouse, tried, known, question, everybody=everybody)):
        results += _evaluate(warehouse, batch, question, f"computed_{number}", failed)
    changes: dict[str, MembershipChange] = {}
    with warehouse.transaction():
        for batch, table, looked_at in results:
            stored = _store(warehouse, batch, question, table, looked_at, run)
            sizes = _sizes(warehouse, batch, table) if looked_at is None else {}
            computations = []
            for each in batch.wanted:
                before = known.get(each.key)
                moved = stored[each.key].entered - stored[each.key].exited
                size = sizes.get(each.key, (before.members if before else 0) + moved)
                version = _next_version(each, before, size, question, seen, run)
                computations.append(version)
                done = stored[each.key]
                changes[each.key] = MembershipChange(
                    each.key, size, done.entered, done.exited, done.changed, looked_at
                )
            write_computations(warehouse, computations)
        for key, problem in failed.items():
            write_failure(warehouse, key, question.as_of, problem)
            before = known.get(key)
            since = before.stale_since if before and before.stale_since else question.as_of
            changes[key] = MembershipChange(
                key, before.members if before else 0, 0, 0, problem=problem, stale_since=since
            )
        if retire and (gone := sorted(set(known) - {each.key for each in wanted})):
            end_memberships(warehouse, gone, question.as_of)
            forget_computations(warehouse, gone)
        forget_touched(
            warehouse, min((each.touched for each in read_computations(warehouse).values()), default=0)
        )
    for _, table, _ in results:
        _drop(warehouse, table)
    return [changes[each.key] for each in wanted]


def find_failures(warehouse: Warehouse, wanted: Sequence[_Wanted], question: Question) -> dict[str, str]:
    """Try what can't be computed; nothing is stored.

    Args:
        warehouse: holds events and profiles; not in a transaction.
        wanted: audiences and computed traits.
        question: as of when, and with what.

    Returns:
        Key → problem, of those that fail.
    """
    failed: dict[str, str] = {}
    for batch in _batches(warehouse, wanted, {}, question, everybody=True):
        for _, table, _ in _evaluate(warehouse, batch, question, f"tried_{batch.kind}", failed):
            _drop(warehouse, table)
    return failed


def compute_members(
    warehouse: Warehouse, audiences: Sequence[Audience], question: Question
) -> dict[str, list[str]]:
    """Compute audiences without storing anything.

    Args:
        warehouse: holds events and profiles.
        audiences: all of profiles, or all of accounts.
        question: as of when, and with what.

    Returns:
        Audience key → ids of profiles or accounts, sorted.

    Raises:
        RuleError: a rule that can't be computed.
    """
    found = warehouse.query(compile_audiences(audiences, question))
    ids = found[found.column_names[0]].to_pylist()
    return {
        audience.key: sorted(
            owner for owner, inside in zip(ids, found[audience.key].to_pylist(), strict=True) if inside
        )
        for audience in audiences
    }


def compute_values(
    warehouse: Warehouse, traits: Sequence[ComputedTrait], question: Question
) -> dict[str, dict[str, object]]:
    """Compute computed traits without storing anything.

    Args:
        warehouse: holds events and profiles.
        traits: which.
        question: as of when, and with what.

    Returns:
        Key → profile id → value: a number, or JSON text.
    """
    found = warehouse.query(compile_audiences((), question, traits))
    ids = found["profile_id"].to_pylist()
    return {
        trait.key: {
            owner: value
            for owner, value in zip(ids, found[trait.key].to_pylist(), strict=True)
            if value is not None
        }
        for trait in traits
    }


def _kind(wanted: _Wanted) -> str:
    return "trait" if isinstance(wanted, ComputedTrait) else wanted.of


def _rules(wanted: _Wanted, audiences: Mapping[str, Audience]) -> Iterable[object]:
    """The rule and those of everything that it is built on."""
    if isinstance(wanted, ComputedTrait):
        yield wanted.operand
        return
    yield wanted.rule
    for key in depends_on(wanted):
        yield from _rules(audiences[key], audiences)


def _batches(
    warehouse: Warehouse,
    wanted: Sequence[_Wanted],
    known: Mapping[str, Computation],
    question: Question,
    *,
    everybody: bool,
) -> list[_Batch]:
    grouped: dict[tuple[str, tuple[datetime, int] | None], list[_Wanted]] = {}
    every_one = {
        number: everybody_touched_since(warehouse, number)
        for number in {known[each.key].touched for each in wanted if each.key in known}
    }
    for each in wanted:
        before = known.get(each.key)
        since = None
        if (
            before is not None
            and not everybody
            and before.fingerprint == _meaning(each, question)
            and before.stale_since is None
            and not looks_at_everybody(each, question.audiences)
            and not every_one[before.touched]
        ):
            since = (before.as_of, before.touched)
        of = "account" if _kind(each) == "account" else "profile"
        grouped.setdefault((of, since), []).append(each)
    return [_Batch(of, since, tuple(each)) for (of, since), each in grouped.items()]


def with_parts_of(audiences: Sequence[Audience], known: Mapping[str, Audience]) -> list[Audience]:
    """Audiences of one kind, with all of their kind that they are built on.

    Args:
        audiences: which.
        known: every audience that a rule may name, by key.
    """
    found = {each.key: each for each in audiences}
    waiting = list(audiences)
    for each in waiting:
        for key in depends_on(each):
            if known[key].of == each.of and key not in found:
                found[key] = known[key]
                waiting.append(known[key])
    return list(found.values())


def looks_at_everybody(wanted: _Wanted, audiences: Mapping[str, Audience]) -> bool:
    """Whether it has to be computed for everybody each time.

    Args:
        wanted: an audience or a computed trait.
        audiences: every audience that a rule may name, by key.
    """
    if isinstance(wanted, ComputedTrait):
        # what counts days changes every day for everybody who has any
        return isinstance(wanted.operand, Recency) or needs_everybody(wanted.operand)
    return wanted.of == "account" or any(needs_everybody(rule) for rule in _rules(wanted, audiences))


def _meaning(wanted: _Wanted, question: Question) -> str | None:
    """What it means now; None for a rule that can't be computed, as computing it will say."""
    try:
        return meaning_of(wanted, question.audiences, question.privacy)
    except RuleError:
        return None


def _evaluate(
    warehouse: Warehouse, batch: _Batch, question: Question, table: str, failed: dict[str, str]
) -> list[tuple[_Batch, str, int | None]]:
    """Compute a batch into a temporary table; one by one when that fails, to find which of it fails."""
    try:
        looked_at = _look(warehouse, batch, question, _looked(table))
        only = None if looked_at is None else _looked(table)
        _fill(warehouse, batch, replace(question, only=only), table)
    except (RuleError, WarehouseError) as error:
        if len(batch.wanted) == 1:
            failed[batch.wanted[0].key] = str(error)
            return []
        found: list[tuple[_Batch, str, int | None]] = []
        for number, each in enumerate(batch.wanted):
            alone = replace(batch, wanted=(each,))
            found += _evaluate(warehouse, alone, question, f"{table}_{number}", failed)
        return found
    return [(batch, table, looked_at)]


def _look(warehouse: Warehouse, batch: _Batch, question: Question, table: str) -> int | None:
    if batch.since is None:
        return None
    since, touched = batch.since
    rings = {
        timer for each in batch.wanted for rule in _rules(each, question.audiences) for timer in timers(rule)
    }
    found = gather_dirty(warehouse, question, rings, since, touched, table)
    counted = warehouse.query(exp.select(exp.Count(this=exp.Star()).as_("n")).from_("profiles"))
    return found if found * _MOST <= int(counted["n"][0].as_py()) else None


def _fill(warehouse: Warehouse, batch: _Batch, question: Question, table: str) -> None:
    audiences = [each for each in batch.wanted if isinstance(each, Audience)]
    traits = [each for each in batch.wanted if isinstance(each, ComputedTrait)]
    query = compile_audiences(with_parts_of(audiences, question.audiences), question, traits)
    warehouse.execute(temporary(table, query))


def _store(
    warehouse: Warehouse, batch: _Batch, question: Question, table: str, looked_at: int | None, run: str
) -> dict[str, Stored]:
    only = _looked(table) if looked_at is not None else None
    audiences = [each for each in batch.wanted if isinstance(each, Audience)]
    traits = [each for each in batch.wanted if isinstance(each, ComputedTrait)]
    found: dict[str, Stored] = {}
    if audiences:
        keys = [each.key for each in audiences]
        found |= store_members(warehouse, audiences[0].of, keys, table, only, question.as_of, run)
    return found | store_traits(warehouse, question.engine, traits, table, only, question.as_of, run)


def _next_version(
    wanted: _Wanted, before: Computation | None, size: int, question: Question, seen: int, run: str
) -> Computation:
    return Computation(
        key=wanted.key,
        kind=_kind(wanted),
        fingerprint=meaning_of(wanted, question.audiences, question.privacy),
        rule=_stored_rule(wanted, question),
        version=before.version + 1 if before else 1,
        as_of=question.as_of.astimezone(UTC),
        run=run,
        members=size,
        touched=seen,
    )


def _stored_rule(wanted: _Wanted, question: Question) -> str:
    if isinstance(wanted, ComputedTrait):
        return rule_json(wanted.measure, question.privacy, place=wanted.place)
    return rule_json(wanted.rule, question.privacy, of=wanted.of, place=wanted.place)


def _sizes(warehouse: Warehouse, batch: _Batch, table: str) -> dict[str, int]:
    counts = []
    for each in batch.wanted:
        column = exp.column(each.key, quoted=True)
        inside = column if isinstance(each, Audience) else column.is_(exp.null()).not_()
        one = exp.Case().when(inside, exp.Literal.number(1))
        counts.append(exp.Count(this=one).as_(each.key, quoted=True))
    found = warehouse.query(exp.select(*counts).from_(table)).to_pylist()[0]
    return {key: int(count) for key, count in found.items()}


def _looked(table: str) -> str:
    return f"looked_at_for_{table}"


def _drop(warehouse: Warehouse, table: str) -> None:
    warehouse.execute(exp.Drop(tables=[exp.to_table(table)], kind="TABLE"))
