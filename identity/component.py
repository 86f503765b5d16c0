"""One component of the identity graph as a networkx graph: who was seen with whom, when, and what held.

Nodes are identifier ids with `type`, `profile` (None when every event left it out) and `blocked`. An edge
stands for two identifiers that one event carried, or that an override merged: `message_id` and `occurred_at`
of the first event that joined them, `held`, and what refused it in `reason`, empty when it held.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations

import networkx as nx
import pyarrow as pa
from sqlglot import exp

from identity.assign import Assigned, answer
from identity.identifiers import IdentityRules
from identity.link_log import Coded, code_rows, gather_component, integers
from identity.overrides import Override
from identity.privacy.vault import Vault
from identity.replay import FULL, MERGED_TOO_OFTEN
from identity.resolve import link
from identity.store.warehouse import Warehouse

__all__ = ["Resolution", "as_graph", "resolve_component"]


@dataclass(frozen=True, slots=True)
class Resolution:
    """Components resolved again, with what was left out; the answer lies in the resolve's temporary tables.

    Attributes:
        coded: their rows.
        linked: their graph.
    """

    coded: Coded
    linked: Assigned


def resolve_component(
    warehouse: Warehouse,
    vault: Vault,
    rules: IdentityRules,
    overrides: Sequence[Override],
    identifiers: Sequence[str],
    until: datetime | None = None,
) -> Resolution:
    """Resolve the components of some identifiers again, storing nothing.

    Args:
        warehouse: holds links and events.
        vault: gives profile ids.
        rules: the project's identity rules.
        overrides: those that hold.
        identifiers: ids of the identifiers.
        until: what the events up to then make of it, UTC; None takes everything.
    """
    held = [each for each in overrides if until is None or each.decided_at <= until]
    gather_component(warehouse, rules, held, identifiers, until)
    coded = code_rows(warehouse, rules, held, everything=False)
    linked = link(warehouse, coded, rules, held, trace=True)
    answer(warehouse, vault, coded, linked)
    return Resolution(coded, linked)


def as_graph(
    warehouse: Warehouse, found: Resolution, rules: IdentityRules, overrides: Sequence[Override]
) -> nx.Graph[str]:
    """Read resolved components back as one graph, blocked identifiers included.

    Args:
        warehouse: still holds the resolve's temporary tables.
        found: what was resolved.
        rules: the project's identity rules.
        overrides: those that hold.
    """
    graph = _nodes(warehouse)
    codes = _codes(warehouse, found)
    places = found.coded.places.tolist()
    left_out: dict[tuple[int, int], int] = {}
    dropped: dict[frozenset[int], int] = {}
    for refusal in found.linked.graph.refusals:
        if refusal.other < 0:
            left_out[places[refusal.row], refusal.code] = refusal.kind
        else:
            dropped[frozenset((refusal.code, refusal.other))] = refusal.kind
    split = {each.identifier: each for each in overrides if each.kind == "split"}
    profile_of = nx.get_node_attributes(graph, "profile")
    blocked = nx.get_node_attributes(graph, "blocked")

    named = {each.name for each in rules.types}

    def reason(place: int, at: datetime, pair: tuple[str, str]) -> str:
        for each in pair:
            kind = graph.nodes[each]["type"]
            if blocked[each]:
                return f"this {kind} is blocked: it links nobody"
            if kind not in named:
                return f"the rules no longer name {kind}"
            if each in split and at <= split[each].decided_at:
                return f"override {split[each].number}: split off, what events said until then does not count"
        together = profile_of[pair[0]] is not None and profile_of[pair[0]] == profile_of[pair[1]]
        kinds = [left_out.get((place, codes[each])) for each in pair]
        if not together:
            kinds.append(dropped.get(frozenset(codes[each] for each in pair)))
        refused = next((kind for kind in kinds if kind is not None), None)
        if refused is not None:
            return _said(refused, rules, found.linked.apart)
        return "" if together else "another identifier of the same event was left out"

    for row in warehouse.query(
        exp.select("place", "identifiers", "message_id", "occurred_at")
        .from_("resolve_rows")
        .order_by("place")
    ).to_pylist():
        at = row["occurred_at"].replace(tzinfo=UTC)
        for one, other in combinations(dict.fromkeys(row["identifiers"]), 2):
            if graph.has_edge(one, other) and graph.edges[one, other]["held"]:
                continue
            why = reason(row["place"], at, (one, other))
            if not graph.has_edge(one, other) or not why:
                graph.add_edge(
                    one,
                    other,
                    message_id=row["message_id"],
                    occurred_at=at,
                    held=not why,
                    reason=why,
                    override=0,
                )
    for each in overrides:
        if each.kind == "merge" and each.identifier in graph and each.other in graph:
            graph.add_edge(
                each.identifier,
                each.other,
                message_id="",
                occurred_at=each.decided_at,
                held=True,
                reason="",
                override=each.number,
            )
    return graph


def _nodes(warehouse: Warehouse) -> nx.Graph[str]:
    unnested = exp.Unnest(expressions=[exp.column("identifiers")]).as_("identifier_id")
    carried = exp.select(unnested).distinct().from_("resolve_rows")
    graph: nx.Graph[str] = nx.Graph()
    for row in warehouse.query(
        exp.select("i.identifier_id", "i.type", "i.blocked", "a.profile_id")
        .from_(carried.subquery("c"))
        .join("identifiers AS i", on="i.identifier_id = c.identifier_id")
        .join("resolve_answers AS a", on="a.identifier_id = c.identifier_id", join_type="left")
        .order_by("i.identifier_id")
    ).to_pylist():
        graph.add_node(
            row["identifier_id"], type=row["type"], profile=row["profile_id"], blocked=row["blocked"]
        )
    return graph


def _codes(warehouse: Warehouse, found: Resolution) -> dict[str, int]:
    """Identifier id → the code that it was linked under, which is another one's where an override says so."""
    nodes: pa.Table = warehouse.query(exp.select("identifier_id", "code").from_("resolve_nodes"))
    linked_as = found.linked.stands_for[integers(nodes, "code")].tolist()
    return dict(zip(nodes["identifier_id"].to_pylist(), linked_as, strict=True))


def _said(kind: int, rules: IdentityRules, pairs: Sequence[Override]) -> str:
    """What refused a link, in words."""
    if kind == FULL:
        return f"the profile holds {rules.max_identifiers:,} identifiers, as many as it may"
    if kind == MERGED_TOO_OFTEN:
        return f"the profile absorbed {rules.max_merges} others, as many as it may"
    if kind >= len(rules.types):
        each = pairs[kind - len(rules.types)]
        return f"override {each.number}: these two are never one person"
    name, limit, window = rules.types[kind].name, rules.types[kind].limit, rules.types[kind].window
    if rules.conflict == "drop_links":
        return f"the profile would hold two {name}, which is unique"
    return f"the profile would hold more than {limit} {name}" + ("" if window == "ever" else f" ({window})")
