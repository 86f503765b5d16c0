"""The graph: whose an identifier is, which event joined whom, and what gives way."""

from __future__ import annotations

import numpy as np
import pytest

from identity.graph import resolve_graph
from identity.links import GraphRules, Links
from tests.identity.streams import Resolved, Said, Setting, resolve_stream

DAY = 86_400_000_000


def said(*lines: str) -> list[Said]:
    """`e1 1 user_id:a email:b`: message id, instant, identifiers."""
    return [Said(int(at), name, tuple(ids)) for name, at, *ids in (line.split() for line in lines)]


def sets(resolved: Resolved) -> list[list[str]]:
    return sorted(sorted(profile) for profile in resolved.profiles)


def founder(resolved: Resolved, identifier: str) -> str:
    return next(first for profile, first in resolved.founders.items() if identifier in profile)


def test_nothing_resolves_to_nothing() -> None:
    """No identifiers, and identifiers that no event links."""
    empty = np.zeros(0, dtype=np.int64)
    rules = GraphRules(limits=(1,), windows=(None,), priorities=(1,), unique=(False,))
    links = Links(np.zeros(1, dtype=np.int64), empty, empty, empty)
    graph = resolve_graph(links, empty, rules)
    assert len(graph.profile_of) == len(graph.founders) == len(graph.moved_rows) == 0
    graph = resolve_graph(links, np.zeros(2, dtype=np.int64), rules)
    assert graph.profile_of.tolist() == [-1, -1]


def test_a_chain_is_one_profile_and_each_merge_names_who_when_and_why() -> None:
    """The older profile goes on."""
    found = resolve_stream(
        said(
            "e1 1 anonymous_id:a",
            "e2 2 anonymous_id:b",
            "e3 3 anonymous_id:c",
            "e4 4 anonymous_id:b anonymous_id:c",
            "e5 5 anonymous_id:a anonymous_id:c",
        )
    )
    assert sets(found) == [["anonymous_id:a", "anonymous_id:b", "anonymous_id:c"]]
    assert founder(found, "anonymous_id:a") == "e1"
    assert found.merges == (("e3", "e2", "e4"), ("e2", "e1", "e5"))
    assert found.replayed == 0


def test_only_the_component_that_breaks_a_limit_is_replayed() -> None:
    """The others are read off the components."""
    found = resolve_stream(
        said(
            "e1 1 user_id:u anonymous_id:a",
            "e2 2 user_id:u anonymous_id:b",
            "f1 1 user_id:x anonymous_id:kiosk",
            "f2 2 user_id:y anonymous_id:kiosk",
        )
    )
    assert found.replayed == 2
    assert sets(found) == [
        ["anonymous_id:a", "anonymous_id:b", "user_id:u"],
        ["anonymous_id:kiosk", "user_id:x"],
        ["user_id:y"],
    ]


def test_a_later_event_can_split_a_profile_and_its_first_event_keeps_the_id() -> None:
    """An event that arrives late but happened first claims the device; both parts are derived anew."""
    late = said("e1 1 user_id:x anonymous_id:d")
    stream = said("e2 2 user_id:y anonymous_id:d", "e3 3 user_id:y email:m")
    before = resolve_stream(stream)
    after = resolve_stream([*stream, *late])
    assert founder(before, "user_id:y") == founder(after, "user_id:y") == "e2"
    assert founder(before, "anonymous_id:d") == "e2"
    assert founder(after, "anonymous_id:d") == "e1"


def test_of_equal_priority_the_last_named_identifier_gives_way() -> None:
    """Two e-mail addresses on one event, where only one is allowed."""
    strict = Setting(limits={"user_id": 1, "email": 1})
    found = resolve_stream(said("e1 1 user_id:u email:b email:a"), strict)
    assert sets(found) == [["email:b", "user_id:u"]]


def test_an_identifier_that_gave_way_has_a_profile_only_once_an_event_links_it() -> None:
    """Being left out makes none; the event that left it out belongs to whom it kept."""
    demoted = said("e1 1 user_id:u user_id:v")
    found = resolve_stream(demoted)
    assert sets(found) == [["user_id:u"]]
    assert found.owners == {"e1": frozenset({"user_id:u"})}
    assert sets(resolve_stream([*demoted, *said("e2 2 user_id:v")])) == [["user_id:u"], ["user_id:v"]]


def test_an_event_at_the_same_instant_is_ordered_by_message_id() -> None:
    """So that the kiosk goes to the same person whatever came first."""
    stream = said("m2 5 user_id:y anonymous_id:d", "m1 5 user_id:x anonymous_id:d")
    assert ["anonymous_id:d", "user_id:x"] in sets(resolve_stream(stream))
    assert resolve_stream(stream) == resolve_stream(stream[::-1])


def test_merges_of_all_components_stand_in_one_canonical_order() -> None:
    """Whether they were read off a component or found by a replay."""
    stream = said(
        "a1 1 anonymous_id:a",
        "a2 2 anonymous_id:b",
        "k1 1 user_id:x anonymous_id:kiosk",
        "k2 2 user_id:y anonymous_id:kiosk",
        "k3 3 user_id:x email:m",
        "k4 4 email:n",
        "k5 5 user_id:x email:n",
        "a6 6 anonymous_id:a anonymous_id:b",
        "c1 1 anonymous_id:c",
        "c2 2 anonymous_id:d",
        "c4 4 anonymous_id:c anonymous_id:d",
    )
    causes = [cause for _, _, cause in resolve_stream(stream).merges]
    assert causes == ["c4", "k5", "a6"]


def test_a_windowed_limit_counts_who_was_first_seen_within_it() -> None:
    """Strictly within: exactly a week later, the first no longer counts."""
    weekly = Setting(limits={"user_id": 1, "anonymous_id": 1}, windows={"anonymous_id": 7 * DAY})
    edge = 1 + 7 * DAY
    start = "e1 1 user_id:u anonymous_id:a"
    inside = resolve_stream(said(start, f"e2 {edge - 1} user_id:u anonymous_id:b"), weekly, every_event=True)
    outside = resolve_stream(said(start, f"e2 {edge} user_id:u anonymous_id:b"), weekly, every_event=True)
    assert sets(inside) == [["anonymous_id:a", "user_id:u"]]
    assert sets(outside) == [["anonymous_id:a", "anonymous_id:b", "user_id:u"]]


def test_a_repeated_list_can_link_once_its_window_has_passed() -> None:
    """Which is why every event is given where limits are windowed."""
    weekly = Setting(limits={"user_id": 1, "anonymous_id": 1}, windows={"anonymous_id": 7 * DAY})
    stream = said(
        "e1 1 user_id:u anonymous_id:a",
        "e2 2 user_id:u anonymous_id:b",
        f"e3 {8 * DAY} user_id:u anonymous_id:b",
    )
    found = resolve_stream(stream, weekly, every_event=True)
    assert sets(found) == [["anonymous_id:a", "anonymous_id:b", "user_id:u"]]


def test_past_the_merge_cap_an_event_resolves_and_links_nothing() -> None:
    """It belongs to its highest-priority identifier that has a profile."""
    stream = said(
        *(f"a{each} {each} anonymous_id:{each}" for each in range(4)),
        *(f"b{each} {each + 10} email:m anonymous_id:{each}" for each in range(4)),
    )
    found = resolve_stream(stream, Setting(max_merges=2))
    assert len(found.merges) == 2
    assert ["anonymous_id:3"] in sets(found)
    assert found.owners["b3"] == found.owners["b0"] != found.owners["a3"]
    whole = resolve_stream(stream, Setting(max_merges=3))
    assert len(whole.merges) == 3
    assert whole.replayed == 0


def test_past_the_identifier_cap_nothing_is_added() -> None:
    """And what is there already still links."""
    stream = said(*(f"e{each} {each} user_id:u email:{each}" for each in range(5)), "f 9 email:0 user_id:u")
    found = resolve_stream(stream, Setting(default_limit=10, max_identifiers=3))
    assert sets(found) == [["email:0", "email:1", "user_id:u"]]
    assert set(found.owners) == {"e0", "e1", "e2", "e3", "e4", "f"}


SHARED = Setting(unique=frozenset({"user_id"}), conflict="drop_links")


def test_dropping_links_gives_the_device_to_the_newest_claimant() -> None:
    """In every component by its own newest event, not by the newest of all."""
    tablet = said("e1 1 user_id:x anonymous_id:d", "e2 2 user_id:y anonymous_id:d")
    elsewhere = said("f1 8 user_id:p anonymous_id:q", "f2 9 user_id:r anonymous_id:q")
    alone = resolve_stream(tablet, SHARED)
    assert sets(alone) == [["anonymous_id:d", "user_id:y"], ["user_id:x"]]
    assert alone.profiles < resolve_stream([*tablet, *elsewhere], SHARED).profiles


def test_dropping_links_loses_no_identifier() -> None:
    """A profile whose only events belong to others is named by its own identifier besides."""
    stream = said("e1 1 user_id:x anonymous_id:d", "e2 2 user_id:y email:m anonymous_id:d")
    stream += said("e3 3 user_id:x email:m")
    found = resolve_stream(stream, SHARED)
    assert sorted(each for profile in found.profiles for each in profile) == [
        "anonymous_id:d",
        "email:m",
        "user_id:x",
        "user_id:y",
    ]
    lone = resolve_stream(said("e1 1 user_id:x user_id:y"), SHARED)
    assert lone.founders == {frozenset({"user_id:x"}): "e1", frozenset({"user_id:y"}): "e1/user_id:y"}


def test_a_link_is_as_new_as_the_newest_event_that_carried_it() -> None:
    """Also when a list that was first seen later was last seen earlier."""
    stream = said(
        "e1 1 user_id:x anonymous_id:d",
        "e2 2 user_id:x anonymous_id:d email:m",
        "e3 3 user_id:y anonymous_id:d",
        "e4 9 user_id:x anonymous_id:d",
    )
    assert ["anonymous_id:d", "email:m", "user_id:x"] in sets(resolve_stream(stream, SHARED))


def test_an_event_with_one_identifier_moves_no_device() -> None:
    """It carries no link, so it is not the newest link's event."""
    stream = said(
        "e1 1 user_id:x email:m",
        "e2 2 user_id:y email:n",
        "e3 3 user_id:y anonymous_id:d",
        "e4 4 email:m anonymous_id:d",
    )
    page_view = said("e5 5 anonymous_id:d")
    before = resolve_stream(stream, SHARED)
    assert ["anonymous_id:d", "email:m", "user_id:x"] in sets(before)
    assert resolve_stream([*stream, *page_view], SHARED).profiles == before.profiles


@pytest.mark.parametrize("conflict", ["demote", "drop_links"])
def test_a_hub_that_everybody_shares_is_resolved_in_seconds(conflict: str) -> None:
    """A forgotten placeholder address on 20,000 people, each with a device."""
    stream = [Said(each, f"{each:06}", (f"user_id:{each}", "email:test")) for each in range(20_000)]
    stream += [
        Said(each, f"d{each:06}", (f"user_id:{each}", f"anonymous_id:{each}")) for each in range(20_000)
    ]
    found = resolve_stream(stream, Setting(unique=frozenset({"user_id"}), conflict=conflict))
    assert len(found.profiles) == 20_000
