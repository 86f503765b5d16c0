"""Sequences: SQL in one pass a step, SQL that tries, and plain Python answer alike."""

from __future__ import annotations

from datetime import timedelta
from random import Random

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from sqlglot import exp

from audiences.chain_forms import chain, gaps, together
from audiences.chain_tables import Draft
from audiences.chains import is_one_pass
from audiences.rules import Compare, Events, Exclusion, Named, Prefixed, Property, Sequence, Step
from audiences.terms import Dates, Duration, Last, Number
from identity.store.warehouse import Warehouse
from tests.audiences.sequence_streams import AS_OF, START, Happened, Streams, holders

PEOPLE = tuple(f"p{number}" for number in range(40))
NAMES = ("A", "A", "A", "A", "B", "B", "B", "B", "C", "C", "C", "AB", "X")
INSTANTS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
VALUES = (5, 5, 5, 5.0, "5", True, "true", [5], None, 0, -0.0)


@pytest.fixture(scope="module")
def store(engine: Warehouse) -> Streams:
    """Streams on every engine."""
    return Streams(engine)


def rarely(usual: object, unusual: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    """Mostly one value, or else one of a strategy."""
    return st.integers(0, 4).flatmap(lambda number: unusual if number == 0 else st.just(usual))


lengths = st.integers(1, 6).map(Duration)
short_lengths = st.integers(1, 2).map(Duration)
names = st.sampled_from(["A", "B", "C"])
selections = st.integers(0, 3).flatmap(
    lambda number: (
        names.map(lambda name: Named((name,)))
        if number
        else st.sampled_from([Named(("A", "B")), Named(("B", "C")), Prefixed("A"), Prefixed("")])
    )
)
windows = st.sampled_from(
    [Last(Duration(6)), Dates(START + timedelta(seconds=2), START + timedelta(seconds=7))]
)
some_events = st.builds(
    Events,
    selections,
    rarely(None, windows),
    rarely(None, st.just(Compare(Property(("p",)), "==", Number(5.0)))),
)
excluded_events = st.builds(
    Events, st.integers(0, 3).flatmap(lambda number: st.just(Named(("X",))) if number else selections)
)


@st.composite
def exclusions(draw: st.DrawFn, steps: int) -> Exclusion:
    """Between any two steps, in any order, or on any side of one."""
    numbers = st.integers(0, steps - 1)
    after, before = draw(st.none() | numbers), draw(st.none() | numbers)
    within = draw(st.none() | lengths) if after is not None and before is None else None
    return Exclusion(draw(excluded_events), after, before, within)


@st.composite
def sequences(draw: st.DrawFn) -> Sequence:
    """Sequences of everything that there is, though seldom of everything at once."""
    number = draw(st.integers(1, 4))
    alike, spaced, placed = (
        draw(rarely(False, st.just(True))),
        draw(st.booleans()),
        draw(rarely(0, st.just(1))),
    )
    steps = [Step(draw(some_events))]
    for _ in range(1, number):
        steps.append(
            Step(
                steps[0].events if alike else draw(some_events),
                draw(st.none() | lengths) if spaced else None,
                draw(st.none() | short_lengths) if spaced else None,
                draw(st.sampled_from(["previous", "first"])) if spaced else "previous",
                draw(st.none() | st.integers(1, 4)) if placed else None,
            )
        )
    return Sequence(
        tuple(steps),
        tuple(draw(st.none() | st.lists(exclusions(number), min_size=1, max_size=2)) or ()),
        draw(rarely((), st.sampled_from([(("p",),), (("p",), ("q", "r"))]))),
        draw(st.none() | lengths),
        draw(st.sampled_from(["strict", "loose"])),
        draw(rarely(False, st.just(True))),
        draw(rarely(False, st.just(True))),
    )


@st.composite
def tight_chains(draw: st.DrawFn) -> Sequence:
    """Longer chains in which each step must come soon after the one before, so that the choice matters."""
    number = draw(st.integers(3, 4))
    named = st.builds(Events, names.map(lambda name: Named((name,))))
    later = st.builds(Step, named, st.integers(1, 2).map(Duration), rarely(None, st.just(Duration(1))))
    return Sequence(
        (Step(draw(named)), *(draw(later) for _ in range(1, number))),
        tuple(draw(rarely((), st.lists(exclusions(number), max_size=1)))),
        within=draw(rarely(None, lengths)),
        ties=draw(st.sampled_from(["strict", "loose"])),
    )


@st.composite
def streams(draw: st.DrawFn) -> list[Happened]:
    """Many people with few instants; drawn as one number, which is much faster than event by event."""
    random = Random(draw(st.integers(0, 2**32)))
    numbers = list(range(500))
    random.shuffle(numbers)
    return [
        Happened(
            who,
            random.choice(NAMES),
            random.choice(INSTANTS),
            f"m{numbers.pop():03}",
            {"p": random.choice(VALUES), "q": {"r": 1}},
            random.choice([0, 0, 0, 0, 0, 0, 0, 0, 0, 9]),
        )
        for who in PEOPLE
        for _ in range(random.randint(1, 11))
    ]


@given(node=sequences() | tight_chains(), stream=streams())
@settings(max_examples=100)
def test_sql_answers_what_plain_python_answers(
    store: Streams, node: Sequence, stream: list[Happened]
) -> None:
    """Law: what is found in one pass, and what is tried, is what trying every choice finds; each id once."""
    store.load(stream)
    expected = sorted(holders(node, stream))
    event("one pass" if is_one_pass(node) else "tried")
    event("members" if expected else "no members")
    assert store.found(node) == expected
    assert store.tried(node) == expected


@given(node=sequences() | tight_chains(), stream=streams())
@settings(max_examples=50)
def test_only_what_is_in_doubt_is_tried(store: Streams, node: Sequence, stream: list[Happened]) -> None:
    """Law: asking for more finds nobody too many, asking for less misses nobody."""
    store.load(stream)
    expected = holders(node, stream)

    def asking(*, stricter: bool) -> set[str]:
        draft = Draft(node, store.rows, store.engine, AS_OF)
        if node.any_order and not stricter:
            name = together(draft, dict.fromkeys(range(len(node.steps)), 1))
        else:
            name = chain(draft, gaps(node, stricter=stricter))
        return set(store.ids(draft.finished(exp.select("id").from_(name))))

    assert asking(stricter=True) <= expected <= asking(stricter=False)
