"""Say a stream of events in words, resolve it, and read the graph back in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from identity.graph import Graph, resolve_graph
from identity.links import GraphRules, Links


@dataclass(frozen=True, slots=True)
class Said:
    """One event: when, which message, and its identifiers as `type:value`, in order of appearance."""

    at: int
    message_id: str
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Setting:
    """Graph rules by type name; types stand in order of priority."""

    types: tuple[str, ...] = ("user_id", "email", "anonymous_id")
    limits: Mapping[str, int] = field(default_factory=lambda: {"user_id": 1})
    default_limit: int = 5
    windows: Mapping[str, int] = field(default_factory=dict)
    unique: frozenset[str] = frozenset()
    conflict: str = "demote"
    apart: tuple[tuple[str, str], ...] = ()
    max_merges: int = 100
    max_identifiers: int = 1000

    def rules(self) -> GraphRules:
        """The same by type code."""
        return GraphRules(
            limits=tuple(self.limits.get(name, self.default_limit) for name in self.types),
            windows=tuple(self.windows.get(name) for name in self.types),
            priorities=tuple(range(1, len(self.types) + 1)),
            unique=tuple(name in self.unique for name in self.types),
            conflict=self.conflict,  # type: ignore[arg-type]
            max_merges=self.max_merges,
            max_identifiers=self.max_identifiers,
        )

    def ranked(self, ids: Iterable[str]) -> tuple[str, ...]:
        """Identifiers once each, the highest priority first."""
        return tuple(sorted(dict.fromkeys(ids), key=lambda each: self.types.index(kind(each))))


@dataclass(frozen=True, slots=True)
class Resolved:
    """A graph in words; events are named by their message ids.

    `founders` maps a profile to its first event; `owners` maps an event to its profile.
    """

    profiles: frozenset[frozenset[str]]
    founders: Mapping[frozenset[str], str]
    owners: Mapping[str, frozenset[str]]
    merges: tuple[tuple[str, str, str], ...]
    replayed: int = field(compare=False)


def kind(identifier: str) -> str:
    """The type of `type:value`."""
    return identifier.split(":", 1)[0]


def once(events: Iterable[Said]) -> list[Said]:
    """Each message once, in canonical order."""
    return sorted({each.message_id: each for each in events}.values(), key=lambda e: (e.at, e.message_id))


def distinct_lists(events: Iterable[Said], setting: Setting) -> dict[tuple[str, ...], list[Said]]:
    """Identifier list → its events in canonical order."""
    found: dict[tuple[str, ...], list[Said]] = {}
    for each in once(events):
        found.setdefault(setting.ranked(each.ids), []).append(each)
    return found


def links_of(
    rows: Sequence[tuple[tuple[str, ...], Sequence[Said]]],
) -> tuple[Links, list[str]]:
    """Code the rows as `resolve` does: codes follow from the identifiers alone."""
    names = sorted({each for ids, _ in rows for each in ids})
    code = {name: number for number, name in enumerate(names)}
    links = Links(
        offsets=np.cumsum([0, *(len(ids) for ids, _ in rows)], dtype=np.int64),
        codes=np.array([code[each] for ids, _ in rows for each in ids], dtype=np.int64),
        occurred_at=np.array([said[0].at for _, said in rows], dtype=np.int64),
        last_occurred_at=np.array([said[-1].at for _, said in rows], dtype=np.int64),
    )
    return links, names


def resolve_stream(
    events: Sequence[Said], setting: Setting | None = None, *, every_event: bool = False
) -> Resolved:
    """Resolve a stream by its distinct lists, or event by event, and say the answer in words."""
    setting = setting or Setting()
    lists = distinct_lists(events, setting)
    rows = [
        (ids, group)
        for ids, said in lists.items()
        for group in ([[each] for each in said] if every_event else [said])
    ]
    rows.sort(key=lambda row: (row[1][0].at, row[1][0].message_id))
    links, names = links_of(rows)
    types = np.array([setting.types.index(kind(name)) for name in names], dtype=np.int64)
    graph = resolve_graph(links, types, setting.rules(), pairs(names, setting.apart))
    return in_words(graph, names, rows)


def pairs(names: Sequence[str], apart: Iterable[tuple[str, str]]) -> list[tuple[int, int]]:
    """The pairs that must stay apart, as codes; those that no event carries are left out."""
    code = {name: number for number, name in enumerate(names)}
    return [(code[one], code[other]) for one, other in apart if one in code and other in code]


def in_words(
    graph: Graph, names: Sequence[str], rows: Sequence[tuple[tuple[str, ...], Sequence[Said]]]
) -> Resolved:
    """Read a graph back."""
    members: dict[int, set[str]] = {}
    for name, profile in zip(names, graph.profile_of.tolist(), strict=True):
        if profile >= 0:
            members.setdefault(profile, set()).add(name)
    assert sorted(members) == list(range(len(graph.founders))), "a profile without identifiers"
    sets = {profile: frozenset(held) for profile, held in members.items()}
    said = [events[0].message_id for _, events in rows]
    founders = {
        sets[profile]: said[row] + (f"/{names[code]}" if code >= 0 else "")
        for profile, (row, code) in enumerate(
            zip(graph.founders.tolist(), graph.founder_codes.tolist(), strict=True)
        )
    }
    assert len(set(founders.values())) == len(founders), "two profiles share a first event"
    home = {
        name: sets[profile]
        for name, profile in zip(names, graph.profile_of.tolist(), strict=True)
        if profile >= 0
    }
    moved = dict(zip(graph.moved_rows.tolist(), graph.moved_to.tolist(), strict=True))
    merges = zip(
        graph.merges.from_founder.tolist(),
        graph.merges.into_founder.tolist(),
        graph.merges.cause.tolist(),
        strict=True,
    )
    return Resolved(
        profiles=frozenset(sets.values()),
        founders=founders,
        owners={
            each.message_id: home[names[moved[row]] if row in moved else ids[0]]
            for row, (ids, events) in enumerate(rows)
            for each in events
        },
        merges=tuple((said[ended], said[went_on], said[cause]) for ended, went_on, cause in merges),
        replayed=graph.replayed,
    )
