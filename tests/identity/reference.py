"""Identity resolution told plainly: every event in turn, all of them together, no step skipped.

The oracle for `identity.graph`. It knows no components, codes or distinct lists; profiles are dictionaries.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations

import networkx as nx

from tests.identity.streams import Resolved, Said, Setting, kind, once

Profile = dict[str, int]


def replay(events: Iterable[Said], setting: Setting) -> Resolved:
    """Flat matching in canonical order; the lowest-priority identifier gives way."""
    profiles: list[Profile] = []  # the oldest first; each identifier with when it was first seen
    founder: dict[int, str] = {}
    absorbed: dict[int, int] = {}
    merges: list[tuple[str, str, str]] = []
    speaks_for: dict[str, str] = {}
    of_list: dict[tuple[str, ...], str] = {}

    def too_many(together: Profile, at: int) -> bool:
        for name in setting.types:
            window = setting.windows.get(name)
            counted = [
                each
                for each, seen in together.items()
                if kind(each) == name and (window is None or seen > at - window)
            ]
            if len(counted) > setting.limits.get(name, setting.default_limit):
                return True
        return any(one in together and other in together for one, other in setting.apart)

    def joined(found: list[Profile], ids: list[str], at: int) -> Profile:
        together = dict.fromkeys(ids, at)
        for profile in found:
            for each, seen in profile.items():
                together[each] = min(seen, together.get(each, seen))
        return together

    for event in once(events):
        ids = list(setting.ranked(event.ids))
        found = [profile for profile in profiles if profile.keys() & set(ids)]
        while len(ids) > 1 and too_many(joined(found, ids, event.at), event.at):
            ids.pop()
            found = [profile for profile in profiles if profile.keys() & set(ids)]
        together = joined(found, ids, event.at)
        owner = ids[0]
        if not found:
            profiles.append(together)
            founder[id(together)], absorbed[id(together)] = event.message_id, 0
        elif together.keys() != found[0].keys():
            home, *others = found
            count = sum(absorbed[id(profile)] for profile in found) + len(others)
            if count > setting.max_merges or len(together) > setting.max_identifiers:
                owner = next(each for each in ids if any(each in profile for profile in found))
            else:
                for other in others:
                    merges.append((founder[id(other)], founder[id(home)], event.message_id))
                    profiles.remove(other)
                home.update(together)
                absorbed[id(home)] = count
        if setting.windows:
            speaks_for[event.message_id] = owner
        else:  # events with one list belong together, also where a cap bound
            speaks_for[event.message_id] = of_list.setdefault(setting.ranked(event.ids), owner)
    home_of = {each: frozenset(profile) for profile in profiles for each in profile}
    return Resolved(
        profiles=frozenset(home_of.values()),
        founders={frozenset(profile): founder[id(profile)] for profile in profiles},
        owners={message_id: home_of[each] for message_id, each in speaks_for.items()},
        merges=tuple(merges),
        replayed=0,
    )


def links_dropped(events: Iterable[Said], setting: Setting) -> frozenset[frozenset[str]]:
    """Adobe's rule over each connected component: a link that doubles a unique type is dropped."""
    return frozenset(
        profile for component in components(events) for profile in _lay(component, events, setting)
    )


def _lay(component: frozenset[str], events: Iterable[Said], setting: Setting) -> set[frozenset[str]]:
    newest: dict[tuple[str, str], int] = {}
    for event in once(events):
        for pair in combinations(sorted(set(event.ids) & component), 2):
            newest[pair] = event.at
    home = {each: frozenset({each}) for each in component}
    rank = {name: place for place, name in enumerate(setting.types, start=1)}
    for pair in sorted(
        newest,
        key=lambda pair: (
            newest[pair] != max(newest.values()),
            sum(rank[kind(each)] for each in pair),
            -newest[pair],
            pair,
        ),
    ):
        together = home[pair[0]] | home[pair[1]]
        people = [kind(each) for each in together if kind(each) in setting.unique]
        apart = any(one in together and other in together for one, other in setting.apart)
        if len(people) == len(set(people)) and not apart:
            home.update(dict.fromkeys(together, together))
    return set(home.values())


def components(events: Iterable[Said]) -> frozenset[frozenset[str]]:
    """What hangs together when nothing is too many, as networkx sees it."""
    graph = nx.Graph()
    for event in events:
        nx.add_path(graph, event.ids)
    return frozenset(map(frozenset, nx.connected_components(graph)))
