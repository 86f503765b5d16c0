"""The identity graph: which identifiers are one person, as a pure function of the set of events.

Two steps. Connected components over all links come first (array algorithm): identifiers of different
components never meet, and a component that breaks no limit as a whole can't have broken one on the way, since
counts only grow, so it is the answer. Only the others are replayed, row by row (`identity.replay`).

A pair that must stay apart counts like a type of its own with a limit of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from identity.links import GraphRules, Ints, Links, Marks, Merges
from identity.replay import Refusal, drop_links, replay

__all__ = ["Graph", "components", "resolve_graph"]


@dataclass(frozen=True, slots=True)
class Graph:
    """Who is who; rows are the links' rows, so a lower row is an earlier one.

    Attributes:
        profile_of: identifier code → profile, or -1 when no event carried it, or every event that did left it
            out: being left out makes no profile, an event in which it stands does.
        component_of: identifier code → component of all links, whether or not they held.
        first_rows: component → its first row, or -1 when no row carries any of it.
        founders: profile → its first row.
        founder_codes: profile → -1, or an identifier's code when that first row belongs to another profile,
            which only `drop_links` brings about.
        merges: profiles absorbed by older ones; none within components whose links had to be dropped.
        moved_rows: rows whose events belong to another identifier's profile than their own first one's.
        moved_to: that identifier, for each of them.
        replayed: rows that had to be replayed because a limit bound.
        refusals: what was left out, when asked for.
    """

    profile_of: Ints
    component_of: Ints
    first_rows: Ints
    founders: Ints
    founder_codes: Ints
    merges: Merges
    moved_rows: Ints
    moved_to: Ints
    replayed: int
    refusals: tuple[Refusal, ...] = ()


def resolve_graph(
    links: Links,
    types: Ints,
    rules: GraphRules,
    apart: Sequence[tuple[int, int]] = (),
    *,
    trace: bool = False,
) -> Graph:
    """Resolve identifiers to profiles.

    Args:
        links: what the events carried, in canonical order.
        types: identifier code → type code.
        rules: limits and priorities by type code.
        apart: pairs of codes that may never be in one profile.
        trace: True also tells what was left out, and replays everything for it.
    """
    labels, first_rows = components(links, len(types))
    size, rows = len(first_rows), len(links.offsets) - 1
    row_label = labels[links.codes[links.offsets[:-1]]] if rows else np.zeros(0, dtype=np.int64)
    seen = np.zeros(len(types), dtype=bool)
    seen[links.codes] = True
    broken = _broken(labels, types, seen, rules, apart)
    if trace:
        broken[:] = True

    merges, crowded = _unite(links, row_label, broken, rules)
    broken[crowded] = True
    merges = merges.where(~broken[row_label[merges.cause]])

    whole = np.flatnonzero((first_rows >= 0) & ~broken)
    profile_of_label = np.full(size, -1, dtype=np.int64)
    profile_of_label[whole] = np.arange(len(whole))
    profile_of = np.where(seen, profile_of_label[labels], -1) if size else np.zeros(0, dtype=np.int64)

    again = np.flatnonzero(broken[row_label]) if rows else np.zeros(0, dtype=np.int64)
    refused: list[Refusal] = []
    if rules.conflict == "demote":
        done = replay(links, again, types, rules, apart, refused if trace else None)
    else:
        done = drop_links(links, again, row_label, types, rules, apart, refused if trace else None)
    profile_of[done.codes] = done.profiles + len(whole)
    founders = np.concatenate([first_rows[whole], done.founders])
    founder_codes = np.concatenate([np.full(len(whole), -1, dtype=np.int64), done.founder_codes])
    return Graph(
        profile_of=profile_of,
        component_of=labels,
        first_rows=first_rows,
        founders=founders,
        founder_codes=founder_codes,
        merges=merges.with_more(done.merges),
        moved_rows=done.moved_rows,
        moved_to=done.moved_to,
        replayed=len(again),
        refusals=tuple(refused),
    )


def components(links: Links, size: int) -> tuple[Ints, Ints]:
    """What hangs together when nothing is too many.

    Args:
        links: what the events carried, in canonical order.
        size: identifier codes.

    Returns:
        Identifier code → component; component → its first row, or -1 when no row carries any of it.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not size:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    chained = np.ones(max(len(links.codes) - 1, 0), dtype=bool)
    chained[links.offsets[1:-1] - 1] = False
    left, right = links.codes[:-1][chained], links.codes[1:][chained]
    edges = coo_array((np.ones(len(left), dtype=np.int8), (left, right)), shape=(size, size))
    count, found = connected_components(edges, directed=False)
    labels = np.asarray(found, dtype=np.int64)
    first_rows = np.full(count, -1, dtype=np.int64)
    of_row = labels[links.codes[links.offsets[:-1]]] if len(links.codes) else labels[:0]
    first_rows[of_row[::-1]] = np.arange(len(of_row) - 1, -1, -1)
    return labels, first_rows


def _broken(
    labels: Ints, types: Ints, seen: Marks, rules: GraphRules, apart: Sequence[tuple[int, int]]
) -> Marks:
    """Component → whether it breaks a limit as a whole."""
    kinds = len(rules.limits)
    size = int(labels.max()) + 1 if len(labels) else 0
    counts = np.bincount(labels[seen] * kinds + types[seen], minlength=size * kinds).reshape(size, kinds)
    if rules.conflict == "drop_links":
        over = counts[:, np.array(rules.unique, dtype=bool)] > 1
    else:
        total = counts.sum(axis=1, keepdims=True) > rules.max_identifiers
        over = np.hstack([counts > np.array(rules.limits), total])
    broken: Marks = np.asarray(over.any(axis=1), dtype=bool)
    for left, right in apart:
        if labels[left] == labels[right]:
            broken[labels[left]] = True
    return broken


def _unite(links: Links, row_label: Ints, broken: Marks, rules: GraphRules) -> tuple[Merges, Ints]:
    """Follow how unbroken components grew together; also name those that merged more often than allowed.

    A profile is born with a row none of whose identifiers is known yet, and ends where it meets an older one.
    Of the rows where profiles may meet, those that do are the minimum spanning forest's edges; the forest's
    n-th edge of every component is taken in one step, since components don't touch each other.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import minimum_spanning_tree

    nothing = np.zeros(0, dtype=np.int64)
    alone = np.bincount(row_label, minlength=len(broken)) == 1
    cause, elder, younger = _meetings(links, np.flatnonzero(~(alone | broken)[row_label]))
    if not len(cause):
        return Merges(nothing, nothing, nothing), nothing
    births, ends = np.unique(np.concatenate([elder, younger]), return_inverse=True)
    left, right = ends[: len(elder)], ends[len(elder) :]
    _, firsts = np.unique(left * len(births) + right, return_index=True)
    weights = csr_array((firsts + 1.0, (left[firsts], right[firsts])), shape=(len(births), len(births)))
    taken = np.sort(minimum_spanning_tree(weights).data.astype(np.int64) - 1)

    label = row_label[cause[taken]]
    joined = np.bincount(label, minlength=len(broken))
    crowded = nothing
    if rules.conflict == "demote":
        crowded = np.flatnonzero(joined > rules.max_merges)
        kept = joined[label] <= rules.max_merges
        taken, label = taken[kept], label[kept]
    taken = taken[np.argsort(label, kind="stable")]
    counts = joined[np.unique(label)]
    turn = np.arange(len(taken)) - np.repeat(np.cumsum(counts) - counts, counts)
    parent = np.arange(len(births))
    from_birth, into_birth = np.empty_like(taken), np.empty_like(taken)
    by_turn = np.argsort(turn, kind="stable")
    for now in np.split(by_turn, np.flatnonzero(np.diff(turn[by_turn])) + 1):
        one, other = _roots(parent, left[taken[now]]), _roots(parent, right[taken[now]])
        into_birth[now], from_birth[now] = np.minimum(one, other), np.maximum(one, other)
        parent[from_birth[now]] = into_birth[now]
    return Merges(births[from_birth], births[into_birth], cause[taken]).in_order(), crowded


def _roots(parent: Ints, births: Ints) -> Ints:
    root = parent[births]
    while not np.array_equal(further := parent[root], root):
        root = further
    return root


def _meetings(links: Links, order: Ints) -> tuple[Ints, Ints, Ints]:
    """Rows where profiles may meet: the row, the oldest profile's first row, and another's, in order.

    Every identifier but a founding row's is born into the profile of one that its first row knew, so only
    rows that know identifiers of different births matter.
    """
    nothing = np.zeros(0, dtype=np.int64)
    if not len(order):
        return nothing, nothing, nothing
    lengths = np.diff(links.offsets)[order]
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    place = np.repeat(np.arange(len(order)), lengths)
    codes = links.codes[np.arange(len(place)) + np.repeat(links.offsets[order] - starts, lengths)]
    first_place = np.zeros(int(codes.max()) + 1, dtype=np.int64)
    first_place[codes[::-1]] = place[::-1]
    known = first_place[codes] < place
    host = np.minimum.reduceat(np.where(known, np.arange(len(codes)), len(codes)), starts)
    host = codes[np.where(host < len(codes), host, starts)]
    root = np.arange(len(first_place))
    root[codes[~known]] = host[place[~known]]
    while not np.array_equal(further := root[root], root):
        root = further
    birth = first_place[root[codes]]
    least = np.minimum.reduceat(np.where(known, birth, len(order)), starts)
    others = np.flatnonzero(known & (birth > least[place]))
    return order[place[others]], order[least[place[others]]], order[birth[others]]
