"""Laws of identity resolution: a function of the set of events, equal to a plain replay of them all."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tests.identity.reference import components, links_dropped, replay
from tests.identity.streams import Said, Setting, kind, resolve_stream

IDENTIFIERS = [
    *(f"user_id:{each}" for each in "abc"),
    *(f"email:{each}" for each in "abcd"),
    *(f"anonymous_id:{each}" for each in "abcdef"),
]


@st.composite
def streams(draw: st.DrawFn) -> list[Said]:
    """Up to 14 events that share identifiers heavily, several at one instant."""
    lists = st.lists(st.sampled_from(IDENTIFIERS), min_size=1, max_size=4, unique=True)
    drawn = draw(st.lists(st.tuples(st.integers(0, 9), lists), max_size=14))
    names = draw(st.permutations([f"m{number:02}" for number in range(len(drawn))]))
    return [Said(at, name, tuple(ids)) for name, (at, ids) in zip(names, drawn, strict=True)]


LIMITS = st.fixed_dictionaries(
    {"user_id": st.just(1), "email": st.integers(1, 3), "anonymous_id": st.integers(1, 4)}
)
STRICT = st.builds(Setting, limits=LIMITS)
CAPPED = st.builds(Setting, limits=LIMITS, max_merges=st.integers(0, 3), max_identifiers=st.integers(2, 8))
WINDOWED = st.builds(
    Setting,
    limits=LIMITS,
    windows=st.dictionaries(
        st.sampled_from(["email", "anonymous_id"]), st.integers(1, 6), min_size=1, max_size=2
    ),
)
SHARED = st.builds(
    Setting,
    unique=st.sampled_from([frozenset({"user_id"}), frozenset({"user_id", "email"})]),
    conflict=st.just("drop_links"),
)
APART = st.lists(
    st.lists(st.sampled_from(IDENTIFIERS), min_size=2, max_size=2, unique=True).map(
        lambda pair: (pair[0], pair[1])
    ),
    min_size=1,
    max_size=3,
).map(tuple)
KEPT_APART = st.builds(Setting, limits=LIMITS, apart=APART)
FREE = Setting(limits={}, default_limit=1000)


def far(stream: list[Said]) -> list[Said]:
    """The same events of other people."""
    return [Said(each.at, f"{each.message_id}'", tuple(f"{name}'" for name in each.ids)) for each in stream]


@given(streams(), STRICT)
def test_two_steps_equal_a_replay_of_every_event(stream: list[Said], setting: Setting) -> None:
    """Profiles, first events, merges and whose each event is."""
    assert resolve_stream(stream, setting) == replay(stream, setting)


@given(streams(), CAPPED)
def test_caps_bind_as_in_a_replay_of_every_event(stream: list[Said], setting: Setting) -> None:
    """At most so many merges and identifiers; past that an event resolves and links nothing."""
    assert resolve_stream(stream, setting) == replay(stream, setting)


@given(streams(), WINDOWED)
def test_windowed_limits_bind_as_in_a_replay_of_every_event(stream: list[Said], setting: Setting) -> None:
    """Given event by event."""
    assert resolve_stream(stream, setting, every_event=True) == replay(stream, setting)


@given(streams(), KEPT_APART)
def test_pairs_that_must_stay_apart_do_as_in_a_replay_of_every_event(
    stream: list[Said], setting: Setting
) -> None:
    """Whatever else would join them."""
    found = resolve_stream(stream, setting)
    assert found == replay(stream, setting)
    for profile in found.profiles:
        assert not any(one in profile and other in profile for one, other in setting.apart)


@given(
    streams(),
    SHARED
    | st.builds(Setting, unique=st.just(frozenset({"user_id"})), conflict=st.just("drop_links"), apart=APART),
)
def test_dropping_links_equals_laying_them_one_by_one(stream: list[Said], setting: Setting) -> None:
    """No profile holds two of a unique type, and no identifier is lost."""
    found = resolve_stream(stream, setting)
    assert found.profiles == links_dropped(stream, setting)
    for profile in found.profiles:
        people = [kind(each) for each in profile if kind(each) in setting.unique]
        assert len(people) == len(set(people))
    assert {each for profile in found.profiles for each in profile} == {
        each for event in stream for each in event.ids
    }


@given(streams(), STRICT | CAPPED | SHARED | KEPT_APART, st.data())
def test_order_and_repetition_change_nothing(
    stream: list[Said], setting: Setting, data: st.DataObject
) -> None:
    """Any arrival order, any event delivered twice, one row a list or one an event."""
    found = resolve_stream(stream, setting)
    repeated = [*stream, *data.draw(st.lists(st.sampled_from(stream), max_size=5))] if stream else []
    assert resolve_stream(data.draw(st.permutations(repeated)), setting) == found
    by_event = resolve_stream(stream, setting, every_event=True)
    assert (by_event.profiles, by_event.founders, by_event.merges) == (
        found.profiles,
        found.founders,
        found.merges,
    )


@given(streams())
def test_where_no_limit_binds_profiles_are_connected_components(stream: list[Said]) -> None:
    """As networkx finds them, under either rule, and no row is replayed."""
    for setting in (FREE, replace(FREE, conflict="drop_links")):
        found = resolve_stream(stream, setting)
        assert found.profiles == components(stream)
        assert found.replayed == 0


@given(streams(), streams(), STRICT | CAPPED | SHARED | KEPT_APART)
def test_people_who_share_nothing_do_not_affect_each_other(
    ours: list[Said], theirs: list[Said], setting: Setting
) -> None:
    """Components resolved together equal components resolved alone."""
    theirs = far(theirs)
    together = resolve_stream([*ours, *theirs], setting)
    one, two = resolve_stream(ours, setting), resolve_stream(theirs, setting)
    assert together.profiles == one.profiles | two.profiles
    assert together.founders == {**one.founders, **two.founders}
    assert together.owners == {**one.owners, **two.owners}
    assert set(together.merges) == {*one.merges, *two.merges}


@given(streams(), STRICT | SHARED)
def test_limits_only_ever_take_links_away(stream: list[Said], setting: Setting) -> None:
    """A profile never reaches beyond the component that it lies in."""
    whole = components(stream)
    assert all(
        any(profile <= component for component in whole)
        for profile in resolve_stream(stream, setting).profiles
    )


@given(streams(), STRICT)
def test_no_profile_holds_more_than_allowed(stream: list[Said], setting: Setting) -> None:
    """Whatever the stream."""
    for profile in resolve_stream(stream, setting).profiles:
        for name, limit in setting.limits.items():
            assert sum(kind(each) == name for each in profile) <= limit
