"""The identity graph: which identifiers are one person, as a pure function of the set of events.

Segment's flat matching, in canonical order `(occurred_at, message_id)`, in two steps. Connected components
over all links come first (array algorithm): identifiers of different components never meet, and a component
that breaks no limit as a whole can't have broken one on the way, since counts only grow, so it is the answer.
Only the others are replayed event by event:

- `demote` (segment-docs, `src/unify/identity-resolution`): while the profile that an event would make holds
  too many of a type, the event's lowest-priority identifier is left out and the match is tried again;
- `drop_links` (Adobe Experience Platform, identity optimisation): the component's newest links first, then
  by the sum of their types' priorities, then the newer first; a link that would put two values of a unique
  type into one profile is dropped. An event that carries one identifier has no link, and so is never newest.

Ties: identifiers of equal priority leave from the end of the event's list; links of equal rank are taken in
order of their identifiers' codes. Repeating a list changes nothing while no limit is windowed: what one
event of it joined is joined, and what was too many stays too many. So lists may be given once; where limits
are windowed, give every event.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from operator import itemgetter
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
        conflict: what gives way when a profile would hold too many: `demote` knows limits and caps,
            `drop_links` knows unique types only.
        max_merges: profiles that one profile may absorb; beyond it, an event resolves (to the profile of its
            highest-priority identifier that has one) but links nothing.
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
        codes: identifier codes, the highest priority first in each row; they decide ties, so let them follow
            from the identifiers alone.
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
        profile_of: identifier code → profile, or -1 when no event carried it, or every event that did left it
            out: being left out makes no profile, an event in which it stands does.
        founders: profile → row of its canonically first event.
        founder_codes: profile → -1, or an identifier's code when that first event belongs to another profile,
            which only `drop_links` brings about.
        merges: in canonical order; none within components whose links had to be dropped.
        subjects: row → identifier whose profile the row's events belong to.
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
    """A profile while events are replayed: its first row, that row's place, and when it first saw whom."""

    founder: int
    place: int
    first_seen: dict[int, int]
    merges: int = 0


def resolve_graph(links: Links, types: Ints, rules: GraphRules) -> Graph:
    """Resolve identifiers to profiles.

    Args:
        links: what the events carried, in any order.
        types: identifier code → type code.
        rules: limits and priorities by type code.
    """
    labels = _components(links, len(types))
    rank = _canonical_rank(links)
    first = links.codes[links.offsets[:-1]]
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
    single = np.flatnonzero(alone[row_label] & ~broken[row_label])
    founder_of_label[row_label[single]] = single

    whole = np.flatnonzero((founder_of_label >= 0) & ~broken)
    profile_of_label = np.full(len(broken), -1, dtype=np.int64)
    profile_of_label[whole] = np.arange(len(whole))
    profile_of[seen] = profile_of_label[labels[seen]]
    founders = list(founder_of_label[whole])
    founder_codes = [-1] * len(founders)

    replay = in_order[broken[row_label[in_order]]]
    profiles: Iterable[tuple[int, int, Iterable[int]]] = ()
    if rules.conflict == "demote":
        profiles = _replay(links, replay, types, rules, merges, subjects)
    elif len(replay):
        of_component = replay[np.argsort(row_label[replay], kind="stable")]
        ends = np.flatnonzero(np.diff(row_label[of_component])) + 1
        parts = np.split(of_component, ends)
        profiles = chain.from_iterable(_drop_links(links, part, types, rules) for part in parts)
    for founder, founder_code, members in profiles:
        profile_of[list(members)] = len(founders)
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
    founder_of_label[row_label[order[::-1]]] = order[::-1]
    found: dict[int, list[Merge]] = {}
    parent: dict[int, int] = {}

    def root(birth: int) -> int:
        while parent.setdefault(birth, birth) != birth:
            parent[birth] = parent[parent[birth]]
            birth = parent[birth]
        return birth

    rows = order.tolist()
    for place, births in _joining(links, order):
        home, *others = sorted({root(birth) for birth in births})
        for other in others:
            parent[other] = home
            row = rows[place]
            found.setdefault(int(row_label[row]), []).append(Merge(rows[other], rows[home], row))
    crowded = []
    if rules.conflict == "demote":
        crowded = [label for label, ours in found.items() if len(ours) > rules.max_merges]
    for label in crowded:
        del found[label]
        founder_of_label[label] = -1
    merges.extend(merge for ours in found.values() for merge in ours)
    return founder_of_label, crowded


def _joining(links: Links, order: Ints) -> Iterator[tuple[int, list[int]]]:
    """The places in the order where profiles may meet, with the places where those profiles were born.

    A row none of whose identifiers is known yet gives birth to a profile; every other identifier is born into
    the profile of one that its first row knew. So only rows that know identifiers of different births matter.
    """
    if not len(order):
        return
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
    most = np.maximum.reduceat(np.where(known, birth, -1), starts)
    meets = known & (least < most)[place]
    for each, births in groupby(
        zip(place[meets].tolist(), birth[meets].tolist(), strict=True), itemgetter(0)
    ):
        yield each, [born for _, born in births]


def _replay(
    links: Links, order: Ints, types: Ints, rules: GraphRules, merges: list[Merge], subjects: Ints
) -> Iterator[tuple[int, int, Iterable[int]]]:
    """Match row by row; also note merges, and whose a row is that a cap kept from linking."""
    holder: dict[int, _Profile] = {}
    profiles: dict[int, _Profile] = {}
    kinds = types.tolist()
    offsets, codes, instants = links.offsets.tolist(), links.codes.tolist(), links.occurred_at.tolist()
    for place, row in enumerate(order.tolist()):
        at = instants[row]
        ids = list(dict.fromkeys(codes[offsets[row] : offsets[row + 1]]))
        while True:
            matched = _matched(ids, holder)
            if len(ids) == 1 or not _adds(matched, ids) or not _over_limit(matched, ids, at, kinds, rules):
                break
            lowest = max(range(len(ids)), key=lambda nth: (rules.priorities[kinds[ids[nth]]], nth))
            del ids[lowest]
        subjects[row] = ids[0]
        if not matched:
            profiles[place] = _Profile(row, place, dict.fromkeys(ids, at))
            holder.update(dict.fromkeys(ids, profiles[place]))
            continue
        if not _adds(matched, ids):
            continue
        home, *others = matched
        joined = sum(profile.merges for profile in matched) + len(others)
        total = len({*ids, *(code for profile in matched for code in profile.first_seen)})
        if joined > rules.max_merges or total > rules.max_identifiers:
            subjects[row] = next(code for code in ids if code in holder)
            continue
        for other in others:
            merges.append(Merge(other.founder, home.founder, row))
            home.first_seen |= other.first_seen
            holder.update(dict.fromkeys(other.first_seen, home))
            del profiles[other.place]
        home.merges = joined
        for code in ids:
            home.first_seen.setdefault(code, at)
            holder[code] = home
    return ((profile.founder, -1, profile.first_seen) for profile in profiles.values())


def _matched(ids: Sequence[int], holder: Mapping[int, _Profile]) -> list[_Profile]:
    """The profiles that hold any of the identifiers, the oldest first."""
    found = {holder[code].place: holder[code] for code in ids if code in holder}
    return [found[place] for place in sorted(found)]


def _adds(matched: Sequence[_Profile], ids: Sequence[int]) -> bool:
    return len(matched) != 1 or any(code not in matched[0].first_seen for code in ids)


def _over_limit(
    matched: Sequence[_Profile], ids: Sequence[int], at: int, kinds: Sequence[int], rules: GraphRules
) -> bool:
    first_seen = dict.fromkeys(ids, at)
    for profile in matched:
        first_seen |= profile.first_seen
    counts = [0] * len(rules.limits)
    for code, seen_at in first_seen.items():
        window = rules.windows[kinds[code]]
        if window is None or seen_at > at - window:
            counts[kinds[code]] += 1
    return any(count > limit for count, limit in zip(counts, rules.limits, strict=True))


def _drop_links(
    links: Links, order: Ints, types: Ints, rules: GraphRules
) -> Iterator[tuple[int, int, Iterable[int]]]:
    """Lay one component's links, the most trusted first; a link joins two identifiers of one event."""
    newest: dict[tuple[int, int], int] = {}
    members: dict[int, list[int]] = {}
    rows: list[tuple[int, list[int]]] = []
    for row in order.tolist():
        ids = list(dict.fromkeys(links.codes[links.offsets[row] : links.offsets[row + 1]].tolist()))
        rows.append((row, ids))
        at = int(links.last_occurred_at[row])
        members.update((code, [code]) for code in ids)
        for nth, left in enumerate(ids):
            for right in ids[nth + 1 :]:
                pair = (min(left, right), max(left, right))
                newest[pair] = max(newest.get(pair, at), at)
    latest = max(newest.values())

    def trust(pair: tuple[int, int]) -> tuple[bool, int, int, tuple[int, int]]:
        weight = sum(rules.priorities[types[code]] for code in pair)
        return (newest[pair] != latest, weight, -newest[pair], pair)

    group = {code: code for code in members}
    unique = {code: {int(types[code])} if rules.unique[types[code]] else set() for code in members}
    for pair in sorted(newest, key=trust):
        home, other = sorted((group[pair[0]], group[pair[1]]), key=lambda each: -len(members[each]))
        if home == other or unique[home] & unique[other]:
            continue
        unique[home] |= unique.pop(other)
        members[home] += members[other]
        group.update(dict.fromkeys(members.pop(other), home))
    founder: dict[int, tuple[int, int]] = {}
    for row, ids in rows:
        founder.setdefault(group[ids[0]], (row, -1))
    for row, ids in rows:
        for code in ids:
            founder.setdefault(group[code], (row, code))
    return ((*founder[owner], codes) for owner, codes in members.items())
