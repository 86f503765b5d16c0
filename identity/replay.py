"""Replay of the components where a limit bound, row by row.

- `demote` (segment-docs, `src/unify/identity-resolution`): while the profile that an event would make holds
  too many of a type, the event's lowest-priority identifier is left out and the match is tried again;
- `drop_links` (Adobe Experience Platform, identity optimisation): the component's newest links first, then
  by the sum of their types' priorities, then the newer first; a link that would put two values of a unique
  type into one profile is dropped. An event that carries one identifier has no link, and so is never newest.

Ties: identifiers of equal priority leave from the end of the event's list; links of equal rank are taken in
order of their identifiers' codes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

import numpy as np

from identity.links import GraphRules, Ints, Links, Merges

__all__ = ["FULL", "MERGED_TOO_OFTEN", "Refusal", "Replayed", "drop_links", "replay"]

FULL = -1
"""Stands for a type in a refusal: the profile holds as many identifiers as it may."""
MERGED_TOO_OFTEN = -2
"""Stands for a type in a refusal: the profile absorbed as many others as it may."""

_AT_ONCE = 100_000
"""Rows that are turned into Python's lists at a time."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An identifier that an event did not link.

    Attributes:
        row: the event's row.
        code: the identifier that was left out.
        other: -1, or under `drop_links` the one that it was not linked to, in this row or any other.
        kind: code of the type whose limit refused it; at least the number of types when it was the pair of
            that number that must stay apart; `FULL` or `MERGED_TOO_OFTEN` when it was a cap.
    """

    row: int
    code: int
    other: int
    kind: int


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came out: codes with profiles, profiles' founders, merges, rows that belong elsewhere."""

    codes: Ints
    profiles: Ints
    founders: Ints
    founder_codes: Ints
    merges: Merges
    moved_rows: Ints
    moved_to: Ints


@dataclass(slots=True, eq=False)
class _Profile:
    """A profile while rows are replayed: its first row, when it first saw whom, and how many of each kind."""

    founder: int
    first_seen: dict[int, int]
    counts: dict[int, int] = field(default_factory=dict)
    merges: int = 0


class _Kinds:
    """Which kinds an identifier counts for: its type, and one for each pair that must stay apart."""

    def __init__(self, types: Ints, rules: GraphRules, apart: Sequence[tuple[int, int]]) -> None:
        self.types = types.tolist()
        self._alone = [(kind,) for kind in range(len(rules.limits))]
        self._extra: dict[int, tuple[int, ...]] = {}
        for number, pair in enumerate(apart, start=len(rules.limits)):
            for code in pair:
                self._extra[code] = (*self._extra.get(code, ()), number)
        self.limits = dict(enumerate((*rules.limits, *(1 for _ in apart))))
        self.windows = {kind: window for kind, window in enumerate(rules.windows) if window is not None}

    def of(self, code: int) -> tuple[int, ...]:
        own = self._alone[self.types[code]]
        return (*own, *self._extra[code]) if code in self._extra else own


def _ranked(links: Links, row: int, types: Ints, rules: GraphRules) -> list[int]:
    """A row's identifiers once each, the highest priority first."""
    codes = dict.fromkeys(links.codes[links.offsets[row] : links.offsets[row + 1]].tolist())
    return sorted(codes, key=lambda code: rules.priorities[types[code]])


def replay(
    links: Links,
    rows: Ints,
    types: Ints,
    rules: GraphRules,
    apart: Sequence[tuple[int, int]],
    refused: list[Refusal] | None,
) -> Replayed:
    """Match row by row, the lowest priority giving way.

    Args:
        links: what the events carried.
        rows: those to replay, in order.
        types: identifier code → type code.
        rules: limits and priorities by type code.
        apart: pairs of codes that may never be in one profile.
        refused: takes what was left out, or None.
    """
    kinds = _Kinds(types, rules, apart)
    holder: dict[int, _Profile] = {}
    profiles: dict[int, _Profile] = {}
    merges: list[tuple[int, int, int]] = []
    moved: list[tuple[int, int]] = []
    for row, at, ids in _lists(links, rows, types, rules):
        own = ids[0]
        while True:
            matched, fresh = _matched(ids, holder)
            if not fresh and len(matched) == 1:
                break
            if len(ids) == 1 or (over := _over_limit(matched, fresh, at, kinds)) is None:
                break
            left_out = ids.pop()
            if refused is not None:
                refused.append(Refusal(row, left_out, -1, over))
        if not matched:
            profile = _Profile(row, {})
            profiles[row] = profile
            _add(profile, fresh, at, holder, kinds)
            continue
        home = matched[0]
        if len(matched) == 1:
            if not fresh:
                continue
            joined = home.merges
            total = len(fresh) + len(home.first_seen)
        else:
            joined = sum(profile.merges for profile in matched) + len(matched) - 1
            total = len(fresh) + sum(len(profile.first_seen) for profile in matched)
        if joined > rules.max_merges or total > rules.max_identifiers:
            stays = next(code for code in ids if code in holder)
            if stays != own:
                moved.append((row, stays))
            if refused is not None:
                cap = MERGED_TOO_OFTEN if joined > rules.max_merges else FULL
                refused.extend(
                    Refusal(row, code, -1, cap) for code in ids if holder.get(code) is not holder[stays]
                )
            continue
        for other in matched[1:]:
            merges.append((other.founder, home.founder, row))
            home.first_seen.update(other.first_seen)
            for kind, count in other.counts.items():
                home.counts[kind] = home.counts.get(kind, 0) + count
            holder.update(dict.fromkeys(other.first_seen, home))
            del profiles[other.founder]
        home.merges = joined
        _add(home, fresh, at, holder, kinds)
    return _replayed(
        ((profile.founder, -1, profile.first_seen) for profile in profiles.values()), merges, moved
    )


def _lists(links: Links, rows: Ints, types: Ints, rules: GraphRules) -> Iterator[tuple[int, int, list[int]]]:
    """The rows with their instants and identifiers once each, the highest priority first."""
    priority = np.array(rules.priorities, dtype=np.int64)
    for start in range(0, len(rows), _AT_ONCE):
        part = rows[start : start + _AT_ONCE]
        lengths = links.offsets[part + 1] - links.offsets[part]
        ends = np.cumsum(lengths)
        spread = np.arange(ends[-1]) + np.repeat(links.offsets[part] - (ends - lengths), lengths)
        codes = links.codes[spread]
        order = np.lexsort((priority[types[codes]], np.repeat(np.arange(len(part)), lengths)))
        ranked = codes[order].tolist()
        begin = 0
        for row, at, end in zip(part.tolist(), links.occurred_at[part].tolist(), ends.tolist(), strict=True):
            ids = ranked[begin:end]
            begin = end
            yield row, at, ids if len(ids) == 1 else list(dict.fromkeys(ids))


def _matched(ids: Sequence[int], holder: Mapping[int, _Profile]) -> tuple[list[_Profile], list[int]]:
    """The profiles that hold any of the identifiers, the oldest first, and the ones that none holds."""
    matched: list[_Profile] = []
    fresh: list[int] = []
    for code in ids:
        profile = holder.get(code)
        if profile is None:
            fresh.append(code)
        elif profile not in matched:
            matched.append(profile)
    if len(matched) > 1:
        matched.sort(key=attrgetter("founder"))
    return matched, fresh


def _add(
    profile: _Profile, fresh: Sequence[int], at: int, holder: dict[int, _Profile], kinds: _Kinds
) -> None:
    counts = profile.counts
    for code in fresh:
        profile.first_seen[code] = at
        holder[code] = profile
        for kind in kinds.of(code):
            counts[kind] = counts.get(kind, 0) + 1


def _over_limit(matched: Sequence[_Profile], fresh: Sequence[int], at: int, kinds: _Kinds) -> int | None:
    """The kind that would be too many, or None; profiles are within limits, so only growth is looked at."""
    if len(fresh) == 1 and len(matched) == 1:
        for kind in kinds.of(fresh[0]):
            if _held(matched[0], kind, at, kinds) >= kinds.limits[kind]:
                return kind
        return None
    growing: dict[int, int] = {}
    for code in fresh:
        for kind in kinds.of(code):
            growing[kind] = growing.get(kind, 0) + 1
    if len(matched) > 1:
        for profile in matched:
            for kind in profile.counts:
                growing.setdefault(kind, 0)
    over = [
        kind
        for kind, more in growing.items()
        if more + sum(_held(profile, kind, at, kinds) for profile in matched) > kinds.limits[kind]
    ]
    return min(over, default=None)


def _held(profile: _Profile, kind: int, at: int, kinds: _Kinds) -> int:
    """How many of a kind a profile holds, within the kind's window when it has one."""
    if not kinds.windows or kind not in kinds.windows:
        return profile.counts.get(kind, 0)
    since = at - kinds.windows[kind]
    return sum(seen > since and kind == kinds.types[code] for code, seen in profile.first_seen.items())


def drop_links(
    links: Links,
    rows: Ints,
    row_label: Ints,
    types: Ints,
    rules: GraphRules,
    apart: Sequence[tuple[int, int]],
    refused: list[Refusal] | None,
) -> Replayed:
    """Lay each component's links, the most trusted first; a link joins two identifiers of one event.

    Args:
        links: what the events carried.
        rows: those of the components to lay, in order.
        row_label: row → component.
        types: identifier code → type code.
        rules: priorities and unique types by type code.
        apart: pairs of codes that may never be in one profile.
        refused: takes what was dropped, or None.
    """
    kinds = _Kinds(types, rules, apart)
    of_component = rows[np.argsort(row_label[rows], kind="stable")]
    ends = np.flatnonzero(np.diff(row_label[of_component])) + 1
    parts = np.split(of_component, ends) if len(rows) else []
    return _replayed(
        (each for part in parts for each in _lay(links, part, types, rules, kinds, refused)), [], []
    )


def _lay(
    links: Links, order: Ints, types: Ints, rules: GraphRules, kinds: _Kinds, refused: list[Refusal] | None
) -> Iterator[tuple[int, int, list[int]]]:
    newest: dict[tuple[int, int], tuple[int, int]] = {}
    members: dict[int, list[int]] = {}
    rows: list[tuple[int, list[int]]] = []
    for row in order.tolist():
        ids = _ranked(links, row, types, rules)
        rows.append((row, ids))
        at = int(links.last_occurred_at[row])
        members.update((code, [code]) for code in ids)
        for nth, left in enumerate(ids):
            for right in ids[nth + 1 :]:
                pair = (min(left, right), max(left, right))
                newest[pair] = max(newest.get(pair, (at, row)), (at, row))
    latest = max((at for at, _ in newest.values()), default=0)

    def trust(pair: tuple[int, int]) -> tuple[bool, int, int, tuple[int, int]]:
        weight = sum(rules.priorities[types[code]] for code in pair)
        return (newest[pair][0] != latest, weight, -newest[pair][0], pair)

    group = {code: code for code in members}
    single = {
        code: {kind for kind in kinds.of(code) if kind >= len(rules.unique) or rules.unique[kind]}
        for code in members
    }
    for pair in sorted(newest, key=trust):
        home, other = sorted((group[pair[0]], group[pair[1]]), key=lambda each: -len(members[each]))
        if home == other:
            continue
        if doubled := single[home] & single[other]:
            if refused is not None:
                refused.append(Refusal(newest[pair][1], pair[1], pair[0], min(doubled)))
            continue
        single[home] |= single.pop(other)
        members[home] += members[other]
        group.update(dict.fromkeys(members.pop(other), home))
    founder: dict[int, tuple[int, int]] = {}
    for row, ids in rows:
        founder.setdefault(group[ids[0]], (row, -1))
    for row, ids in rows:
        for code in ids:
            founder.setdefault(group[code], (row, code))
    return ((*founder[owner], codes) for owner, codes in members.items())


def _replayed(
    profiles: Iterator[tuple[int, int, Mapping[int, int] | list[int]]],
    merges: Sequence[tuple[int, int, int]],
    moved: Sequence[tuple[int, int]],
) -> Replayed:
    codes: list[int] = []
    owners: list[int] = []
    founders: list[int] = []
    founder_codes: list[int] = []
    for number, (founder, founder_code, members) in enumerate(profiles):
        codes.extend(members)
        owners.extend([number] * len(members))
        founders.append(founder)
        founder_codes.append(founder_code)

    def column(values: Sequence[int]) -> Ints:
        return np.array(values, dtype=np.int64)

    joined = list(zip(*merges, strict=True)) if merges else [(), (), ()]
    elsewhere = list(zip(*moved, strict=True)) if moved else [(), ()]
    return Replayed(
        column(codes),
        column(owners),
        column(founders),
        column(founder_codes),
        Merges(*(column(each) for each in joined)),
        *(column(each) for each in elsewhere),
    )
