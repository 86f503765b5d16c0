"""Resolve: from the events' identifiers to profiles, in the warehouse.

The graph's rules are in `identity.graph`; here its input is gathered (what `identity.scope` says has to be
looked at), coded as integers by the engine, and its answer stored (`identity.assign`). The answer is a
function of the set of events, the rules and the overrides, whether all of it is worked out or only what
something touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
from sqlglot import exp

from identity.assign import Assigned, Changes, assign
from identity.attribution import begin_attribution, follow_profiles
from identity.graph import components, resolve_graph
from identity.identifiers import IdentityRules
from identity.link_log import Coded, code_rows, gather_all, gather_dirty
from identity.links import GraphRules, Ints, Links
from identity.overrides import Override
from identity.privacy.vault import Vault
from identity.scope import find_scope, settle_rules
from identity.store.warehouse import Warehouse

__all__ = ["ResolveReport", "link", "resolve", "unresolved_events"]

_DAY = 86_400_000_000
_WINDOWS = {"ever": None, "weekly": 7 * _DAY, "monthly": 30 * _DAY, "annually": 365 * _DAY}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ResolveReport:
    """What a resolve found.

    Attributes:
        events: events in the warehouse.
        unattributed: events whose identifiers are all blocked, so that they belong to nobody.
        identifiers: identifiers that point to a profile.
        left_out: identifiers that every event had to leave out, because a limit or a cap bound.
        blocked: identifiers that never link.
        profiles: profiles.
        merges: profiles that were merged into another.
        looked_at: lists of identifiers that this resolve looked at.
        replayed: those among them whose component breaks a limit, so that they were replayed one by one.
        changes: which profiles changed.
    """

    events: int
    unattributed: int
    identifiers: int
    left_out: int
    blocked: int
    profiles: int
    merges: int
    looked_at: int
    replayed: int
    changes: Changes


def unresolved_events(warehouse: Warehouse) -> int:
    """Count the events that came in since the last resolve.

    Args:
        warehouse: an open warehouse with its tables.
    """
    return _count(warehouse, "arrivals")


def resolve(
    warehouse: Warehouse,
    vault: Vault,
    rules: IdentityRules,
    overrides: Sequence[Override] = (),
    *,
    as_of: datetime,
) -> ResolveReport:
    """Work out who is who, and store it; runs in the caller's transaction when there is one.

    Args:
        warehouse: holds the events.
        vault: gives profile ids, and opens personal identifiers when blocked values changed.
        rules: the project's identity rules.
        overrides: what persons decided, in order of their numbers.
        as_of: the instant of this resolve, for the history tables.

    Raises:
        SealError: blocked values changed, and a sealed identifier can't be opened.
    """
    with warehouse.transaction():
        begin_attribution(warehouse)
        scope = find_scope(warehouse, vault, rules, overrides)
        if scope.everything:
            gather_all(warehouse, rules, overrides)
        else:
            gather_dirty(warehouse, rules, overrides, relisted=scope.relisted)
        coded = code_rows(warehouse, rules, overrides, everything=scope.everything)
        linked = link(warehouse, coded, rules, overrides)
        changes = assign(warehouse, vault, coded, linked, as_of, everything=scope.everything)
        follow_profiles(warehouse, everything=scope.everything)
        warehouse.execute(exp.delete("arrivals"))
        settle_rules(warehouse, vault, rules, overrides)
    held = exp.select("count(profile_id) AS held", "count(*) AS known").from_("identifier_profiles")
    counts = warehouse.query(held).to_pylist()[0]
    return ResolveReport(
        events=_count(warehouse, "events"),
        unattributed=_count(warehouse, "events", exp.column("subject").is_(exp.null())),
        identifiers=counts["held"],
        left_out=counts["known"] - counts["held"],
        blocked=_count(warehouse, "identifiers", exp.column("blocked")),
        profiles=_count(warehouse, "profiles"),
        merges=_count(warehouse, "merges"),
        looked_at=len(coded.links.offsets) - 1,
        replayed=linked.graph.replayed,
        changes=changes,
    )


def _graph_rules(rules: IdentityRules) -> GraphRules:
    """The rules by type code, which is the type's place in the order of priority."""
    return GraphRules(
        limits=tuple(each.limit for each in rules.types),
        windows=tuple(_WINDOWS[each.window] for each in rules.types),
        priorities=tuple(range(1, len(rules.types) + 1)),
        unique=tuple(each.unique for each in rules.types),
        conflict=rules.conflict,
        max_merges=rules.max_merges,
        max_identifiers=rules.max_identifiers,
    )


def link(
    warehouse: Warehouse,
    coded: Coded,
    rules: IdentityRules,
    overrides: Sequence[Override],
    *,
    trace: bool = False,
) -> Assigned:
    """Resolve coded rows with the overrides in force.

    Args:
        warehouse: still holds what the rows were coded from.
        coded: the rows.
        rules: the project's identity rules.
        overrides: what persons decided.
        trace: True also tells what was left out.
    """
    named = _codes_of(warehouse, overrides)
    stands_for = np.arange(len(coded.types))
    for each in overrides:
        if each.kind == "merge" and each.identifier in named and each.other in named:
            one, other = sorted(
                (int(stands_for[named[each.identifier]]), int(stands_for[named[each.other]])),
                key=lambda code: (coded.types[code], code),
            )
            stands_for[stands_for == other] = one
    links, moved = _split(coded, named, overrides)
    apart = {
        each: (int(stands_for[named[each.identifier]]), int(stands_for[named[each.other]]))
        for each in overrides
        if each.kind == "apart" and each.identifier in named and each.other in named
    }
    apart = {each: pair for each, pair in apart.items() if pair[0] != pair[1]}
    graph = resolve_graph(
        _renamed(links, stands_for),
        coded.types,
        _graph_rules(rules),
        list(apart.values()),
        trace=trace,
    )
    moved.update(zip(graph.moved_rows.tolist(), graph.moved_to.tolist(), strict=True))
    component_of, first_rows = graph.component_of, graph.first_rows
    if links is not coded.links:
        component_of, first_rows = components(_renamed(coded.links, stands_for), len(coded.types))
    return Assigned(graph, stands_for, component_of[stands_for], first_rows, moved, tuple(apart))


def _renamed(links: Links, stands_for: Ints) -> Links:
    return Links(links.offsets, stands_for[links.codes], links.occurred_at, links.last_occurred_at)


def _codes_of(warehouse: Warehouse, overrides: Sequence[Override]) -> dict[str, int]:
    """Identifier id → code, for those that overrides name and rows carry."""
    wanted = sorted({name for each in overrides for name in (each.identifier, each.other)})
    if not wanted:
        return {}
    with warehouse.scratch("wanted", pa.table({"wanted_id": pa.array(wanted, pa.string())})) as name:
        found = warehouse.query(
            exp.select("n.identifier_id", "n.code")
            .from_("resolve_nodes AS n")
            .join(
                exp.to_table(name).as_("w"),
                on=exp.column("identifier_id", "n").eq(exp.cast(exp.column("wanted_id", "w"), "UUID")),
            )
        )
    return dict(zip(found["identifier_id"].to_pylist(), found["code"].to_pylist(), strict=True))


def _split(
    coded: Coded, named: dict[str, int], overrides: Sequence[Override]
) -> tuple[Links, dict[int, int]]:
    """Take split identifiers out of the rows until then, and say whose the events of those rows are."""
    links = coded.links
    lengths = np.diff(links.offsets)
    row_of = np.repeat(np.arange(len(lengths)), lengths)
    gone = np.zeros(len(links.codes), dtype=bool)
    for each in overrides:
        if each.kind == "split" and each.identifier in named:
            until = (each.decided_at - _EPOCH) // (_EPOCH.resolution)
            gone |= (links.codes == named[each.identifier]) & (links.occurred_at[row_of] <= until)
    emptied = np.bincount(row_of[~gone], minlength=len(lengths)) == 0
    gone &= ~emptied[row_of]
    if not gone.any():
        return links, {}
    moved: dict[int, int] = {}
    for row in np.unique(row_of[gone]).tolist():
        span = slice(links.offsets[row], links.offsets[row + 1])
        left = links.codes[span][~gone[span]].tolist()
        if _first(links.codes[span].tolist(), coded.types) != (subject := _first(left, coded.types)):
            moved[row] = subject
    kept = np.bincount(row_of[~gone], minlength=len(lengths))
    offsets = np.concatenate([[0], np.cumsum(kept)]).astype(np.int64)
    return Links(offsets, links.codes[~gone], links.occurred_at, links.last_occurred_at), moved


def _first(codes: Sequence[int], types: Ints) -> int:
    """The identifier of the highest priority, the event's first among equals."""
    return min(codes, key=lambda code: int(types[code]))


def _count(warehouse: Warehouse, table: str, where: exp.Expr | None = None) -> int:
    query = exp.select(exp.Count(this=exp.Star()).as_("n")).from_(table)
    found = warehouse.query(query.where(where) if where is not None else query)
    return int(found["n"][0].as_py())
