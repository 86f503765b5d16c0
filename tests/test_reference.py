"""Laws of the rule language in plain Python: what must be true of the reference before it judges anything."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from audiences.meaning import fingerprint, normalise
from audiences.rules import (
    AllOf,
    AnyOf,
    Count,
    Events,
    Exclusion,
    InAudience,
    Named,
    Node,
    Not,
    OfAccount,
    OfProfiles,
    Sequence,
    Step,
    Top,
)
from audiences.terms import Ago, Calendar, Dates, Duration, Last, Window
from tests.reference import Group, Person, World, members, value
from tests.reference_values import instant
from tests.strategies import AS_OF, measures, rules, worlds
from tests.strategies_worlds import EDGES, NAMES, SECONDS, ZONES

many = settings(max_examples=200)
names = st.sampled_from(NAMES[:2])
lengths = st.sampled_from(SECONDS).map(Duration)


def answer(world: World, *of_profiles: Node, of_accounts: tuple[Node, ...] = ()) -> list[set[str]]:
    groups = [Group(f"p{number}", rule) for number, rule in enumerate(of_profiles)]
    groups += [Group(f"a{number}", rule, "account") for number, rule in enumerate(of_accounts)]
    return list(members(world, groups, AS_OF).values())


def did(name: str, window: Window | None = None) -> Count:
    return Count(Events(Named((name,)), window))


# --------------------------------------------------------------------------------------------------- logic


@many
@given(world=worlds(), one=rules(), two=rules())
def test_logic_holds(world: World, one: Node, two: Node) -> None:
    """Double negation, De Morgan, and complement in everybody of whom anything is known."""
    everybody, just_one, not_not, not_one, not_both, either_not, both = answer(
        world,
        AllOf(()),
        one,
        Not(Not(one)),
        Not(one),
        Not(AllOf((one, two))),
        AnyOf((Not(one), Not(two))),
        AllOf((one, two)),
    )
    assert just_one == not_not
    assert not_one == everybody - just_one
    assert not_both == either_not == everybody - both
    assert both <= just_one


@many
@given(world=worlds(), rule=rules(), other=rules("account"))
def test_one_form_of_a_rule_means_what_the_rule_means(world: World, rule: Node, other: Node) -> None:
    """Putting a rule in its one form changes no answer, and doing it again changes nothing."""
    before, after, account_before, account_after = answer(
        world, rule, normalise(rule), of_accounts=(other, normalise(other))
    )
    assert before == after
    assert account_before == account_after
    assert normalise(normalise(rule)) == normalise(rule)
    assert fingerprint(normalise(rule)) == fingerprint(rule)


@many
@given(world=worlds(), rule=rules("profile", ("named",)), named=rules())
def test_an_audience_stands_for_its_rule(world: World, rule: Node, named: Node) -> None:
    """Membership of an audience is its rule, at the same instant, wherever it is named."""
    groups = [Group("rule", rule), Group("named", named), Group("of_it", InAudience("named"))]
    found = members(world, groups, AS_OF)
    assert found["of_it"] == found["named"]


@many
@given(world=worlds(), rule=rules(), other=rules("account"), measure=measures(), seed=st.integers(0, 99))
def test_the_order_of_rows_does_not_matter(
    world: World, rule: Node, other: Node, measure: Any, seed: int
) -> None:
    """Not of events, not of traits, not of people, not of accounts."""
    mixed = random.Random(seed)

    def shuffled(rows: Any) -> Any:
        return mixed.sample(list(rows), len(rows))

    people = {
        name: Person(shuffled(each.events), shuffled(each.traits), each.identifiers, each.permitted)
        for name, each in shuffled(world.people.items())
    }
    other_world = World(people, dict(shuffled(world.accounts.items())))
    assert answer(world, rule, of_accounts=(other,)) == answer(other_world, rule, of_accounts=(other,))
    for name, person in world.people.items():
        assert value(measure, person, AS_OF) == value(measure, people[name], AS_OF)


# ------------------------------------------------------------------------------------------------- windows


@many
@given(world=worlds(), name=names, ends=st.lists(st.sampled_from(SECONDS), min_size=2, unique=True))
def test_windows_fit_together(world: World, name: str, ends: list[int]) -> None:
    """The last a, and from b to a ago, are the last b; with all before they are everything."""
    near, far = map(Duration, sorted(ends)[:2])
    for person in world.people.values():
        last, between, longer, before, ever = (
            value(did(name, window), person, AS_OF)
            for window in (Last(near), Ago(far, near), Last(far), Ago(None, far), None)
        )
        assert last + between == longer
        assert longer + before == ever


@many
@given(
    world=worlds(),
    name=names,
    unit=st.sampled_from(["day", "week", "month", "quarter", "year"]),
    back=st.integers(1, 3),
    zone=st.sampled_from(ZONES),
)
def test_calendar_periods_fit_together(world: World, name: str, unit: Any, back: int, zone: str) -> None:
    """Whole periods and the current one are the same as both in one window."""
    for person in world.people.values():
        whole, current, both = (
            value(did(name, Calendar(unit, *periods, zone)), person, AS_OF)
            for periods in ((back, False), (0, True), (back, True))
        )
        assert whole + current == both


@many
@given(world=worlds(), name=names, split=st.sampled_from(EDGES))
def test_dates_fit_together(world: World, name: str, split: datetime) -> None:
    """An instant belongs to what begins with it."""
    for person in world.people.values():
        before, after, ever = (
            value(did(name, window), person, AS_OF)
            for window in (Dates(None, split), Dates(split, None), None)
        )
        assert before + after == ever


def parts(node: object) -> Iterator[Any]:
    """Everything that a rule is made of."""
    yield node
    if isinstance(node, tuple):
        for each in node:
            yield from parts(each)
    elif is_dataclass(node):
        for each in fields(node):
            yield from parts(getattr(node, each.name))


def texts(told: Any) -> Iterator[str]:
    """Every text inside a value."""
    if isinstance(told, str):
        yield told
    elif isinstance(told, (list, dict)):
        for each in told.values() if isinstance(told, dict) else told:
            yield from texts(each)


NEAR = timedelta(days=3)


def edges(world: World, rules: tuple[Node, ...]) -> list[datetime]:
    """Near AS_OF, every instant at which some window may let something in or out."""
    day = timedelta(days=1)
    lengths = {part.delta for part in parts(rules) if isinstance(part, Duration)} | {day}
    changes = [change for person in world.people.values() for change in person.traits]
    changes += [change for account in world.accounts.values() for change in account.traits]
    events = [event for person in world.people.values() for event in person.events]
    told = {at for event in events for at in (event.occurred_at, event.received_at)}
    told |= {at for change in changes for at in (change.occurred_at, change.received_at)}
    told |= {at for change in changes for text in texts(change.value) if (at := instant(text))}
    found = {at + times * length for at in told for length in lengths for times in range(-1, 4)}
    # days since, and a new day somewhere
    found |= {
        at + number * day for at in told for number in range((AS_OF - at) // day - 4, (AS_OF - at) // day + 5)
    }
    for number in range(-4, 5):
        today = AS_OF.date() + number * day
        midnights = (datetime(today.year, today.month, today.day, tzinfo=ZoneInfo(zone)) for zone in ZONES)
        found |= {at.astimezone(UTC) for at in midnights}
    return sorted(at for at in found if abs(at - AS_OF) < NEAR)


@settings(max_examples=300)
@given(
    world=worlds(),
    rule=rules(),
    other=rules("account"),
    about=st.integers(-int(NEAR.total_seconds()), int(NEAR.total_seconds())),
)
def test_an_answer_changes_at_an_edge_only(world: World, rule: Node, other: Node, about: int) -> None:
    """Between two neighbouring edges of windows nobody enters and nobody leaves."""
    known = edges(world, (rule, other))
    after = bisect_left(known, AS_OF + timedelta(seconds=about))
    if not 0 < after < len(known) or known[after] - known[after - 1] < timedelta(microseconds=3):
        return
    groups = [Group("p", rule), Group("a", other, "account")]
    first, last = (
        members(world, groups, at)
        for at in (
            known[after - 1] + timedelta(microseconds=1),
            known[after] - timedelta(microseconds=1),
        )
    )
    assert first == last


# ------------------------------------------------------------------------------------------------ sequences


@settings(max_examples=400)
@given(
    world=worlds(),
    first=names,
    second=names,
    between=st.none() | names,
    within=st.none() | lengths,
    ties=st.sampled_from(["strict", "loose"]),
)
def test_two_steps_are_the_nearest_two(
    world: World, first: str, second: str, between: str | None, within: Duration | None, ties: Any
) -> None:
    """For each second step the nearest first step before it decides, also about what may not lie between."""
    sequence = Sequence(
        (Step(Events(Named((first,)))), Step(Events(Named((second,))), within)),
        () if between is None else (Exclusion(Events(Named((between,))), 0, 1),),
        ties=ties,
    )

    def happened(person: Person) -> bool:
        seen = [each for each in person.events if each.received_at <= AS_OF and each.occurred_at <= AS_OF]
        for end in seen:
            starts = [
                each.occurred_at
                for each in seen
                if each.name == first
                and each is not end
                and (
                    each.occurred_at < end.occurred_at
                    if ties == "strict"
                    else each.occurred_at <= end.occurred_at
                )
            ]
            if end.name != second or not starts:
                continue
            near = within is None or end.occurred_at - max(starts) <= within.delta
            clean = not any(
                each.name == between and max(starts) < each.occurred_at < end.occurred_at for each in seen
            )
            if near and clean:
                return True
        return False

    (found,) = answer(world, sequence)
    assert found == {name for name, person in world.people.items() if happened(person)}


@settings(max_examples=400)
@given(
    world=worlds(),
    steps=st.lists(names, min_size=3, max_size=3),
    gaps=st.lists(st.none() | lengths, min_size=2, max_size=2),
    within=st.none() | lengths,
)
def test_three_steps_are_the_latest_start(
    world: World, steps: list[str], gaps: list[Duration | None], within: Duration | None
) -> None:
    """All that a later step need know of the steps before is the latest instant at which they may begin."""
    sequence = Sequence(
        tuple(Step(Events(Named((name,))), gap) for name, gap in zip(steps, (None, *gaps), strict=True)),
        within=within,
    )

    def happened(person: Person) -> bool:
        seen = [each for each in person.events if each.received_at <= AS_OF and each.occurred_at <= AS_OF]
        starts = {id(each): each.occurred_at for each in seen if each.name == steps[0]}
        for name, gap in zip(steps[1:], gaps, strict=True):
            starts = {
                id(each): max(reached)
                for each in seen
                if each.name == name
                and (
                    reached := [
                        starts[id(other)]
                        for other in seen
                        if id(other) in starts
                        and other.occurred_at < each.occurred_at
                        and (gap is None or each.occurred_at - other.occurred_at <= gap.delta)
                    ]
                )
            }
        ends = {id(each): each.occurred_at for each in seen}
        return any(within is None or ends[each] - start <= within.delta for each, start in starts.items())

    (found,) = answer(world, sequence)
    assert found == {name for name, person in world.people.items() if happened(person)}


@many
@given(world=worlds(), first=names, second=names, within=lengths)
def test_followed_and_not_followed_share_out_old_enough_starts(
    world: World, first: str, second: str, within: Duration
) -> None:
    """Of each start whose time has passed, either something followed within it or nothing did."""
    start = Events(Named((first,)), Ago(None, within))
    followed, not_followed, at_all = answer(
        world,
        Sequence((Step(start), Step(Events(Named((second,))), within))),
        Sequence((Step(start),), (Exclusion(Events(Named((second,))), 0, None, within),)),
        Sequence((Step(start),)),
    )
    assert followed | not_followed == at_all


# -------------------------------------------------------------------------------------- people and accounts


@many
@given(world=worlds(), rule=rules(), other=rules("account"))
def test_quantifiers_agree(world: World, rule: Node, other: Node) -> None:
    """None is not any, any is at least one, all is none of the others; people have their accounts."""
    none, no_any, any_one, one, every, no_other, some = answer(
        world,
        of_accounts=(
            OfProfiles("none", rule),
            Not(OfProfiles("any", rule)),
            OfProfiles("any", rule),
            OfProfiles("at_least", rule, 1),
            OfProfiles("all", rule),
            OfProfiles("none", Not(rule)),
            OfProfiles("any", AllOf(())),
        ),
    )
    assert none == no_any
    assert any_one == one
    assert every == no_other & some
    (people,) = answer(world, OfAccount(other))
    (accounts,) = answer(world, of_accounts=(other,))
    assert people == {profile for account in accounts for profile in world.accounts[account].joined}


@many
@given(world=worlds(), measure=measures(), number=st.integers(1, 5))
def test_the_first_are_a_part_of_the_first_and_one_more(world: World, measure: Any, number: int) -> None:
    """Whoever is among the first n is among the first n + 1, and all of them have the figure."""
    few, more, whole = answer(world, Top(measure, number), Top(measure, number + 1), Top(measure, share=1.0))
    assert few <= more <= whole
    assert len(few) == min(number, len(whole))
