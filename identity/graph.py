"""The identity graph: which identifiers are one person, as a pure function of the set of events.

Segment's flat matching, in canonical order `(occurred_at, message_id)`, in two steps. Connected components
over all links come first (array algorithm): identifiers of different components never meet, and a component
that breaks no limit as a whole can't have broken one on the way, since counts only grow, so it is the answer.
Only the others are replayed event by event:

- `demote` (segment-docs, `src/unify/identity-resolution`): while the profile that an event would make holds
  too many of a type, the event's lowest-priority identifier is left out and the match is tried again;
- `drop_links` (Adobe Experience Platform, identity optimisation): links of the latest event first, then by
  the sum of their types' priorities, then the newer first; a link that would put two values of a unique type
  into one profile is dropped.

Ties: identifiers of equal priority leave from the end of the event's list; links of equal rank are taken in
order of their identifiers' codes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = ["Graph", "GraphRules", "Ints", "Links", "Merge", "resolve_graph"]

Ints = npt.NDArray[np.int64]
"""A numpy array of 64-bit integers."""


@dataclass(frozen=True, slots=True)
class GraphRules:
    """Limits and priorities by type code.

    Attributes:
        limits: how many a profile may hold.
        windows: microseconds that a limit looks back over, or None for ever.
        priorities: 1 is the highest.
        unique: True when two values always mean two people.
        conflict: what gives way when a profile would hold too many.
        max_merges: profiles that one profile may absorb; beyond it, an event resolves but links nothing.
        max_identifiers: identifiers that one profile may hold; beyond it, likewise.
    """

    limits: tuple[int, ...]
    windows: tuple[int | None, ...]
    priorities: tuple[int, ...]
    unique: tuple[bool, ...]
    conflict: Literal["demote", "drop_links"] = "demote"
    max_merges: int = 100
    max_identifiers: int = 1000


@dataclass(frozen=True, slots=True)
class Links:
    """Events' identifier lists, blocked identifiers left out; equal lists may be given once or often.

    Attributes:
        offsets: row i's codes are `codes[offsets[i]:offsets[i + 1]]`, at least one.
        codes: identifier codes, the highest priority first in each row.
        occurred_at: first time that the row's list was seen, microseconds.
        message_ids: the event that was.
        last_occurred_at: newest time that it was seen, microseconds.
    """

    offsets: Ints
    codes: Ints
    occurred_at: Ints
    message_ids: Sequence[str]
    last_occurred_at: Ints


@dataclass(frozen=True, slots=True)
class Merge:
    """One profile absorbed by an older one; all three are rows of the links.

    Attributes:
        from_founder: the first event of the profile that ended.
        into_founder: the first event of the profile that went on.
        cause: the event that joined them.
    """

    from_founder: int
    into_founder: int
    cause: int


@dataclass(frozen=True, slots=True)
class Graph:
    """Who is who.

    Attributes:
        profile_of: identifier code → profile, or -1 when nothing ever linked it.
        founders: profile → row of its canonically first event.
        founder_codes: profile → -1, or an identifier's code when that first event belongs to another profile,
            which only `drop_links` brings about.
        merges: in canonical order.
        subjects: row → identifier whose profile the row's events belong to; -1 for nobody.
        replayed: rows that had to be replayed because a limit bound.
    """

    profile_of: Ints
    founders: Ints
    founder_codes: Ints
    merges: tuple[Merge, ...]
    subjects: Ints
    replayed: int


@dataclass(slots=True)
class _Profile:
    """A profile while events are replayed."""

    founder: int
    order: int
    first_seen: dict[int, int] = field(default_factory=dict)
    merges: int = 0


def resolve_graph(links: Links, types: Ints, rules: GraphRules) -> Graph:
    """Resolve identifiers to profiles.

    Args:
        links: what the events carried, in any order.
        types: identifier code → type code.
        rules: limits and priorities by type code.
    """
    rows = len(links.offsets) - 1
    labels = _components(links, len(types))
    rank = _canonical_rank(links)
    first = links.codes[links.offsets[:-1]] if rows else np.zeros(0, dtype=np.int64)
    row_label = labels[first]
    seen = np.zeros(len(types), dtype=bool)
    seen[links.codes] = True
    broken = _broken(labels, types, seen, rules)
    profile_of = np.full(len(types), -1, dtype=np.int64)
    subjects = first.copy()
    alone = np.bincount(row_label, minlength=len(broken)) == 1

    merges: list[Merge] = []
    in_order = np.argsort(rank, kind="stable")
    shared = in_order[~alone[row_label[in_order]] & ~broken[row_label[in_order]]]
    founder_of_label, crowded = _unite(links, shared, row_label, rules, merges, len(broken))
    broken[crowded] = True
    single = np.flatnonzero(alone[row_label] & ~broken[row_label]) if rows else np.zeros(0, dtype=np.int64)
    founder_of_label[row_label[single]] = single

    whole = np.flatnonzero((founder_of_label >= 0) & ~broken)
    profile_of_label = np.full(len(broken), -1, dtype=np.int64)
    profile_of_label[whole] = np.arange(len(whole))
    profile_of[seen] = profile_of_label[labels[seen]]
    founders = list(founder_of_label[whole])
    founder_codes = [-1] * len(founders)

    replay = in_order[broken[row_label[in_order]]] if rows else np.zeros(0, dtype=np.int64)
    if len(replay):
        if rules.conflict == "demote":
            profiles = _replay(links, replay, types, rules, rank, merges, subjects)
        else:
            profiles = _drop_links(links, replay, types, rules, rank)
        for founder, founder_code, codes in profiles:
            profile_of[list(codes)] = len(founders)
            founders.append(founder)
            founder_codes.append(founder_code)
    merges.sort(key=lambda merge: (rank[merge.cause], rank[merge.from_founder]))
    return Graph(
        profile_of,
        np.array(founders, dtype=np.int64),
        np.array(founder_codes, dtype=np.int64),
        tuple(merges),
        subjects,
        len(replay),
    )


def _components(links: Links, size: int) -> Ints:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not size:
        return np.zeros(0, dtype=np.int64)
    chained = np.ones(max(len(links.codes) - 1, 0), dtype=bool)
    chained[links.offsets[1:-1] - 1] = False
    left, right = links.codes[:-1][chained], links.codes[1:][chained]
    edges = coo_array((np.ones(len(left), dtype=np.int8), (left, right)), shape=(size, size))
    _, labels = connected_components(edges, directed=False)
    return np.asarray(labels, dtype=np.int64)


def _canonical_rank(links: Links) -> Ints:
    """Row → its place in the order (occurred_at, message_id)."""
    order = np.argsort(links.occurred_at, kind="stable")
    at = links.occurred_at[order]
    ties = np.flatnonzero(at[1:] == at[:-1])
    if len(ties):
        ids = links.message_ids
        starts = ties[np.r_[True, np.diff(ties) > 1]]
        ends = ties[np.r_[np.diff(ties) > 1, True]] + 2
        for start, end in zip(starts, ends, strict=True):
            order[start:end] = sorted(order[start:end], key=lambda row: ids[row])
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return rank


def _broken(
    labels: Ints, types: Ints, seen: npt.NDArray[np.bool_], rules: GraphRules
) -> npt.NDArray[np.bool_]:
    """Component → whether it breaks a limit as a whole."""
    kinds = len(rules.limits)
    size = int(labels.max()) + 1 if len(labels) else 0
    counts = np.bincount(labels[seen] * kinds + types[seen], minlength=size * kinds).reshape(size, kinds)
    if rules.conflict == "drop_links":
        return np.asarray((counts[:, np.array(rules.unique, dtype=bool)] > 1).any(axis=1))
    over = (counts > np.array(rules.limits)).any(axis=1)
    return np.asarray(over | (counts.sum(axis=1) > rules.max_identifiers))


def _unite(
    links: Links, order: Ints, row_label: Ints, rules: GraphRules, merges: list[Merge], size: int
) -> tuple[Ints, list[int]]:
    """Follow how unbroken components grew together; also name those that merged more often than allowed."""
    founder_of_label = np.full(size, -1, dtype=np.int64)
    parent: dict[int, int] = {}
    founder: dict[int, tuple[int, int]] = {}
    found: dict[int, list[Merge]] = {}
    offsets, codes = links.offsets.tolist(), links.codes.tolist()

    def root(code: int) -> int:
        while parent[code] != code:
            parent[code] = parent[parent[code]]
            code = parent[code]
        return code

    for place, row in enumerate(order.tolist()):
        members = codes[offsets[row] : offsets[row + 1]]
        roots = {root(code) for code in members if code in parent}
        if not roots:
            home = members[0]
            founder[home] = (place, row)
            parent[home] = home
        else:
            home, *others = sorted(roots, key=lambda each: founder[each][0])
            for other in others:
                parent[other] = home
                found.setdefault(int(row_label[row]), []).append(
                    Merge(founder[other][1], founder[home][1], row)
                )
        for code in members:
            if code not in parent:
                parent[code] = home
        label = row_label[row]
        if founder_of_label[label] < 0:
            founder_of_label[label] = row
    crowded = []
    if rules.conflict == "demote":
        crowded = [label for label, ours in found.items() if len(ours) > rules.max_merges]
    for label in crowded:
        del found[label]
        founder_of_label[label] = -1
    merges.extend(merge for ours in found.values() for merge in ours)
    return founder_of_label, crowded


def _replay(
    links: Links,
    order: Ints,
    types: Ints,
    rules: GraphRules,
    rank: Ints,
    merges: list[Merge],
    subjects: Ints,
) -> list[tuple[int, int, Iterable[int]]]:
    holder: dict[int, _Profile] = {}
    profiles: dict[int, _Profile] = {}
    priority = [rules.priorities[kind] for kind in types.tolist()]
    for row in order.tolist():
        at = int(links.occurred_at[row])
        ids = list(dict.fromkeys(links.codes[links.offsets[row] : links.offsets[row + 1]].tolist()))
        while True:
            matched = sorted(
                {id(holder[code]): holder[code] for code in ids if code in holder}.values(),
                key=lambda profile: profile.order,
            )
            if len(ids) <= 1 or not _over_limit(matched, ids, at, types, rules):
                break
            lowest = max(range(len(ids)), key=lambda place: (priority[ids[place]], place))
            del ids[lowest]
        total = len({*ids, *(code for profile in matched for code in profile.first_seen)})
        joined = sum(profile.merges for profile in matched) + max(len(matched) - 1, 0)
        if matched and (joined > rules.max_merges or total > rules.max_identifiers) and _adds(matched, ids):
            subjects[row] = next(code for code in ids if code in holder)
            continue
        subjects[row] = ids[0]
        if not matched:
            home = _Profile(row, int(rank[row]))
            profiles[id(home)] = home
        else:
            home = matched[0]
            for other in matched[1:]:
                merges.append(Merge(other.founder, home.founder, row))
                for code, first_seen in other.first_seen.items():
                    home.first_seen[code] = min(first_seen, home.first_seen.get(code, first_seen))
                    holder[code] = home
                del profiles[id(other)]
            home.merges = joined
        for code in ids:
            home.first_seen.setdefault(code, at)
            holder[code] = home
    return [(profile.founder, -1, profile.first_seen) for profile in profiles.values()]


def _over_limit(
    matched: Sequence[_Profile], ids: Sequence[int], at: int, types: Ints, rules: GraphRules
) -> bool:
    first_seen = dict.fromkeys(ids, at)
    for profile in matched:
        for code, seen_at in profile.first_seen.items():
            first_seen[code] = min(seen_at, first_seen.get(code, seen_at))
    counts = [0] * len(rules.limits)
    for code, seen_at in first_seen.items():
        kind = types[code]
        window = rules.windows[kind]
        if window is None or seen_at > at - window:
            counts[kind] += 1
    return any(count > limit for count, limit in zip(counts, rules.limits, strict=True))


def _adds(matched: Sequence[_Profile], ids: Sequence[int]) -> bool:
    return len(matched) > 1 or any(code not in matched[0].first_seen for code in ids)


def _drop_links(
    links: Links, order: Ints, types: Ints, rules: GraphRules, rank: Ints
) -> list[tuple[int, int, Iterable[int]]]:
    newest: dict[tuple[int, int], tuple[int, int]] = {}
    latest = max((int(links.last_occurred_at[row]), int(rank[row])) for row in order)
    members: dict[int, list[int]] = {}
    for row in order.tolist():
        ids = list(dict.fromkeys(links.codes[links.offsets[row] : links.offsets[row + 1]].tolist()))
        stamp = (int(links.last_occurred_at[row]), int(rank[row]))
        for place, left in enumerate(ids):
            members.setdefault(left, [left])
            for right in ids[place + 1 :]:
                pair = (min(left, right), max(left, right))
                newest[pair] = max(newest.get(pair, stamp), stamp)

    def ranking(pair: tuple[int, int]) -> tuple[bool, int, int, int, tuple[int, int]]:
        at, place = newest[pair]
        weight = sum(rules.priorities[types[code]] for code in pair)
        return ((at, place) != latest, weight, -at, -place, pair)

    group = {code: code for code in members}
    for left, right in sorted(newest, key=ranking):
        one, two = group[left], group[right]
        if one == two or _doubles([*members[one], *members[two]], types, rules):
            continue
        members[one].extend(members[two])
        for code in members.pop(two):
            group[code] = one
    founder: dict[int, tuple[int, int]] = {}
    for row in order.tolist():
        owner = group[int(links.codes[links.offsets[row]])]
        founder.setdefault(owner, (row, -1))
    for row in order.tolist():
        for code in links.codes[links.offsets[row] : links.offsets[row + 1]].tolist():
            founder.setdefault(group[code], (row, code))
    return [(*founder[owner], codes) for owner, codes in members.items()]


def _doubles(codes: Sequence[int], types: Ints, rules: GraphRules) -> bool:
    unique = [types[code] for code in codes if rules.unique[types[code]]]
    return len(unique) != len(set(unique))
