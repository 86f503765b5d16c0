"""Why two identifiers are one person, or are not; and what holds a profile together.

networkx does the reasoning over the component's graph (`identity.component`); what is shown is masked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import cast

import networkx as nx
import pyarrow as pa
from sqlglot import exp

from identity.component import as_graph, resolve_component
from identity.errors import NotFoundError
from identity.identifiers import IdentityRules
from identity.overrides import Override
from identity.privacy.vault import Vault
from identity.shown import ShownIdentifier, show_identifiers
from identity.store.warehouse import Warehouse

__all__ = [
    "Bridge",
    "Cluster",
    "Explanation",
    "Glue",
    "Step",
    "bridges_of",
    "explain_identifiers",
    "show_cluster",
]

_SHOWN = 50
"""Bridges that are shown, and identifiers looked at one by one, those with most neighbours first."""


@dataclass(frozen=True, slots=True)
class Step:
    """Two identifiers that one event carried.

    Attributes:
        left: one of them.
        right: the other.
        message_id: the event, or empty for an override.
        event: its kind and name, or the override's number and reason.
        occurred_at: when, UTC.
        refused: why it links nobody; empty when it does.
    """

    left: ShownIdentifier
    right: ShownIdentifier
    message_id: str
    event: str
    occurred_at: datetime
    refused: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why two identifiers are one person, or are not.

    Attributes:
        left: one identifier.
        right: the other.
        left_profile: the profile that it points to, or None.
        right_profile: likewise.
        steps: the shortest chain between the two that holds; else the one with fewest refusals; empty when
            nothing ever joined them.
    """

    left: ShownIdentifier
    right: ShownIdentifier
    left_profile: str | None
    right_profile: str | None
    steps: tuple[Step, ...]

    @property
    def joined(self) -> bool:
        """True when both are one person."""
        return self.left_profile is not None and self.left_profile == self.right_profile


@dataclass(frozen=True, slots=True)
class Bridge:
    """A link without which its profile would fall in two.

    Attributes:
        step: the link.
        sides: identifiers on either side, the smaller first.
    """

    step: Step
    sides: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Glue:
    """An identifier without which people would fall apart.

    Attributes:
        identifier: which one.
        neighbours: identifiers that it was seen with.
        people: parts with a person's own id (a unique type) that it holds together, or would without limits.
        blocked: True when it is blocked already.
    """

    identifier: ShownIdentifier
    neighbours: int
    people: int
    blocked: bool


@dataclass(frozen=True, slots=True)
class Cluster:
    """The component around an identifier.

    Attributes:
        graph: nodes and edges as in `identity.component`.
        start: id of the identifier that was asked for.
        shown: identifier id → how it is shown.
        bridges: links that hold a profile together alone, those of the biggest smaller side first.
        glue: identifiers that hold people together, those with most people first.
    """

    graph: nx.Graph[str]
    start: str
    shown: dict[str, ShownIdentifier]
    bridges: tuple[Bridge, ...]
    glue: tuple[Glue, ...]


def explain_identifiers(
    warehouse: Warehouse,
    vault: Vault,
    rules: IdentityRules,
    overrides: Sequence[Override],
    left: str,
    right: str,
) -> Explanation:
    """Find the chain of events that joins two identifiers, or what refused it.

    Args:
        warehouse: holds the events.
        vault: masks what is shown.
        rules: the project's identity rules.
        overrides: those that hold.
        left: id of an identifier.
        right: id of another.

    Raises:
        NotFoundError: an event never carried one of them, or no resolve has seen it yet.
    """
    graph = _graph(warehouse, vault, rules, overrides, [left, right])
    held = nx.subgraph_view(graph, filter_edge=lambda one, other: graph.edges[one, other]["held"])
    path: list[str] = []
    if nx.has_path(held, left, right):
        path = nx.shortest_path(held, left, right)
    elif nx.has_path(graph, left, right):
        # one refusal weighs more than any chain of links that hold
        dear = len(graph)
        path = nx.shortest_path(
            graph, left, right, weight=lambda _one, _other, edge: 1 if edge["held"] else dear
        )
    shown = show_identifiers(warehouse, vault, list({left, right, *path}))
    return Explanation(
        shown[left],
        shown[right],
        graph.nodes[left]["profile"],
        graph.nodes[right]["profile"],
        _steps(warehouse, graph, list(pairwise(path)), shown, overrides),
    )


def show_cluster(
    warehouse: Warehouse,
    vault: Vault,
    rules: IdentityRules,
    overrides: Sequence[Override],
    identifier: str,
) -> Cluster:
    """Gather the component around an identifier, and what holds it together.

    Args:
        warehouse: holds the events.
        vault: masks what is shown.
        rules: the project's identity rules; types that are unique count people.
        overrides: those that hold.
        identifier: its id.

    Raises:
        NotFoundError: an event never carried it, or no resolve has seen it yet.
    """
    graph = _graph(warehouse, vault, rules, overrides, [identifier])
    shown = show_identifiers(warehouse, vault, list(graph))
    cut = bridges_of(graph)[:_SHOWN]
    steps = _steps(warehouse, graph, [edge for _, edge in cut], shown, overrides)
    return Cluster(
        graph,
        identifier,
        shown,
        tuple(Bridge(step, sides) for (sides, _), step in zip(cut, steps, strict=True)),
        _glue(graph, shown, {each.name for each in rules.types if each.unique}),
    )


def bridges_of(graph: nx.Graph[str]) -> list[tuple[tuple[int, int], tuple[str, str]]]:
    """Find the links that alone hold a profile together, with two identifiers or more on either side.

    Args:
        graph: as `identity.component` reads it.

    Returns:
        How many identifiers lie on either side, the smaller first, and the link; the most even first.
    """
    held: nx.Graph[str] = nx.Graph()
    held.add_edges_from((one, other) for one, other, edge in graph.edges(data=True) if edge["held"])
    found = []
    for one, other in cast("list[tuple[str, str]]", list(nx.bridges(held))):
        if held.degree[one] == 1 or held.degree[other] == 1:
            continue
        held.remove_edge(one, other)
        near, far = (len(nx.node_connected_component(held, each)) for each in (one, other))
        held.add_edge(one, other)
        found.append(((min(near, far), max(near, far)), (one, other)))
    return sorted(found, key=lambda each: (-each[0][0], -each[0][1], each[1]))


def _graph(
    warehouse: Warehouse,
    vault: Vault,
    rules: IdentityRules,
    overrides: Sequence[Override],
    identifiers: Sequence[str],
) -> nx.Graph[str]:
    found = resolve_component(warehouse, vault, rules, overrides, identifiers)
    graph = as_graph(warehouse, found, rules, overrides)
    for each in identifiers:
        if each not in graph:
            raise NotFoundError(
                "No resolved event carries that identifier, or only blocked ones beside it; "
                "after an ingest, run `audiences resolve`."
            )
    return graph


def _glue(graph: nx.Graph[str], shown: dict[str, ShownIdentifier], people: set[str]) -> tuple[Glue, ...]:
    """What would fall apart without an identifier, looking at every link, held or refused."""
    found = []
    rest: nx.Graph[str] = nx.Graph(graph.edges)
    cutting = sorted(nx.articulation_points(graph), key=lambda node: (-graph.degree[node], node))
    for node in cutting[:_SHOWN]:
        neighbours = set(graph[node])
        rest.remove_node(node)
        count = sum(
            any(graph.nodes[each]["type"] in people for each in part)
            for part in nx.connected_components(rest)
            if not neighbours.isdisjoint(part)
        )
        rest.add_edges_from(graph.edges(node))
        if count > 1:
            found.append(Glue(shown[node], graph.degree[node], count, graph.nodes[node]["blocked"]))
    return tuple(sorted(found, key=lambda each: -each.people))


def _steps(
    warehouse: Warehouse,
    graph: nx.Graph[str],
    edges: Sequence[tuple[str, str]],
    shown: dict[str, ShownIdentifier],
    overrides: Sequence[Override],
) -> tuple[Step, ...]:
    facts = [graph.edges[edge] for edge in edges]
    names = _event_names(warehouse, {each["message_id"] for each in facts})
    reasons = {each.number: f"override {each.number}: {each.reason}" for each in overrides}
    return tuple(
        Step(
            shown[one],
            shown[other],
            each["message_id"],
            reasons[each["override"]] if each["override"] else names.get(each["message_id"], ""),
            each["occurred_at"].astimezone(UTC),
            each["reason"],
        )
        for (one, other), each in zip(edges, facts, strict=True)
    )


def _event_names(warehouse: Warehouse, message_ids: Iterable[str]) -> dict[str, str]:
    wanted = pa.table({"message_id": pa.array(sorted(message_ids), pa.string())})
    with warehouse.scratch("wanted", wanted) as name:
        rows = warehouse.query(
            exp.select("e.message_id", "e.kind", "e.name")
            .from_("events AS e")
            .join(exp.to_table(name).as_("w"), using="message_id")
        ).to_pylist()
    return {row["message_id"]: f"{row['kind']} {row['name']}".strip() for row in rows}
